//! Programs that ours are compared with, in tests and benchmarks: the locked set `[peers]`, unpacked as it stands.
//!
//! ```text
//!   <cache>/peers/<name>/tree/usr/bin/{etcd,etcdctl,etcdutl}
//! ```
//! They run on the host as they are: they need a C library as old as Debian 12's and nothing else. Nothing is installed,
//! and no daemon is started.

use crate::command;
use crate::digest::Inputs;
use crate::host;
use crate::packages::{self, fetch, lock};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The packages of etcd within the set.
const ETCD: &[&str] = &["etcd-client", "etcd-server"];

/// The directory with `etcd`, `etcdctl` and `etcdutl` 3.5, fetched and unpacked if they are not there yet.
///
/// # Errors
/// The packages are not in the lock, cannot be fetched, or cannot be unpacked.
pub fn etcd() -> Result<PathBuf> {
    let cache = workspace::cache()?;
    let lock = lock::read(&packages::lock_file())?;
    let mut locked = lock::of_set(&lock, "peers");
    locked.retain(|package| ETCD.contains(&package.name.as_str()));
    ensure!(
        locked.len() == ETCD.len(),
        "image/packages.lock does not have all of {} in the set [peers]; make it with \
         `cargo xtask image --update-lock`",
        ETCD.join(", ")
    );
    let mut inputs = Inputs::default();
    for package in &locked {
        inputs.value(&package.name, &package.sha256);
    }
    let peers = cache.join("peers");
    let directory = peers.join(inputs.name());
    let tree = directory.join("tree");
    let programs = tree.join("usr/bin");
    if tree.exists() {
        return Ok(programs);
    }
    let _lock = workspace::lock(&cache.join("peers.lock"))?;
    if tree.exists() {
        return Ok(programs);
    }
    host::ensure()?;
    fetch::all(&cache, &locked)?;
    // Under its name only when complete.
    let scratch = directory.join("scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("make {}", scratch.display()))?;
    for package in &locked {
        let deb = fetch::store(&cache).join(package.file_name());
        command::output(Command::new("dpkg").arg("-x").arg(&deb).arg(&scratch))?;
    }
    fs::rename(&scratch, &tree).with_context(|| format!("move {}", scratch.display()))?;
    Ok(programs)
}
