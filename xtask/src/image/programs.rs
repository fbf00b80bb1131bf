//! The two programs of a release: built by cargo, stripped.

use crate::cargo;
use crate::command;
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The names of the programs.
pub const PROGRAMS: [&str; 2] = ["orlop-init", "orlop"];

/// The built programs, with symbols.
#[derive(Debug, Clone)]
pub struct Programs {
    /// PID 1.
    pub init: PathBuf,
    /// All services.
    pub orlop: PathBuf,
}

/// Builds both programs; cargo's own output shows the progress. `target` is another target directory
/// than the shared one.
///
/// # Errors
/// Cargo fails.
pub fn build(target: Option<&Path>) -> Result<Programs> {
    cargo::build(&PROGRAMS, target)?;
    existing(target)
}

/// The programs that the last build left.
///
/// # Errors
/// One of them was never built.
pub fn existing(target: Option<&Path>) -> Result<Programs> {
    let directory = target.map_or_else(
        workspace::release_directory,
        workspace::release_directory_in,
    );
    let [init, orlop] = PROGRAMS.map(|program| directory.join(program));
    for program in [&init, &orlop] {
        ensure!(program.exists(), "{} is not built yet", program.display());
    }
    Ok(Programs { init, orlop })
}

/// Copies a program without its symbols and debug information, mode 0755.
///
/// # Errors
/// The program cannot be read or stripped.
pub fn strip(program: &Path, target: &Path) -> Result<()> {
    command::output(
        tools::program("strip")?
            .args(["--strip-all", "--enable-deterministic-archives", "-o"])
            .arg(target)
            .arg(program),
    )?;
    fs::set_permissions(target, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", target.display()))
}
