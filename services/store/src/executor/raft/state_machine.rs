//! openraft's state machine over [`Machine`].

use super::{
    LogId, SnapshotMeta, StoredMembership, TypeConfig, encoding::Position, machine::Machine,
};
use crate::executor::records::{RecordFile, View};
use openraft::{
    OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{EntryResponder, RaftStateMachine},
};
use std::{io, sync::Arc};
use tokio_stream::{Stream, StreamExt};

/// Entries that are applied together: what they make is one commit of the records, while which nobody reads.
const BATCH_ENTRIES: usize = 256;

/// The machine, as openraft sees it.
pub struct StateMachine(pub Arc<Machine>);

/// A snapshot on its way out or in.
pub enum SnapshotData {
    /// Everything as of one moment; it is read while it is sent.
    Ours(Box<View>, Position),
    /// Another member's, whole, in a file beside our own.
    Theirs(RecordFile),
}

impl StateMachine {
    async fn snapshot(&self) -> io::Result<SnapshotOf> {
        let (view, position) = self.0.view().await?;
        Ok(Snapshot {
            meta: position.meta(),
            snapshot: SnapshotData::Ours(Box::new(view), position),
        })
    }
}

type SnapshotOf = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;

    /// A snapshot is a durable checkpoint: openraft purges the log by it. What is sent to others is read from the file
    /// when somebody needs it.
    async fn build_snapshot(&mut self) -> Result<SnapshotOf, io::Error> {
        let snapshot = self.snapshot().await?;
        self.0.checkpoint().await?;
        Ok(snapshot)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = self.0.position();
        Ok((position.applied, position.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        loop {
            let mut batch = Vec::new();
            let mut responders = Vec::new();
            while batch.len() < BATCH_ENTRIES
                && let Some(next) = entries.next().await
            {
                let (entry, responder) = next?;
                batch.push(entry);
                responders.extend(responder);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.0.apply(&batch).await?;
            for responder in responders {
                responder.send(());
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        Self(self.0.clone())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        match snapshot {
            SnapshotData::Theirs(file) => self.0.install(file).await,
            // openraft offers our own at start, where it is what we have.
            SnapshotData::Ours(..) => Ok(()),
        }
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf>, io::Error> {
        let snapshot = self.snapshot().await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}
