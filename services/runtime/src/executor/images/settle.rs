//! What a layer needs of those below, once they are there.
//!
//! ```text
//!   directory without an entry ──below: a directory──> gets its owner, permissions, attributes and time
//!                              ├─below: a symlink────> what is in it goes where the link leads, as it would have
//!                              └─below: nothing──────> stays root's, 0755
//!   hard link to a file below ───────────────────────> the file is copied, and later links are to the copy
//!   opaque root ─────────────────────────────────────> each name below is hidden: overlayfs merges roots always
//! ```
//!
//! The layers below are looked at as the kernel sees them: through an overlayfs of their own that is mounted nowhere.

use super::{
    error::LayerError,
    overlay,
    tree::{self, Place, Tree, disk},
    unpack::{Unpacked, Usage, real_path},
};
use crate::planner::images::{
    archive::Time,
    layer::{Attributes, Counter},
    path::LayerPath,
};
use rustix::{
    buffer::spare_capacity,
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

/// Most bytes of a file's list of extended attributes, and of one: the kernel's.
const ATTRIBUTES_MAX: usize = 64 * 1024;

/// Settles a layer onto those below, `below` from the top down. Afterwards it is whole.
pub(super) fn settle(unpacked: Unpacked, below: &[PathBuf]) -> Result<Usage, LayerError> {
    let Unpacked {
        mut tree,
        mut usage,
        mut counter,
    } = unpacked;
    tree.forget();
    let root_opaque = tree
        .directories
        .get(&LayerPath::default())
        .is_some_and(|root| root.opaque);
    let needs = tree.directories.values().any(|known| known.implied)
        || !tree.links.is_empty()
        || root_opaque;
    if needs {
        let below = Below::new(below)?;
        if let Some(below) = &below {
            if root_opaque {
                hide_all(&tree, below)?;
            }
            implied(&mut tree, below, &mut counter)?;
        }
        usage.bytes += links(&mut tree, below.as_ref(), &mut counter)?;
    }
    tree.settle_times()?;
    Ok(usage)
}

/// The layers below, as one.
struct Below(OwnedFd);

impl Below {
    fn new(below: &[PathBuf]) -> Result<Option<Self>, LayerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match below {
            [] => Ok(None),
            // One alone cannot be mounted. Whiteouts of the lowest hide nothing, and are passed over where they are met.
            [one] => rustix::fs::open(one, flags, Mode::empty()).map(|fd| Some(Self(fd))),
            several => {
                let mounted = overlay::detached(several, None).map_err(LayerError::Below)?;
                Ok(Some(Self(mounted)))
            }
        }
        .map_err(|error| LayerError::Below(error.into()))
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A directory, symbolic links followed.
    fn directory(&self, path: &LayerPath) -> Result<Option<Place>, LayerError> {
        tree::walk(self.root(), path, &mut |_, _, _, _| Ok(false))
    }

    /// What is at a path whose directory is none by a symbolic link.
    fn find(&self, path: &LayerPath) -> Result<Option<(OwnedFd, Stat)>, LayerError> {
        let Some((directory, name)) = path.split() else {
            let fd = tree::open_beneath(self.root(), path).map_err(disk("open", path))?;
            let found = tree::stat(fd.as_fd(), ".".as_ref()).map_err(disk("look at", path))?;
            return Ok(Some((fd, found)));
        };
        let Ok(fd) = tree::open_beneath(self.root(), &directory) else {
            return Ok(None);
        };
        match tree::stat(fd.as_fd(), name) {
            Ok(found) if tree::is_whiteout(&found) => Ok(None),
            Ok(found) => Ok(Some((fd, found))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(disk("look at", path)(error)),
        }
    }
}

/// Directories that the archive does not have itself.
fn implied(tree: &mut Tree, below: &Below, counter: &mut Counter) -> Result<(), LayerError> {
    // What is redirected brings others, whose places are no links: so this ends.
    while let Some(path) = tree.fresh.pop() {
        if !tree
            .directories
            .get(&path)
            .is_some_and(|known| known.implied)
        {
            continue;
        }
        match below.find(&path)? {
            Some((fd, found)) if tree::is_directory(&found) => {
                inherit(tree, &path, fd.as_fd(), &found)?;
            }
            Some((_, found)) if is_symlink(&found) => {
                if let Some(target) = below.directory(&path)?
                    && target.real != path
                {
                    redirect(tree, &path, &target.real, counter)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn inherit(
    tree: &mut Tree,
    path: &LayerPath,
    below: BorrowedFd<'_>,
    found: &Stat,
) -> Result<(), LayerError> {
    let (directory, name) = match path.split() {
        Some((directory, name)) => (directory, name.to_owned()),
        None => (LayerPath::default(), OsString::from(".")),
    };
    let attributes = attributes_of(below, &name, path, found)?;
    let here = tree::open_beneath(tree.root(), &directory).map_err(disk("open", path))?;
    tree::give_attributes(here.as_fd(), &name, path, &attributes)?;
    let known = tree.directories.entry(path.clone()).or_default();
    known.implied = false;
    known.modified = Some(attributes.modified);
    Ok(())
}

/// Moves what is in a directory to another one, because its name is a symbolic link to that below.
fn redirect(
    tree: &mut Tree,
    from: &LayerPath,
    to: &LayerPath,
    counter: &mut Counter,
) -> Result<(), LayerError> {
    let opaque = tree.directories.get(from).is_some_and(|known| known.opaque);
    if to.is_below(from) {
        // The link leads into itself in this layer: it is hidden by the directory.
        return Ok(());
    }
    let target = tree.directory(to, counter)?;
    let real = target.real.clone();
    if opaque {
        tree::set_opaque(target.fd.as_fd(), ".".as_ref(), &real)?;
        tree.directories.entry(real.clone()).or_default().opaque = true;
    }
    tree.forget();
    merge(tree, from, &real)?;
    tree.directories.remove(from);
    let (directory, name) = from.split().expect("the root is no link");
    let here = tree::open_beneath(tree.root(), &directory).map_err(disk("open", from))?;
    rustix::fs::unlinkat(here, name, AtFlags::REMOVEDIR).map_err(disk("remove", from))?;
    // Links that were to be made below it.
    let links = std::mem::take(&mut tree.links);
    tree.links = links
        .into_iter()
        .map(|(path, link)| (path.moved(from, &real).unwrap_or(path), link))
        .collect();
    Ok(())
}

/// Moves all names of one directory into another. What is there already was written by its own name, and stays.
fn merge(tree: &mut Tree, from: &LayerPath, to: &LayerPath) -> Result<(), LayerError> {
    let mut pending = vec![(from.clone(), to.clone())];
    // Each emptied directory is removed after those in it.
    let mut emptied = Vec::new();
    while let Some((from, to)) = pending.pop() {
        let source = tree::open_beneath(tree.root(), &from).map_err(disk("open", &from))?;
        let target = tree::open_beneath(tree.root(), &to).map_err(disk("open", &to))?;
        for name in names(source.as_fd(), &from)? {
            let (old, new) = (real_path(&from, &name)?, real_path(&to, &name)?);
            let moving = tree::stat(source.as_fd(), &name).map_err(disk("look at", &old))?;
            match tree::stat(target.as_fd(), &name) {
                Err(Errno::NOENT) => {
                    rustix::fs::renameat(&source, &name, &target, &name)
                        .map_err(disk("move", &old))?;
                    rekey(tree, &old, &new);
                }
                Err(error) => return Err(disk("look at", &new)(error)),
                Ok(there) if tree::is_directory(&moving) && tree::is_directory(&there) => {
                    let known = tree.directories.remove(&old).unwrap_or_default();
                    let kept = tree.directories.entry(new.clone()).or_default();
                    if kept.implied && !known.implied {
                        *kept = known;
                        let attributes = attributes_of(source.as_fd(), &name, &old, &moving)?;
                        tree::give_attributes(target.as_fd(), &name, &new, &attributes)?;
                    }
                    pending.push((old.clone(), new));
                    emptied.push((source.try_clone().map_err(disk("open", &old))?, name));
                }
                Ok(_) if tree::is_directory(&moving) => tree.clear(source.as_fd(), &name, &old)?,
                Ok(_) => rustix::fs::unlinkat(&source, &name, AtFlags::empty())
                    .map_err(disk("remove", &old))?,
            }
        }
    }
    for (source, name) in emptied.into_iter().rev() {
        rustix::fs::unlinkat(source, &name, AtFlags::REMOVEDIR).map_err(disk("remove", from))?;
    }
    Ok(())
}

fn rekey(tree: &mut Tree, from: &LayerPath, to: &LayerPath) {
    let moved: Vec<_> = tree
        .directories
        .range(from.clone()..)
        .take_while(|(path, _)| {
            path.as_path()
                .as_os_str()
                .as_bytes()
                .starts_with(from.as_path().as_os_str().as_bytes())
        })
        .filter_map(|(path, _)| Some((path.clone(), path.moved(from, to)?)))
        .collect();
    for (old, new) in moved {
        if let Some(known) = tree.directories.remove(&old) {
            tree.fresh.push(new.clone());
            tree.directories.insert(new, known);
        }
    }
}

/// Hard links to what the layer did not have when they came. Bytes that were copied.
fn links(tree: &mut Tree, below: Option<&Below>, counter: &mut Counter) -> Result<u64, LayerError> {
    let mut links: Vec<_> = std::mem::take(&mut tree.links).into_iter().collect();
    links.sort_by_key(|(_, (order, _))| *order);
    let mut copies: BTreeMap<LayerPath, LayerPath> = BTreeMap::new();
    let mut bytes = 0;
    for (path, (_, target)) in links {
        let no_target = || LayerError::NoTarget {
            path: path.clone(),
            target: target.clone(),
        };
        let (directory, name) = path.split().expect("a link has a name");
        let (target_directory, target_name) = target.split().ok_or_else(no_target)?;
        let mut source = target.clone();
        let mut own = tree.find(&target_directory)?;
        if let Some(copy) = copies.get(&target) {
            source = copy.clone();
            own = tree.find(&copy.split().expect("a copy has a name").0)?;
        }
        let source_name = source
            .split()
            .map(|(_, name)| name.to_owned())
            .ok_or_else(no_target)?;
        let here = tree.directory(&directory, counter)?.fd;
        let is_file = |place: &Place| {
            tree::stat(place.fd.as_fd(), &source_name)
                .is_ok_and(|found| !tree::is_whiteout(&found) && !tree::is_directory(&found))
        };
        if let Some(place) = own.filter(is_file) {
            rustix::fs::linkat(&place.fd, &source_name, &here, name, AtFlags::empty())
                .map_err(disk("link", &path))?;
            continue;
        }
        let place = match below {
            Some(below) => below.directory(&target_directory)?,
            None => None,
        };
        let place = place.ok_or_else(no_target)?;
        bytes += copy(
            place.fd.as_fd(),
            target_name,
            here.as_fd(),
            name,
            &path,
            &no_target,
        )?;
        copies.insert(target.clone(), path);
    }
    Ok(bytes)
}

/// Copies a file or symbolic link, with all that it has.
fn copy(
    from: BorrowedFd<'_>,
    from_name: &OsStr,
    to: BorrowedFd<'_>,
    to_name: &OsStr,
    path: &LayerPath,
    no_target: &dyn Fn() -> LayerError,
) -> Result<u64, LayerError> {
    let found = tree::stat(from, from_name).map_err(|_| no_target())?;
    let attributes = attributes_of(from, from_name, path, &found)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = rustix::fs::openat(from, from_name, flags, Mode::empty())
                .map_err(disk("open", path))?;
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, to_name, flags, Mode::from_raw_mode(0o600));
            let mut target = File::from(target.map_err(disk("make", path))?);
            let bytes =
                io::copy(&mut File::from(source), &mut target).map_err(disk("copy", path))?;
            tree::give_file_attributes(target.as_fd(), path, &attributes)?;
            Ok(bytes.next_multiple_of(4096))
        }
        FileType::Symlink => {
            let target =
                rustix::fs::readlinkat(from, from_name, Vec::new()).map_err(disk("read", path))?;
            rustix::fs::symlinkat(target.as_c_str(), to, to_name).map_err(disk("make", path))?;
            tree::give_attributes(to, to_name, path, &attributes)?;
            Ok(0)
        }
        _ => Err(no_target()),
    }
}

/// Makes a whiteout for each name below that the layer does not have, and opaque what it has.
fn hide_all(tree: &Tree, below: &Below) -> Result<(), LayerError> {
    let root = LayerPath::default();
    for name in names(below.root(), &root)? {
        let real = real_path(&root, &name)?;
        match tree::stat(tree.root(), &name) {
            Ok(found) if tree::is_directory(&found) => tree::set_opaque(tree.root(), &name, &real)?,
            Ok(_) => {}
            Err(Errno::NOENT) => tree::make_whiteout(tree.root(), &name, &real)?,
            Err(error) => return Err(disk("look at", &real)(error)),
        }
    }
    Ok(())
}

fn is_symlink(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Symlink
}

fn names(directory: BorrowedFd<'_>, path: &LayerPath) -> Result<Vec<OsString>, LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open =
        rustix::fs::openat(directory, ".", flags, Mode::empty()).map_err(disk("open", path))?;
    let mut found = Vec::new();
    for entry in Dir::new(open).map_err(disk("list", path))? {
        let entry = entry.map_err(disk("list", path))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(found)
}

/// What a file has, without what is overlayfs' own.
fn attributes_of(
    here: BorrowedFd<'_>,
    name: &OsStr,
    path: &LayerPath,
    found: &Stat,
) -> Result<Attributes, LayerError> {
    let file = tree::by_descriptor(here, name);
    let mut list = Vec::with_capacity(ATTRIBUTES_MAX);
    match rustix::fs::llistxattr(&file, spare_capacity(&mut list)) {
        Ok(_) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(disk("look at the attributes of", path)(error)),
    }
    let mut extended = Vec::new();
    for key in list.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        let wanted = key.starts_with(b"user.")
            || key == b"security.capability"
            || key.starts_with(b"trusted.");
        if !wanted || key.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = Vec::with_capacity(ATTRIBUTES_MAX);
        rustix::fs::lgetxattr(&file, key, spare_capacity(&mut value))
            .map_err(disk("look at the attributes of", path))?;
        extended.push((key.to_vec(), value));
    }
    Ok(Attributes {
        uid: found.st_uid,
        gid: found.st_gid,
        mode: found.st_mode & 0o7777,
        modified: Time {
            seconds: found.st_mtime,
            nanoseconds: u32::try_from(found.st_mtime_nsec).unwrap_or_default(),
        },
        extended,
    })
}
