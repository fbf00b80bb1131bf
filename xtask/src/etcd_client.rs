//! The program on the crate etcd-client, of a workspace of its own: `tests/etcd-client`.
//!
//! It is built in two steps: first what stands in for `protoc`, then, with that, the client library and the program. Into a
//! directory of its own, so that a build of this workspace and this one wait for each other nowhere.

use crate::{cargo, command, workspace};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "tests/etcd-client/Cargo.toml";

/// The program, which is built if it is not up to date: once that takes a minute or two, then next to nothing.
///
/// # Errors
/// Cargo fails; its own output shows why.
pub fn program() -> Result<PathBuf> {
    let protoc = build("protoc", None)?;
    build("orlop-etcd-client", Some(&protoc))
}

/// Builds one package of that workspace; the program of its name.
fn build(package: &str, protoc: Option<&Path>) -> Result<PathBuf> {
    let target = workspace::target_directory().join("etcd-client");
    let mut cargo = cargo::command();
    cargo
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--manifest-path", MANIFEST, "--package", package])
        .arg("--target-dir")
        .arg(&target);
    if let Some(protoc) = protoc {
        cargo.env("PROTOC", protoc);
    }
    command::show(&mut cargo).with_context(|| format!("build {package}"))?;
    Ok(workspace::release_directory_in(&target).join(package))
}
