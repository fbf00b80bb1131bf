//! Runs mkosi, the image builder. It is unpacked from its Debian 13 package into the cache and runs on
//! the host's Python: Debian 12's own mkosi is too old, and installing the new one would drag in a new libc.

use crate::command;
use crate::packages::{self, fetch, lock};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The host's system Python: a version manager's shim in PATH would not do.
const PYTHON: &str = "/usr/bin/python3";
/// mkosi finds the host's tools here, and nothing that a user has put in front.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Where Debian's package puts the Python module.
const MODULE_DIRECTORY: &str = "usr/lib/python3/dist-packages";

/// A command of mkosi that runs in `directory`. `scratch` takes its temporary files.
///
/// # Errors
/// mkosi cannot be fetched or unpacked, or the host has no Python.
pub fn command(directory: &Path, scratch: &Path) -> Result<Command> {
    let module = unpacked()?.join(MODULE_DIRECTORY);
    anyhow::ensure!(
        Path::new(PYTHON).exists(),
        "{PYTHON} is missing: install the package python3"
    );
    std::fs::create_dir_all(scratch).with_context(|| format!("make {}", scratch.display()))?;
    let mut command = Command::new(PYTHON);
    command
        .current_dir(directory)
        .env("PYTHONPATH", module)
        .env("PATH", PATH)
        .env_remove("PYTHONHOME")
        .env("LC_ALL", "C.UTF-8")
        .args(["-m", "mkosi"])
        .arg("--workspace-directory")
        .arg(scratch);
    Ok(command)
}

/// The directory with mkosi's package, unpacked once per version.
fn unpacked() -> Result<PathBuf> {
    let cache = workspace::cache()?;
    let lock = lock::read(&packages::lock_file())?;
    let found = lock::of_set(&lock, "mkosi");
    let [package] = found[..] else {
        anyhow::bail!("the set [mkosi] of image/packages must hold one package");
    };
    let directory = cache.join("mkosi").join(&package.sha256[..16]);
    if directory.exists() {
        return Ok(directory);
    }
    fetch::all(&cache, &found)?;
    let partial = directory.with_extension("partial");
    std::fs::create_dir_all(&partial).with_context(|| format!("make {}", partial.display()))?;
    command::output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(fetch::store(&cache).join(package.file_name()))
            .arg(&partial),
    )?;
    std::fs::rename(&partial, &directory)
        .with_context(|| format!("make {}", directory.display()))?;
    Ok(directory)
}
