//! A small file system for a member's data, of which a test takes as much as it likes.
//!
//! It is mounted in a mount namespace of the calling thread and of the programs that this thread starts, and goes with them,
//! however they end. Nobody else sees it: threads that were there before do not either.

use anyhow::{Context as _, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What is asked for at once when all is taken: a page, the least that a file system gives.
const PAGE: u64 = 4096;

/// The file system. Programs that use it must have ended before it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    ballast: File,
    ballast_bytes: u64,
}

impl SmallDisk {
    /// Mounts an empty one of this size at `path`, which is made if need be, and begins a namespace for it. To be called on a
    /// thread that ends with the test.
    ///
    /// # Errors
    /// This is not root, or the kernel refuses.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)
            .context("begin a mount namespace; these tests run as root")?;
        let kind = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", kind).context("keep the host out of the test's mounts")?;
        fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        let options = std::ffi::CString::new(format!("size={bytes},mode=0700"))
            .context("options have no zero byte")?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", path, "tmpfs", flags, options.as_c_str())
            .with_context(|| format!("mount tmpfs on {}", path.display()))?;
        let ballast = path.join("ballast");
        Ok(Self {
            path: path.to_owned(),
            ballast: File::create(&ballast)
                .with_context(|| format!("make {}", ballast.display()))?,
            ballast_bytes: 0,
        })
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn free(&self) -> Result<u64> {
        let found = statvfs(&self.path).context("look how much is free")?;
        Ok(found.f_bavail * found.f_frsize)
    }

    /// Takes or gives back until so many bytes are free.
    ///
    /// # Errors
    /// There is not so much.
    pub fn leave(&mut self, bytes: u64) -> Result<()> {
        let all = self.ballast_bytes + self.free()?;
        let take = all.checked_sub(bytes).context("more than there is")?;
        if take < self.ballast_bytes {
            self.ballast.set_len(take).context("give space back")?;
        } else if take > self.ballast_bytes {
            fallocate(&self.ballast, FallocateFlags::empty(), 0, take).context("take space")?;
        }
        self.ballast_bytes = take;
        Ok(())
    }

    /// Takes all, to the last page, whoever else writes.
    ///
    /// # Errors
    /// The file system's.
    pub fn fill(&mut self) -> Result<()> {
        let mut pages = self.free()? / PAGE;
        loop {
            let step = pages.max(1) * PAGE;
            let (flags, at) = (FallocateFlags::empty(), self.ballast_bytes);
            match fallocate(&self.ballast, flags, at, step) {
                Ok(()) => self.ballast_bytes += step,
                Err(Errno::NOSPC) if step == PAGE => return Ok(()),
                // Somebody was faster.
                Err(Errno::NOSPC) => pages /= 2,
                Err(error) => return Err(error).context("take all space"),
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
