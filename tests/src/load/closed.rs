//! A closed loop: each client sends its next request when the last one is answered.

use super::calls::Calls;
use super::client::{self, Random};
use crate::store::{Cluster, Usage};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use etcd_proto::prost::Message as _;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Threads of the client: as many as the machine of the figures has cores.
const THREADS: usize = 2;
/// Connections of each thread; a client program of the field has one to each member.
const CONNECTIONS_PER_THREAD: usize = 6;
/// How much longer than its time a run may take, for the last answers.
const LATE_MAX: Duration = Duration::from_secs(30);

/// What each client does.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Puts `value` under one of `keys` keys.
    Put {
        /// What is put.
        value: Bytes,
        /// How many keys there are to choose from.
        keys: usize,
    },
    /// A linearizable read of one of `keys` keys that are there.
    Get {
        /// How many keys there are to choose from.
        keys: usize,
    },
}

/// A load.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many clients, spread evenly over members and connections.
    pub clients: usize,
    /// What each does.
    pub operation: Operation,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub length: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Answers in the time that counts, sorted by how long they took.
    pub latencies: Vec<Duration>,
    /// How long that time was.
    pub length: Duration,
    /// What all members used in it.
    pub server: Usage,
    /// What the client used in it.
    pub client: Usage,
}

impl Outcome {
    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.operations() / self.length.as_secs_f64()
    }

    /// Microseconds that `share` of all answers took at most.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.latencies, share)
    }

    /// Microseconds of the servers' CPU for each answer.
    #[must_use]
    pub fn server_cpu(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.operations()
    }

    /// Microseconds of the client's CPU for each answer.
    #[must_use]
    pub fn client_cpu(&self) -> f64 {
        self.client.cpu.as_secs_f64() * 1e6 / self.operations()
    }

    fn operations(&self) -> f64 {
        count(self.latencies.len())
    }
}

/// A count as a number to divide by.
#[must_use]
pub fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Microseconds that `share` of the sorted `latencies` are at most.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is no longer than it, and not negative"
)]
pub fn percentile(latencies: &[Duration], share: f64) -> f64 {
    let at = (count(latencies.len()) * share) as usize;
    latencies
        .get(at.min(latencies.len().saturating_sub(1)))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

/// Keeps `cluster` under `load`.
///
/// # Errors
/// A request is refused, a connection breaks, or a member ends.
pub fn run(cluster: &Cluster, load: &Load) -> Result<Outcome> {
    let endpoints = cluster.endpoints();
    let threads = THREADS.min(load.clients);
    let connected = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for number in 0..threads {
            let (endpoints, connected) = (&endpoints, &connected);
            running
                .push(scope.spawn(move || one_thread(number, threads, endpoints, connected, load)));
        }
        connected.wait();
        thread::sleep(load.warm_up);
        let (began, server, client) = (Instant::now(), cluster.usage(), Usage::own()?);
        thread::sleep(load.length);
        let (length, server_end, client_end) = (began.elapsed(), cluster.usage(), Usage::own()?);
        let mut latencies = Vec::new();
        for thread in running {
            let answers = thread
                .join()
                .ok()
                .context("a thread of the client panicked")??;
            let counts = |(at, _): &(Instant, Duration)| *at >= began && *at < began + length;
            latencies.extend(answers.into_iter().filter(counts).map(|(_, took)| took));
        }
        ensure!(
            !latencies.is_empty(),
            "no request was answered within {length:?}"
        );
        latencies.sort_unstable();
        Ok(Outcome {
            latencies,
            length,
            server: server_end? - server?,
            client: client_end - client,
        })
    })
}

/// When an answer came, and how long it took.
type Answer = (Instant, Duration);

/// The clients of one thread, on a runtime and on connections of their own.
fn one_thread(
    number: usize,
    threads: usize,
    endpoints: &[String],
    connected: &Barrier,
    load: &Load,
) -> Result<Vec<Answer>> {
    let runtime = client::runtime()?;
    let clients = (0..load.clients).filter(|client| client % threads == number);
    let connections = CONNECTIONS_PER_THREAD
        .min(load.clients.div_ceil(threads))
        .max(endpoints.len().min(load.clients));
    let path = load.operation.path();
    let opened = runtime.block_on(async {
        let mut opened = Vec::new();
        for connection in 0..connections {
            let endpoint = &endpoints[(connection + number) % endpoints.len()];
            opened.push((Calls::connect(endpoint, path).await?, Vec::new()));
        }
        anyhow::Ok(opened)
    });
    // Also when it failed: the others wait.
    connected.wait();
    let mut opened = opened?;
    for (at, client) in clients.enumerate() {
        let (_, those) = &mut opened[at % connections];
        those.push(Random::new(
            u64::try_from(client).context("a small number")?,
        ));
    }
    let end = Instant::now() + load.warm_up + load.length;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (calls, clients) in opened {
            tasks.spawn(one_connection(calls, clients, load.operation.clone(), end));
        }
        let all = async {
            let mut answers = Vec::new();
            while let Some(outcome) = tasks.join_next().await {
                answers.extend(outcome.context("a connection of the load")??);
            }
            Ok(answers)
        };
        tokio::time::timeout(load.warm_up + load.length + LATE_MAX, all)
            .await
            .with_context(|| format!("requests are not answered within {LATE_MAX:?}"))?
    })
}

/// The clients of one connection: each asks, waits for the answer, asks again until `end`.
async fn one_connection(
    mut calls: Calls,
    mut clients: Vec<Random>,
    operation: Operation,
    end: Instant,
) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut asked = vec![Instant::now(); clients.len()];
    for (client, random) in clients.iter_mut().enumerate() {
        operation.ask(&mut calls, client, random)?;
    }
    let (mut asking, mut came) = (clients.len(), Vec::new());
    while asking > 0 {
        calls.answers(&mut came).await?;
        let now = Instant::now();
        for (client, message) in came.drain(..) {
            operation.check(&message)?;
            answers.push((now, now - asked[client]));
            asked[client] = now;
            if now < end {
                operation.ask(&mut calls, client, &mut clients[client])?;
            } else {
                asking -= 1;
            }
        }
    }
    Ok(answers)
}

impl Operation {
    /// Of its method.
    fn path(&self) -> &'static str {
        match self {
            Self::Put { .. } => "/etcdserverpb.KV/Put",
            Self::Get { .. } => "/etcdserverpb.KV/Range",
        }
    }

    fn ask(&self, calls: &mut Calls, client: usize, random: &mut Random) -> Result<()> {
        match self {
            Self::Put { value, keys } => {
                let request = PutRequest {
                    key: client::key("load", random.below(*keys)),
                    value: value.clone(),
                    ..PutRequest::default()
                };
                calls.call(client, &request)
            }
            Self::Get { keys } => {
                let request = RangeRequest {
                    key: client::key("load", random.below(*keys)),
                    ..RangeRequest::default()
                };
                calls.call(client, &request)
            }
        }
    }

    fn check(&self, message: &[u8]) -> Result<()> {
        match self {
            Self::Put { .. } => {
                let answer = PutResponse::decode(message).context("an answer to a put")?;
                ensure!(answer.header.is_some(), "a put without a revision");
            }
            Self::Get { .. } => {
                let answer = RangeResponse::decode(message).context("an answer to a get")?;
                ensure!(answer.count == 1, "a key is not there");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_latencies() {
        let latencies: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        let check = |share: f64, expect: f64| {
            assert!(
                (percentile(&latencies, share) - expect).abs() < 0.5,
                "{share}"
            );
        };
        check(0.0, 1.0);
        check(0.5, 51.0);
        check(0.99, 100.0);
        check(1.0, 100.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
