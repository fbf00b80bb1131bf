//! A store and an API server over it, on empty data.

use super::Bench;
use super::client::Client;
use crate::api::ApiServer;
use crate::store::{Cluster, Options, Usage};
use anyhow::{Context as _, Result};

/// Both, running; killed when it is dropped, and their data removed.
pub(super) struct Site {
    pub(super) server: ApiServer,
    pub(super) client: Client,
    pub(super) store: Cluster,
    _directory: tempfile::TempDir,
}

/// What both have used: the API server, the store.
pub(super) const SERVERS: [&str; 2] = ["API server", "store"];

impl Site {
    /// Starts both, and waits until they are ready.
    pub(super) fn start(bench: &Bench) -> Result<Self> {
        let directory = directory(bench)?;
        let store = Cluster::start(bench.store, directory.path(), &Options::default())?;
        let server = ApiServer::start(&store, directory.path())?;
        let client = Client::new(&server)?;
        Ok(Self {
            server,
            client,
            store,
            _directory: directory,
        })
    }

    /// Runs `work`; what the servers said last goes with its error.
    pub(super) fn with<T>(bench: &Bench, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let site = Self::start(bench)?;
        work(&site).with_context(|| {
            let store = site.store.members.iter().map(|member| member.log());
            format!(
                "API server:\n{}\nstore:\n{}",
                site.server.log(),
                store.collect::<String>()
            )
        })
    }

    /// What both have used, in the order of [`SERVERS`].
    pub(super) fn usage(&self) -> Result<Vec<Usage>> {
        Ok(vec![self.server.usage()?, self.store.usage()?])
    }
}

/// A directory for the data of one run.
pub(super) fn directory(bench: &Bench) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("api-")
        .tempdir_in(&bench.directory)
        .context("make a directory for the servers")
}

/// Bytes as a figure.
pub(super) fn bytes(bytes: u64) -> Result<f64> {
    let kibibytes = u32::try_from(bytes / 1024).context("less than 4 TiB")?;
    Ok(f64::from(kibibytes) * 1024.0)
}
