//! Puts and gets in a closed loop.

use crate::load::bench::Bench;
use crate::load::client;
use crate::load::closed::{self, Load, Outcome};
use crate::load::keys::{Deed, Keys};
use crate::load::table::{Figure, Goal, Unit};
use crate::store::{Cluster, Kind};
use anyhow::Result;

/// Bytes of a value.
const VALUE: usize = 256;
/// Bytes of a value where written bytes are counted.
const LONG_VALUE: usize = 1024;
/// Keys that puts choose from: most puts are of a key that is there.
const PUT_KEYS: usize = 100_000;
/// Keys that gets choose from.
const GET_KEYS: usize = 10_000;
/// Clients of those scenarios that have one number of them.
const CLIENTS: usize = 64;

/// Puts by `clients` clients.
pub(super) fn put(bench: &Bench, kind: Kind, clients: usize) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let outcome = load(bench, cluster, clients, put_of(VALUE))?;
        Ok(figures(&outcome, clients))
    })
}

/// Linearizable gets by `clients` clients.
pub(super) fn get(bench: &Bench, kind: Kind, clients: usize) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let endpoint = cluster.members[0].client_url();
        let filled = client::fill(endpoint, "load", GET_KEYS, client::value(VALUE));
        client::runtime()?.block_on(filled)?;
        let outcome = load(bench, cluster, clients, Deed::Get { keys: GET_KEYS })?;
        Ok(figures(&outcome, clients))
    })
}

/// Puts to three members.
pub(super) fn three(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 3, |cluster| {
        let outcome = load(bench, cluster, CLIENTS, put_of(VALUE))?;
        Ok(figures(&outcome, CLIENTS))
    })
}

/// Bytes that reach the disk for each byte of a value.
pub(super) fn written(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let outcome = load(bench, cluster, CLIENTS, put_of(LONG_VALUE))?;
        let written = f64::from(u32::try_from(outcome.servers[0].written / 1024)?) * 1024.0;
        let put = closed::count(outcome.latencies.len()) * closed::count(LONG_VALUE);
        Ok(vec![
            Figure::new(
                "  bytes written per byte put",
                Unit::Times,
                Goal::Within(3.0),
                written / put,
            ),
            Figure::new(
                "  puts per second",
                Unit::PerSecond,
                Goal::None,
                outcome.rate(),
            ),
        ])
    })
}

fn put_of(length: usize) -> Deed {
    Deed::Put {
        value: client::value(length),
        keys: PUT_KEYS,
    }
}

fn load(bench: &Bench, cluster: &Cluster, clients: usize, deed: Deed) -> Result<Outcome> {
    let load = Load {
        clients,
        operation: Keys {
            endpoints: cluster.endpoints(),
            deed,
        },
        warm_up: bench.warm_up,
        length: bench.length,
    };
    closed::run(&load, || Ok(vec![cluster.usage()?]))
}

/// The goals of many clients are about throughput, those of one about its own wait.
fn figures(outcome: &Outcome, clients: usize) -> Vec<Figure> {
    let (median, rate, slowest, cpu) = if clients == 1 {
        (Goal::AtMost(1.0), Goal::None, Goal::None, Goal::None)
    } else {
        (
            Goal::None,
            Goal::AtLeast(2.0),
            Goal::AtMost(1.0),
            Goal::AtMost(1.0 / 3.0),
        )
    };
    vec![
        Figure::new("  per second", Unit::PerSecond, rate, outcome.rate()),
        Figure::new("  p50", Unit::Microseconds, median, outcome.percentile(0.5)),
        Figure::new(
            "  p99",
            Unit::Microseconds,
            slowest,
            outcome.percentile(0.99),
        ),
        Figure::new(
            "  server CPU each",
            Unit::Microseconds,
            cpu,
            outcome.server_cpu(0),
        ),
        Figure::new(
            "  client CPU each",
            Unit::Microseconds,
            Goal::None,
            outcome.client_cpu(),
        ),
    ]
}
