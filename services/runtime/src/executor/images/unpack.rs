//! A layer from its archive to its directory, without the layers below.

use super::{
    body::Stream,
    error::LayerError,
    tree::{self, Directory, Tree, disk},
};
use crate::planner::images::{
    archive::{Archive, Next, Piece},
    layer::{Attributes, Counter, LayerBounds, Node, Step, step},
    path::LayerPath,
};
use rustix::{
    fd::{AsFd as _, OwnedFd},
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{ffi::OsString, fs::File, io::Write as _, os::unix::fs::FileExt as _};

/// Disk blocks, as files are counted in.
const DISK_BLOCK: u64 = 4096;

/// What a layer takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes, each file and directory rounded up to 4 KiB. Counted while unpacking: nobody walks the disk for it.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// A layer that is unpacked, and may need those below.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) tree: Tree,
    pub(super) usage: Usage,
    pub(super) counter: Counter,
}

/// Unpacks all of it into `root`, an empty directory, and compares the digests.
pub(super) fn unpack(
    root: OwnedFd,
    mut stream: Stream,
    bounds: LayerBounds,
) -> Result<Unpacked, LayerError> {
    let mut unpacker = Unpacker {
        tree: Tree::new(root),
        counter: Counter::new(bounds),
        written: 0,
        links: 0,
    };
    let mut archive = Archive::default();
    // An archive without the two empty blocks at its end is taken, as all others do: its digest says that it is whole.
    while let Some(block) = stream.block()? {
        match archive.block(&block)? {
            Next::Block => {}
            Next::Extension(length) => {
                let length = usize::try_from(length).expect("bounded by the archive");
                let mut bytes = Vec::with_capacity(length);
                while bytes.len() < length {
                    let left = u64::try_from(length - bytes.len()).expect("bounded");
                    bytes.extend_from_slice(stream.some(left)?);
                }
                stream.skip(padding(length as u64))?;
                archive.extension(&bytes)?;
            }
            Next::Skip(length) => {
                stream.skip(length)?;
                stream.skip(padding(length))?;
            }
            Next::Entry(entry) => {
                let stored = entry.stored;
                let left = unpacker.step(step(*entry)?, stored, &mut stream)?;
                stream.skip(left)?;
                stream.skip(padding(stored))?;
            }
            Next::End => break,
        }
    }
    stream.finish()?;
    let usage = Usage {
        bytes: unpacker.written + DISK_BLOCK * unpacker.tree.directories.len() as u64,
        inodes: unpacker.counter.entries() + 1,
    };
    Ok(Unpacked {
        tree: unpacker.tree,
        usage,
        counter: unpacker.counter,
    })
}

fn padding(length: u64) -> u64 {
    length.next_multiple_of(512) - length
}

struct Unpacker {
    tree: Tree,
    counter: Counter,
    /// Bytes of files, rounded up.
    written: u64,
    /// Links to layers below so far.
    links: u64,
}

impl Unpacker {
    /// Does a step, and says how many of its stored bytes are left.
    fn step(&mut self, step: Step, stored: u64, stream: &mut Stream) -> Result<u64, LayerError> {
        match step {
            Step::Skip => {}
            Step::Directory(path, attributes) => self.directory(&path, attributes)?,
            Step::File {
                path,
                attributes,
                size,
                pieces,
            } => {
                self.counter.file(size)?;
                self.written += stored.next_multiple_of(DISK_BLOCK);
                self.file(&path, &attributes, size, pieces, stream)?;
                return Ok(0);
            }
            Step::Symlink(path, target, attributes) => {
                self.put(&path, &attributes, |here, name| {
                    rustix::fs::symlinkat(&target[..], here, name)
                })?;
            }
            Step::Node {
                path,
                node,
                attributes,
            } => self.node(&path, node, &attributes)?,
            Step::HardLink { path, target } => self.hard_link(&path, target)?,
            Step::Whiteout(path) => self.whiteout(&path)?,
            Step::Opaque(path) => self.opaque(&path)?,
        }
        Ok(stored)
    }

    fn directory(&mut self, path: &LayerPath, attributes: Attributes) -> Result<(), LayerError> {
        let mut opaque = false;
        let (real, name) = match path.split() {
            None => (LayerPath::default(), OsString::from(".")),
            Some((directory, name)) => {
                let place = self.tree.directory(&directory, &mut self.counter)?;
                let real = real_path(&place.real, name)?;
                let here = place.fd;
                match rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => {
                        let found =
                            tree::stat(here.as_fd(), name).map_err(disk("look at", &real))?;
                        if !tree::is_directory(&found) {
                            opaque = tree::is_whiteout(&found);
                            self.tree.clear(here.as_fd(), name, &real)?;
                            rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o700))
                                .map_err(disk("make", &real))?;
                        }
                    }
                    Err(error) => return Err(disk("make", &real)(error)),
                }
                if opaque {
                    tree::set_opaque(here.as_fd(), name, &real)?;
                }
                tree::give_attributes(here.as_fd(), name, &real, &attributes)?;
                (real, name.to_owned())
            }
        };
        if real.is_root() {
            tree::give_attributes(self.tree.root(), &name, &real, &attributes)?;
        }
        self.tree.links.remove(&real);
        if !self.tree.directories.contains_key(&real) {
            self.counter.file(0)?;
            self.counter.note(real.size())?;
        }
        let known = self.tree.directories.entry(real).or_default();
        *known = Directory {
            implied: false,
            opaque: known.opaque || opaque,
            modified: Some(attributes.modified),
        };
        Ok(())
    }

    fn file(
        &mut self,
        path: &LayerPath,
        attributes: &Attributes,
        size: u64,
        pieces: Option<Vec<Piece>>,
        stream: &mut Stream,
    ) -> Result<(), LayerError> {
        let (directory, name) = path.split().expect("a file has a name");
        let place = self.tree.directory(&directory, &mut self.counter)?;
        let real = real_path(&place.real, name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |here| rustix::fs::openat(here, name, flags, Mode::from_raw_mode(0o600));
        let here = place.fd;
        let file = match open(here.as_fd()) {
            Err(Errno::EXIST) => {
                self.tree.clear(here.as_fd(), name, &real)?;
                open(here.as_fd())
            }
            opened => opened,
        };
        self.tree.links.remove(&real);
        let mut file = File::from(file.map_err(disk("make", &real))?);
        match pieces {
            None => {
                let mut left = size;
                while left > 0 {
                    let some = stream.some(left)?;
                    file.write_all(some).map_err(disk("write", &real))?;
                    left -= some.len() as u64;
                }
            }
            Some(pieces) => {
                for Piece { offset, length } in pieces {
                    let mut done = 0;
                    while done < length {
                        let some = stream.some(length - done)?;
                        file.write_all_at(some, offset + done)
                            .map_err(disk("write", &real))?;
                        done += some.len() as u64;
                    }
                }
                file.set_len(size).map_err(disk("write", &real))?;
            }
        }
        tree::give_file_attributes(file.as_fd(), &real, attributes)
    }

    fn node(
        &mut self,
        path: &LayerPath,
        node: Node,
        attributes: &Attributes,
    ) -> Result<(), LayerError> {
        self.put(path, attributes, |here, name| {
            tree::make_node(here, name, node)
        })
    }

    /// Makes what is no file and no directory, in the place of what is there.
    fn put(
        &mut self,
        path: &LayerPath,
        attributes: &Attributes,
        make: impl Fn(rustix::fd::BorrowedFd<'_>, &std::ffi::OsStr) -> Result<(), Errno>,
    ) -> Result<(), LayerError> {
        self.counter.file(0)?;
        let (directory, name) = path.split().expect("it has a name");
        let place = self.tree.directory(&directory, &mut self.counter)?;
        let real = real_path(&place.real, name)?;
        let here = place.fd;
        match make(here.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.tree.clear(here.as_fd(), name, &real)?;
                make(here.as_fd(), name).map_err(disk("make", &real))?;
            }
            made => made.map_err(disk("make", &real))?,
        }
        self.tree.links.remove(&real);
        tree::give_attributes(here.as_fd(), name, &real, attributes)
    }

    fn hard_link(&mut self, path: &LayerPath, target: LayerPath) -> Result<(), LayerError> {
        self.counter.file(0)?;
        let no_target = |target| LayerError::NoTarget {
            path: path.clone(),
            target,
        };
        let Some((target_directory, target_name)) = target.split() else {
            return Err(no_target(target));
        };
        let found = self.tree.find(&target_directory)?;
        let found = found.filter(|place| {
            tree::stat(place.fd.as_fd(), target_name).is_ok_and(|found| !tree::is_whiteout(&found))
        });
        let (directory, name) = path.split().ok_or_else(|| no_target(target.clone()))?;
        let place = self.tree.directory(&directory, &mut self.counter)?;
        let real = real_path(&place.real, name)?;
        let here = place.fd;
        let Some(found) = found else {
            // What is there is replaced by the link, when it is made.
            self.counter.note(real.size() + target.size())?;
            if tree::stat(here.as_fd(), name).is_ok() {
                self.tree.clear(here.as_fd(), name, &real)?;
            }
            self.links += 1;
            self.tree.links.insert(real, (self.links, target));
            return Ok(());
        };
        if real_path(&found.real, target_name)? == real {
            return Ok(());
        }
        let link = || rustix::fs::linkat(&found.fd, target_name, &here, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                self.tree.clear(here.as_fd(), name, &real)?;
                link().map_err(disk("link", &real))?;
            }
            // A directory.
            Err(Errno::PERM) => return Err(no_target(target)),
            linked => linked.map_err(disk("link", &real))?,
        }
        self.tree.links.remove(&real);
        Ok(())
    }

    /// Hides what is below. What the layer itself has there stays: a file hides it anyway, a directory must say so.
    fn whiteout(&mut self, path: &LayerPath) -> Result<(), LayerError> {
        self.counter.file(0)?;
        let Some((directory, name)) = path.split() else {
            return self.opaque(path);
        };
        let place = self.tree.directory(&directory, &mut self.counter)?;
        let real = real_path(&place.real, name)?;
        match tree::stat(place.fd.as_fd(), name) {
            Ok(found) if tree::is_directory(&found) => {
                tree::set_opaque(place.fd.as_fd(), name, &real)?;
                self.tree.directories.entry(real).or_default().opaque = true;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) if self.tree.links.contains_key(&real) => Ok(()),
            Err(Errno::NOENT) => tree::make_whiteout(place.fd.as_fd(), name, &real),
            Err(error) => Err(disk("look at", &real)(error)),
        }
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<(), LayerError> {
        let place = self.tree.directory(path, &mut self.counter)?;
        tree::set_opaque(place.fd.as_fd(), ".".as_ref(), path)?;
        let real = place.real.clone();
        self.tree.directories.entry(real).or_default().opaque = true;
        Ok(())
    }
}

pub(super) fn real_path(
    directory: &LayerPath,
    name: &std::ffi::OsStr,
) -> Result<LayerPath, LayerError> {
    use std::os::unix::ffi::OsStrExt as _;
    directory
        .clone()
        .join(name.as_bytes())
        .map_err(|_| LayerError::Leads {
            path: directory.clone(),
            how: "to a path that is too long",
        })
}
