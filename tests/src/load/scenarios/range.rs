//! Large answers.

use crate::load::bench::Bench;
use crate::load::calls::Calls;
use crate::load::client;
use crate::load::closed::percentile;
use crate::load::table::{Figure, Goal, Unit};
use crate::store::Kind;
use anyhow::{Context as _, Result, ensure};
use etcd_proto::encoded::EncodedRangeResponse;
use etcd_proto::etcdserverpb::RangeRequest;
use etcd_proto::prost::Message as _;
use std::time::{Duration, Instant};

/// Keys in one answer.
const KEYS: usize = 10_000;
/// Keys beside them, which must cost nothing.
const OTHER_KEYS: usize = 20_000;
/// Bytes of a value.
const VALUE: usize = 256;
/// Answers that count, at most: a median needs no more.
const ANSWERS_MAX: usize = 50;
/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// The median time of a range.
pub(super) fn run(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    bench.with_cluster(kind, 1, |cluster| {
        let endpoint = cluster.members[0].client_url();
        let (first, mut rest, cpu) = client::runtime()?.block_on(async {
            let value = client::value(VALUE);
            client::fill(endpoint, "range", KEYS, value.clone()).await?;
            client::fill(endpoint, "other", OTHER_KEYS, value).await?;
            let mut calls = Calls::connect(endpoint, "/etcdserverpb.KV/Range").await?;
            let mut answers = Vec::new();
            let deadline = Instant::now() + bench.length;
            let before = cluster.usage()?;
            let mut took = Vec::new();
            while took.len() < ANSWERS_MAX && (took.len() < 2 || Instant::now() < deadline) {
                let request = RangeRequest {
                    key: "range/".into(),
                    range_end: "range0".into(),
                    ..RangeRequest::default()
                };
                let asked = Instant::now();
                calls.call(0, &request)?;
                tokio::time::timeout(ANSWER_WAIT, calls.answers(&mut answers))
                    .await
                    .context("a range is not answered")??;
                took.push(asked.elapsed());
                let (_, answer) = answers.pop().context("an answer")?;
                let answer = EncodedRangeResponse::decode(answer.as_slice());
                let found = answer.context("an answer to a range")?.kvs.len();
                ensure!(found == KEYS, "{found} keys instead of {KEYS}");
            }
            let cpu = (cluster.usage()? - before).cpu.as_secs_f64() * 1e6
                / crate::load::closed::count(took.len());
            let rest = took.split_off(1);
            Ok((took, rest, cpu))
        })?;
        rest.sort_unstable();
        Ok(vec![
            Figure::new(
                "  median",
                Unit::Microseconds,
                Goal::AtMost(1.0 / 3.0),
                percentile(&rest, 0.5),
            ),
            Figure::new(
                "  the first",
                Unit::Microseconds,
                Goal::None,
                percentile(&first, 0.5),
            ),
            Figure::new("  server CPU each", Unit::Microseconds, Goal::None, cpu),
        ])
    })
}
