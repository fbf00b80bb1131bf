//! One cgroup (v2) per service: `/sys/fs/cgroup/orlop/<service>`.
//!
//! `init` itself moves to `/sys/fs/cgroup/init`, because a cgroup that hands controllers to its children
//! may hold no processes. A controller that the kernel does not offer here is named once and then left
//! out: the node works, without that limit.

use init_proto::plan::CgroupLimits;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the v2 hierarchy is mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// Parent of the services' cgroups, below [`ROOT`].
const SERVICES: &str = "orlop";
/// Controllers that limits need.
const WANTED: [&str; 3] = ["memory", "pids", "cpu"];
/// Processes killed one by one, and rounds of it, where the kernel has no `cgroup.kill`.
const KILL_ROUNDS: usize = 8;

/// The services' part of the hierarchy.
#[derive(Debug)]
pub(crate) struct Cgroups {
    root: PathBuf,
    controllers: BTreeSet<String>,
}

impl Cgroups {
    /// Prepares the hierarchy and says which wanted controllers are missing.
    pub(crate) fn set_up(root: &Path) -> io::Result<(Self, Vec<&'static str>)> {
        fs::create_dir_all(root.join("init"))?;
        fs::write(root.join("init/cgroup.procs"), "0")?;
        let services = root.join(SERVICES);
        fs::create_dir_all(&services)?;
        let mut controllers = BTreeSet::new();
        for name in WANTED {
            let word = format!("+{name}");
            let enabled = fs::write(root.join("cgroup.subtree_control"), &word)
                .and_then(|()| fs::write(services.join("cgroup.subtree_control"), &word));
            if enabled.is_ok() {
                controllers.insert(name.to_owned());
            }
        }
        let missing = WANTED
            .into_iter()
            .filter(|name| !controllers.contains(*name))
            .collect();
        Ok((
            Self {
                root: services,
                controllers,
            },
            missing,
        ))
    }

    fn directory(&self, service: &str) -> PathBuf {
        self.root.join(service)
    }

    /// Makes a service's cgroup, sets its limits, and opens its `cgroup.procs` for the child to enter.
    /// Also says which limits the kernel refused.
    pub(crate) fn prepare(
        &self,
        service: &str,
        limits: &CgroupLimits,
    ) -> io::Result<(OwnedFd, Vec<String>)> {
        let directory = self.directory(service);
        fs::create_dir_all(&directory)?;
        let text = |value: Option<u64>, none: &str| value.map_or(none.into(), |v| v.to_string());
        let wanted = [
            ("memory", "memory.max", text(limits.memory_max, "max")),
            ("memory", "memory.low", text(limits.memory_low, "0")),
            (
                "pids",
                "pids.max",
                text(limits.pids_max.map(u64::from), "max"),
            ),
            (
                "cpu",
                "cpu.weight",
                text(limits.cpu_weight.map(u64::from), "100"),
            ),
        ];
        let mut refused = Vec::new();
        for (controller, file, value) in wanted {
            if self.controllers.contains(controller)
                && let Err(error) = fs::write(directory.join(file), &value)
            {
                refused.push(format!("{file}={value}: {error}"));
            }
        }
        let procs = rustix::fs::open(
            directory.join("cgroup.procs"),
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok((procs, refused))
    }

    /// Kills every process of a service. A missing cgroup has none.
    pub(crate) fn kill(&self, service: &str) {
        let directory = self.directory(service);
        if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for _ in 0..KILL_ROUNDS {
            let mut any = false;
            each_process(&directory, &mut |pid| {
                any = true;
                kill(pid);
            });
            if !any {
                break;
            }
        }
    }

    /// Whether any process is left in a service's cgroup.
    #[cfg(test)]
    fn populated(&self, service: &str) -> bool {
        let mut any = false;
        each_process(&self.directory(service), &mut |_| any = true);
        any
    }

    /// Removes the services' part of the hierarchy, so that a sandbox leaves nothing behind.
    pub(crate) fn remove_all(&self) {
        remove_tree(&self.root);
    }

    /// Removes the cgroups of a service. False where one stays because it holds a live process.
    pub(crate) fn remove(&self, service: &str) -> bool {
        remove_tree(&self.directory(service))
    }
}

/// Removes a cgroup after those in it (a runtime makes some); true once it is gone.
fn remove_tree(directory: &Path) -> bool {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn each_process(directory: &Path, act: &mut dyn FnMut(i32)) {
    for line in fs::read_to_string(directory.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
    {
        if let Ok(pid) = line.parse::<i32>()
            && pid > 1
        {
            act(pid);
        }
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            each_process(&entry.path(), act);
        }
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The service in whose cgroup a process is, from the text of `/proc/PID/cgroup`.
pub(crate) fn service_of(cgroup_file: &str) -> Option<&str> {
    cgroup_file
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .and_then(|path| path.strip_prefix(SERVICES)?.strip_prefix('/'))
        .map(|rest| rest.split('/').next().unwrap_or(rest))
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_the_service_of_its_cgroup() {
        let hybrid = "4:memory:/x\n1:name=systemd:/\n0::/orlop/network\n";
        assert_eq!(service_of(hybrid), Some("network"));
        assert_eq!(service_of("0::/orlop/runtime/shim\n"), Some("runtime"));
        for other in ["0::/\n", "0::/init\n", "0::/orlop\n", "0::/orlopx/a\n", ""] {
            assert_eq!(service_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_directory_without_the_kernel_behind_it_has_no_processes() {
        let directory = tempfile::tempdir().unwrap();
        let (cgroups, missing) = Cgroups::set_up(directory.path()).unwrap();
        // Plain files accept every write: nothing is missing, limits are written as text.
        assert!(missing.is_empty());
        let limits = CgroupLimits {
            memory_max: Some(1024),
            ..CgroupLimits::default()
        };
        std::fs::create_dir_all(cgroups.directory("a")).unwrap();
        std::fs::write(cgroups.directory("a").join("cgroup.procs"), "").unwrap();
        cgroups.prepare("a", &limits).unwrap();
        let text = std::fs::read_to_string(cgroups.directory("a").join("memory.max")).unwrap();
        assert_eq!(text, "1024");
        assert!(!cgroups.populated("a"));
    }
}
