//! One-shots that are part of a boot phase or of applying a config: `orlop plan`, the installer, e2fsck.
//! One at a time; each in its own cgroup; each ends within its deadline, if need be by SIGKILL.

use super::Machine;
use super::start::write_config;
use crate::executor::processes::End;
use crate::executor::{processes, time};
use init_proto::plan::ServiceSpec;
use rustix::fd::BorrowedFd;
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
        self.remove_cgroup(&name);
        // A pipe that outlives its job must not speak for the next one.
        self.drop_captures();
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
        write_config(spec)?;
        let spawned = self.prepare(spec)?.spawn(spec, descriptors)?;
        self.job = Some(Running {
            name: spec.name.clone(),
            pid: spawned.pid,
            end: None,
            output: Vec::new(),
            exceeded: false,
            output_ended: !capture,
        });
        if capture {
            self.watch_capture(&spec.name, spawned.output);
        } else {
            self.watch_log(&spec.name, spawned.output, false);
        }
        self.watch_log(&spec.name, spawned.error, true);
        Ok(())
    }
}
