//! What `cargo xtask bench apiserver` measures: the API server over the store, beside what the project has set itself and what
//! upstream's took.
//!
//! ```text
//!   site        a store and an API server on empty data
//!   client      TLS, and requests over it
//!   configmaps  creates and gets, as a closed loop sends them
//!   start       from exec to readiness
//!   rest        CPU and memory of servers that nobody asks
//!   pods        memory of many objects, and large lists
//!   requests    creates, gets, and lists of some objects
//!   watch       many watchers of one resource
//!   table       the lines that are printed
//! ```

mod client;
mod configmaps;
mod pods;
mod requests;
mod rest;
mod site;
mod start;
mod table;
mod watch;

use super::bench::on_a_disk;
use crate::store::Kind;
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use table::Row;

/// How long and how large everything is.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Data directories are made here.
    pub directory: PathBuf,
    /// The store below the API server.
    pub store: Kind,
    /// What a closed loop does before it counts.
    pub warm_up: Duration,
    /// How long a load counts.
    pub length: Duration,
    /// How long nobody asks anything.
    pub rest: Duration,
    /// Starts of which the median counts.
    pub starts: usize,
    /// Pods of 4 KiB.
    pub pods: usize,
    /// Watchers of one resource.
    pub watchers: usize,
    /// Changes per second that they watch.
    pub changes: u32,
}

/// One thing that is measured, on empty data.
struct Part {
    /// What the user types after `--only`.
    name: &'static str,
    /// What it does.
    about: &'static str,
    run: fn(&Bench) -> Result<Vec<Row>>,
}

/// All of them, in the order in which they run.
const PARTS: &[Part] = &[
    Part {
        name: "start",
        about: "store and API server, exec to the first 200 of /readyz",
        run: start::run,
    },
    Part {
        name: "idle",
        about: "nobody asks anything",
        run: rest::run,
    },
    Part {
        name: "pods",
        about: "many Pods of 4 KiB, and lists of all of them",
        run: pods::run,
    },
    Part {
        name: "watch",
        about: "watchers of all ConfigMaps on 4 connections, ConfigMaps of 300 bytes change",
        run: |bench| watch::run(bench, watch::CONNECTIONS),
    },
    Part {
        name: "watch-each",
        about: "the same, each watcher on a connection of its own",
        run: |bench| watch::run(bench, bench.watchers),
    },
    Part {
        name: "create",
        about: "ConfigMaps with 256 bytes of data",
        run: requests::create,
    },
    Part {
        name: "get",
        about: "one ConfigMap with 256 bytes of data",
        run: requests::get,
    },
    Part {
        name: "list",
        about: "2,000 ConfigMaps with 256 bytes of data, 1 client",
        run: requests::list,
    },
];

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
        print!("{}", table::head());
        for part in PARTS {
            if names.is_empty() || names.iter().any(|name| name == part.name) {
                println!("{}: {}", part.name, part.about);
                let rows = (part.run)(self).with_context(|| part.name)?;
                rows.iter().for_each(|row| print!("{}", row.line()));
            }
        }
        println!("\n{:.0} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for part in PARTS {
            let same = PARTS.iter().filter(|other| other.name == part.name);
            assert_eq!(same.count(), 1, "{}", part.name);
        }
    }
}
