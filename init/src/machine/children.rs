//! Reaping, and the exits that are kept.

use super::Machine;
use crate::executor::processes::{self, End};
use crate::executor::time;
use init_proto::control::ExitState;

/// Children reaped in one turn; the next turn goes on.
const REAP_MAX: usize = 4096;

impl Machine {
    /// Reaps what has ended, orphans included.
    pub(super) fn reap_children(&mut self) {
        for _ in 0..REAP_MAX {
            let Some(reaped) = processes::reap() else {
                return;
            };
            let exit = exit_state(reaped.end);
            self.exits.ended((reaped.pid, reaped.start_time), exit);
            if let Some(job) = &mut self.job
                && job.pid == reaped.pid
            {
                job.end = Some(reaped.end);
                let name = job.name.clone();
                self.drain_outputs_of(&name);
                continue;
            }
            self.main_ended(reaped.pid, reaped.end);
        }
    }

    /// Fate of a process.
    pub(super) fn exit_of(&self, pid: i32, start_time: u64) -> ExitState {
        self.exits.exit_of((pid, start_time)).unwrap_or_else(|| {
            if processes::start_time(pid) == Some(start_time) {
                ExitState::Running
            } else {
                ExitState::Unknown
            }
        })
    }
}

fn exit_state(end: End) -> ExitState {
    let (code, signal) = match end {
        End::Code(code) => (code, None),
        End::Signal(signal) => (128 + signal, Some(signal)),
    };
    ExitState::Exited {
        code,
        signal,
        time_ms: time::wall_ms(),
    }
}
