//! The program on the crate kube, of a workspace of its own: `tests/kube-client`.
//!
//! It is built into a directory of its own, so that a build of this workspace and this one wait for each other nowhere.

use crate::{cargo, command, workspace};
use anyhow::{Context, Result};
use std::path::PathBuf;

const MANIFEST: &str = "tests/kube-client/Cargo.toml";
const PROGRAM: &str = "orlop-kube-client";

/// The program, which is built if it is not up to date: once that takes a minute or two, then next to nothing.
///
/// # Errors
/// Cargo fails; its own output shows why.
pub fn program() -> Result<PathBuf> {
    let mut cargo = cargo::command();
    cargo
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--manifest-path", MANIFEST, "--target-dir"])
        .arg(target());
    command::show(&mut cargo).with_context(|| format!("build {PROGRAM}"))?;
    Ok(directory().join(PROGRAM))
}

/// Where it is, once it is built.
#[must_use]
pub fn directory() -> PathBuf {
    workspace::release_directory_in(&target())
}

fn target() -> PathBuf {
    workspace::target_directory().join("kube-client")
}
