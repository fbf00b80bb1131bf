//! Many watchers of few keys, under a steady stream of puts.
//!
//! A value says when its put was due, so that the latency of a delivery holds what the put itself waited.

use crate::load::bench::Bench;
use crate::load::client::{self, Connection};
use crate::load::closed::percentile;
use crate::load::table::{Figure, Goal, Unit};
use crate::store::Kind;
use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use etcd_proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient,
    watch_request::RequestUnion,
};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

/// Watches on one stream: a client program puts all of its own on one.
const WATCHES_PER_STREAM: usize = 100;
/// Streams in all: 10,000 watches.
const STREAMS: usize = 100;
/// Threads that receive.
const THREADS: usize = 2;
/// Connections of each.
const CONNECTIONS_PER_THREAD: usize = 5;
/// Keys: ten watches see each put.
const KEYS: usize = 1_000;
/// Bytes of a value.
const VALUE: usize = 256;
/// From one put to the next.
const EVERY: Duration = Duration::from_millis(1);
/// Clients that put, in turns: a slow answer must not delay the next put.
const PUTTERS: usize = 64;
/// Longest wait for watches to be made, and for the last event.
const LATE_MAX: Duration = Duration::from_secs(60);

/// Delivery and memory.
pub(super) fn run(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let endpoint = cluster.members[0].client_url().to_owned();
        let puts = usize::try_from(bench.length.as_millis() / EVERY.as_millis())
            .context("a run is shorter than a year")?;
        let before = cluster.usage()?;
        let watching = Barrier::new(THREADS + 1);
        let zero = Instant::now();
        let (mut took, usage) = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (endpoint, watching) = (&endpoint, &watching);
                    scope.spawn(move || one_thread(number, endpoint, watching, puts, zero))
                })
                .collect();
            watching.wait();
            let put = client::runtime()?.block_on(put_all(&endpoint, puts, zero));
            let usage = cluster.usage();
            let mut took = Vec::new();
            for thread in threads {
                took.extend(thread.join().ok().context("a thread panicked")??);
            }
            put?;
            anyhow::Ok((took, usage?))
        })?;
        took.sort_unstable();
        let resident =
            |bytes: u64| -> Result<f64> { Ok(f64::from(u32::try_from(bytes / 1024)?) * 1024.0) };
        Ok(vec![
            Figure::new(
                "  delivery p50",
                Unit::Microseconds,
                Goal::None,
                percentile(&took, 0.5),
            ),
            Figure::new(
                "  delivery p99",
                Unit::Microseconds,
                Goal::AtMost(1.0),
                percentile(&took, 0.99),
            ),
            Figure::new(
                "  RSS, watches made",
                Unit::Bytes,
                Goal::AtMost(0.5),
                resident(usage.resident)?,
            ),
            Figure::new(
                "  RSS before",
                Unit::Bytes,
                Goal::None,
                resident(before.resident)?,
            ),
            Figure::new(
                "  server CPU, share of a core",
                Unit::Times,
                Goal::None,
                (usage - before).cpu.as_secs_f64() / bench.length.as_secs_f64(),
            ),
        ])
    })
}

/// Puts number 0 to `puts`, each when it is due.
async fn put_all(endpoint: &str, puts: usize, zero: Instant) -> Result<()> {
    let connection = client::kv(endpoint).await?;
    let begin = Instant::now();
    let filler = client::value(VALUE);
    let mut tasks = tokio::task::JoinSet::new();
    for putter in 0..PUTTERS {
        let (mut connection, filler) = (connection.clone(), filler.clone());
        tasks.spawn(async move {
            for number in (putter..puts).step_by(PUTTERS) {
                let due = begin + EVERY * u32::try_from(number)?;
                tokio::time::sleep_until(due.into()).await;
                let request = PutRequest {
                    key: client::key("watched", number % KEYS),
                    value: stamped(due - zero, &filler)?,
                    ..PutRequest::default()
                };
                connection.put(request).await.context("put")?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.context("a client that puts")??;
    }
    Ok(())
}

/// A value that says when it was due.
fn stamped(since: Duration, filler: &[u8]) -> Result<Bytes> {
    let mut value = BytesMut::with_capacity(filler.len());
    value.put_u64(u64::try_from(since.as_nanos())?);
    value.put_slice(&filler[8..]);
    Ok(value.freeze())
}

/// Makes this thread's share of the watches, and receives all that is due to them. Returns how long each event took.
fn one_thread(
    number: usize,
    endpoint: &str,
    watching: &Barrier,
    puts: usize,
    zero: Instant,
) -> Result<Vec<Duration>> {
    let runtime = client::runtime()?;
    let made = runtime.block_on(async {
        tokio::time::timeout(LATE_MAX, make(number, endpoint))
            .await
            .context("watches are not made in time")?
    });
    // Also when it failed: the others wait.
    watching.wait();
    let made = made?;
    let length = EVERY * u32::try_from(puts)? + LATE_MAX;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (stream, answers) in made {
            tasks.spawn(receive(stream, answers, puts, zero));
        }
        let all = async {
            let mut took = Vec::new();
            while let Some(outcome) = tasks.join_next().await {
                took.extend(outcome.context("a watch stream")??);
            }
            anyhow::Ok(took)
        };
        tokio::time::timeout(length, all)
            .await
            .with_context(|| format!("not all events came within {length:?}"))?
    })
}

/// The streams of one thread with all their watches.
async fn make(number: usize, endpoint: &str) -> Result<Vec<(usize, Streaming<WatchResponse>)>> {
    let mut connections: Vec<WatchClient<Connection>> = Vec::new();
    for _ in 0..CONNECTIONS_PER_THREAD {
        let (connection, origin) = client::connect(endpoint).await?;
        connections.push(WatchClient::with_origin(connection, origin));
    }
    let mut made = Vec::new();
    for stream in (0..STREAMS).filter(|stream| stream % THREADS == number) {
        let requests: Vec<WatchRequest> = keys_of(stream)
            .map(|key| WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                    key: client::key("watched", key),
                    ..WatchCreateRequest::default()
                })),
            })
            .collect();
        // The sending half stays open: a stream that a client has ended has no watches.
        let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
        let connection = made.len() % CONNECTIONS_PER_THREAD;
        let mut answers = connections[connection].watch(requests).await?.into_inner();
        for _ in 0..WATCHES_PER_STREAM {
            let answer = answers.message().await?.context("the stream ended")?;
            ensure!(
                answer.created && !answer.canceled,
                "a watch was refused: {}",
                answer.cancel_reason
            );
        }
        made.push((stream, answers));
    }
    Ok(made)
}

/// The keys that a stream's watches are of.
fn keys_of(stream: usize) -> impl Iterator<Item = usize> {
    (0..WATCHES_PER_STREAM).map(move |watch| (stream * WATCHES_PER_STREAM + watch) % KEYS)
}

/// Receives until all events that are due on this stream have come, and not one more.
async fn receive(
    stream: usize,
    mut answers: Streaming<WatchResponse>,
    puts: usize,
    zero: Instant,
) -> Result<Vec<Duration>> {
    let due: usize = keys_of(stream)
        .map(|key| puts / KEYS + usize::from(puts % KEYS > key))
        .sum();
    let mut took = Vec::with_capacity(due);
    while took.len() < due {
        let answer = answers.message().await?.context("the stream ended")?;
        ensure!(
            !answer.canceled,
            "a watch was cancelled: {}",
            answer.cancel_reason
        );
        let now = zero.elapsed();
        for event in answer.events {
            let pair = event.kv.context("an event is about a key")?;
            let stamp = pair.value.first_chunk().context("a value has a stamp")?;
            let sent = Duration::from_nanos(u64::from_be_bytes(*stamp));
            took.push(now.saturating_sub(sent));
        }
    }
    Ok(took)
}
