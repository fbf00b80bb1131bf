//! The tools tree: a Debian 13 root in the cache with QEMU, firmware, mkfs, nft, dnsmasq and whatever else
//! builds and tests need, so that nothing is installed on the host and every host uses the same versions.
//!
//! ```text
//!   <cache>/tools/<name>/tree   the tree, made by mkosi from the locked set [tools]
//!   <cache>/bin/<program>       scripts for people: the program, on the tree's own loader and libraries
//! ```
//! A program runs on the tree's dynamic loader with the tree's libraries, never on the host's:
//! `ld-linux-x86-64.so.2 --library-path ... --argv0 NAME PROGRAM`.

use crate::command;
use crate::digest::Inputs;
use crate::host;
use crate::mkosi;
use crate::packages::{self, fetch, index, lock};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's place for libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The dynamic loader in the tree.
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
/// Where programs are looked for, in this order.
const PROGRAM_DIRECTORIES: &[&str] = &["usr/bin", "usr/sbin", "usr/lib/systemd"];
/// Where QEMU looks for its firmware files.
const QEMU_DATA: &[&str] = &["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];
/// Programs that get a script in `<cache>/bin`.
const SCRIPTS: &[&str] = &[
    "bridge",
    "cpio",
    "debugfs",
    "depmod",
    "dnsmasq",
    "dump.erofs",
    "dumpe2fs",
    "e2fsck",
    "fsck.erofs",
    "fsck.vfat",
    "ip",
    "mcopy",
    "mdir",
    "mke2fs",
    "mkfs.erofs",
    "mkfs.vfat",
    "modinfo",
    "nft",
    "objcopy",
    "openssl",
    "qemu-img",
    "qemu-io",
    "qemu-nbd",
    "qemu-system-x86_64",
    "readelf",
    "resize2fs",
    "sfdisk",
    "ss",
    "strip",
    "tc",
    "xz",
    "zstd",
];

/// Firmware for QEMU: code is read-only and shared, variables are copied per machine.
#[derive(Debug, Clone)]
pub struct Firmware {
    /// `OVMF_CODE_4M.fd`.
    pub code: PathBuf,
    /// `OVMF_VARS_4M.fd`, with no variables set.
    pub variables: PathBuf,
}

/// The tools tree, made if it is not there yet (about a minute).
///
/// # Errors
/// The packages cannot be fetched, or mkosi fails.
pub fn tree() -> Result<PathBuf> {
    let cache = workspace::cache()?;
    let root = workspace::root();
    let lock = lock::read(&packages::lock_file())?;
    let locked = lock::of_set(&lock, "tools");
    let mut inputs = Inputs::default();
    for package in &locked {
        inputs.value(&package.name, &package.sha256);
    }
    inputs.file(&root.join("image/tools/mkosi.conf"))?;
    let directory = cache.join("tools").join(inputs.name());
    let tree = directory.join("tree");
    if tree.exists() {
        return Ok(tree);
    }
    let _lock = workspace::lock(&cache.join("tools.lock"))?;
    if tree.exists() {
        return Ok(tree);
    }
    host::ensure()?;
    fetch::all(&cache, &locked)?;
    let sandbox = directory.join("sandbox");
    index::write(
        &sandbox.join("etc/apt/repo"),
        &fetch::store(&cache),
        &locked,
    )?;
    // `copy:` and not `file:`: mkosi reads the essential packages from apt's own archive directory.
    let sources = sandbox.join("etc/apt/sources.list.d");
    fs::create_dir_all(&sources).with_context(|| format!("make {}", sources.display()))?;
    fs::write(sources.join("mkosi.sources"), "").context("write mkosi.sources")?;
    fs::write(
        sources.join("local.list"),
        "deb [trusted=yes] copy:/etc/apt/repo ./\n",
    )
    .context("write local.list")?;
    command::step("build the tools tree with mkosi (about a minute)", || {
        let mut command = mkosi::command(&root.join("image/tools"), &directory.join("scratch"))?;
        command
            .arg("--sandbox-tree")
            .arg(&sandbox)
            .arg("--output-directory")
            .arg(directory.join("out"))
            .arg("--package-cache-directory")
            .arg(directory.join("packages"));
        for package in &locked {
            command.arg("--package").arg(&package.name);
        }
        command::output(command.arg("--force").arg("build")).map(drop)
    })?;
    let built = directory.join("out/tree");
    fs::rename(&built, &tree).with_context(|| format!("move {}", built.display()))?;
    for leftover in ["sandbox", "scratch", "packages", "out"] {
        let path = directory.join(leftover);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    write_scripts(&cache.join("bin"), &tree)?;
    Ok(tree)
}

/// A command that runs `name` out of the tools tree. QEMU gets its firmware and module directories too.
///
/// # Errors
/// The tree cannot be made, has no such program, or the program is a script.
pub fn program(name: &str) -> Result<Command> {
    program_in(&tree()?, name)
}

/// UEFI firmware for QEMU from the tools tree.
///
/// # Errors
/// The tree cannot be made.
pub fn firmware() -> Result<Firmware> {
    let directory = tree()?.join("usr/share/OVMF");
    Ok(Firmware {
        code: directory.join("OVMF_CODE_4M.fd"),
        variables: directory.join("OVMF_VARS_4M.fd"),
    })
}

/// [`program`] for a tree that is known.
fn program_in(tree: &Path, name: &str) -> Result<Command> {
    let path = find(tree, name)?;
    let mut command = Command::new(tree.join(LOADER));
    command
        .arg("--library-path")
        .arg(library_path(tree))
        .arg("--argv0")
        .arg(name)
        .arg(path);
    if name.starts_with("qemu-") {
        command.env("QEMU_MODULE_DIR", tree.join(LIBRARIES).join("qemu"));
    }
    if name.starts_with("qemu-system-") {
        for directory in QEMU_DATA {
            command.arg("-L").arg(tree.join(directory));
        }
    }
    Ok(command)
}

/// The tree's library directories as the loader wants them. systemd's programs have a private library.
fn library_path(tree: &Path) -> String {
    let libraries = tree.join(LIBRARIES);
    format!("{0}:{0}/systemd", libraries.display())
}

/// The ELF file of `name`.
fn find(tree: &Path, name: &str) -> Result<PathBuf> {
    for directory in PROGRAM_DIRECTORIES {
        let path = tree.join(directory).join(name);
        let Some(path) = resolve(tree, &path) else {
            continue;
        };
        let mut magic = [0; 4];
        fs::File::open(&path)
            .and_then(|mut file| file.read_exact(&mut magic))
            .with_context(|| format!("read {}", path.display()))?;
        if magic != *b"\x7fELF" {
            bail!("{name} in the tools tree is not an ELF program");
        }
        return Ok(path);
    }
    bail!("the tools tree has no `{name}`: add its package to [tools] in image/packages");
}

/// Follows links inside the tree: an absolute link means the tree's root, not the host's.
fn resolve(tree: &Path, path: &Path) -> Option<PathBuf> {
    /// Debian's alternatives are two links deep.
    const LINKS_MAX: usize = 8;
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let metadata = path.symlink_metadata().ok()?;
        if !metadata.is_symlink() {
            return metadata.is_file().then_some(path);
        }
        let target = fs::read_link(&path).ok()?;
        path = match target.strip_prefix("/") {
            Ok(inside) => tree.join(inside),
            Err(_) => path.parent()?.join(target),
        };
    }
    None
}

/// Writes one script per program of [`SCRIPTS`].
fn write_scripts(directory: &Path, tree: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    for name in SCRIPTS {
        let command = program_in(tree, name)?;
        let mut text = String::from(
            "#!/bin/sh\n# Made by `cargo xtask image`: runs on the tools tree's own libraries.\n",
        );
        for (key, value) in command.get_envs() {
            let value = value.unwrap_or_default();
            text.push_str(&format!("export {}='{}'\n", key.display(), value.display()));
        }
        text.push_str("exec");
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            text.push_str(&format!(" '{}'", word.display()));
        }
        text.push_str(" \"$@\"\n");
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("make {} executable", path.display()))?;
    }
    Ok(())
}
