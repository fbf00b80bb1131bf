//! Snapshots on the wire: read while they are sent, written while they come.

use super::proto::{self, SnapshotBegin, SnapshotChunk, SnapshotEnd};
use crate::{
    executor::{
        disk::Disk,
        raft::{
            encoding::{Malformed, Position, malformed},
            machine::Machine,
            state_machine::SnapshotData,
            storage::blocking,
        },
        records::{Incoming, View},
    },
    planner::{
        revision::Revision,
        state::{Alarm, Kept, KeptLease},
    },
};
use bytes::Bytes;
use etcd_proto::{mvccpb::KeyValue, prost::Message};
use openraft::Snapshot;
use std::{io, ops::ControlFlow, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::Status;

/// Bytes of records in one chunk, unless one record alone has more.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for a slow peer.
const CHUNKS_WAITING: usize = 4;

/// Longest wait for a chunk. Then the next sender may have the file: this one may be gone without a word.
const CHUNK_MAX: Duration = Duration::from_secs(30);

/// A snapshot as a stream of chunks, read on a thread of its own as fast as they are taken. A stream that breaks off
/// (the disk failed) has no end, and is refused by who takes it.
pub fn send(
    view: View,
    position: Position,
    vote: proto::Vote,
) -> impl Stream<Item = SnapshotChunk> + Send + 'static {
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_all(&view, &position, vote, &sender) {
            tracing::error!(%error, "read a snapshot");
        }
    });
    ReceiverStream::new(chunks)
}

fn read_all(
    view: &View,
    position: &Position,
    vote: proto::Vote,
    sender: &mpsc::Sender<SnapshotChunk>,
) -> io::Result<()> {
    let (kept, _) = view.kept().map_err(io::Error::other)?;
    let mut chunk = SnapshotChunk {
        begin: Some(begin(&kept, position, vote)),
        ..SnapshotChunk::default()
    };
    let (mut bytes, mut records, mut gone) = (0, 0, false);
    let start = Revision { main: 0, sub: 0 };
    view.scan(start, &mut |revision, pair| {
        bytes += pair.len();
        records += 1;
        chunk.records.push(proto::Record {
            main: revision.main,
            sub: revision.sub,
            pair: Bytes::copy_from_slice(pair),
        });
        if bytes >= CHUNK_BYTES {
            bytes = 0;
            gone = sender.blocking_send(std::mem::take(&mut chunk)).is_err();
        }
        if gone {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .map_err(io::Error::other)?;
    if !gone {
        chunk.end = Some(SnapshotEnd { records });
        // Who took it may have gone: openraft begins again.
        let _ = sender.blocking_send(chunk);
    }
    Ok(())
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
    let mut first = next(&mut chunks)
        .await?
        .ok_or_else(|| Status::invalid_argument("an empty snapshot"))?;
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
        check_records(&chunk.records, kept.revision)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let end = chunk.end;
        let added = blocking(move || add(incoming, &chunk)).await;
        incoming = added.map_err(internal)?;
        if let Some(end) = end {
            let meta = position.meta();
            let finished = blocking(move || {
                incoming
                    .finish(&kept, &position.encode(), end.records)
                    .map_err(io::Error::other)
            });
            let snapshot = SnapshotData::Theirs(finished.await.map_err(internal)?);
            return Ok((vote, Snapshot { meta, snapshot }));
        }
        chunk = next(&mut chunks)
            .await?
            .ok_or_else(|| Status::aborted("a snapshot broke off"))?;
    }
}

async fn next(
    chunks: &mut (impl Stream<Item = Result<SnapshotChunk, Status>> + Unpin),
) -> Result<Option<SnapshotChunk>, Status> {
    let late = |_| Status::deadline_exceeded(format!("a snapshot stood still for {CHUNK_MAX:?}"));
    timeout(CHUNK_MAX, chunks.next())
        .await
        .map_err(late)?
        .transpose()
}

/// Refuses records that are none, before they come near our own.
///
/// # Errors
/// The first that is not a pair of the revision that it claims, at or before `newest`.
pub fn check_records(records: &[proto::Record], newest: i64) -> Result<(), Malformed> {
    for record in records {
        let pair = KeyValue::decode(record.pair.clone())
            .map_err(|_| malformed("a record of a snapshot is no pair"))?;
        let of_its_time = (1..=newest).contains(&record.main) && pair.mod_revision == record.main;
        if !of_its_time || pair.key.is_empty() {
            return Err(malformed("a record of a snapshot is not of its revision"));
        }
    }
    Ok(())
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

/// What a snapshot holds beside records.
///
/// # Errors
/// Its membership contradicts itself.
pub fn decode_begin(begin: SnapshotBegin) -> Result<(Kept, Position), Status> {
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
