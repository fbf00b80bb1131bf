//! Memory at rest, and how soon a member answers after its start.

use crate::load::bench::Bench;
use crate::load::client;
use crate::load::table::{Figure, Goal, Unit};
use crate::store::Kind;
use crate::store::cluster::Member;
use anyhow::{Context as _, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a value.
const VALUE: usize = 256;
/// Memory is looked at after this long without a request: what a garbage collector gives back by itself is given back.
const REST: Duration = Duration::from_secs(5);
/// What a start with a million keys may take, in seconds.
const START_MAX: f64 = 2.0;
/// What an empty member may take.
const EMPTY_MAX: f64 = 12.0 * 1024.0 * 1024.0;

/// Memory of a member without a key.
pub(super) fn empty(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let resident = rested(&cluster.members[0])?;
        Ok(vec![Figure::new(
            "  RSS",
            Unit::Bytes,
            Goal::Within(EMPTY_MAX),
            resident,
        )])
    })
}

/// Memory with many keys, and starts with them: after a kill while the last puts are only in the log, and after an
/// orderly end.
pub(super) fn million(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let member = &mut cluster.members[0];
        let began = Instant::now();
        let filled = client::fill(
            member.client_url(),
            "many",
            bench.keys,
            client::value(VALUE),
        );
        client::runtime()?.block_on(filled)?;
        let filling = began.elapsed().as_secs_f64();
        let loaded = rested(member)?;
        member.kill()?;
        let after_kill = start(member, bench.keys)?;
        let started = rested(member)?;
        member.stop()?;
        let after_end = start(member, bench.keys)?;
        Ok(vec![
            Figure::new(
                "  RSS after putting them",
                Unit::Bytes,
                Goal::AtMost(0.5),
                loaded,
            ),
            Figure::new(
                "  RSS after a start",
                Unit::Bytes,
                Goal::AtMost(0.5),
                started,
            ),
            Figure::new(
                "  first get after kill -9",
                Unit::Seconds,
                Goal::Within(START_MAX),
                after_kill,
            ),
            Figure::new(
                "  first get after an orderly end",
                Unit::Seconds,
                Goal::Within(START_MAX),
                after_end,
            ),
            Figure::new(
                "  putting them, 128 a transaction",
                Unit::Seconds,
                Goal::None,
                filling,
            ),
        ])
    })
}

/// Seconds from the start of the program to its first answer.
fn start(member: &mut Member, keys: usize) -> Result<f64> {
    let last = client::key("many", keys.saturating_sub(1));
    let began = Instant::now();
    member.start()?;
    let answer = client::first_answer(member.client_url(), last);
    let (at, found) = client::runtime()?.block_on(answer)?;
    ensure!(found == 1, "the last key is gone after the start");
    Ok((at - began).as_secs_f64())
}

fn rested(member: &Member) -> Result<f64> {
    thread::sleep(REST);
    let kibibytes = u32::try_from(member.usage()?.resident / 1024).context("less than 4 TiB")?;
    Ok(f64::from(kibibytes) * 1024.0)
}
