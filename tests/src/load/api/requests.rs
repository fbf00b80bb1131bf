//! Creates, gets, and lists of some objects.

use super::Bench;
use super::configmaps::{Create, DATA, Get, KIND, PATH, body};
use super::site::{SERVERS, Site};
use super::table::{Bound, Row};
use crate::load::client::{runtime, value};
use crate::load::closed::{self, Load, Operation, Outcome};
use crate::load::keys::{Deed, Keys};
use crate::load::table::Unit;
use anyhow::{Context as _, Result, ensure};

/// What a create may take more than the store's put, in microseconds.
const ABOVE_PUT_MAX: f64 = 300.0;
/// Creates per second by many clients.
const RATE_MIN: f64 = 6_000.0;
/// Objects of a list.
const LISTED: usize = 2_000;
/// Creates under way while objects are made that are read then.
const AT_ONCE: usize = 32;

/// Puts of the store's own, then creates by one client and by many.
pub(super) fn create(bench: &Bench) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        let puts = Keys {
            endpoints: site.store.endpoints(),
            deed: Deed::Put {
                value: value(DATA),
                keys: 100_000,
            },
        };
        let put = load(bench, site, 1, puts)?;
        let one = load(bench, site, 1, Create::new(&site.client, "one")?)?;
        let above = one.percentile(0.5) - put.percentile(0.5);
        let mut rows = vec![
            Row::new(
                "the store's own put, 1 client, p50",
                Unit::Microseconds,
                put.percentile(0.5),
            )
            .upstream("270 us (etcd)"),
            Row::new("create above it, p50", Unit::Microseconds, above)
                .bound(Bound::AtMost(ABOVE_PUT_MAX)),
        ];
        rows.extend(lines("1 client", &one, Bound::None, "513 to 657 /s"));
        for (clients, prefix, upstream) in [(16, "some", "1,223 to 1,394 /s"), (64, "many", "")] {
            let many = load(bench, site, clients, Create::new(&site.client, prefix)?)?;
            let bound = Bound::AtLeast(RATE_MIN);
            rows.extend(lines(&format!("{clients} clients"), &many, bound, upstream));
        }
        Ok(rows)
    })
}

/// One object, as it is in the store and as the cache has it.
pub(super) fn get(bench: &Bench) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        let made = site.client.create(PATH, KIND, 1, [body("read", DATA)?]);
        runtime()?.block_on(made)?;
        let mut rows = Vec::new();
        for (query, said) in [("", ""), ("?resourceVersion=0", " from the cache")] {
            for (clients, upstream) in [(1, "983 /s"), (16, "2,317 /s")] {
                let get = Get {
                    client: site.client.clone(),
                    path: format!("{PATH}/read{query}"),
                    kind: KIND,
                };
                let upstream = if query.is_empty() { upstream } else { "" };
                let got = load(bench, site, clients, get)?;
                let many = if clients == 1 { "" } else { "s" };
                let what = format!("{clients} client{many}{said}");
                rows.extend(lines(&what, &got, Bound::None, upstream));
            }
        }
        Ok(rows)
    })
}

/// A list that is not large.
pub(super) fn list(bench: &Bench) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        let bodies: Result<Vec<_>> = (0..LISTED)
            .map(|number| body(&format!("listed-{number}"), DATA))
            .collect();
        let made = site.client.create(PATH, KIND, AT_ONCE, bodies?);
        runtime()?.block_on(made)?;
        let mut rows = Vec::new();
        for (query, said, upstream) in [
            ("", "resourceVersion unset", "26 ms (store)"),
            ("?resourceVersion=0", "resourceVersion=0", "18 ms (cache)"),
        ] {
            let path = format!("{PATH}{query}");
            let answer = runtime()?.block_on(site.client.get(&path))?;
            let items = count(&answer, b"\"name\":\"listed-");
            ensure!(items == LISTED, "{items} objects instead of {LISTED}");
            let get = Get {
                client: site.client.clone(),
                path,
                kind: "ConfigMapList",
            };
            let got = load(bench, site, 1, get)?;
            rows.push(
                Row::new(
                    format!("{said}, p50"),
                    Unit::Microseconds,
                    got.percentile(0.5),
                )
                .upstream(upstream),
            );
            rows.push(cpu(said, &got, 0));
        }
        Ok(rows)
    })
}

fn load<O: Operation>(bench: &Bench, site: &Site, clients: usize, operation: O) -> Result<Outcome> {
    let load = Load {
        clients,
        operation,
        warm_up: bench.warm_up,
        length: bench.length,
    };
    closed::run(&load, || site.usage()).context("a load")
}

fn lines(what: &str, outcome: &Outcome, bound: Bound, upstream: &'static str) -> Vec<Row> {
    let at = |share| outcome.percentile(share);
    vec![
        Row::new(format!("{what}, rate"), Unit::PerSecond, outcome.rate())
            .bound(bound)
            .upstream(upstream),
        Row::new(format!("{what}, p50"), Unit::Microseconds, at(0.5)),
        Row::new(format!("{what}, p99"), Unit::Microseconds, at(0.99)),
        cpu(what, outcome, 0),
        cpu(what, outcome, 1),
        Row::new(
            format!("{what}, CPU each of the client"),
            Unit::Microseconds,
            outcome.client_cpu(),
        ),
    ]
}

fn cpu(what: &str, outcome: &Outcome, server: usize) -> Row {
    let what = format!("{what}, CPU each of the {}", SERVERS[server]);
    Row::new(what, Unit::Microseconds, outcome.server_cpu(server))
}

/// How often a text is in another.
pub(super) fn count(bytes: &[u8], sought: &[u8]) -> usize {
    bytes
        .windows(sought.len())
        .filter(|window| *window == sought)
        .count()
}
