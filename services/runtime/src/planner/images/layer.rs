//! From the entries of an archive to what is to be done on the disk (OCI image spec, layer.md).
//!
//! ```text
//!   .wh.NAME          NAME of the layers below is gone: a device 0:0, as overlayfs has it
//!   .wh..wh..opq      all of this directory's below is gone: trusted.overlay.opaque
//!   .wh..wh.*         aufs' own bookkeeping: left out
//! ```
//!
//! Steps name paths beneath the layer's root only. That these do not lead elsewhere by symbolic links is the executor's part.

use super::{
    archive::{Entry, Kind, Piece, Time},
    path::{LayerPath, NAME_MAX, PATH_MAX, PathError},
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
/// The kernel's XATTR_SIZE_MAX.
const ATTRIBUTE_MAX: usize = 64 * 1024;
/// linux/kdev_t.h: twelve bits of major, twenty of minor number.
const MAJOR_MAX: u64 = (1 << 12) - 1;
const MINOR_MAX: u64 = (1 << 20) - 1;

/// How much a layer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBounds {
    /// Bytes of the unpacked archive, and of all files together, holes included.
    pub bytes: u64,
    /// Files, directories that are only implied among them.
    pub entries: u64,
    /// Bytes of names that are kept until the layer is settled: those of directories, and of links to layers below.
    pub notes: usize,
}

impl Default for LayerBounds {
    /// Ten times the largest images that are in use; notes of half a million directories.
    fn default() -> Self {
        Self {
            bytes: 64 * 1024 * 1024 * 1024,
            entries: 4_000_000,
            notes: 64 * 1024 * 1024,
        }
    }
}

/// Why an entry is not unpacked; the layer is refused with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Its name.
    #[error("the name {name:?} {reason}")]
    Name {
        /// As far as it can be shown.
        name: String,
        /// What is wrong with it.
        reason: PathError,
    },
    /// Where it leads.
    #[error("{path}: the link's target {reason}")]
    Target {
        /// The link.
        path: LayerPath,
        /// What is wrong with it.
        reason: PathError,
    },
    /// What the image's overlayfs would take for its own.
    #[error("{0}: an extended attribute of overlayfs itself")]
    Overlay(LayerPath),
    /// What overlayfs takes for a whiteout.
    #[error("{0}: a device 0:0, which hides files of other layers")]
    DeviceZero(LayerPath),
    /// A number that the kernel has no room for.
    #[error("{path}: {what} is out of range")]
    Range {
        /// The entry.
        path: LayerPath,
        /// Which number.
        what: &'static str,
    },
    /// The root is a directory.
    #[error("the layer's root is no directory")]
    Root,
    /// A bound of the layer.
    #[error("the layer has more than {bound} {what}")]
    Bound {
        /// How much it may be.
        bound: u64,
        /// Of what.
        what: &'static str,
    },
}

/// Owner, permissions, time and extended attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Twelve bits.
    pub mode: u32,
    /// Of the last modification.
    pub modified: Time,
    /// Extended attributes, by their whole names.
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is to be done. Whatever is at the path already, and is no directory where one comes, is replaced.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Skip,
    /// Makes a directory, or gives one these attributes.
    Directory(LayerPath, Attributes),
    /// Writes a file.
    File {
        /// Where.
        path: LayerPath,
        /// With which attributes.
        attributes: Attributes,
        /// Its length, holes included.
        size: u64,
        /// Where the archive's bytes belong, where there are holes.
        pieces: Option<Vec<Piece>>,
    },
    /// Makes a symbolic link. The target is the image's business: it is followed in the container only.
    Symlink(LayerPath, Vec<u8>, Attributes),
    /// Gives a file of this layer, or of one below, another name.
    HardLink {
        /// The new name.
        path: LayerPath,
        /// The old one.
        target: LayerPath,
    },
    /// Makes a device or a named pipe.
    Node {
        /// Where.
        path: LayerPath,
        /// What.
        node: Node,
        /// With which attributes.
        attributes: Attributes,
    },
    /// Hides what the layers below have here.
    Whiteout(LayerPath),
    /// Hides what the layers below have in this directory.
    Opaque(LayerPath),
}

/// A special file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
}

/// Counts while a layer is unpacked.
#[derive(Debug)]
pub struct Counter {
    bounds: LayerBounds,
    entries: u64,
    bytes: u64,
    notes: usize,
}

impl Counter {
    /// Nothing yet.
    #[must_use]
    pub fn new(bounds: LayerBounds) -> Self {
        Self {
            bounds,
            entries: 0,
            bytes: 0,
            notes: 0,
        }
    }

    /// One more file of so many bytes.
    ///
    /// # Errors
    /// [`StepError::Bound`].
    pub fn file(&mut self, bytes: u64) -> Result<(), StepError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        over(self.entries, self.bounds.entries, "files")?;
        over(self.bytes, self.bounds.bytes, "bytes in its files")
    }

    /// Bytes that are kept in memory.
    ///
    /// # Errors
    /// [`StepError::Bound`].
    pub fn note(&mut self, bytes: usize) -> Result<(), StepError> {
        // A path is kept in a tree, with what is known of it.
        self.notes += bytes + 96;
        let wide = |number| u64::try_from(number).expect("64 bits");
        over(
            wide(self.notes),
            wide(self.bounds.notes),
            "bytes of names of directories",
        )
    }

    /// Files so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }
}

fn over(number: u64, bound: u64, what: &'static str) -> Result<(), StepError> {
    if number > bound {
        return Err(StepError::Bound { bound, what });
    }
    Ok(())
}

/// What an entry asks for.
///
/// # Errors
/// [`StepError`].
pub fn step(entry: Entry) -> Result<Step, StepError> {
    let path = LayerPath::parse(&entry.name).map_err(|reason| StepError::Name {
        name: String::from_utf8_lossy(&entry.name[..entry.name.len().min(NAME_MAX)]).into_owned(),
        reason,
    })?;
    let Some((directory, name)) = path.split() else {
        return match entry.kind {
            Kind::Directory => Ok(Step::Directory(path.clone(), attributes(&path, entry)?)),
            _ => Err(StepError::Root),
        };
    };
    if let Some(step) = whiteout(directory, name.as_bytes())? {
        return Ok(step);
    }
    Ok(match entry.kind {
        Kind::Directory => Step::Directory(path.clone(), attributes(&path, entry)?),
        Kind::File => Step::File {
            size: entry.size,
            pieces: entry.pieces.clone(),
            attributes: attributes(&path, entry)?,
            path,
        },
        Kind::Symlink => {
            let target = entry.link.clone();
            let reason = match &target[..] {
                [] => Some(PathError::Empty),
                target if target.len() > PATH_MAX => Some(PathError::Long),
                target if target.contains(&0) => Some(PathError::Nul),
                _ => None,
            };
            if let Some(reason) = reason {
                return Err(StepError::Target { path, reason });
            }
            Step::Symlink(path.clone(), target, attributes(&path, entry)?)
        }
        Kind::HardLink => match LayerPath::parse(&entry.link) {
            Ok(target) => Step::HardLink { path, target },
            Err(reason) => return Err(StepError::Target { path, reason }),
        },
        Kind::Fifo => node(path, Node::Fifo, entry)?,
        Kind::Character | Kind::Block => {
            let range = |what| StepError::Range {
                path: path.clone(),
                what,
            };
            let (major, minor) = entry.device;
            if major > MAJOR_MAX || minor > MINOR_MAX {
                return Err(range("a device number"));
            }
            let [major, minor] =
                [major, minor].map(|number| u32::try_from(number).expect("under 2^20"));
            if entry.kind == Kind::Block {
                return node(path, Node::Block(major, minor), entry);
            }
            if (major, minor) == (0, 0) {
                return Err(StepError::DeviceZero(path));
            }
            node(path, Node::Character(major, minor), entry)?
        }
    })
}

fn node(path: LayerPath, node: Node, entry: Entry) -> Result<Step, StepError> {
    Ok(Step::Node {
        attributes: attributes(&path, entry)?,
        path,
        node,
    })
}

fn whiteout(directory: LayerPath, name: &[u8]) -> Result<Option<Step>, StepError> {
    if name == WHITEOUT_OPAQUE {
        return Ok(Some(Step::Opaque(directory)));
    }
    if name.starts_with(WHITEOUT_META) {
        return Ok(Some(Step::Skip));
    }
    let Some(hidden) = name.strip_prefix(WHITEOUT) else {
        return Ok(None);
    };
    let reason = match hidden {
        b"" | b"." => Some(PathError::Empty),
        b".." => Some(PathError::Parent),
        _ => None,
    };
    match (reason, directory.join(hidden)) {
        (None, Ok(path)) => Ok(Some(Step::Whiteout(path))),
        (None, Err(reason)) | (Some(reason), _) => Err(StepError::Name {
            name: OsStr::from_bytes(name).to_string_lossy().into_owned(),
            reason,
        }),
    }
}

fn attributes(path: &LayerPath, entry: Entry) -> Result<Attributes, StepError> {
    // The highest number means "as it was" to chown(2).
    let id = |id: u64, what| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(StepError::Range {
            path: path.clone(),
            what,
        }),
    };
    let mut extended = Vec::new();
    for (name, value) in entry.attributes {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            return Err(StepError::Overlay(path.clone()));
        }
        let kept = name == b"security.capability"
            || name.starts_with(b"user.")
            || name.starts_with(b"trusted.");
        // Labels of the builder's security module, and access control lists of a file system that this is not.
        if !kept {
            continue;
        }
        if name.len() > NAME_MAX || name.contains(&0) || value.len() > ATTRIBUTE_MAX {
            return Err(StepError::Range {
                path: path.clone(),
                what: "an extended attribute",
            });
        }
        extended.push((name, value));
    }
    Ok(Attributes {
        uid: id(entry.uid, "the owner")?,
        gid: id(entry.gid, "the group")?,
        mode: entry.mode,
        modified: entry.modified,
        extended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, name: &str) -> Entry {
        Entry {
            name: name.as_bytes().to_vec(),
            link: Vec::new(),
            kind,
            mode: 0o755,
            uid: 1,
            gid: 2,
            modified: Time::default(),
            attributes: Vec::new(),
            device: (1, 3),
            stored: 0,
            size: 0,
            pieces: None,
        }
    }

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text.as_bytes()).unwrap()
    }

    fn check_error(entry: Entry, expect: &str) {
        let error = step(entry).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn whiteouts() {
        let whiteout = |name| step(entry(Kind::File, name)).unwrap();
        assert_eq!(whiteout("a/.wh.b"), Step::Whiteout(path("a/b")));
        assert_eq!(whiteout("./.wh.b"), Step::Whiteout(path("b")));
        assert_eq!(whiteout("a/.wh..wh..opq"), Step::Opaque(path("a")));
        assert_eq!(whiteout(".wh..wh..opq"), Step::Opaque(path("/")));
        assert_eq!(whiteout("a/.wh..wh.plnk"), Step::Skip);
        check_error(entry(Kind::File, "a/.wh."), "is empty");
        check_error(entry(Kind::File, "a/.wh.."), "is empty");
        check_error(entry(Kind::File, "a/.wh..."), "has .. in it");
    }

    #[test]
    fn what_is_refused() {
        check_error(entry(Kind::File, "../a"), "\"../a\" has .. in it");
        check_error(entry(Kind::Symlink, "/"), "root is no directory");
        check_error(entry(Kind::Symlink, "a"), "target is empty");
        let link = |link: &str| Entry {
            link: link.as_bytes().to_vec(),
            ..entry(Kind::HardLink, "a")
        };
        check_error(link("b/../../c"), "/a: the link's target has ..");
        let device = |device| Entry {
            device,
            ..entry(Kind::Character, "a")
        };
        check_error(device((0, 0)), "device 0:0");
        check_error(device((4096, 0)), "device number is out of range");
        let overlay = Entry {
            attributes: vec![(b"trusted.overlay.redirect".to_vec(), b"/".to_vec())],
            ..entry(Kind::Directory, "a")
        };
        check_error(overlay, "overlayfs itself");
        check_error(
            Entry {
                uid: u64::from(u32::MAX),
                ..entry(Kind::File, "a")
            },
            "owner is out of range",
        );
    }

    #[test]
    fn links_and_attributes_are_kept() {
        let link = Entry {
            link: b"../../x".to_vec(),
            ..entry(Kind::Symlink, "a")
        };
        assert!(matches!(step(link), Ok(Step::Symlink(_, target, _)) if target == b"../../x"));
        let link = Entry {
            link: b"/usr/bin/x".to_vec(),
            ..entry(Kind::HardLink, "a")
        };
        assert_eq!(
            step(link),
            Ok(Step::HardLink {
                path: path("a"),
                target: path("usr/bin/x")
            })
        );
        let attributes = vec![
            (b"security.capability".to_vec(), b"1".to_vec()),
            (b"security.selinux".to_vec(), b"2".to_vec()),
            (b"user.x".to_vec(), b"3".to_vec()),
        ];
        let Ok(Step::Directory(_, found)) = step(Entry {
            attributes,
            ..entry(Kind::Directory, "a")
        }) else {
            panic!("a directory");
        };
        assert_eq!(found.extended.len(), 2);
        assert_eq!((found.uid, found.gid, found.mode), (1, 2, 0o755));
    }

    #[test]
    fn bounds_are_counted() {
        let mut counter = Counter::new(LayerBounds {
            bytes: 10,
            entries: 2,
            notes: 200,
        });
        assert!(counter.file(10).is_ok() && counter.file(0).is_ok());
        assert!(
            counter
                .file(0)
                .unwrap_err()
                .to_string()
                .contains("more than 2 files")
        );
        assert!(counter.note(4).is_ok() && counter.note(5).is_err());
        let mut counter = Counter::new(LayerBounds {
            bytes: 10,
            ..LayerBounds::default()
        });
        assert!(
            counter
                .file(11)
                .unwrap_err()
                .to_string()
                .contains("more than 10 bytes")
        );
    }
}
