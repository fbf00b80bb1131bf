//! Brings locked packages into the store `<cache>/debs`, and checks each against its hash.

use crate::command;
use crate::digest;
use crate::packages::apt::Apt;
use crate::packages::lock::Locked;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// How many packages one call of apt fetches: few enough for a progress line every few seconds.
const BATCH: usize = 40;

/// The store of .deb files.
#[must_use]
pub fn store(cache: &Path) -> PathBuf {
    cache.join("debs")
}

/// Makes sure that every package of `packages` is in the store with the locked content. Without a
/// missing one, nothing is asked of the network.
///
/// # Errors
/// The mirror no longer has a locked version, cannot be reached, or serves other content.
pub fn all(cache: &Path, packages: &[&Locked]) -> Result<()> {
    let store = store(cache);
    std::fs::create_dir_all(&store).with_context(|| format!("make {}", store.display()))?;
    let missing: Vec<&Locked> = packages
        .iter()
        .copied()
        .filter(|locked| !is_complete(&store, locked))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let bytes: u64 = missing.iter().map(|locked| locked.size).sum();
    let title = format!(
        "fetch {} packages ({} MB)",
        missing.len(),
        bytes / 1_000_000
    );
    command::step(&title, || {
        let apt = Apt::open(cache)?;
        apt.update_if_old()?;
        let mut done = 0;
        for batch in missing.chunks(BATCH) {
            if let Err(first) = apt.download(&store, batch) {
                // The package lists may be older than the archive: refresh them once, then give up.
                apt.update()?;
                apt.download(&store, batch).map_err(|_| first).context(
                    "the mirror does not have all locked versions; take the present ones with \
                     `cargo xtask image --update-lock`",
                )?;
            }
            done += batch.len();
            println!("     {done} of {}", missing.len());
        }
        missing.iter().try_for_each(|locked| verify(&store, locked))
    })
}

/// Whether the store holds `locked` with its locked size. The hash was checked when it was fetched;
/// a file appears in the store under its name only when complete.
fn is_complete(store: &Path, locked: &Locked) -> bool {
    store
        .join(locked.file_name())
        .metadata()
        .is_ok_and(|metadata| metadata.len() == locked.size)
}

/// Compares a fetched file with its hash, and removes it when they differ.
fn verify(store: &Path, locked: &Locked) -> Result<()> {
    let path = store.join(locked.file_name());
    let found = digest::of_file(&path)?;
    if found != locked.sha256 {
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        bail!(
            "{} has the SHA-256 {found}, the lock says {}; if the archive changed it, run \
             `cargo xtask image --update-lock`",
            locked.file_name(),
            locked.sha256
        );
    }
    Ok(())
}
