//! Writes limits to the cgroup of a container that runs.

use crate::planner::limits::{Now, Write, writes_v1, writes_v2};
use oci_spec::runtime::LinuxResources;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the kernel's cgroups are.
const ROOT: &str = "/sys/fs/cgroup";
/// The file whose value may be less than what is used already: then the kernel would end processes.
const MEMORY: &str = "memory.max";
/// The kernel rounds limits down to whole pages.
const PAGE: u64 = 4096;

/// Why not. What was written before the fault is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum LimitsError {
    /// The kernel has no such limit, or its controller is not enabled for the container.
    #[error("the container's cgroup has no {0}: its controller is not enabled")]
    Missing(String),
    /// More is used.
    #[error("memory limit {limit} is below the {used} bytes that the container uses")]
    Below {
        /// The new limit.
        limit: u64,
        /// Bytes that could not be taken back.
        used: u64,
    },
    /// The kernel's.
    #[error("write {value:?} to {file} of the container's cgroup: {source}")]
    Io {
        /// The file.
        file: String,
        /// The value.
        value: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Sets limits. A cgroup that is gone has none.
pub(super) fn apply(cgroup: &Path, limits: &LinuxResources, v2: bool) -> Result<(), LimitsError> {
    let place = Place {
        below: cgroup.strip_prefix("/").unwrap_or(cgroup),
        v2,
    };
    let writes = if v2 {
        let period = place.read("cpu", "cpu.max");
        let period = period.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        writes_v2(limits, period)
    } else {
        writes_v1(
            limits,
            Now {
                memory_and_swap: place.number("memory", "memory.memsw.limit_in_bytes"),
                cpu_period: place.number("cpu", "cpu.cfs_period_us"),
            },
        )
    };
    let mut done: Vec<(&Write, String)> = Vec::new();
    for write in &writes {
        let before = place.read(&write.controller, &write.file);
        if let Err(error) = place.write(write, before.is_some()) {
            if place.is_gone() {
                return Ok(());
            }
            for (write, before) in done.into_iter().rev() {
                // As far as it can be: the fault that is told is the first one. A write of nothing never comes to the kernel's file.
                let before = if before.is_empty() { "\n" } else { &before };
                let _ = fs::write(place.file(&write.controller, &write.file), before);
            }
            return Err(error);
        }
        done.extend(before.map(|before| (write, before)));
    }
    Ok(())
}

/// A cgroup.
struct Place<'a> {
    below: &'a Path,
    v2: bool,
}

impl Place<'_> {
    fn file(&self, controller: &str, name: &str) -> PathBuf {
        let root = Path::new(ROOT);
        if self.v2 {
            root.join(self.below).join(name)
        } else {
            root.join(controller).join(self.below).join(name)
        }
    }

    fn read(&self, controller: &str, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.file(controller, name)).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn number(&self, controller: &str, name: &str) -> Option<u64> {
        self.read(controller, name)?.parse().ok()
    }

    fn is_gone(&self) -> bool {
        !self.file("memory", "").exists()
    }

    fn write(&self, write: &Write, is_there: bool) -> Result<(), LimitsError> {
        let file = self.file(&write.controller, &write.file);
        if !is_there && !file.exists() {
            return Err(LimitsError::Missing(write.file.clone()));
        }
        if self.v2 && write.file == MEMORY {
            self.make_room(&write.value)?;
        }
        fs::write(file, &write.value).map_err(|source| LimitsError::Io {
            file: write.file.clone(),
            value: write.value.clone(),
            source,
        })
    }

    /// By version 1 the kernel refuses a limit below what is used; by version 2 it ends processes until it holds. What can be taken
    /// back, as file pages, is taken back first, and then we refuse as version 1 does.
    fn make_room(&self, limit: &str) -> Result<(), LimitsError> {
        let Ok(limit) = limit.parse::<u64>() else {
            return Ok(());
        };
        // It is raised, or stays: then what is used has had room before.
        if let Some(before) = self.number("memory", MEMORY)
            && limit / PAGE >= before / PAGE
        {
            return Ok(());
        }
        let used = || self.number("memory", "memory.current").unwrap_or(0);
        let above = used().saturating_sub(limit);
        if above > 0 {
            // It says EAGAIN when it could not have all of it: what is left is seen below. (Linux 5.19.)
            let _ = fs::write(self.file("memory", "memory.reclaim"), above.to_string());
        }
        match used() {
            used if used > limit => Err(LimitsError::Below { limit, used }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxCpuBuilder, LinuxResourcesBuilder};

    /// Cgroups of the kernel's, which are made for it: they need root.
    #[test]
    fn what_was_empty_is_empty_again() {
        let name = format!("orlop-limits-{}", std::process::id());
        let v2 = Path::new(ROOT).join("cgroup.controllers").exists();
        let directories = if v2 {
            vec![Path::new(ROOT).join(&name)]
        } else {
            ["cpuset", "memory"]
                .map(|one| Path::new(ROOT).join(one).join(&name))
                .to_vec()
        };
        for directory in &directories {
            fs::create_dir(directory).expect("needs root: a cgroup");
        }
        let file = |name: &str| directories.first().expect("one").join(name);
        assert_eq!(
            fs::read_to_string(file("cpuset.mems")).expect("cpuset"),
            "\n"
        );
        let cpu = LinuxCpuBuilder::default().mems("0").cpus("nonsense");
        let limits = LinuxResourcesBuilder::default().cpu(cpu.build().expect("CPUs"));
        let limits = limits.build().expect("limits");
        let error = apply(&Path::new("/").join(&name), &limits, v2).expect_err("no CPUs");
        let after = fs::read_to_string(file("cpuset.mems")).expect("cpuset");
        for directory in &directories {
            fs::remove_dir(directory).expect("a cgroup");
        }
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert_eq!(after, "\n");
    }
}
