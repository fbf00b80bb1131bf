//! From exec to readiness.

use super::Bench;
use super::client::{Client, Method, ask};
use super::site;
use super::table::{Bound, Row};
use crate::api::{self, ApiServer};
use crate::load::calls::Framing;
use crate::load::client::runtime;
use crate::load::table::{Unit, median};
use crate::store::{Cluster, Options};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a start on an empty disk may take, in seconds.
const START_MAX: f64 = 0.3;
/// Longest wait.
const READY_MAX: Duration = Duration::from_secs(60);
/// Pause before the next look: much shorter than any start, and long enough to leave the processors to those who start.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Starts on an empty disk, and on what those have left.
pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let (mut empty, mut again) = (Vec::new(), Vec::new());
    for _ in 0..bench.starts {
        let directory = site::directory(bench)?;
        let port = api::free_port()?;
        let mut store = Cluster::prepare(bench.store, directory.path(), &Options::default())?;
        let (took, mut server) = start(&mut store, directory.path(), port)?;
        empty.push(took);
        server.kill()?;
        store.members[0].stop()?;
        let (took, _server) = start(&mut store, directory.path(), port)?;
        again.push(took);
    }
    let starts = |what: &str, took: &[f64]| {
        let least = took.iter().copied().fold(f64::INFINITY, f64::min);
        let most = took.iter().copied().fold(0.0, f64::max);
        let what = format!("{what}, median ({least:.2} to {most:.2})");
        let median = median(took).context("one start at least")?;
        anyhow::Ok(Row::new(what, Unit::Seconds, median))
    };
    Ok(vec![
        starts("empty disk", &empty)?
            .bound(Bound::AtMost(START_MAX))
            .upstream("4.1 s"),
        starts("restart", &again)?.upstream("5.3 s"),
    ])
}

/// Starts both at once; seconds until the API server is ready.
fn start(store: &mut Cluster, directory: &Path, port: u16) -> Result<(f64, ApiServer)> {
    let began = Instant::now();
    // The store's process is looked up when it is started, which takes a moment.
    let server = ApiServer::launch(store, directory, port)?;
    store.members[0].start()?;
    let ready = async {
        loop {
            match until_ready(&server).await {
                Ok(()) => return,
                // Nothing listens yet.
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    };
    runtime()?
        .block_on(async { tokio::time::timeout(READY_MAX, ready).await })
        .with_context(|| format!("it is not ready:\n{}", server.log()))?;
    Ok((began.elapsed().as_secs_f64(), server))
}

/// Asks on one connection until it is.
async fn until_ready(server: &ApiServer) -> Result<()> {
    let client = Client::new(server)?;
    let mut calls = client.open(Method::Get, "/readyz", Framing::Whole).await?;
    while ask(&mut calls, Vec::new()).await? != b"ok" {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
