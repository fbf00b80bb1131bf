//! The directory of one layer, and what is done in it.
//!
//! Nothing outside is reached, whatever the archive says: a path is opened by the kernel with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`, and where a symbolic link is on the way it is followed here, name by name, as it would be
//! in the container: from the layer's root, never above it. All else is done by a directory's descriptor and one name.

use super::error::LayerError;
use crate::planner::images::{
    archive::Time,
    layer::{Attributes, Counter, Node},
    path::{DEPTH_MAX, LayerPath},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
        Uid, XattrFlags,
    },
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    sync::Arc,
};

/// Symbolic links followed on one way: the kernel's own bound.
const LINKS_MAX: u32 = 40;
/// What overlayfs takes for "nothing below is seen here".
pub(super) const OPAQUE: &str = "trusted.overlay.opaque";

/// What is known of a directory of the layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// The archive has no entry of its own for it.
    pub(super) implied: bool,
    /// Hides what is below.
    pub(super) opaque: bool,
    /// Set when nothing more is written in it.
    pub(super) modified: Option<Time>,
}

/// A layer's directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// By their real paths.
    pub(super) directories: BTreeMap<LayerPath, Directory>,
    /// Hard links to what this layer does not have, in the order of the archive.
    pub(super) links: BTreeMap<LayerPath, (u64, LayerPath)>,
    /// Directories that are implied, or have moved, since this was taken last.
    pub(super) fresh: Vec<LayerPath>,
    /// The directory that was used last: archives go through one after the other.
    last: Option<(LayerPath, Place)>,
}

/// An open directory, and where it is in truth.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) real: LayerPath,
    pub(super) fd: Arc<OwnedFd>,
}

/// What [`walk`] comes to where it cannot go on.
pub(super) enum Gap {
    /// Nothing is there.
    Nothing,
    /// A whiteout.
    Whiteout,
    /// Something that is no directory.
    Other,
}

/// Asked where [`walk`] cannot go on: with the directory, the name in it, its real path, and what is there instead.
pub(super) type OnGap<'a> =
    dyn FnMut(BorrowedFd<'_>, &OsStr, &LayerPath, Gap) -> Result<bool, LayerError> + 'a;

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            // Without an entry the root is like any other directory that is only implied.
            directories: [(
                LayerPath::default(),
                Directory {
                    implied: true,
                    ..Directory::default()
                },
            )]
            .into(),
            links: BTreeMap::new(),
            fresh: vec![LayerPath::default()],
            last: None,
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a directory, and makes what of it is missing.
    pub(super) fn directory(
        &mut self,
        path: &LayerPath,
        counter: &mut Counter,
    ) -> Result<Place, LayerError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let place = match open_beneath(self.root.as_fd(), path) {
                Ok(fd) => Place {
                    real: path.clone(),
                    fd: Arc::new(fd),
                },
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => self.make(path, counter)?,
                Err(error) => return Err(disk("open", path)(error)),
            };
            self.last = Some((path.clone(), place));
        }
        Ok(self.last.as_ref().expect("it was put there").1.clone())
    }

    fn make(&mut self, path: &LayerPath, counter: &mut Counter) -> Result<Place, LayerError> {
        let (directories, links, fresh) = (&mut self.directories, &mut self.links, &mut self.fresh);
        let place = walk(self.root.as_fd(), path, &mut |here, name, real, gap| {
            let opaque = match gap {
                Gap::Other => return Err(LayerError::NotDirectory(real.clone())),
                Gap::Nothing => false,
                Gap::Whiteout => {
                    rustix::fs::unlinkat(here, name, AtFlags::empty())
                        .map_err(disk("remove", real))?;
                    true
                }
            };
            counter.file(0)?;
            counter.note(2 * real.size())?;
            // What was to be a link to a file below is replaced, as a file that is there would be refused.
            links.remove(real);
            rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755))
                .map_err(disk("make", real))?;
            if opaque {
                set_opaque(here, name, real)?;
            }
            let known = Directory {
                implied: true,
                opaque,
                modified: None,
            };
            directories.insert(real.clone(), known);
            fresh.push(real.clone());
            Ok(true)
        })?;
        Ok(place.expect("what was missing was made"))
    }

    /// A directory of the layer, if it has it.
    pub(super) fn find(&self, path: &LayerPath) -> Result<Option<Place>, LayerError> {
        match open_beneath(self.root.as_fd(), path) {
            Ok(fd) => Ok(Some(Place {
                real: path.clone(),
                fd: Arc::new(fd),
            })),
            Err(_) => walk(self.root.as_fd(), path, &mut |_, _, _, _| Ok(false)),
        }
    }

    /// Removes what is at a name, with everything below.
    pub(super) fn clear(
        &mut self,
        here: BorrowedFd<'_>,
        name: &OsStr,
        real: &LayerPath,
    ) -> Result<(), LayerError> {
        match rustix::fs::unlinkat(here, name, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(disk("replace", real)(error)),
        }
        self.last = None;
        self.directories
            .retain(|path, _| path != real && !path.is_below(real));
        self.links.retain(|path, _| !path.is_below(real));
        // The standard library opens each directory by its parent's descriptor, and follows no link.
        std::fs::remove_dir_all(by_descriptor(here, name)).map_err(disk("replace", real))
    }

    /// Forgets which directory was used last: it may not be there any more.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Gives directories their times, when nothing more is written in them.
    pub(super) fn settle_times(&self) -> Result<(), LayerError> {
        for (path, known) in &self.directories {
            if let Some(modified) = known.modified {
                let fd = open_beneath(self.root.as_fd(), path).map_err(disk("open", path))?;
                let times = timestamps(modified);
                rustix::fs::utimensat(fd, ".", &times, AtFlags::empty())
                    .map_err(disk("set the time of", path))?;
            }
        }
        Ok(())
    }
}

/// Goes to a directory from `root`, name by name, and follows symbolic links within it. `gap` is asked where there is none:
/// if it says true, it has made one. `None` where it says false.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    path: &LayerPath,
    gap: &mut OnGap<'_>,
) -> Result<Option<Place>, LayerError> {
    let leads = |how| LayerError::Leads {
        path: path.clone(),
        how,
    };
    let mut pending: Vec<OsString> = path.names().rev().map(OsStr::to_owned).collect();
    let mut real = LayerPath::default();
    let mut here = open_beneath(root, &real).map_err(disk("open", &real))?;
    let (mut links, mut depth) = (0, 0);
    while let Some(name) = pending.pop() {
        match name.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                let above = real.split().map(|(above, _)| above);
                real = above.ok_or_else(|| leads("above the image's root"))?;
                here = open_beneath(root, &real).map_err(disk("open", &real))?;
                depth -= 1;
                continue;
            }
            _ => {}
        }
        let next = real
            .clone()
            .join(name.as_bytes())
            .map_err(|_| leads("to a path that is too long"))?;
        let missing = match stat(here.as_fd(), &name) {
            Ok(found) if is_directory(&found) => None,
            Ok(found) if is_whiteout(&found) => Some(Gap::Whiteout),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(leads("around in a circle"));
                }
                let target = rustix::fs::readlinkat(&here, &name, Vec::new())
                    .map_err(disk("read", &next))?;
                let target = target.to_bytes();
                if target.starts_with(b"/") {
                    (real, depth) = (LayerPath::default(), 0);
                    here = open_beneath(root, &real).map_err(disk("open", &real))?;
                }
                let names = target.split(|byte| *byte == b'/').rev();
                pending.extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
                continue;
            }
            Ok(_) => Some(Gap::Other),
            Err(Errno::NOENT) => Some(Gap::Nothing),
            Err(error) => return Err(disk("look at", &next)(error)),
        };
        if let Some(missing) = missing
            && !gap(here.as_fd(), &name, &next, missing)?
        {
            return Ok(None);
        }
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(leads("too deep"));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        here =
            rustix::fs::openat(&here, &name, flags, Mode::empty()).map_err(disk("open", &next))?;
        real = next;
    }
    Ok(Some(Place {
        real,
        fd: Arc::new(here),
    }))
}

/// Opens a directory on whose way there is no symbolic link.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &LayerPath) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    loop {
        match rustix::fs::openat2(root, path.as_path(), flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile, elsewhere on this machine.
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// What is at a name, without following it.
pub(super) fn stat(here: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn is_directory(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

pub(super) fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice && found.st_rdev == 0
}

/// A device 0:0.
pub(super) fn make_whiteout(
    here: BorrowedFd<'_>,
    name: &OsStr,
    real: &LayerPath,
) -> Result<(), LayerError> {
    rustix::fs::mknodat(here, name, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(disk("hide", real))
}

/// Makes a device or named pipe.
pub(super) fn make_node(here: BorrowedFd<'_>, name: &OsStr, node: Node) -> Result<(), Errno> {
    let (kind, device) = match node {
        Node::Fifo => (FileType::Fifo, 0),
        Node::Character(major, minor) => {
            (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
        }
        Node::Block(major, minor) => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
    };
    rustix::fs::mknodat(here, name, kind, Mode::empty(), device)
}

/// Hides what the layers below have in a directory.
pub(super) fn set_opaque(
    here: BorrowedFd<'_>,
    name: &OsStr,
    real: &LayerPath,
) -> Result<(), LayerError> {
    rustix::fs::lsetxattr(by_descriptor(here, name), OPAQUE, b"y", XattrFlags::empty())
        .map_err(disk("hide", real))
}

/// Owner, permissions, extended attributes, time: in this order, since a change of the owner takes some of the others away.
pub(super) fn give_attributes(
    here: BorrowedFd<'_>,
    name: &OsStr,
    real: &LayerPath,
    attributes: &Attributes,
) -> Result<(), LayerError> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    rustix::fs::chownat(here, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(disk("set the owner of", real))?;
    let found = stat(here, name).map_err(disk("look at", real))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(attributes.mode);
        rustix::fs::chmodat(here, name, mode, AtFlags::empty())
            .map_err(disk("set the permissions of", real))?;
    }
    let path = by_descriptor(here, name);
    for (key, value) in &attributes.extended {
        extended(key, real, |key| {
            rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty())
        })?;
    }
    let times = timestamps(attributes.modified);
    rustix::fs::utimensat(here, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(disk("set the time of", real))
}

/// The same for a file that is open.
pub(super) fn give_file_attributes(
    file: BorrowedFd<'_>,
    real: &LayerPath,
    attributes: &Attributes,
) -> Result<(), LayerError> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(disk("set the owner of", real))?;
    let mode = Mode::from_raw_mode(attributes.mode);
    rustix::fs::fchmod(file, mode).map_err(disk("set the permissions of", real))?;
    for (key, value) in &attributes.extended {
        extended(key, real, |key| {
            rustix::fs::fsetxattr(file, key, value, XattrFlags::empty())
        })?;
    }
    rustix::fs::futimens(file, &timestamps(attributes.modified))
        .map_err(disk("set the time of", real))
}

fn extended(
    key: &[u8],
    real: &LayerPath,
    set: impl FnOnce(&[u8]) -> Result<(), Errno>,
) -> Result<(), LayerError> {
    match set(key) {
        // Links and devices have none of a user's, and some file systems no file has.
        Err(Errno::PERM | Errno::OPNOTSUPP) if key.starts_with(b"user.") => Ok(()),
        set => set.map_err(disk("set an extended attribute of", real)),
    }
}

/// The time of the last modification, and that of the last access alone.
pub(super) fn timestamps(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanoseconds.into(),
        },
    }
}

/// A name in an open directory, for calls that know paths only.
pub(super) fn by_descriptor(here: BorrowedFd<'_>, name: &OsStr) -> std::path::PathBuf {
    std::path::Path::new("/proc/self/fd")
        .join(here.as_raw_fd().to_string())
        .join(name)
}

/// For `map_err`.
pub(super) fn disk<E: Into<io::Error>>(
    what: &'static str,
    path: &LayerPath,
) -> impl FnOnce(E) -> LayerError {
    let path = path.clone();
    move |source| LayerError::Disk {
        what,
        path,
        source: source.into(),
    }
}
