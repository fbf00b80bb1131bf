//! Copies what an image has at a path, for a volume of the container's own.

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timestamps, Uid, chownat, fchmod,
        fchown, futimens, mkdirat, openat, openat2, readlinkat, statat, symlinkat,
    },
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Directories below each other.
const DEPTH_MAX: usize = 128;

/// Makes the directory `target` with what is at `path` of a root: owners, modes and times too. Links of the root stay within it, and
/// what is there is not followed. If there is nothing, or no directory, it is empty, and of this owner and group.
pub(super) fn tree(root: &Path, path: &Path, target: &Path, owner: (u32, u32)) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let relative = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let from = match openat2(&root, relative, flags, Mode::empty(), resolve) {
        Ok(from) => from,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            return std::os::unix::fs::chown(target, Some(owner.0), Some(owner.1));
        }
        Err(error) => return Err(error.into()),
    };
    let to = rustix::fs::open(target, flags, Mode::empty())?;
    directory(&from, &to, DEPTH_MAX)
}

fn directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other(format!(
            "more than {DEPTH_MAX} directories below each other"
        )));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let closed = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | closed;
                mkdirat(to, name, Mode::RWXU)?;
                let below = openat(from, name, flags, Mode::empty())?;
                let made = openat(to, name, flags, Mode::empty())?;
                directory(&below, &made, depth - 1)?;
            }
            FileType::RegularFile => {
                let read = openat(from, name, OFlags::RDONLY | closed, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | closed;
                let written = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                let (mut read, mut written) = (File::from(read), File::from(written));
                io::copy(&mut read, &mut written)?;
                attributes(written.as_fd(), &status)?;
            }
            FileType::Symlink => {
                let link = readlinkat(from, name, Vec::new())?;
                symlinkat(link.as_c_str(), to, name)?;
                let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
                chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            // Devices and sockets are nothing that a volume begins with.
            _ => {}
        }
    }
    attributes(to.as_fd(), &rustix::fs::fstat(from)?)
}

fn attributes(file: BorrowedFd<'_>, status: &rustix::fs::Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchown(file, Some(uid), Some(gid))?;
    // After the owner, whose change takes set-user-ID away.
    fchmod(file, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    let time = |seconds: i64, nanoseconds| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    };
    Ok(futimens(file, &times)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, chown};

    /// It needs root.
    #[test]
    fn what_the_image_has_not_is_of_whoever_gets_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("there")).expect("a directory");
        chown(root.join("there"), Some(7), Some(8)).expect("needs root: owners");
        for (path, expected) in [("/there", (7, 8)), ("/nothing/here", (5, 6))] {
            let target = directory
                .path()
                .join("volumes")
                .join(path.replace('/', "-"));
            tree(&root, Path::new(path), &target, (5, 6)).expect("a volume");
            let made = fs::metadata(&target).expect("a volume");
            assert_eq!((made.uid(), made.gid()), expected, "{path}");
        }
    }
}
