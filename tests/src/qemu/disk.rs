//! Disk images of guests.

use crate::programs::{self, tool};
use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use xtask::{command, workspace};

/// One mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// An empty raw image of `size` bytes; takes no room until written.
///
/// # Errors
/// The file cannot be made.
pub fn raw(path: &Path, size: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    file.set_len(size)
        .with_context(|| format!("size {}", path.display()))
}

/// A qcow2 image on top of `base`, which is not changed; grown to `size` bytes where that is given.
///
/// # Errors
/// qemu-img fails.
pub fn overlay(path: &Path, base: &Path, size: Option<u64>) -> Result<()> {
    let mut make = tool("qemu-img")?;
    make.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(base)
        .arg(path);
    if let Some(size) = size {
        make.arg(size.to_string());
    }
    command::output(&mut make).map(drop)
}

/// The content of a qcow2 image as a raw one.
///
/// # Errors
/// qemu-img fails.
pub fn flatten(source: &Path, target: &Path) -> Result<()> {
    let mut convert = tool("qemu-img")?;
    convert
        .args(["convert", "-O", "raw"])
        .arg(source)
        .arg(target);
    command::output(&mut convert).map(drop)
}

/// The release's disk, unpacked once per release into the cache.
///
/// # Errors
/// There is no release, or it cannot be unpacked.
pub fn release() -> Result<PathBuf> {
    let packed = programs::release()?.raw_zst;
    let metadata =
        fs::metadata(&packed).with_context(|| format!("look at {}", packed.display()))?;
    let modified = metadata.modified().context("read the release's time")?;
    let seconds = modified
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let cache = workspace::cache()?.join("disks");
    let target = cache.join(format!("{}-{seconds}.raw", metadata.len()));
    let _lock = workspace::lock(&workspace::cache()?.join("disks.lock"))?;
    if target.exists() {
        return Ok(target);
    }
    // Disks of earlier releases are of no more use.
    if cache.exists() {
        fs::remove_dir_all(&cache).context("remove old disks")?;
    }
    fs::create_dir_all(&cache).with_context(|| format!("make {}", cache.display()))?;
    let partial = cache.join("partial");
    command::output(
        tool("zstd")?
            .args(["-d", "-q", "-f", "--sparse"])
            .arg(&packed)
            .arg("-o")
            .arg(&partial),
    )?;
    fs::rename(&partial, &target).with_context(|| format!("move to {}", target.display()))?;
    Ok(target)
}
