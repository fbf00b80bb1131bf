//! How long sandboxes and containers take, in turns with the peers, so that what the machine does meanwhile is shared.

use super::programs::{Peer, Program};
use super::{Bench, Place, runtime};
use crate::containers::cri::{container, pod};
use crate::containers::site::{Cgroups, Kind, Site};
use crate::load::table::{Figure, Goal, Unit, line};
use anyhow::{Context as _, Result};
use std::time::Instant;

/// Microseconds of one turn through CRI.
#[derive(Debug, Default)]
struct Took {
    /// `RunPodSandbox`, `CreateContainer`, `StartContainer`.
    pod: Vec<f64>,
    /// `CreateContainer`, `StartContainer`.
    started: Vec<f64>,
    /// A container that ends at once: created, started, ended, removed.
    whole: Vec<f64>,
}

pub(super) fn run(bench: &Bench, place: &Place) -> Result<String> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut crun = Program::start(place.path(), Peer::Crun, &place.cgroup)?;
        let mut runc = Program::start(place.path(), Peer::Runc, &place.cgroup)?;
        // Each peer with the cgroups that it can use; a host with version 2 alone has no such difference.
        let mut containerd = place.with_image(Kind::Containerd, Cgroups::Host).await?;
        let mut beside = place.with_image(Kind::Orlop, Cgroups::Host).await?;
        let mut ours = place.with_image(Kind::Orlop, Cgroups::Unified).await?;
        let (mut peer, mut own, mut unified) = (Took::default(), Took::default(), Took::default());
        let mut programs = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        // The first turn warms caches and does not count.
        for number in 0..=bench.turns {
            turn(&mut containerd, place, number, &mut peer).await?;
            turn(&mut beside, place, number, &mut own).await?;
            turn(&mut ours, place, number, &mut unified).await?;
            for (program, took) in [&mut crun, &mut runc].into_iter().zip(&mut programs) {
                let (started, whole) = (program.started()?, program.whole()?);
                if number > 0 {
                    took[0].push(started);
                    took[1].push(whole);
                }
            }
        }
        let figure = |what, goal, peer: &[f64], ours: &[f64]| {
            line(
                &Figure::new(what, Unit::Microseconds, goal, 0.0),
                peer,
                ours,
            )
        };
        let [[crun_started, crun_whole], [runc_started, runc_whole]] = &programs;
        Ok([
            figure(
                "  sandbox, create, start (containerd)",
                Goal::AtMost(0.5),
                &peer.pod,
                &own.pod,
            ),
            figure(
                "  create, start (containerd)",
                Goal::None,
                &peer.started,
                &own.started,
            ),
            figure(
                "  create to removed (containerd)",
                Goal::None,
                &peer.whole,
                &own.whole,
            ),
            figure(
                "  create, start (crun)",
                Goal::AtMost(1.0),
                crun_started,
                &unified.started,
            ),
            figure(
                "  create to removed (crun)",
                Goal::AtMost(1.2),
                crun_whole,
                &unified.whole,
            ),
            figure(
                "  create, start (runc)",
                Goal::None,
                runc_started,
                &unified.started,
            ),
            figure(
                "  create to removed (runc)",
                Goal::None,
                runc_whole,
                &unified.whole,
            ),
        ]
        .concat())
    })
}

async fn turn(site: &mut Site, place: &Place, number: usize, took: &mut Took) -> Result<()> {
    once(site, place, number, took)
        .await
        .with_context(|| format!("{}:\n{}", site.kind().name(), site.log()))
}

async fn once(site: &mut Site, place: &Place, number: usize, took: &mut Took) -> Result<()> {
    let name = format!("{}{number}", site.kind().name());
    let pod = pod(
        &name,
        &site.directory().join("logs"),
        &format!("{}/{name}", place.cgroup),
    );
    let cri = &mut site.cri;
    let began = Instant::now();
    let sandbox = cri.run_sandbox(&pod).await?;
    cri.run(&sandbox, &pod, &container("first", &place.app, &[]))
        .await?;
    let whole_pod = began.elapsed();

    let began = Instant::now();
    let second = cri
        .run(&sandbox, &pod, &container("second", &place.app, &[]))
        .await?;
    let started = began.elapsed();
    cri.remove(&second).await?;

    let began = Instant::now();
    let third = container("third", &place.app, &["exit", "0"]);
    let third = cri.run(&sandbox, &pod, &third).await?;
    cri.ended(&third).await?;
    cri.remove(&third).await?;
    let whole = began.elapsed();
    cri.remove_sandbox(&sandbox).await?;
    if number > 0 {
        took.pod.push(whole_pod.as_secs_f64() * 1e6);
        took.started.push(started.as_secs_f64() * 1e6);
        took.whole.push(whole.as_secs_f64() * 1e6);
    }
    Ok(())
}
