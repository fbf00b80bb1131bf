//! Snapshots on the wire: read while they are sent, written while they come.

use super::proto::{self, SnapshotBegin, SnapshotChunk, SnapshotEnd};
use crate::{
    executor::{
        disk::Disk,
        raft::{
            encoding::{Malformed, Position, malformed},
            machine::Machine,
            state_machine::SnapshotData,
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
use std::{io, ops::ControlFlow, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::Status;

/// Bytes of records in one chunk, unless one record alone has more.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for a slow peer.
const CHUNKS_WAITING: usize = 4;

/// Longest wait for a chunk. Then the next sender may have the file: this one may be gone without a word.
const CHUNK_MAX: Duration = Duration::from_secs(30);

/// A snapshot as a stream of chunks, read as fast as they are taken. A stream that breaks off (the disk failed) has no
/// end, and is refused by who takes it.
pub fn send(
    disk: Arc<dyn Disk>,
    view: View,
    position: Position,
    vote: proto::Vote,
) -> impl Stream<Item = SnapshotChunk> + Send + 'static {
    let mut outgoing = Outgoing {
        view,
        begin: Some((position, vote)),
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
    ReceiverStream::new(chunks)
}

/// A snapshot on its way out.
struct Outgoing {
    view: View,
    /// What comes before the first record.
    begin: Option<(Position, proto::Vote)>,
    /// Where the next chunk begins.
    from: Revision,
    /// How many have been read.
    records: u64,
}

impl Outgoing {
    fn read(&mut self) -> io::Result<SnapshotChunk> {
        let mut chunk = SnapshotChunk::default();
        if let Some((position, vote)) = self.begin.take() {
            let (kept, _) = self.view.kept().map_err(io::Error::other)?;
            chunk.begin = Some(begin(&kept, &position, vote));
        }
        let (mut bytes, mut next) = (0, None);
        let from = self.from;
        let scanned = self.view.scan(from, &mut |revision, pair| {
            if bytes >= CHUNK_BYTES {
                next = Some(revision);
                return ControlFlow::Break(());
            }
            bytes += pair.len();
            chunk.records.push(proto::Record {
                main: revision.main,
                sub: revision.sub,
                pair: Bytes::copy_from_slice(pair),
            });
            ControlFlow::Continue(())
        });
        scanned.map_err(io::Error::other)?;
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
pub async fn receive(
    machine: &Machine,
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
