//! The kernel's rules for what pods send, and for their ports.

use crate::planner::network::{
    ports::{Mapping, Ports},
    ruleset,
};
use nftables::{Error, Socket};
use std::io;
use tokio::sync::{Mutex, MutexGuard};

/// One writer at a time: the last one to write has seen all that the others did.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<()>);

/// Nobody else writes while there is one.
#[derive(Debug)]
pub(super) struct Turn<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, ()>);

impl Rules {
    /// Waits for one's turn. What is to be written is looked at after it.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn(self.0.lock().await)
    }
}

impl Turn<'_> {
    /// Writes what these ports need, and what pods of a routed network do. Of the ports that have changed, flows that began before are decided anew.
    pub(super) async fn write(
        &self,
        ports: &Ports,
        routed: bool,
        changed: &[Mapping],
    ) -> Result<(), Error> {
        let batch = ruleset::transaction(ports, routed);
        let flows = ruleset::flows(changed);
        let written = tokio::task::spawn_blocking(move || {
            let socket = Socket::open()?;
            socket.commit(&batch)?;
            for one in flows {
                // A kernel that cannot: such a flow is the old pod's until its sender pauses.
                if let Err(error) = socket.forget(one) {
                    tracing::debug!(error = %service::chain(&error), "flows are not forgotten");
                }
            }
            Ok(())
        });
        written
            .await
            .unwrap_or_else(|error| Err(Error::Send(io::Error::other(error))))
    }
}
