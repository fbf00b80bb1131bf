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

/// Grows a raw image that no guest uses.
///
/// # Errors
/// qemu-img fails.
pub fn grow(image: &Path, size: u64) -> Result<()> {
    let mut resize = tool("qemu-img")?;
    resize.args(["resize", "-q", "-f", "raw"]).arg(image);
    command::output(resize.arg(size.to_string())).map(drop)
}

/// Offset and size in bytes of the partition with this name on a raw image.
///
/// # Errors
/// There is no table, or no such partition in it.
pub fn partition(image: &Path, name: &str) -> Result<(u64, u64)> {
    let table = gpt::GptConfig::new()
        .writable(false)
        .open(image)
        .with_context(|| format!("read the table of {}", image.display()))?;
    let found = table
        .partitions()
        .values()
        .find(|partition| partition.name == name)
        .with_context(|| format!("no partition {name}: {:?}", table.partitions()))?;
    let bytes = (found.last_lba - found.first_lba + 1) * 512;
    Ok((found.first_lba * 512, bytes))
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
