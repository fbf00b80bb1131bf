//! Pods' networks.

use crate::planner::records::SandboxRecord;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Why a pod gets no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is none on this node.
    #[error("{0}")]
    NotReady(String),
}

/// Which pod is to have a network, or has one.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its sandbox's ID.
    pub sandbox: String,
    /// Where its network namespace is pinned.
    pub namespace: PathBuf,
}

/// The node's pod network.
#[derive(Debug, Clone)]
pub struct Network {}

impl Network {
    /// None: pods reach themselves, and nobody else.
    #[must_use]
    pub const fn none() -> Self {
        Self {}
    }

    /// Whether pods can be given a network.
    ///
    /// # Errors
    /// Why not.
    #[allow(clippy::unused_self)] // others than none have one
    pub fn ready(&self) -> Result<(), String> {
        Err("there is no pod network on this node: pods reach only themselves".to_owned())
    }

    /// Which addresses pods have, from now on.
    ///
    /// # Errors
    /// It is no range of addresses.
    #[allow(clippy::unused_self)] // others than none have one
    pub fn set_cidr(&self, _cidr: &str) -> Result<(), String> {
        Ok(())
    }

    /// A sandbox of an earlier runtime has these addresses.
    #[allow(clippy::unused_self)] // others than none have one
    pub fn keep(&self, _record: &SandboxRecord) {}

    /// Gives a sandbox a network; its addresses, the first one first.
    ///
    /// # Errors
    /// [`NetworkError`].
    #[allow(clippy::unused_async, clippy::unused_self)] // others than none have one
    pub async fn attach(&self, _ask: &Ask) -> Result<Vec<IpAddr>, NetworkError> {
        Ok(Vec::new())
    }

    /// Takes it away. What is gone already is no error.
    ///
    /// # Errors
    /// [`NetworkError`].
    #[allow(clippy::unused_async, clippy::unused_self)] // others than none have one
    pub async fn detach(&self, _ask: &Ask) -> Result<(), NetworkError> {
        Ok(())
    }
}

/// Where a sandbox's namespaces are pinned, in its directory.
#[must_use]
pub fn namespace_file(directory: &Path, name: &str) -> PathBuf {
    directory.join("ns").join(name)
}
