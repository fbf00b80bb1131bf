//! CPU and memory of servers that nobody asks.

use super::Bench;
use super::site::{self, SERVERS, Site};
use super::table::{Bound, Row};
use crate::load::table::Unit;
use anyhow::Result;
use std::thread;
use std::time::Duration;

/// What a start leaves to be done is done by then.
const SETTLE: Duration = Duration::from_secs(2);
/// What the API server may take.
const RESIDENT_MAX: f64 = 48.0 * 1024.0 * 1024.0;
/// As a share of a core.
const CPU_MAX: f64 = 0.005;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    Site::with(bench, |site| {
        thread::sleep(SETTLE);
        let before = site.usage()?;
        thread::sleep(bench.rest);
        let after = site.usage()?;
        let mut rows = Vec::new();
        for (server, (before, after)) in SERVERS.iter().zip(before.into_iter().zip(after)) {
            let ours = *server == SERVERS[0];
            let resident = site::bytes(after.resident)?;
            let cpu = (after - before).cpu.as_secs_f64() / bench.rest.as_secs_f64();
            let resident = Row::new(format!("RSS, {server}"), Unit::Bytes, resident);
            let cpu = Row::new(format!("CPU, {server}, of a core"), Unit::Percent, cpu);
            rows.extend(if ours {
                [
                    resident
                        .bound(Bound::AtMost(RESIDENT_MAX))
                        .upstream("325 MiB"),
                    cpu.bound(Bound::AtMost(CPU_MAX))
                        .upstream("3.9 %, all four"),
                ]
            } else {
                [resident.upstream("50 MiB"), cpu]
            });
        }
        Ok(rows)
    })
}
