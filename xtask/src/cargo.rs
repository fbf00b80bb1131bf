//! Cargo, started from a program that cargo itself started.
//!
//! Every build selects the whole workspace: cargo then resolves one set of features for all of them, and
//! no dependency is built twice.

use crate::{command as run, workspace};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Cargo in the work tree. What `cargo run` set for this program is taken out of the environment: it
/// would change what the inner builds see, and so build everything again.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO"
                || name == "CARGO_BIN_NAME"
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// Builds the workspace's programs of these names, into `target` where it is another directory than the
/// shared one. Cargo's own output shows what is wrong.
///
/// # Errors
/// Cargo fails.
pub fn build(programs: &[&str], target: Option<&Path>) -> Result<()> {
    let mut command = command();
    command.args(["build", "--release", "--quiet", "--workspace"]);
    for program in programs {
        command.args(["--bin", program]);
    }
    if let Some(target) = target {
        command.arg("--target-dir").arg(target);
    }
    run::show(&mut command).with_context(|| format!("build {}", programs.join(" and ")))
}
