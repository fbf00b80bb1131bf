//! A large image of ten layers, of this machine's own files, pulled from a registry on this machine.

use super::{Bench, Place, runtime};
use crate::containers::image::Image;
use crate::containers::site::{Cgroups, Kind};
use crate::load::table::{Figure, Goal, Unit, line};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

const LAYERS: usize = 10;
/// A larger file would be most of a layer.
const FILE_MAX: u64 = 20 * 1024 * 1024;
/// Pulls of which the median counts.
const TURNS: usize = 3;

pub(super) fn run(bench: &Bench, place: &Place) -> Result<String> {
    let archives = archives(bench.image_mib * 1024 * 1024 / LAYERS)?;
    let bytes: usize = archives.iter().map(Vec::len).sum();
    let image = Image::write(&place.path().join("large"), &archives, &json!({}))?;
    drop(archives);
    place.registry.push("large", "1", &image)?;
    let name = place.registry.name("large:1");
    let (mut peer, mut ours) = (Vec::new(), Vec::new());
    let runtime = runtime()?;
    for _ in 0..TURNS {
        for (kind, took) in [(Kind::Containerd, &mut peer), (Kind::Orlop, &mut ours)] {
            took.push(runtime.block_on(async {
                let mut site = place.site(kind, Cgroups::Host).await?;
                let began = Instant::now();
                site.cri
                    .pull(&name, None)
                    .await
                    .with_context(|| site.log())?;
                let took = began.elapsed().as_secs_f64();
                let data = site.directory().to_owned();
                drop(site);
                fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
                anyhow::Ok(took)
            })?);
        }
    }
    let figure = Figure::new("  pull", Unit::Seconds, Goal::AtMost(1.0), 0.0);
    let mib = bytes / (1024 * 1024);
    Ok(format!("  {mib} MiB\n{}", line(&figure, &peer, &ours)))
}

/// Ten archives of about `size` bytes each.
fn archives(size: usize) -> Result<Vec<Vec<u8>>> {
    let mut archives = vec![tar::Builder::new(Vec::new())];
    let mut pending = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/share")];
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.is_dir() {
            let entries =
                fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
            pending.extend(entries.flatten().map(|entry| entry.path()));
        } else if found.is_file() && found.len() < FILE_MAX {
            if archives
                .last()
                .is_some_and(|last| last.get_ref().len() > size)
            {
                if archives.len() == LAYERS {
                    break;
                }
                archives.push(tar::Builder::new(Vec::new()));
            }
            if let Some(last) = archives.last_mut() {
                let name = path.strip_prefix("/").unwrap_or(&path);
                last.append_path_with_name(&path, name)
                    .with_context(|| format!("archive {}", path.display()))?;
            }
        }
    }
    archives
        .into_iter()
        .map(|archive| archive.into_inner().context("write an archive"))
        .collect()
}
