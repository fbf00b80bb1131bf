//! Images made for a test, a runtime with short timeouts, and directories as text.

use aws_lc_rs::digest;
use flate2::{Compression, write::GzEncoder};
use orlop_runtime::{
    executor::images::{Images, ImagesOptions, Timeouts},
    planner::images::{
        digest::{Digest, chain_ids},
        mirrors::Registries,
    },
};
use rustix::buffer::spare_capacity;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Makes a blob of an archive.
pub(crate) type Pack = fn(&[u8]) -> Vec<u8>;

/// An image as a registry has it.
#[derive(Debug, Clone)]
pub(crate) struct TestImage {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Value,
    pub(crate) chain_ids: Vec<Digest>,
}

impl TestImage {
    /// Of layers that are archives, each packed by the next of these in turn.
    pub(crate) fn new(archives: &[Vec<u8>], pack: &[Pack]) -> Self {
        let diff_ids: Vec<_> = archives.iter().map(|archive| Digest::of(archive)).collect();
        let layers: Vec<_> = archives
            .iter()
            .enumerate()
            .map(|(at, archive)| pack[at % pack.len()](archive))
            .collect();
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {"User": "7:8", "Cmd": ["/bin/x"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let described: Vec<_> = layers
            .iter()
            .map(|layer| descriptor(LAYER, layer))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config), "layers": described,
        });
        Self {
            layers,
            config,
            manifest,
            chain_ids: chain_ids(&diff_ids),
        }
    }

    pub(crate) fn manifest_bytes(&self) -> Vec<u8> {
        self.manifest.to_string().into_bytes()
    }

    pub(crate) fn id(&self) -> Digest {
        Digest::of(&self.config)
    }
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

pub(crate) fn gzip(archive: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(archive).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn plain(archive: &[u8]) -> Vec<u8> {
    archive.to_vec()
}

/// By the program, so that it is nobody's own idea of the format; a skippable frame at the end, as zstd:chunked has it.
pub(crate) fn zstd(archive: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, archive).unwrap();
    let out = Command::new("zstd")
        .args(["-q", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let mut frames = out.stdout;
    frames.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    frames
}

/// An archive of the crate tar's.
pub(crate) fn archive(entries: &[(&str, Entry<'_>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, entry) in entries {
        entry.append(&mut builder, name);
    }
    builder.into_inner().unwrap()
}

pub(crate) enum Entry<'a> {
    Dir(u32),
    File(&'a [u8]),
    Link(&'a str),
    Hard(&'a str),
    Device(u32, u32),
    /// A file with an extended attribute.
    Attribute(&'a str, &'a [u8]),
}

impl Entry<'_> {
    fn append(&self, builder: &mut tar::Builder<Vec<u8>>, name: &str) {
        let mut header = tar::Header::new_gnu();
        // Names that the crate itself would refuse.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(1_000_000);
        header.set_size(0);
        let mut data: &[u8] = b"";
        let kind = match self {
            Self::Dir(mode) => {
                header.set_mode(*mode);
                tar::EntryType::Directory
            }
            Self::File(bytes) => {
                data = bytes;
                tar::EntryType::Regular
            }
            Self::Link(target) => {
                header.set_link_name_literal(target).unwrap();
                tar::EntryType::Symlink
            }
            Self::Hard(target) => {
                header.set_link_name_literal(target).unwrap();
                tar::EntryType::Link
            }
            Self::Device(major, minor) => {
                header.set_device_major(*major).unwrap();
                header.set_device_minor(*minor).unwrap();
                tar::EntryType::Char
            }
            Self::Attribute(key, value) => {
                let key = format!("SCHILY.xattr.{key}");
                builder
                    .append_pax_extensions([(key.as_str(), *value)])
                    .unwrap();
                tar::EntryType::Regular
            }
        };
        header.set_entry_type(kind);
        header.set_size(u64::try_from(data.len()).unwrap());
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
}

/// Options with timeouts that a test can wait for.
pub(crate) fn options(root: &Path) -> ImagesOptions {
    let mut options = ImagesOptions::new(root.to_owned());
    options.timeouts = Timeouts {
        connect: Duration::from_secs(2),
        silence: Duration::from_millis(700),
        document: Duration::from_secs(2),
        attempts: 3,
        wait: Duration::from_millis(10),
        wait_max: Duration::from_millis(50),
    };
    options
}

/// A root on the disk that tests run on, with images in it.
pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) images: Images,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ImagesOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(&directory.path().join("root"));
        change(&mut options);
        let images = Images::open(options).await.unwrap();
        Self { directory, images }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Nothing is left of what has failed.
    pub(crate) fn check_empty(&self) {
        assert_eq!(names(&self.root().join("layers")), [] as [String; 0]);
        assert_eq!(names(&self.root().join("images")), [] as [String; 0]);
        assert!(self.images.list().is_empty());
    }
}

pub(crate) fn registries(text: &Value) -> Registries {
    Registries::read(text.to_string().as_bytes()).unwrap()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All below a directory, a line for each: what it is, all that it has, and a digest of what is in it. Of hard links each
/// names the first.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        paths.push(path);
    }
    paths.sort();
    let mut inodes = BTreeMap::new();
    let line = |path: &PathBuf| {
        let found = fs::symlink_metadata(path).unwrap();
        let (kind, name) = (found.file_type(), path.strip_prefix(root).unwrap());
        let mut line = format!(
            "{} {:o} {}:{} {}.{:09}",
            name.display(),
            found.mode(),
            found.uid(),
            found.gid(),
            found.mtime(),
            found.mtime_nsec()
        );
        if kind.is_symlink() {
            write!(line, " -> {}", fs::read_link(path).unwrap().display()).unwrap();
        } else if kind.is_file() {
            let sum = digest::digest(&digest::SHA256, &fs::read(path).unwrap());
            write!(line, " {} {:?}", found.len(), &sum.as_ref()[..6]).unwrap();
        } else if kind.is_char_device() || kind.is_block_device() {
            write!(line, " device {:x}", found.rdev()).unwrap();
        }
        let first = inodes.entry(found.ino()).or_insert_with(|| name.to_owned());
        if first != name {
            write!(line, " = {}", first.display()).unwrap();
        }
        for (key, value) in attributes(path) {
            write!(line, " {key}={value:?}").unwrap();
        }
        line
    };
    paths.iter().map(line).collect()
}

pub(crate) fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = Vec::with_capacity(4096);
    rustix::fs::llistxattr(path, spare_capacity(&mut list)).unwrap();
    let keys = list.split(|byte| *byte == 0).filter(|key| !key.is_empty());
    let mut found: Vec<_> = keys
        .map(|key| {
            let mut value = Vec::with_capacity(4096);
            rustix::fs::lgetxattr(path, key, spare_capacity(&mut value)).unwrap();
            (String::from_utf8(key.to_vec()).unwrap(), value)
        })
        .collect();
    found.sort();
    found
}

/// A mount that goes with its value.
pub(crate) struct Mounted {
    pub(crate) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mounted {
    /// A container's root over these layers.
    pub(crate) fn overlay(lower: &[PathBuf]) -> Self {
        use orlop_runtime::executor::images::overlay::{Upper, mount};
        let directory = tempfile::tempdir().unwrap();
        let [upper, work, path] = ["upper", "work", "merged"].map(|name| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        mount(
            lower,
            Some(Upper {
                upper: &upper,
                work: &work,
            }),
            &path,
        )
        .unwrap();
        Self {
            path,
            _directory: directory,
        }
    }

    pub(crate) fn tmpfs(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small");
        fs::create_dir(&path).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(
            "tmpfs",
            &path,
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            options.as_c_str(),
        )
        .unwrap();
        Self {
            path,
            _directory: directory,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
    }
}
