//! Programs that ours are compared with, in tests and benchmarks: the locked set `[peers]`, unpacked as it stands.
//!
//! ```text
//!   <cache>/peers/<name>/tree/usr/...
//! ```
//! Most run on the host as they are: they need a C library as old as Debian 12's and nothing else. Nothing is installed,
//! and no daemon is started.

use crate::command;
use crate::digest::Inputs;
use crate::host;
use crate::packages::{self as package, fetch, lock};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Container runtimes and what they call, with the C library that they want and the host may not have.
const CONTAINERS: &[&str] = &[
    "containerd",
    "containernetworking-plugins",
    "crun",
    "docker-registry",
    "iptables",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libseccomp2",
    "libsystemd0",
    "libxtables12",
    "libyajl2",
    "runc",
];
/// The packages of etcd within the set.
const ETCD: &[&str] = &["etcd-client", "etcd-server"];
/// That of kubectl.
const KUBECTL: &[&str] = &["kubectl"];
/// The Python client of Kubernetes, and what it imports.
const PYTHON: &[&str] = &[
    "python3-cachetools",
    "python3-certifi",
    "python3-charset-normalizer",
    "python3-dateutil",
    "python3-google-auth",
    "python3-idna",
    "python3-kubernetes",
    "python3-oauthlib",
    "python3-pyasn1",
    "python3-pyasn1-modules",
    "python3-requests",
    "python3-requests-oauthlib",
    "python3-rsa",
    "python3-six",
    "python3-urllib3",
    "python3-websocket",
    "python3-yaml",
];

/// A tree with containerd 1.7, runc 1.1, crun 1.21, docker-registry 2.8 and the CNI plugins (`usr/lib/cni`), fetched and unpacked
/// if it is not there yet. containerd, docker-registry and the plugins run as they are; crun, runc and iptables want the C library of the tree.
///
/// # Errors
/// As [`etcd`].
pub fn containers() -> Result<PathBuf> {
    unpacked(CONTAINERS)
}

/// The directory with `etcd`, `etcdctl` and `etcdutl` 3.5, fetched and unpacked if they are not there yet.
///
/// # Errors
/// The packages are not in the lock, cannot be fetched, or cannot be unpacked.
pub fn etcd() -> Result<PathBuf> {
    Ok(unpacked(ETCD)?.join("usr/bin"))
}

/// The directory with `kubectl` 1.32, fetched and unpacked if it is not there yet.
///
/// # Errors
/// As [`etcd`].
pub fn kubectl() -> Result<PathBuf> {
    Ok(unpacked(KUBECTL)?.join("usr/bin"))
}

/// The directory of modules with `kubernetes`, for PYTHONPATH, fetched and unpacked if it is not there yet.
///
/// # Errors
/// As [`etcd`].
pub fn python_kubernetes() -> Result<PathBuf> {
    Ok(unpacked(PYTHON)?.join("usr/lib/python3/dist-packages"))
}

fn unpacked(packages: &[&str]) -> Result<PathBuf> {
    let cache = workspace::cache()?;
    let lock = lock::read(&package::lock_file())?;
    let mut locked = lock::of_set(&lock, "peers");
    locked.retain(|package| packages.contains(&package.name.as_str()));
    ensure!(
        locked.len() == packages.len(),
        "image/packages.lock does not have all of {} in the set [peers]; make it with \
         `cargo xtask image --update-lock`",
        packages.join(", ")
    );
    let mut inputs = Inputs::default();
    for package in &locked {
        inputs.value(&package.name, &package.sha256);
    }
    let peers = cache.join("peers");
    let directory = peers.join(inputs.name());
    let tree = directory.join("tree");
    if tree.exists() {
        return Ok(tree);
    }
    let _lock = workspace::lock(&cache.join("peers.lock"))?;
    if tree.exists() {
        return Ok(tree);
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
    Ok(tree)
}
