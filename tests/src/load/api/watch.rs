//! Many watchers of one resource while objects change at a steady rate.
//!
//! ```text
//!   one thread changes    number 7 ──> ConfigMap changes-7 mod 10, on that ConfigMap's own connection
//!                         sent[7], answered[7]
//!   one thread watches    every watcher: (number, when), all of them, in order, once
//! ```
//! A ConfigMap's data says the number of its change. Changes are sent when they are due; one that is late counts from when it
//! was sent, and the lateness is a figure of its own.

use super::Bench;
use super::client::{Client, Method, ask, find, is_of};
use super::configmaps::{KIND, PATH};
use super::site::{SERVERS, Site};
use super::table::{Bound, Row};
use crate::load::calls::{Calls, Framing};
use crate::load::client::{runtime, value};
use crate::load::closed::{count, percentile};
use crate::load::table::Unit;
use anyhow::{Context as _, Result, ensure};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections of all watchers: a controller manager, a scheduler and such have one each.
pub(super) const CONNECTIONS: usize = 4;
/// ConfigMaps that change in turns.
const OBJECTS: usize = 10;
/// Bytes of a ConfigMap as it is sent.
const LENGTH: usize = 300;
/// What a delivery may take, in microseconds.
const DELIVERY_MAX: f64 = 50_000.0;
/// Longest wait for watches to be made, and for the last event.
const LATE_MAX: Duration = Duration::from_secs(30);
/// Before an event's number.
const NUMBER: &[u8] = b"\"number\":\"";
/// Digits of a number.
const DIGITS: usize = 8;

/// A change: when it was sent and when it was answered, since the run began.
#[derive(Debug, Clone, Copy)]
struct Change {
    number: usize,
    late: Duration,
    sent: Duration,
    answered: Duration,
}

/// What all watchers of a connection saw.
#[derive(Debug, Default)]
struct Saw {
    /// Numbers of changes, and when they were read.
    events: Vec<(usize, Duration)>,
    /// Watches that the server has ended.
    ended: usize,
    /// Events that came again, or before one that should come before.
    misplaced: usize,
}

pub(super) fn run(bench: &Bench, connections: usize) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        let bodies = (0..OBJECTS).map(|object| body(object, 0));
        let made = site.client.create(PATH, KIND, 1, bodies);
        runtime()?.block_on(made)?;
        let changes = usize::try_from(bench.length.as_secs())? * usize::try_from(bench.changes)?;
        let zero = Instant::now();
        let watching = Barrier::new(2);
        let (saw, changed, used) = thread::scope(|scope| {
            let watchers =
                scope.spawn(|| watch(bench, &site.client, connections, changes, &watching, zero));
            watching.wait();
            let before = site.usage()?;
            let changed = runtime()?.block_on(change(bench, &site.client, changes, zero));
            let after = site.usage()?;
            let saw = watchers.join().ok().context("the watchers panicked")??;
            let used: Vec<_> = after
                .into_iter()
                .zip(before)
                .map(|(after, before)| after - before)
                .collect();
            anyhow::Ok((saw, changed?, used))
        })?;
        let of = |from: fn(&Change) -> Duration| {
            let mut took: Vec<Duration> = saw
                .iter()
                .flat_map(|saw| &saw.events)
                .map(|(number, at)| at.saturating_sub(from(&changed[*number - 1])))
                .collect();
            took.sort_unstable();
            took
        };
        let (sent, answered) = (of(|change| change.sent), of(|change| change.answered));
        let mut writes: Vec<_> = changed
            .iter()
            .map(|change| change.answered - change.sent)
            .collect();
        let mut late: Vec<_> = changed.iter().map(|change| change.late).collect();
        writes.sort_unstable();
        late.sort_unstable();
        let events: usize = saw.iter().map(|saw| saw.events.len()).sum();
        let expected = bench.watchers * changes;
        let micros = |what: &str, took: &[Duration], share| {
            Row::new(what, Unit::Microseconds, percentile(took, share))
        };
        let none = Bound::AtMost(0.0);
        let sum = |field: fn(&Saw) -> usize| count(saw.iter().map(field).sum());
        let mut rows = vec![
            micros("sent to seen, p50", &sent, 0.5),
            micros("sent to seen, p99", &sent, 0.99).bound(Bound::AtMost(DELIVERY_MAX)),
            micros("sent to seen, longest", &sent, 1.0),
            micros("answered to seen, p50", &answered, 0.5),
            micros("answered to seen, p99", &answered, 0.99),
            micros("answered to seen, longest", &answered, 1.0),
            Row::new(
                "events that did not come",
                Unit::Times,
                count(expected.saturating_sub(events)),
            )
            .bound(none),
            Row::new(
                "events twice or out of order",
                Unit::Times,
                sum(|saw| saw.misplaced),
            )
            .bound(none),
            Row::new("watches ended", Unit::Times, sum(|saw| saw.ended)).bound(none),
            micros("the change itself, p50", &writes, 0.5),
            micros("the change itself, p99", &writes, 0.99),
            micros("changes sent after they were due, p99", &late, 0.99),
        ];
        for (server, used) in SERVERS.iter().zip(&used) {
            let share = used.cpu.as_secs_f64() / bench.length.as_secs_f64();
            rows.push(Row::new(
                format!("CPU of the {server}, of a core"),
                Unit::Percent,
                share,
            ));
        }
        rows.push(Row::new(
            "RSS of the API server",
            Unit::Bytes,
            super::site::bytes(used[0].resident)?,
        ));
        Ok(rows)
    })
}

/// A ConfigMap that was changed for the `number`th time.
fn body(object: usize, number: usize) -> Vec<u8> {
    let with = |padding: &[u8]| {
        let padding = String::from_utf8_lossy(padding);
        format!(
            r#"{{"apiVersion":"v1","kind":"{KIND}","metadata":{{"name":"changes-{object}"}},"data":{{"number":"{number:0DIGITS$}","padding":"{padding}"}}}}"#
        )
    };
    let padding = value(LENGTH.saturating_sub(with(b"").len()));
    with(&padding).into_bytes()
}

/// Makes changes 1 to `changes`, each when it is due.
async fn change(
    bench: &Bench,
    client: &Client,
    changes: usize,
    zero: Instant,
) -> Result<Vec<Change>> {
    let mut opened = Vec::new();
    for object in 0..OBJECTS {
        let path = format!("{PATH}/changes-{object}");
        opened.push(client.open(Method::Put, &path, Framing::Whole).await?);
    }
    let (begin, every) = (Instant::now(), Duration::from_secs(1) / bench.changes);
    let mut tasks = JoinSet::new();
    for (object, mut calls) in opened.into_iter().enumerate() {
        tasks.spawn(async move {
            let mut done = Vec::new();
            for number in (object..changes).step_by(OBJECTS) {
                let due = begin + every * u32::try_from(number)?;
                tokio::time::sleep_until(due.into()).await;
                let number = number + 1;
                let body = body(object, number);
                let (late, sent) = (due.elapsed(), zero.elapsed());
                let answer = ask(&mut calls, body).await?;
                let answered = zero.elapsed();
                is_of(KIND, &answer)?;
                done.push(Change {
                    number,
                    late,
                    sent,
                    answered,
                });
            }
            anyhow::Ok(done)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.extend(done.context("a client that changes")??);
    }
    all.sort_unstable_by_key(|change| change.number);
    Ok(all)
}

/// Makes the watches, and reads until all has come or it is too late.
fn watch(
    bench: &Bench,
    client: &Client,
    connections: usize,
    changes: usize,
    watching: &Barrier,
    zero: Instant,
) -> Result<Vec<Saw>> {
    let runtime = runtime()?;
    let made = runtime.block_on(async {
        let made = make(bench.watchers, client, connections);
        let made = tokio::time::timeout(LATE_MAX, made).await;
        made.context("watches are not made in time")?
    });
    // Also when it failed: the other waits.
    watching.wait();
    let deadline = Instant::now() + bench.length + LATE_MAX;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for connection in made? {
            tasks.spawn(connection.read(changes, zero, deadline));
        }
        let mut saw = Vec::new();
        while let Some(done) = tasks.join_next().await {
            saw.push(done.context("a connection of watchers")??);
        }
        Ok(saw)
    })
}

/// Connections with their watches, each of which has shown what was there.
async fn make(watchers: usize, client: &Client, connections: usize) -> Result<Vec<Connection>> {
    let path = format!("{PATH}?watch=1&resourceVersion=0");
    let mut made = Vec::new();
    for number in 0..connections.min(watchers) {
        let mut calls = client.open(Method::Get, &path, Framing::Pieces).await?;
        let watchers = (number..watchers).step_by(connections).count();
        for watcher in 0..watchers {
            calls.send(watcher, Vec::new())?;
        }
        let mut connection = Connection {
            calls,
            watchers: (0..watchers).map(|_| Watcher::default()).collect(),
            saw: Saw::default(),
        };
        let mut pieces = Vec::new();
        while connection
            .watchers
            .iter()
            .any(|watcher| watcher.first < OBJECTS)
        {
            connection.calls.answers(&mut pieces).await?;
            connection.take(&mut pieces, Duration::ZERO)?;
            ensure!(connection.saw.ended == 0, "a watch ended at once");
        }
        made.push(connection);
    }
    Ok(made)
}

/// A connection with watches.
struct Connection {
    calls: Calls,
    watchers: Vec<Watcher>,
    saw: Saw,
}

#[derive(Default)]
struct Watcher {
    /// What was there at first, as far as it came.
    first: usize,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// Of each ConfigMap.
    last: [usize; OBJECTS],
}

impl Connection {
    async fn read(mut self, changes: usize, zero: Instant, deadline: Instant) -> Result<Saw> {
        let expected = self.watchers.len() * changes;
        self.saw.events.reserve(expected);
        let mut pieces = Vec::new();
        while self.saw.events.len() < expected && self.saw.ended < self.watchers.len() {
            let came = self.calls.answers(&mut pieces);
            match tokio::time::timeout_at(deadline.into(), came).await {
                Ok(came) => came?,
                // What did not come is counted.
                Err(_) => break,
            }
            let now = zero.elapsed();
            self.take(&mut pieces, now)?;
        }
        Ok(self.saw)
    }

    fn take(&mut self, pieces: &mut Vec<(usize, Vec<u8>)>, now: Duration) -> Result<()> {
        for (watcher, piece) in pieces.drain(..) {
            let watcher = &mut self.watchers[watcher];
            if piece.is_empty() {
                self.saw.ended += 1;
                continue;
            }
            watcher.partial.extend(piece);
            let mut rest = watcher.partial.as_slice();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let number = number(&rest[..end])?;
                rest = &rest[end + 1..];
                if number == 0 {
                    watcher.first += 1;
                    continue;
                }
                let last = &mut watcher.last[(number - 1) % OBJECTS];
                if number <= *last {
                    self.saw.misplaced += 1;
                }
                *last = number;
                self.saw.events.push((number, now));
            }
            let left = rest.len();
            let done = watcher.partial.len() - left;
            watcher.partial.drain(..done);
        }
        Ok(())
    }
}

/// The number of the change that an event is about.
fn number(line: &[u8]) -> Result<usize> {
    let event = || String::from_utf8_lossy(line).into_owned();
    let at = find(line, NUMBER).with_context(event)? + NUMBER.len();
    let digits = line.get(at..at + DIGITS).with_context(event)?;
    let digits = std::str::from_utf8(digits).with_context(event)?;
    digits.parse().with_context(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_its_number() {
        let line = body(3, 1_204);
        assert_eq!(line.len(), LENGTH);
        assert_eq!(number(&line).unwrap(), 1_204);
        assert!(number(b"{}").is_err());
    }
}
