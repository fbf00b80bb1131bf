//! What `cargo xtask bench runtime` measures: the container runtime against containerd with runc through CRI, and against crun and
//! runc alone.
//!
//! ```text
//!   life      sandboxes and containers made, started and removed, in turns with the peers
//!   programs  crun and runc, called as a shell would call them
//!   memory    of the runtime at rest, and for each container
//!   unpack    a large image pulled from a registry on this machine
//! ```

mod life;
mod memory;
mod programs;
mod unpack;

use super::bench::on_a_disk;
use super::client::runtime;
use super::table;
use crate::containers::image::Image;
use crate::containers::registry::Registry;
use crate::containers::site::{Cgroups, Kind, Site};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use programs::work as call_programs;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Data directories are made here.
    pub directory: PathBuf,
    /// Turns of which the median counts.
    pub turns: usize,
    /// Pods with one container each, for what each takes.
    pub pods: usize,
    /// MiB of the large image.
    pub image_mib: usize,
}

/// One thing that is measured.
struct Part {
    /// What the user types after `--only`.
    name: &'static str,
    /// What it does, and against which peer.
    about: &'static str,
    run: fn(&Bench, &Place) -> Result<String>,
}

const PARTS: &[Part] = &[
    Part {
        name: "memory",
        about: "PSS of the runtime and its helpers; containerd with its shims",
        run: memory::run,
    },
    Part {
        name: "life",
        about: "through CRI, containerd with runc; and crun and runc as they are called by themselves",
        run: life::run,
    },
    Part {
        name: "unpack",
        about: "an image of ten layers from a registry on this machine; containerd",
        run: unpack::run,
    },
];

/// What all parts have: a directory and a registry with two small images.
struct Place {
    directory: tempfile::TempDir,
    registry: Registry,
    /// Of one static program that waits.
    app: String,
    /// Cgroups of the bench are below it.
    cgroup: String,
}

impl Place {
    fn new(bench: &Bench) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("runtime")
            .tempdir_in(&bench.directory)
            .context("make a directory")?;
        let registry = Registry::start(&directory.path().join("registry"), None)?;
        let image = Image::of_contained(&directory.path().join("image"), &["pause"])?;
        registry.push("app", "1", &image)?;
        Ok(Self {
            app: registry.name("app:1"),
            registry,
            directory,
            cgroup: format!("/orlop-bench-{}", std::process::id()),
        })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A runtime on empty data, with the small image.
    async fn with_image(&self, kind: Kind, cgroups: Cgroups) -> Result<Site> {
        let mut site = self.site(kind, cgroups).await?;
        site.cri
            .pull(&self.app, None)
            .await
            .with_context(|| site.log())?;
        Ok(site)
    }

    /// A runtime on empty data.
    async fn site(&self, kind: Kind, cgroups: Cgroups) -> Result<Site> {
        let directory = self.path().join(format!("{cgroups:?}"));
        Site::start(kind, &directory, cgroups, &self.app, &[]).await
    }
}

impl Drop for Place {
    /// Cgroups of a runtime that was killed are left; they are empty then.
    fn drop(&mut self) {
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            remove_cgroups(&hierarchy.path().join(self.cgroup.trim_start_matches('/')));
        }
        remove_cgroups(Path::new(&format!("/sys/fs/cgroup{}", self.cgroup)));
    }
}

fn remove_cgroups(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroups(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(directory);
}

impl Bench {
    /// Runs the parts of these names, or all, and prints each one's figures when they are there.
    ///
    /// # Errors
    /// A part has no such name, or fails.
    pub fn run(&self, names: &[String]) -> Result<()> {
        if let Some(name) = names
            .iter()
            .find(|name| PARTS.iter().all(|part| part.name != **name))
        {
            let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            bail!("there is no part `{name}`; there are {}", known.join(", "));
        }
        on_a_disk(&self.directory)?;
        let began = Instant::now();
        print!("{}", table::head("peer"));
        for part in PARTS {
            if names.is_empty() || names.iter().any(|name| name == part.name) {
                println!("{}: {}", part.name, part.about);
                let place = Place::new(self)?;
                print!("{}", (part.run)(self, &place).with_context(|| part.name)?);
            }
        }
        println!("\n{:.0} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}
