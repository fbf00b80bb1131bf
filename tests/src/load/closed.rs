//! A closed loop: each client sends its next request when the last one is answered.

use super::calls::Calls;
use super::client::{self, Random};
use crate::store::Usage;
use anyhow::{Context as _, Result, ensure};
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
pub trait Operation: Clone + Send + Sync + 'static {
    /// Opens connection `number` of a thread.
    fn connect(&self, number: usize) -> impl Future<Output = Result<Calls>> + Send;

    /// To how many servers connections go, in turns.
    fn servers(&self) -> usize {
        1
    }

    /// Sends a request of `client`.
    ///
    /// # Errors
    /// It is too large.
    fn ask(&self, calls: &mut Calls, client: usize, random: &mut Random) -> Result<()>;

    /// Looks at an answer.
    ///
    /// # Errors
    /// It is not what was asked for.
    fn check(&self, answer: &[u8]) -> Result<()>;
}

/// A load.
#[derive(Debug, Clone)]
pub struct Load<O> {
    /// How many clients, spread evenly over members and connections.
    pub clients: usize,
    /// What each does.
    pub operation: O,
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
    /// What the servers used in it, in the order in which they were looked at.
    pub servers: Vec<Usage>,
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

    /// Microseconds of a server's CPU for each answer.
    #[must_use]
    pub fn server_cpu(&self, server: usize) -> f64 {
        let used = self.servers.get(server);
        used.map_or(f64::NAN, |used| {
            used.cpu.as_secs_f64() * 1e6 / self.operations()
        })
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

/// Keeps servers under `load`; `usage` looks at what each of them has used.
///
/// # Errors
/// A request is refused, a connection breaks, or a server ends.
pub fn run<O: Operation>(
    load: &Load<O>,
    usage: impl Fn() -> Result<Vec<Usage>>,
) -> Result<Outcome> {
    let threads = THREADS.min(load.clients);
    let connected = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for number in 0..threads {
            let connected = &connected;
            running.push(scope.spawn(move || one_thread(number, threads, connected, load)));
        }
        connected.wait();
        thread::sleep(load.warm_up);
        let (began, before, client) = (Instant::now(), usage(), Usage::own()?);
        thread::sleep(load.length);
        let (length, after, client_end) = (began.elapsed(), usage(), Usage::own()?);
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
        let used = after?.into_iter().zip(before?);
        Ok(Outcome {
            latencies,
            length,
            servers: used.map(|(after, before)| after - before).collect(),
            client: client_end - client,
        })
    })
}

/// When an answer came, and how long it took.
type Answer = (Instant, Duration);

/// The clients of one thread, on a runtime and on connections of their own.
fn one_thread<O: Operation>(
    number: usize,
    threads: usize,
    connected: &Barrier,
    load: &Load<O>,
) -> Result<Vec<Answer>> {
    let runtime = client::runtime()?;
    let clients = (0..load.clients).filter(|client| client % threads == number);
    let connections = CONNECTIONS_PER_THREAD
        .min(load.clients.div_ceil(threads))
        .max(load.operation.servers().min(load.clients));
    let opened = runtime.block_on(async {
        let mut opened = Vec::new();
        for connection in 0..connections {
            let calls = load.operation.connect(connection + number).await?;
            opened.push((calls, Vec::new()));
        }
        anyhow::Ok(opened)
    });
    // Also when it failed: the others wait.
    connected.wait();
    let mut opened = opened?;
    for (at, client) in clients.enumerate() {
        let (_, those) = &mut opened[at % connections];
        let seed = u64::try_from(client).context("a small number")?;
        those.push(Random::new(seed));
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
async fn one_connection<O: Operation>(
    mut calls: Calls,
    mut clients: Vec<Random>,
    operation: O,
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
