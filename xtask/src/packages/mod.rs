//! Debian packages: named in `image/packages`, resolved once into `image/packages.lock`, fetched and
//! checked against the lock, and indexed for mkosi.
//!
//! The project names no mirror: [`apt`] derives one from the host's own apt configuration.

pub mod apt;
pub mod fetch;
pub mod index;
pub mod lock;
pub mod sets;

use crate::workspace;
use std::path::PathBuf;

/// The list of wanted packages.
#[must_use]
pub fn sets_file() -> PathBuf {
    workspace::root().join("image/packages")
}

/// The locked versions and hashes.
#[must_use]
pub fn lock_file() -> PathBuf {
    workspace::root().join("image/packages.lock")
}
