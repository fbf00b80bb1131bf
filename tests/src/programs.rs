//! The programs under test, and the release they come in.

use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;
use xtask::image::{self, Artifacts, Flavour};
use xtask::workspace;

/// A program of this workspace: `orlopctl`, `orlop`, or one of this crate's own.
///
/// # Errors
/// It is not built; the error says which command builds it.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = workspace::release_directory().join(name);
    if !path.is_file() {
        bail!(
            "{} is missing: make it with `cargo build --release --workspace --bin {name}`",
            path.display()
        );
    }
    Ok(path)
}

/// The release under test.
///
/// # Errors
/// It is not built; the error says which command builds it.
pub fn release() -> Result<Artifacts> {
    image::built(Flavour::Vm)
}

/// A program of the tools tree, such as `qemu-img`, `e2fsck`, `nft`, `dnsmasq`.
///
/// # Errors
/// The tools tree cannot be made or has no such program.
pub fn tool(name: &str) -> Result<Command> {
    xtask::tools::program(name)
}

/// The root tree of sandboxed nodes: the release's, or the one that `ORLOP_ROOT_TREE` names.
///
/// # Errors
/// There is no release; the error says which command builds it.
pub fn root_tree() -> Result<PathBuf> {
    match std::env::var_os("ORLOP_ROOT_TREE") {
        Some(path) => Ok(path.into()),
        None => Ok(release()?.root_tree),
    }
}
