//! Snapshots on the wire: read while they are sent, written while they come.

use super::proto::{self, SnapshotBegin, SnapshotChunk, SnapshotEnd};
use crate::{
    executor::{
        disk::Disk,
        raft::{encoding::Position, machine::Machine, state_machine::SnapshotData},
        records::{Incoming, View},
    },
    planner::{
        records::Records,
        revision::Revision,
        state::{Alarm, Kept, KeptLease},
    },
};
use etcd_proto::prost::Message;
use openraft::Snapshot;
use std::{io, ops::ControlFlow, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::Status;

/// Bytes of records in one chunk, unless one record alone has more.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for a slow peer.
const CHUNKS_WAITING: usize = 4;

/// A snapshot as a stream of chunks, read as fast as they are taken. A stream that breaks off (the disk failed) has no
/// end, and is refused by who takes it.
pub fn send<D: Disk>(
    disk: Arc<D>,
    view: View,
    position: &Position,
    vote: proto::Vote,
) -> io::Result<impl Stream<Item = SnapshotChunk> + Send + 'static> {
    let (kept, _) = view.kept().map_err(io::Error::other)?;
    let mut outgoing = Outgoing {
        view,
        begin: Some(begin(&kept, position, vote)),
        from: Revision { main: 0, sub: 0 },
        records: 0,
    };
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(async move {
        loop {
            let read = move || {
                let chunk = outgoing.read()?;
                Ok((outgoing, chunk))
            };
            let chunk;
            (outgoing, chunk) = match disk.run(read).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "read a snapshot");
                    return;
                }
            };
            let ends = chunk.end.is_some();
            // Who took it may have gone: openraft begins again.
            if sender.send(chunk).await.is_err() || ends {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(chunks))
}

/// A snapshot on its way out.
struct Outgoing {
    view: View,
    begin: Option<SnapshotBegin>,
    /// Where the next chunk begins.
    from: Revision,
    /// How many have been read.
    records: u64,
}

impl Outgoing {
    fn read(&mut self) -> io::Result<SnapshotChunk> {
        let mut chunk = SnapshotChunk {
            begin: self.begin.take(),
            ..SnapshotChunk::default()
        };
        let (mut bytes, mut next) = (0, None);
        let reader = self.view.records().map_err(io::Error::other)?;
        reader
            .scan(self.from, &mut |revision, record| {
                if bytes >= CHUNK_BYTES {
                    next = Some(revision);
                    return ControlFlow::Break(());
                }
                let pair = record.encode_to_vec();
                bytes += pair.len();
                chunk.records.push(proto::Record {
                    main: revision.main,
                    sub: revision.sub,
                    pair: pair.into(),
                });
                ControlFlow::Continue(())
            })
            .map_err(io::Error::other)?;
        self.records += u64::try_from(chunk.records.len()).expect("64 bits");
        match next {
            Some(next) => self.from = next,
            None => {
                chunk.end = Some(SnapshotEnd {
                    records: self.records,
                });
            }
        }
        Ok(chunk)
    }
}

fn begin(kept: &Kept, position: &Position, vote: proto::Vote) -> SnapshotBegin {
    SnapshotBegin {
        vote: Some(vote),
        position: Some(position.to_proto()),
        revision: kept.revision,
        compacted: kept.compacted,
        leases: kept
            .leases
            .iter()
            .map(|(id, lease)| proto::Lease {
                id: *id,
                time_to_live: lease.time_to_live,
                remaining: lease.remaining,
            })
            .collect(),
        alarms: kept
            .alarms
            .iter()
            .map(|alarm| proto::Alarm {
                member: alarm.member,
                kind: alarm.kind,
            })
            .collect(),
    }
}

/// A snapshot that came whole: the vote of who sent it, and what openraft installs.
pub type Received = (
    proto::Vote,
    openraft::type_config::alias::SnapshotOf<crate::executor::raft::TypeConfig, SnapshotData>,
);

/// Takes a snapshot into a file beside our own. One at a time: there is one such file.
///
/// # Errors
/// The stream breaks off or is no snapshot, or the disk's.
pub async fn receive<D: Disk>(
    machine: &Machine<D>,
    mut chunks: impl Stream<Item = Result<SnapshotChunk, Status>> + Unpin,
) -> Result<Received, Status> {
    let mut first = chunks
        .next()
        .await
        .ok_or_else(|| Status::invalid_argument("an empty snapshot"))??;
    let begin = first
        .begin
        .take()
        .ok_or_else(|| Status::invalid_argument("a snapshot without its beginning"))?;
    let vote = begin
        .vote
        .ok_or_else(|| Status::invalid_argument("a snapshot without a vote"))?;
    let (kept, mut position) = decode_begin(begin)?;
    position.installed = true;
    let mut incoming = machine.incoming().map_err(internal)?;
    let mut chunk = first;
    loop {
        let end = chunk.end;
        let added = machine.disk().run(move || add(incoming, &chunk));
        incoming = added.await.map_err(internal)?;
        if let Some(end) = end {
            let meta = position.meta();
            let finished = machine.disk().run(move || {
                incoming
                    .finish(&kept, &position.encode(), end.records)
                    .map_err(io::Error::other)
            });
            let snapshot = SnapshotData::Theirs(finished.await.map_err(internal)?);
            return Ok((vote, Snapshot { meta, snapshot }));
        }
        chunk = chunks
            .next()
            .await
            .ok_or_else(|| Status::aborted("a snapshot broke off"))??;
    }
}

fn add(mut incoming: Incoming, chunk: &SnapshotChunk) -> io::Result<Incoming> {
    let records = chunk.records.iter().map(|record| {
        let revision = Revision {
            main: record.main,
            sub: record.sub,
        };
        (revision, record.pair.as_ref())
    });
    incoming.add(records).map_err(io::Error::other)?;
    Ok(incoming)
}

fn decode_begin(begin: SnapshotBegin) -> Result<(Kept, Position), Status> {
    let position = Position::from_proto(begin.position.unwrap_or_default())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let leases = begin.leases.into_iter().map(|lease| {
        let kept = KeptLease {
            time_to_live: lease.time_to_live,
            remaining: lease.remaining,
        };
        (lease.id, kept)
    });
    let alarms = begin.alarms.into_iter().map(|alarm| Alarm {
        member: alarm.member,
        kind: alarm.kind,
    });
    let kept = Kept {
        revision: begin.revision,
        compacted: begin.compacted,
        leases: leases.collect(),
        alarms: alarms.collect(),
    };
    Ok((kept, position))
}

fn internal(error: io::Error) -> Status {
    Status::internal(crate::executor::member::chain(&error))
}
