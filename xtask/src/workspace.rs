//! Where things are, and what time the commit says it is.

use crate::command;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Release builds of the programs land here, below the target directory.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The work tree's top directory.
#[must_use]
pub fn root() -> PathBuf {
    // Cargo sets the variable for `cargo run` and `cargo test`; a program started by hand falls back to
    // the place it was built from.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .ancestors()
        .find(|directory| directory.join("mkosi.conf").is_file())
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            Path::to_path_buf,
        )
}

/// Where releases are put: `out/` in the work tree.
#[must_use]
pub fn out() -> PathBuf {
    root().join("out")
}

/// Downloads, the tools tree and unpacked packages, shared by all work trees of one user:
/// `$ORLOP_CACHE`, else `$XDG_CACHE_HOME/orlop`, else `~/.cache/orlop`.
///
/// # Errors
/// None of the three variables is set, or the directory cannot be made.
pub fn cache() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let directory = set("ORLOP_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("orlop")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/orlop")))
        .context("set ORLOP_CACHE or HOME: there is no place for the cache")?;
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("make the cache directory {}", directory.display()))?;
    Ok(directory)
}

/// The directory of this work tree's own secrets and state: `.orlop/`, ignored by git.
#[must_use]
pub fn private() -> PathBuf {
    root().join(".orlop")
}

/// Where cargo builds: `CARGO_TARGET_DIR`, else the work tree's `target/`.
#[must_use]
pub fn target_directory() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(target)
}

/// Where cargo puts release programs: below [`target_directory`].
#[must_use]
pub fn release_directory() -> PathBuf {
    release_directory_in(&target_directory())
}

/// Where cargo puts release programs below the target directory `target`.
#[must_use]
pub fn release_directory_in(target: &Path) -> PathBuf {
    root().join(target).join(TARGET).join("release")
}

/// Seconds since 1970 of the commit that is checked out: the one time that enters a release.
/// `SOURCE_DATE_EPOCH` takes precedence.
///
/// # Errors
/// Git is missing or this is not a git work tree.
pub fn source_date_epoch() -> Result<u64> {
    if let Ok(value) = std::env::var("SOURCE_DATE_EPOCH") {
        return value
            .trim()
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH is `{value}`, not a number of seconds"));
    }
    let text = command::output(Command::new("git").arg("-C").arg(root()).args([
        "log",
        "-1",
        "--format=%ct",
    ]))
    .context("read the commit's time; set SOURCE_DATE_EPOCH when this is not a git work tree")?;
    text.trim()
        .parse()
        .with_context(|| format!("git printed `{text}` as the commit's time"))
}

/// Paths of what is in `directory`, in the order of their names: what enters a release has one order.
///
/// # Errors
/// The directory cannot be read.
pub fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .with_context(|| format!("list {}", directory.display()))?;
    paths.sort();
    Ok(paths)
}

/// A lock that keeps two builds apart. It is released when dropped, or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock file at `path`; says so once when another process holds it, and waits.
///
/// # Errors
/// The file cannot be made or locked.
pub fn lock(path: &Path) -> Result<Lock> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    let file = File::create(path).with_context(|| format!("make the lock {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("  .. waiting for another build ({})", path.display());
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(Lock { _file: file })
}
