//! One-shots that are part of a boot phase or of applying a config: `orlop plan`, the installer, e2fsck.
//! One at a time; each in its own cgroup; each ends within its deadline, if need be by SIGKILL.

use super::Machine;
use super::services::{prepare, write_service_config};
use crate::executor::processes::End;
use crate::executor::{processes, spawn, time};
use init_proto::plan::ServiceSpec;
use rustix::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Time for a killed job's process to be reaped.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// The running job.
#[derive(Debug)]
pub(super) struct Running {
    /// Name, for the log and the cgroup.
    pub(super) name: String,
    /// Main process.
    pub(super) pid: i32,
    /// How it ended.
    pub(super) end: Option<End>,
    /// What it wrote to standard output, where that is captured.
    pub(super) output: Vec<u8>,
    /// It wrote more than a frame.
    pub(super) exceeded: bool,
    /// Standard output is closed, or not captured.
    pub(super) output_ended: bool,
}

/// What a job left behind.
#[derive(Debug)]
pub(super) struct Finished {
    /// How it ended.
    pub(super) end: End,
    /// Captured standard output.
    pub(super) output: Vec<u8>,
}

impl Machine {
    /// Runs a job to its end. `capture` takes its standard output, which otherwise goes to its log.
    pub(super) fn run_job(
        &mut self,
        spec: &ServiceSpec,
        descriptors: Vec<(String, BorrowedFd<'_>)>,
        capture: bool,
    ) -> Result<Finished, String> {
        let name = spec.name.clone();
        self.start_job(spec, descriptors, capture)
            .map_err(|error| format!("{name} could not be started: {error}"))?;
        let deadline = time::monotonic() + spec.start_timeout;
        let done = self.wait(deadline, |machine| {
            machine
                .job
                .as_ref()
                .is_none_or(|job| job.exceeded || (job.end.is_some() && job.output_ended))
        });
        let stuck = match &self.job {
            Some(job) if !done => format!(" ({})", processes::doing(job.pid)),
            _ => String::new(),
        };
        // What the job has started ends with it.
        if let Some(cgroups) = &self.cgroups {
            cgroups.kill(&name);
        }
        if self.job.as_ref().is_some_and(|job| job.end.is_none()) {
            let pid = self.job.as_ref().map_or(0, |job| job.pid);
            processes::signal(pid, libc::SIGKILL);
            self.wait(time::monotonic() + KILL_WAIT, |machine| {
                machine.job.as_ref().is_none_or(|job| job.end.is_some())
            });
        }
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove(&name);
        }
        let job = self.job.take().ok_or("the job is gone")?;
        if job.exceeded {
            return Err(format!("{name} wrote more than a plan can hold"));
        }
        match job.end {
            Some(end) if done => Ok(Finished {
                end,
                output: job.output,
            }),
            _ => Err(format!(
                "{name} did not end within {} s{stuck}",
                spec.start_timeout.as_secs()
            )),
        }
    }

    fn start_job(
        &mut self,
        spec: &ServiceSpec,
        descriptors: Vec<(String, BorrowedFd<'_>)>,
        capture: bool,
    ) -> Result<(), String> {
        if let Some(job) = &self.job {
            return Err(format!("{} is still running", job.name));
        }
        let text = |error: std::io::Error| format!("pipes: {error}");
        write_service_config(spec)?;
        let environment = prepare(spec)?;
        let cgroup = self.enter_cgroup(spec)?;
        let null = spawn::null().map_err(text)?;
        let (output, output_end) = spawn::output_pipe().map_err(text)?;
        let (error, error_end) = spawn::output_pipe().map_err(text)?;
        self.open_log(&spec.name);
        let pid = spawn::spawn(&spawn::Command {
            command: &spec.command,
            environment,
            user: spec.user,
            group: spec.group,
            capabilities: &spec.capabilities,
            oom_score_adjust: spec.oom_score_adjust,
            no_new_privileges: spec.no_new_privileges,
            seccomp: spec.seccomp,
            cgroup,
            input: null.as_fd(),
            output: output_end.as_fd(),
            error: error_end.as_fd(),
            descriptors,
        })?;
        self.job = Some(Running {
            name: spec.name.clone(),
            pid,
            end: None,
            output: Vec::new(),
            exceeded: false,
            output_ended: !capture,
        });
        if capture {
            self.watch_capture(&spec.name, output);
        } else {
            self.watch_log(&spec.name, output, false);
        }
        self.watch_log(&spec.name, error, true);
        Ok(())
    }
}
