//! A release: staged, packed, sealed and checked.
//!
//! ```text
//!   packages.lock ──> base      kernel, CA certificates, mke2fs and friends, unpacked    base
//!   cargo build   ──> programs  init and orlop, stripped                                 programs
//!   both          ──> root      the read-only root                                       root, modules
//!   root          ──> root.erofs, and with init and early modules the initrd             release
//!   mkosi         ──> orlop-<version>.efi (kernel + command line + initrd)               release
//!   .efi          ──> orlop-<version>.raw.zst (GPT, ESP, systemd-boot)                   disk
//!   all           ──> .files, .cdx.json, SHA256SUMS, SHA256SUMS.sig         listing, sbom, signing
//! ```
//! Everything that enters a release comes from the commit, the lock and the development key; the one time
//! in it is the commit's. So two builds are bit-identical.

pub mod base;
pub mod build;
pub mod check;
pub mod container;
pub mod disk;
pub mod firmware;
pub mod listing;
pub mod modules;
pub mod programs;
pub mod release;
pub mod reproducible;
pub mod root;
pub mod sbom;
pub mod signing;

pub use build::{Options, Source, build, build_with};

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Which kernel and drivers a release carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The cloud kernel: what `up`, tests and CI use.
    Vm,
    /// The generic kernel with wide drivers, for machines.
    Metal,
}

impl Flavour {
    /// All flavours.
    pub const ALL: [Self; 2] = [Self::Vm, Self::Metal];

    /// The name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Metal => "metal",
        }
    }

    /// What the flavour adds to file names: `vm` is the plain one.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Vm => "",
            Self::Metal => "-metal",
        }
    }
}

impl std::str::FromStr for Flavour {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|flavour| flavour.name() == text) {
            Some(flavour) => Ok(flavour),
            None => bail!("there is no flavour `{text}`: it is vm or metal"),
        }
    }
}

/// Where the files of one release of one flavour are.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// Which flavour.
    pub flavour: Flavour,
    /// The version in all names.
    pub version: String,
    /// `out/<version>/`.
    pub directory: PathBuf,
    /// The release: one unified kernel image.
    pub efi: PathBuf,
    /// The kernel alone, for direct boot by QEMU (`-kernel`).
    pub kernel: PathBuf,
    /// The initrd alone, for direct boot by QEMU (`-initrd`). It holds the root.
    pub initrd: PathBuf,
    /// The bootable GPT disk, compressed.
    pub raw_zst: PathBuf,
    /// The read-only root as an erofs file, as it is in the initrd.
    pub erofs: PathBuf,
    /// The read-only root as a directory owned by root, for sandboxed nodes.
    pub root_tree: PathBuf,
    /// Every file inside: mode, size, SHA-256, path.
    pub files: PathBuf,
    /// Software bill of materials, CycloneDX JSON.
    pub sbom: PathBuf,
    /// What the artifacts were made from; absent while they are incomplete.
    pub stamp: PathBuf,
    /// The kernel command line that the release boots with, for `-append`.
    pub command_line: String,
}

impl Artifacts {
    /// The places for `version` of `flavour`; nothing need be there yet.
    ///
    /// # Errors
    /// The top-level `mkosi.conf` cannot be read.
    pub fn places(flavour: Flavour, version: &str) -> Result<Self> {
        Ok(Self::at(
            flavour,
            version,
            &workspace::out().join(version),
            release::command_line()?,
        ))
    }

    /// The same release in another directory.
    #[must_use]
    pub fn moved_to(&self, directory: &Path) -> Self {
        Self::at(
            self.flavour,
            &self.version,
            directory,
            self.command_line.clone(),
        )
    }

    fn at(flavour: Flavour, version: &str, directory: &Path, command_line: String) -> Self {
        let stem = format!("orlop-{version}{}", flavour.suffix());
        let at = |extension: &str| directory.join(format!("{stem}.{extension}"));
        Self {
            flavour,
            version: version.to_string(),
            efi: at("efi"),
            kernel: at("vmlinuz"),
            initrd: at("initrd"),
            raw_zst: at("raw.zst"),
            erofs: at("erofs"),
            root_tree: directory.join(format!("root-{}", flavour.name())),
            files: at("files"),
            sbom: at("cdx.json"),
            stamp: directory.join(format!(".{stem}.stamp")),
            command_line,
            directory: directory.to_path_buf(),
        }
    }

    /// The files that are part of the published release, in the order of SHA256SUMS.
    #[must_use]
    pub fn published(&self) -> [&PathBuf; 6] {
        [
            &self.sbom,
            &self.efi,
            &self.files,
            &self.initrd,
            &self.raw_zst,
            &self.kernel,
        ]
    }
}

/// The artifacts of the last `cargo xtask image` of this flavour, for tests.
///
/// # Errors
/// There are none; the message says how to make them.
pub fn built(flavour: Flavour) -> Result<Artifacts> {
    let artifacts = Artifacts::places(flavour, &version()?)?;
    if !artifacts.stamp.exists() {
        bail!(
            "there is no {} image: build it with `cargo xtask image --flavour {0}`",
            flavour.name()
        );
    }
    Ok(artifacts)
}

/// The version of a release: the workspace's.
///
/// # Errors
/// Cargo.toml cannot be read.
pub fn version() -> Result<String> {
    let path = workspace::root().join("Cargo.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut in_package = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_package = line == "[workspace.package]";
        } else if let Some(value) = line.strip_prefix("version = ").filter(|_| in_package) {
            return Ok(value.trim_matches('"').to_string());
        }
    }
    bail!("{}: no version in [workspace.package]", path.display())
}
