//! The kernel's rules for ports of pods.

use crate::planner::network::{ports::Ports, ruleset};
use nftables::{Error, Socket};
use std::io;

/// One writer at a time: the last one to write has seen all that the others did.
#[derive(Debug, Default)]
pub(super) struct Rules(tokio::sync::Mutex<()>);

impl Rules {
    /// Writes what these ports need. They are asked for when it is this writer's turn.
    pub(super) async fn write(&self, ports: impl FnOnce() -> Ports + Send) -> Result<(), Error> {
        let _turn = self.0.lock().await;
        let batch = ruleset::transaction(&ports());
        let written = tokio::task::spawn_blocking(move || Socket::open()?.commit(&batch));
        written
            .await
            .unwrap_or_else(|error| Err(Error::Send(io::Error::other(error))))
    }
}
