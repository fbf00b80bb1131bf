//! Archives that want out of their directory, or are too much, or are none.

use crate::{
    registry::Registry,
    support::{Entry, Node, TestImage, archive, gzip, names, plain, zstd},
};
use orlop_runtime::{
    executor::images::{ImagesError, Snapshot},
    planner::images::{challenge::AuthConfig, layer::LayerBounds},
};
use std::{fs, path::Path};

/// Pulls an image of these layers.
async fn unpack(
    node: &Node,
    layers: &[Vec<u8>],
    pack: fn(&[u8]) -> Vec<u8>,
) -> Result<Snapshot, ImagesError> {
    let registry = Registry::new().await;
    registry.put_image("a", "1", &TestImage::new(layers, &[pack]));
    let reference = registry.reference("a:1");
    node.images.pull(&reference, &AuthConfig::default()).await?;
    Ok(node.images.snapshot(&reference).unwrap())
}

async fn check_refused(entries: &[(&str, Entry<'_>)], words: &str) {
    let node = Node::new().await;
    fs::write(node.directory.path().join("outside"), "untouched").unwrap();
    let error = unpack(&node, &[archive(entries)], gzip)
        .await
        .expect_err(words);
    assert!(
        matches!(error, ImagesError::FailedPrecondition(_)),
        "{error:?}"
    );
    assert!(error.to_string().contains(words), "{error}");
    check_outside(&node);
    node.check_empty();
}

/// Nothing but the root is beside it, and nothing was written there.
fn check_outside(node: &Node) {
    assert_eq!(names(node.directory.path()), ["outside", "root"]);
    assert_eq!(
        fs::read_to_string(node.directory.path().join("outside")).unwrap(),
        "untouched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_links_that_lead_out() {
    check_refused(&[("../evil", Entry::File(b"x"))], "has .. in it").await;
    check_refused(&[("a/../../../evil", Entry::File(b"x"))], "has .. in it").await;
    check_refused(
        &[
            ("a", Entry::Link("../../..")),
            ("a/evil", Entry::File(b"x")),
        ],
        "above the image's root",
    )
    .await;
    check_refused(
        &[("a", Entry::Link("a")), ("a/evil", Entry::File(b"x"))],
        "around in a circle",
    )
    .await;
    check_refused(
        &[("a", Entry::Hard("../../../outside"))],
        "the link's target has ..",
    )
    .await;
    check_refused(
        &[("a", Entry::Hard("/root/outside"))],
        "a hard link to /root/outside",
    )
    .await;
    check_refused(
        &[
            ("l", Entry::Link("../../..")),
            ("a", Entry::Hard("l/outside")),
        ],
        "above the image's root",
    )
    .await;
    check_refused(
        &[("a", Entry::File(b"")), ("a/b", Entry::File(b""))],
        "/a is no directory",
    )
    .await;
    check_refused(&[("a/.wh...", Entry::File(b""))], "has .. in it").await;
    check_refused(&[("a", Entry::Device(0, 0))], "device 0:0").await;
    check_refused(
        &[
            ("a", Entry::Attribute("trusted.overlay.opaque", b"y")),
            ("a", Entry::File(b"")),
        ],
        "overlayfs itself",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_kept_and_followed_within_the_image() {
    let node = Node::new().await;
    fs::write(node.directory.path().join("outside"), "untouched").unwrap();
    let outside = node.directory.path().join("outside");
    let outside = outside.to_str().unwrap();
    let layer = archive(&[
        ("passwd", Entry::Link(outside)),
        ("run", Entry::Link("/var/run")),
        ("run/pid", Entry::File(b"7")),
        ("/abs", Entry::File(b"8")),
        ("a/", Entry::Dir(0o700)),
        ("a/up", Entry::Link("../var")),
        ("a/up/lib/x", Entry::File(b"9")),
        // Writing to a link replaces it.
        ("link", Entry::Link(outside)),
        ("link", Entry::File(b"mine")),
    ]);
    let snapshot = unpack(&node, &[layer], plain).await.unwrap();
    let root = &snapshot.lower[0];
    assert_eq!(
        fs::read_link(root.join("passwd")).unwrap(),
        Path::new(outside)
    );
    assert_eq!(fs::read(root.join("var/run/pid")).unwrap(), b"7");
    assert_eq!(fs::read(root.join("abs")).unwrap(), b"8");
    assert_eq!(fs::read(root.join("var/lib/x")).unwrap(), b"9");
    assert_eq!(fs::read(root.join("link")).unwrap(), b"mine");
    check_outside(&node);
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    let small = LayerBounds {
        bytes: 1_000_000,
        entries: 100,
        notes: 20_000,
    };
    let zeros = archive(&[("a", Entry::File(&vec![0; 2_000_000]))]);
    let many: Vec<_> = (0..101).map(|n| format!("f{n}")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), Entry::File(b"")))
        .collect();
    let deep: Vec<_> = (0..20)
        .map(|n| format!("{n}/{}", "d/".repeat(40)))
        .collect();
    let deep: Vec<_> = deep
        .iter()
        .map(|name| (name.as_str(), Entry::Dir(0o755)))
        .collect();
    let mut sparse = tar::Header::new_gnu();
    sparse.set_path("hole").unwrap();
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.set_mode(0o644);
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 40);
    sparse.set_cksum();
    let mut hole = sparse.as_bytes().to_vec();
    hole.resize(2048, 0);
    for (layer, words) in [
        (zeros, "more than 1000000 bytes"),
        (archive(&many), "more than 100 files"),
        (archive(&deep), "more than 100 files"),
        (hole, "more than 1000000 bytes in its files"),
    ] {
        let node = Node::with(|options| options.bounds = small).await;
        let error = unpack(&node, &[layer], gzip).await.expect_err(words);
        assert!(
            matches!(error, ImagesError::ResourceExhausted(_)),
            "{error:?}"
        );
        assert!(error.to_string().contains(words), "{error}");
        node.check_empty();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_cut_or_damaged() {
    let whole = archive(&[
        ("a", Entry::File(&[7; 5000])),
        ("b", Entry::File(&[8; 5000])),
    ]);
    // Cut in the archive, each packed well: the digests are right, the archive is not.
    for cut in [100, 600, 5000, 6000] {
        for pack in [plain as fn(&[u8]) -> Vec<u8>, gzip, zstd] {
            let node = Node::new().await;
            let error = unpack(&node, &[whole[..cut].to_vec()], pack)
                .await
                .expect_err("cut");
            assert!(
                matches!(error, ImagesError::FailedPrecondition(_)),
                "{error:?}"
            );
            node.check_empty();
        }
    }
    // Cut or damaged behind the packing.
    fn cut_gzip(archive: &[u8]) -> Vec<u8> {
        let mut bytes = gzip(archive);
        bytes.truncate(bytes.len() - 9);
        bytes
    }
    fn cut_zstd(archive: &[u8]) -> Vec<u8> {
        let mut bytes = zstd(archive);
        bytes.truncate(bytes.len() - 20);
        bytes
    }
    fn damaged_gzip(archive: &[u8]) -> Vec<u8> {
        let mut bytes = gzip(archive);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        bytes
    }
    fn noise(_: &[u8]) -> Vec<u8> {
        vec![b'x'; 2000]
    }
    for pack in [
        cut_gzip as fn(&[u8]) -> Vec<u8>,
        cut_zstd,
        damaged_gzip,
        noise,
    ] {
        let node = Node::new().await;
        let error = unpack(&node, std::slice::from_ref(&whole), pack)
            .await
            .expect_err("damaged");
        assert!(
            matches!(error, ImagesError::FailedPrecondition(_)),
            "{error:?}"
        );
        node.check_empty();
    }
    // An archive without its end is taken by everybody.
    let node = Node::new().await;
    unpack(&node, &[whole[..whole.len() - 1024].to_vec()], gzip)
        .await
        .unwrap();
}
