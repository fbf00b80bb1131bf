//! Starts a process as its spec says: directories, config, cgroup, pipes, environment. The same for
//! services and for jobs.

use super::Machine;
use crate::executor::mounts::directory;
use crate::executor::{config_store, spawn};
use init_proto::paths;
use init_proto::plan::{HealthProbe, ServiceSpec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

/// Mode of a service's runtime directory and of its private state.
const RUNTIME_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// All that a process needs to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    environment: Vec<(String, String)>,
    cgroup: Option<OwnedFd>,
    null: OwnedFd,
    output: (OwnedFd, OwnedFd),
    error: (OwnedFd, OwnedFd),
}

/// A process that was started, and the reading ends of what it writes to.
#[derive(Debug)]
pub(super) struct Spawned {
    /// Process id.
    pub(super) pid: i32,
    /// Its standard output.
    pub(super) output: OwnedFd,
    /// Its standard error.
    pub(super) error: OwnedFd,
}

impl Prepared {
    /// Starts the process with these named descriptors.
    pub(super) fn spawn(
        self,
        spec: &ServiceSpec,
        descriptors: Vec<(String, BorrowedFd<'_>)>,
    ) -> Result<Spawned, String> {
        let pid = spawn::spawn(&spawn::Command {
            command: &spec.command,
            environment: self.environment,
            user: spec.user,
            group: spec.group,
            capabilities: &spec.capabilities,
            oom_score_adjust: spec.oom_score_adjust,
            no_new_privileges: spec.no_new_privileges,
            seccomp: spec.seccomp,
            cgroup: self.cgroup,
            input: self.null.as_fd(),
            output: self.output.1.as_fd(),
            error: self.error.1.as_fd(),
            descriptors,
        })?;
        Ok(Spawned {
            pid,
            output: self.output.0,
            error: self.error.0,
        })
    }
}

impl Machine {
    /// Makes ready what the spec's process needs, its log included. Its config is written apart
    /// ([`write_config`]), since a service may get a new one while it runs.
    pub(super) fn prepare(&mut self, spec: &ServiceSpec) -> Result<Prepared, String> {
        let text = |error: std::io::Error| format!("pipes: {error}");
        let prepared = Prepared {
            environment: directories(spec)?,
            cgroup: self.enter_cgroup(spec)?,
            null: spawn::null().map_err(text)?,
            output: spawn::output_pipe().map_err(text)?,
            error: spawn::output_pipe().map_err(text)?,
        };
        self.open_log(&spec.name);
        Ok(prepared)
    }

    /// Prepares the service's cgroup; without a hierarchy services run in `init`'s.
    fn enter_cgroup(&mut self, spec: &ServiceSpec) -> Result<Option<OwnedFd>, String> {
        self.leaving.remove(&spec.name);
        let Some(cgroups) = &self.cgroups else {
            return Ok(None);
        };
        let (procs, refused) = cgroups
            .prepare(&spec.name, &spec.limits)
            .map_err(|error| format!("cgroup: {error}"))?;
        for limit in refused {
            self.say(4, &format!("{}: limit refused: {limit}", spec.name));
        }
        Ok(Some(procs))
    }

    /// Removes the cgroup of something that is over: now, or once the kernel has let go of what was killed
    /// in it, which takes it a moment.
    pub(super) fn remove_cgroup(&mut self, name: &str) {
        if let Some(cgroups) = &self.cgroups
            && !cgroups.remove(name)
        {
            self.leaving.insert(name.to_owned());
        }
    }
}

/// Makes a service's directories and gives its environment.
fn directories(spec: &ServiceSpec) -> Result<Vec<(String, String)>, String> {
    let make = |path: &str, mode| {
        directory(path, mode, spec.user, spec.group).map_err(|error| error.to_string())
    };
    let runtime = format!("{}/{}", paths::RUN_SERVICES, spec.name);
    make(&runtime, RUNTIME_MODE)?;
    let mut environment = vec![
        ("PATH".into(), "/usr/bin:/usr/sbin".into()),
        ("NOTIFY_SOCKET".into(), paths::NOTIFY_SOCKET.to_owned()),
        ("ORLOP_SERVICE".into(), spec.name.clone()),
        ("RUNTIME_DIRECTORY".into(), runtime.clone()),
    ];
    if !spec.config.is_empty() {
        let config = format!("{runtime}/{}", paths::SERVICE_CONFIG);
        environment.push(("ORLOP_CONFIG".into(), config));
    }
    if spec.state_directory {
        let state = format!("{}/{}", paths::STATE_SERVICES, spec.name);
        make(&state, STATE_MODE)?;
        environment.push(("STATE_DIRECTORY".into(), state));
    }
    if let Some(health) = &spec.health
        && health.probe == HealthProbe::Watchdog
    {
        let microseconds = health.interval.as_micros().to_string();
        environment.push(("WATCHDOG_USEC".into(), microseconds));
    }
    Ok(environment)
}

/// Replaces the service's config as a whole; an empty one is removed.
pub(super) fn write_config(spec: &ServiceSpec) -> Result<(), String> {
    let text = |error: std::io::Error| format!("config of the service: {error}");
    let runtime = format!("{}/{}", paths::RUN_SERVICES, spec.name);
    directory(&runtime, RUNTIME_MODE, spec.user, spec.group).map_err(|error| error.to_string())?;
    let path = Path::new(&runtime).join(paths::SERVICE_CONFIG);
    if spec.config.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(text(error)),
            _ => Ok(()),
        };
    }
    config_store::replace(&path, &spec.config, 0o400).map_err(text)?;
    chown(&path, Some(spec.user), Some(spec.group)).map_err(text)
}
