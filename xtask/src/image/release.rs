//! Packs a staged root into the release: erofs, initrd, unified kernel image. The last step is mkosi's, by
//! the top-level `mkosi.conf`.

use crate::command;
use crate::digest;
use crate::image::Artifacts;
use crate::image::base::Base;
use crate::image::listing;
use crate::image::modules::{self, Choice};
use crate::mkosi;
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// zstd level of the root. Level 19 saves 3 MB and takes 20 times as long.
const EROFS_COMPRESSION: &str = "zstd,level=6";
/// Compressed cluster size in bytes: larger saves little and costs memory per read.
const EROFS_CLUSTER: &str = "65536";
/// Name of the root in the initrd. `init` mounts it where it lies.
pub const ROOT_FILE: &str = "root.erofs";
/// Directories that the initrd offers to `init` besides its files.
const INITRD_DIRECTORIES: &[&str] = &["dev", "proc", "root", "run", "sys", "usr/lib"];

/// Packs the tree at `root` into the erofs file `target`.
///
/// # Errors
/// mkfs.erofs fails.
pub fn pack_root(root: &Path, target: &Path, epoch: u64) -> Result<()> {
    if target.exists() {
        fs::remove_file(target).with_context(|| format!("remove {}", target.display()))?;
    }
    let mut mkfs = tools::program("mkfs.erofs")?;
    mkfs.arg("--quiet")
        .arg(format!("-T{epoch}"))
        .args(["--all-time", "--all-root", "-x-1"])
        .args(["-U", &root_uuid(epoch)])
        .arg(format!("-z{EROFS_COMPRESSION}"))
        .arg(format!("-C{EROFS_CLUSTER}"))
        // Not ztailpacking: with it 1.8.6 wrote a small file whose end was another's.
        .arg("-Efragments")
        .arg(target)
        .arg(root);
    command::output(&mut mkfs).map(drop)
}

/// Takes the erofs file apart into `scratch`, and compares what comes out with the tree at `root`.
///
/// # Errors
/// It differs, or cannot be read.
pub fn read_back(root: &Path, packed: &Path, scratch: &Path) -> Result<()> {
    command::output(
        tools::program("fsck.erofs")?
            .arg(format!("--extract={}", scratch.display()))
            .arg(packed),
    )?;
    let (wrote, read) = (listing::walk(root)?, listing::walk(scratch)?);
    let differs = wrote.iter().find(|entry| !read.contains(entry));
    if let Some(entry) = differs {
        bail!(
            "{} has another {} than what was packed",
            packed.display(),
            entry.path
        );
    }
    ensure!(
        wrote.len() == read.len(),
        "{} has more than what was packed",
        packed.display()
    );
    fs::remove_dir_all(scratch).with_context(|| format!("remove {}", scratch.display()))
}

/// Stages the initrd.
///
/// # Errors
/// A file cannot be copied.
pub fn stage_initrd(
    initrd: &Path,
    root: &Path,
    erofs: &Path,
    base: &Base,
    choice: &Choice,
) -> Result<()> {
    for directory in INITRD_DIRECTORIES {
        let path = initrd.join(directory);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    }
    copy(&root.join("usr/bin/init"), &initrd.join("init"), 0o755)?;
    copy(
        &root.join("usr/lib/os-release"),
        &initrd.join("usr/lib/os-release"),
        0o644,
    )?;
    copy(erofs, &initrd.join(ROOT_FILE), 0o444)?;
    modules::stage_early(base, choice, root, initrd)
}

/// Has mkosi make the unified kernel image, and the kernel and initrd beside it.
///
/// # Errors
/// mkosi fails.
pub fn seal(
    artifacts: &Artifacts,
    base: &Base,
    initrd: &Path,
    scratch: &Path,
    epoch: u64,
) -> Result<()> {
    let boot = scratch.join("boot");
    stage_boot(&boot, base)?;
    let out = scratch.join("out");
    let mut command = mkosi::command(&workspace::root(), &scratch.join("mkosi"))?;
    command
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .arg("--tools-tree")
        .arg(tools::tree()?)
        .arg("--base-tree")
        .arg(initrd)
        .arg("--extra-tree")
        .arg(&boot)
        .arg("--image-version")
        .arg(&artifacts.version)
        .arg("--output-directory")
        .arg(&out)
        .args(["--force", "build"]);
    command::output(&mut command)?;
    for (extension, target) in [
        ("efi", &artifacts.efi),
        ("vmlinuz", &artifacts.kernel),
        ("initrd", &artifacts.initrd),
    ] {
        let source = out.join(format!("orlop.{extension}"));
        fs::copy(&source, target).with_context(|| format!("copy {}", source.display()))?;
    }
    Ok(())
}

/// Stages what mkosi needs beside the initrd and takes out of it: kernel image and boot stub. The empty
/// index keeps mkosi from running depmod inside the initrd, which has none.
fn stage_boot(boot: &Path, base: &Base) -> Result<()> {
    let modules = boot.join("usr/lib/modules").join(&base.kernel_version);
    copy(&base.kernel(), &modules.join("vmlinuz"), 0o644)?;
    for name in [
        "modules.dep",
        "modules.dep.bin",
        "modules.symbols",
        "modules.symbols.bin",
    ] {
        fs::write(modules.join(name), "").with_context(|| format!("write {name}"))?;
    }
    let stub = "linuxx64.efi.stub";
    copy(
        &base.boot_file(stub),
        &boot.join("usr/lib/systemd/boot/efi").join(stub),
        0o644,
    )
}

/// Copies a file, makes the directories above it, and sets its mode.
fn copy(source: &Path, target: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::copy(source, target).with_context(|| format!("copy {}", source.display()))?;
    fs::set_permissions(target, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", target.display()))
}

/// The kernel command line, from the one place that states it: the top-level `mkosi.conf`.
///
/// # Errors
/// The file cannot be read or has no `KernelCommandLine=`.
pub fn command_line() -> Result<String> {
    let path = workspace::root().join("mkosi.conf");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    match parse_command_line(&text) {
        Some(line) => Ok(line),
        None => bail!("{}: no KernelCommandLine=", path.display()),
    }
}

/// Joins the value of `KernelCommandLine=` with its indented continuation lines.
fn parse_command_line(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("KernelCommandLine="));
    let mut words: Vec<&str> = lines
        .next()?
        .split_once('=')?
        .1
        .split_whitespace()
        .collect();
    for line in lines.take_while(|line| line.starts_with(' ')) {
        words.extend(line.split_whitespace());
    }
    Some(words.join(" "))
}

/// An UUID that depends on the commit alone.
fn root_uuid(epoch: u64) -> String {
    derived_uuid(&format!("orlop root {epoch}")).to_string()
}

/// An UUID made from a text, the same in every build.
#[must_use]
pub fn derived_uuid(text: &str) -> uuid::Uuid {
    let hex = digest::of_bytes(text.as_bytes());
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).expect("two hex digits");
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_joins_its_lines() {
        let text = "[Content]\nKernelCommandLine=rdinit=/init\n        panic=5\n        console=ttyS0\nX=y\n";
        assert_eq!(
            parse_command_line(text).as_deref(),
            Some("rdinit=/init panic=5 console=ttyS0")
        );
        assert_eq!(parse_command_line("[Content]\n"), None);
    }

    #[test]
    fn derived_uuids_are_stable_and_differ() {
        assert_eq!(derived_uuid("a"), derived_uuid("a"));
        assert_ne!(derived_uuid("a"), derived_uuid("b"));
    }
}
