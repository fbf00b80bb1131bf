//! Memory: of the runtime at rest, and what each container costs beside itself.

use super::{Bench, Place, runtime};
use crate::containers::cri::{container, pod};
use crate::containers::site::{Cgroups, Kind, Site};
use crate::load::table::{Figure, Goal, Unit, line};
use anyhow::{Context as _, Result};
use std::fs;

/// What the runtime may take at rest.
const REST_MAX: f64 = 24.0 * 1024.0 * 1024.0;
/// What a running container may cost beside itself.
const EACH_MAX: f64 = 0.3 * 1024.0 * 1024.0;

pub(super) fn run(bench: &Bench, place: &Place) -> Result<String> {
    let runtime = runtime()?;
    let peer = runtime.block_on(measure(bench, place, Kind::Containerd))?;
    let ours = runtime.block_on(measure(bench, place, Kind::Orlop))?;
    let figures = [
        ("  RSS after the start, of itself", Goal::Within(REST_MAX)),
        ("  PSS after the start, with its helpers", Goal::None),
        ("  the same, after a pull", Goal::None),
        ("  PSS for each running container", Goal::Within(EACH_MAX)),
    ];
    let lines = figures.iter().zip(peer).zip(ours);
    Ok(lines
        .map(|(((what, goal), peer), ours)| {
            line(
                &Figure::new(what, Unit::Bytes, *goal, ours),
                &[peer],
                &[ours],
            )
        })
        .collect())
}

async fn measure(bench: &Bench, place: &Place, kind: Kind) -> Result<[f64; 4]> {
    let mut site = place.site(kind, Cgroups::Host).await?;
    // Helpers are smaller; pages of a program that several run are in each one's RSS, and once in the sum of their PSS.
    let itself = each(&site, "status", "VmRSS:")?
        .into_iter()
        .fold(0.0, f64::max);
    let started = sum(&site, "smaps_rollup", "Pss:")?;
    site.cri
        .pull(&place.app, None)
        .await
        .with_context(|| site.log())?;
    let before = sum(&site, "smaps_rollup", "Pss:")?;
    for number in 0..bench.pods {
        let name = format!("m{number}");
        let pod = pod(
            &name,
            &site.directory().join("logs"),
            &format!("{}/{name}", place.cgroup),
        );
        let sandbox = site
            .cri
            .run_sandbox(&pod)
            .await
            .with_context(|| site.log())?;
        let config = container("app", &place.app, &[]);
        let container = site.cri.run(&sandbox, &pod, &config).await;
        container.with_context(|| site.log())?;
    }
    let after = sum(&site, "smaps_rollup", "Pss:")?;
    #[allow(clippy::cast_precision_loss)] // some hundred at most
    let each_container = (after - before) / bench.pods as f64;
    Ok([itself, started, before, each_container])
}

/// A field of all the runtime's processes together, in bytes.
fn sum(site: &Site, file: &str, field: &str) -> Result<f64> {
    Ok(each(site, file, field)?.into_iter().sum())
}

/// A field of `/proc/PID/FILE` in kB, of each of the runtime's processes, in bytes.
fn each(site: &Site, file: &str, field: &str) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for pid in site.processes()? {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(field));
        let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        all.push(value.unwrap_or(0.0) * 1024.0);
    }
    Ok(all)
}
