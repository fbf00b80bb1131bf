//! Mounts of overlayfs, by the kernel's calls for mounts: each layer is a parameter of its own (`lowerdir+`, Linux 6.7), so
//! that neither the page of mount(2) nor colons in paths bound an image.

use rustix::{
    fd::{AsFd as _, OwnedFd},
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount,
    },
};
use std::{
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// Longest value of a mount's parameter, in fs/fsopen.c.
const VALUE_MAX: usize = 255;

/// Where a container's own files go.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'a> {
    /// What it writes.
    pub upper: &'a Path,
    /// An empty directory of the same file system.
    pub work: &'a Path,
}

/// Mounts layers over each other, `lower` from the top down, at a directory. Without `upper` it is read-only, and there must be
/// two layers at least.
///
/// # Errors
/// The system's.
pub fn mount(lower: &[PathBuf], upper: Option<Upper<'_>>, target: &Path) -> io::Result<()> {
    let mounted = detached(lower, upper)?;
    move_mount(
        &mounted,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

/// The same, not attached anywhere: it is gone with its descriptor.
pub(super) fn detached(lower: &[PathBuf], upper: Option<Upper<'_>>) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut open = Vec::new();
    let mut set = |key: &str, path: &Path| -> io::Result<()> {
        // A long path is named by a descriptor, which must be open until the mount is made.
        if path.as_os_str().len() > VALUE_MAX {
            let fd = rustix::fs::open(
                path,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let short = Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string());
            open.push(fd);
            return fsconfig_set_string(context.as_fd(), key, short).map_err(io::Error::from);
        }
        fsconfig_set_string(context.as_fd(), key, path).map_err(io::Error::from)
    };
    for layer in lower {
        set("lowerdir+", layer)?;
    }
    if let Some(Upper { upper, work }) = upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    // Whatever the kernel was built to do by default: layers have no such attributes, and none may be believed.
    for key in ["redirect_dir", "metacopy"] {
        match fsconfig_set_string(
            context.as_fd(),
            key,
            if key == "metacopy" { "off" } else { "nofollow" },
        ) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    fsconfig_create(context.as_fd())?;
    let attributes = match upper {
        // Device nodes are devices there, as in other runtimes: which of them may be opened is the cgroup's to say.
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    Ok(fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}
