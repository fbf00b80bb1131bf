//! Layers as GNU tar unpacks them, and as overlayfs shows them over each other.

use crate::{
    registry::Registry,
    support::{
        Entry, Mounted, Node, TestImage, archive, attributes, gzip, listing, names, plain, zstd,
    },
};
use orlop_runtime::{executor::images::Snapshot, planner::images::challenge::AuthConfig};
use rustix::fs::{FileType, Mode, XattrFlags};
use std::{
    fs,
    os::unix::fs::{
        FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink,
    },
    path::Path,
    process::Command,
};

async fn unpack(node: &Node, name: &str, layers: &[Vec<u8>]) -> Snapshot {
    let registry = Registry::new().await;
    registry.put_image(name, "1", &TestImage::new(layers, &[gzip, zstd, plain]));
    let reference = registry.reference(&format!("{name}:1"));
    node.images
        .pull(&reference, &AuthConfig::default())
        .await
        .unwrap();
    node.images.snapshot(&reference).unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let out = Command::new(program).args(arguments).output().unwrap();
    assert!(
        out.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// One of each that a file system has.
fn specimen(root: &Path) {
    let path = |name: &str| root.join(name);
    fs::create_dir_all(path("dir/sub")).unwrap();
    fs::write(path("dir/file"), vec![b'x'; 700_000]).unwrap();
    fs::write(path("empty"), b"").unwrap();
    fs::write(path("dir/sub/suid"), b"s").unwrap();
    std::os::unix::fs::chown(path("dir/sub/suid"), Some(1000), Some(70_000)).unwrap();
    fs::set_permissions(path("dir/sub/suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    std::os::unix::fs::chown(path("dir"), Some(3_000_000), Some(4)).unwrap();
    fs::set_permissions(path("dir"), fs::Permissions::from_mode(0o3770)).unwrap();
    fs::hard_link(path("dir/file"), path("hard")).unwrap();
    symlink("../../etc/passwd", path("dir/up")).unwrap();
    symlink("/absolute/target", path("absolute")).unwrap();
    std::os::unix::fs::lchown(path("absolute"), Some(12), Some(13)).unwrap();
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path(name),
            kind,
            Mode::from_raw_mode(0o640),
            device,
        )
        .unwrap()
    };
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("loop", FileType::BlockDevice, rustix::fs::makedev(7, 300));
    node("fifo", FileType::Fifo, 0);
    fs::write(path("capable"), b"c").unwrap();
    run(
        "setcap",
        &[
            "cap_net_raw,cap_net_bind_service+ep",
            path("capable").to_str().unwrap(),
        ],
    );
    rustix::fs::setxattr(
        path("capable"),
        "user.note",
        b"a\nb=c\0d",
        XattrFlags::empty(),
    )
    .unwrap();
    rustix::fs::setxattr(path("dir"), "trusted.note", b"t", XattrFlags::empty()).unwrap();
    let long = "n".repeat(120);
    fs::create_dir_all(path(&format!("{long}/{long}"))).unwrap();
    fs::write(path(&format!("{long}/{long}/{long}")), b"deep").unwrap();
    symlink(long.repeat(3), path("long-link")).unwrap();
    fs::write(path("ümlaut \u{1F980}"), b"u").unwrap();
    let sparse = fs::File::create(path("sparse")).unwrap();
    sparse.set_len(40_000_000).unwrap();
    // More pieces than fit in a header of GNU's old form, and in one more block.
    for n in 0..40 {
        sparse.write_all_at(b"data", n * 900_000 + 5000).unwrap();
    }
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        },
        last_modification: rustix::fs::Timespec {
            tv_sec: 1_234_567_890,
            tv_nsec: 123_456_789,
        },
    };
    for name in ["dir/file", "absolute", "dir/sub"] {
        rustix::fs::utimensat(
            rustix::fs::CWD,
            path(name),
            &times,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_gnu_tar_packs_is_unpacked_as_it_does_itself() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    specimen(&source);
    let node = Node::new().await;
    for (at, options) in [
        &["--format=posix", "--xattrs", "--xattrs-include=*"][..],
        &[
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--sparse-version=0.0",
        ],
        &[
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--sparse-version=0.1",
        ],
        &[
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--sparse-version=1.0",
        ],
        &["--format=gnu", "--sparse"],
        &["--format=gnu"],
    ]
    .into_iter()
    .enumerate()
    {
        let packed = directory.path().join("packed.tar");
        let packed = packed.to_str().unwrap();
        let create = [
            "-C",
            source.to_str().unwrap(),
            "--numeric-owner",
            "-cf",
            packed,
            ".",
        ];
        run("tar", &[options, &create].concat());
        let expected = directory.path().join(format!("expected{at}"));
        fs::create_dir(&expected).unwrap();
        let extract = [
            "-C",
            expected.to_str().unwrap(),
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-xpf",
            packed,
        ];
        run("tar", &extract);
        let snapshot = unpack(&node, &format!("a{at}"), &[fs::read(packed).unwrap()]).await;
        let found = listing(&snapshot.lower[0]);
        assert_eq!(found, listing(&expected), "{options:?}");
        assert_eq!(found.len(), 19, "{found:#?}");
        if options.contains(&"--sparse") {
            let blocks = fs::metadata(snapshot.lower[0].join("sparse"))
                .unwrap()
                .blocks();
            assert!(
                blocks < 2000,
                "{options:?}: {blocks} blocks, holes are none"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whiteouts_and_opaque_directories() {
    let node = Node::new().await;
    let lower = archive(&[
        ("d/", Entry::Dir(0o755)),
        ("d/gone", Entry::File(b"1")),
        ("d/kept", Entry::File(b"1")),
        ("o/", Entry::Dir(0o755)),
        ("o/gone", Entry::File(b"1")),
        ("o/sub/x", Entry::File(b"1")),
        ("again/", Entry::Dir(0o755)),
        ("again/gone", Entry::File(b"1")),
        ("tree/a/b", Entry::File(b"1")),
        ("file", Entry::File(b"1")),
    ]);
    let upper = archive(&[
        ("d/.wh.gone", Entry::File(b"")),
        ("d/new", Entry::File(b"2")),
        ("o/new", Entry::File(b"2")),
        ("o/.wh..wh..opq", Entry::File(b"")),
        // Removed and made again: nothing of the old is in the new.
        (".wh.again", Entry::File(b"")),
        ("again/", Entry::Dir(0o700)),
        ("again/new", Entry::File(b"2")),
        ("tree/", Entry::Dir(0o755)),
        (".wh.tree", Entry::File(b"")),
        ("file/", Entry::Dir(0o755)),
    ]);
    let snapshot = unpack(&node, "a", &[lower, upper]).await;
    let merged = Mounted::overlay(&snapshot.lower);
    let at = |name: &str| names(&merged.path.join(name));
    assert_eq!(at(""), ["again", "d", "file", "o", "tree"]);
    assert_eq!(at("d"), ["kept", "new"]);
    assert_eq!(at("o"), ["new"]);
    assert_eq!(at("again"), ["new"]);
    assert_eq!(at("tree"), [] as [&str; 0]);
    let hidden = fs::symlink_metadata(snapshot.lower[0].join("d/gone")).unwrap();
    assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
    let opaque = attributes(&snapshot.lower[0].join("o"));
    assert!(opaque.contains(&("trusted.overlay.opaque".to_owned(), b"y".to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_root_hides_all_below() {
    let node = Node::new().await;
    let lower = archive(&[("a", Entry::File(b"1")), ("d/x", Entry::File(b"1"))]);
    let upper = archive(&[
        (".wh..wh..opq", Entry::File(b"")),
        ("d/y", Entry::File(b"2")),
    ]);
    let snapshot = unpack(&node, "a", &[lower, upper]).await;
    let merged = Mounted::overlay(&snapshot.lower);
    assert_eq!(names(&merged.path), ["d"]);
    assert_eq!(names(&merged.path.join("d")), ["y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_layer_needs_of_those_below() {
    let node = Node::new().await;
    let lowest = archive(&[
        ("usr/", Entry::Dir(0o750)),
        ("usr/lib/", Entry::Dir(0o700)),
        ("usr/lib/old", Entry::File(b"1")),
        ("lib", Entry::Link("usr/lib")),
        ("zlib", Entry::Link("/bin")),
        ("bin/", Entry::Dir(0o711)),
        ("data/", Entry::Dir(0o1777)),
        ("data/file", Entry::File(b"data")),
    ]);
    let middle = archive(&[("nothing", Entry::File(b""))]);
    let upper = archive(&[
        // Its directories are below, and one is a link there.
        ("lib/new", Entry::File(b"2")),
        ("zlib/tool", Entry::File(b"2")),
        ("lib/sub/x", Entry::File(b"2")),
        ("lib/.wh.old", Entry::File(b"")),
        ("data/own", Entry::File(b"2")),
        // Hard links to what is below: of the archive's two, one is of the other.
        ("link1", Entry::Hard("data/file")),
        ("link2", Entry::Hard("/data/file")),
        ("data/third", Entry::Hard("link1")),
    ]);
    let snapshot = unpack(&node, "a", &[lowest, middle, upper]).await;
    let merged = Mounted::overlay(&snapshot.lower);
    let path = |name: &str| merged.path.join(name);
    assert_eq!(
        names(&merged.path),
        [
            "bin", "data", "lib", "link1", "link2", "nothing", "usr", "zlib"
        ]
    );
    assert_eq!(fs::read_link(path("lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(names(&path("usr/lib")), ["new", "sub"]);
    assert_eq!(fs::read(path("lib/sub/x")).unwrap(), b"2");
    assert_eq!(names(&path("bin")), ["tool"]);
    assert_eq!(fs::metadata(path("bin")).unwrap().mode() & 0o7777, 0o711);
    let usr = fs::metadata(path("usr")).unwrap();
    assert_eq!(
        (usr.mode() & 0o7777, usr.uid(), usr.gid(), usr.mtime()),
        (0o750, 1, 2, 1_000_000)
    );
    assert_eq!(
        fs::metadata(path("usr/lib")).unwrap().mode() & 0o7777,
        0o700
    );
    assert_eq!(fs::metadata(path("data")).unwrap().mode() & 0o7777, 0o1777);
    let link = fs::metadata(path("link1")).unwrap();
    assert_eq!(
        (link.nlink(), link.uid(), link.mode() & 0o7777),
        (3, 1, 0o644)
    );
    for name in ["link1", "link2", "data/third", "data/file"] {
        assert_eq!(fs::read(path(name)).unwrap(), b"data", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_come_twice() {
    let node = Node::new().await;
    let layer = archive(&[
        ("a/", Entry::Dir(0o755)),
        ("a/x", Entry::File(b"1")),
        ("a/", Entry::Dir(0o700)),
        ("f", Entry::File(b"first")),
        ("f", Entry::File(b"second")),
        ("t/x/y", Entry::File(b"1")),
        ("t", Entry::File(b"a file now")),
        ("s", Entry::File(b"1")),
        ("s/", Entry::Dir(0o711)),
        ("s/in", Entry::File(b"2")),
        ("h", Entry::Hard("f")),
        ("h", Entry::Hard("f")),
        ("f", Entry::Hard("f")),
        ("later/x", Entry::File(b"1")),
        ("later/", Entry::Dir(0o710)),
    ]);
    let snapshot = unpack(&node, "a", &[layer]).await;
    let path = |name: &str| snapshot.lower[0].join(name);
    assert_eq!(names(&path("a")), ["x"]);
    assert_eq!(fs::metadata(path("a")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read(path("f")).unwrap(), b"second");
    assert_eq!(fs::metadata(path("f")).unwrap().nlink(), 2);
    assert_eq!(fs::read(path("t")).unwrap(), b"a file now");
    assert_eq!(names(&path("s")), ["in"]);
    assert_eq!(fs::metadata(path("later")).unwrap().mtime(), 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_its_capabilities_in_a_container() {
    let node = Node::new().await;
    // cap_net_raw, version 2, effective.
    let value = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let layer = archive(&[("ping", Entry::Attribute("security.capability", &value))]);
    let snapshot = unpack(&node, "a", &[layer]).await;
    let merged = Mounted::overlay(&snapshot.lower);
    let out = Command::new("getcap")
        .arg(merged.path.join("ping"))
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&out.stdout).contains("cap_net_raw=ep"),
        "{out:?}"
    );
}
