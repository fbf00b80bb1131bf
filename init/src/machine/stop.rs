//! Ordered end: services in reverse order, then everything else, then volumes, then the machine.

use super::Machine;
use crate::executor::{mounts, processes, time};
use init_proto::control::EventKind;
use init_proto::paths;
use rustix::process::Signal;
use rustix::system::RebootCommand;
use std::time::Duration;

/// Longest time for the services, by their own deadlines.
const SERVICES_DEADLINE: Duration = Duration::from_secs(60);
/// Time for other processes after SIGTERM, and after SIGKILL.
const TERM_WAIT: Duration = Duration::from_secs(5);
const KILL_WAIT: Duration = Duration::from_secs(2);
/// Time between two looks at what is left.
const LOOK: Duration = Duration::from_millis(50);
/// Exit code of a sandboxed `init` that wants to be started again; 0 is power-off.
const EXIT_REBOOT: i32 = 133;

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Start again.
    Reboot,
    /// Stay off.
    PowerOff,
}

impl Ending {
    /// For people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "power-off",
        }
    }
}

impl Machine {
    /// Ends the machine, for the reason that was given when it began to. Returns for a sandbox only, with
    /// its exit code.
    pub(super) fn end(&mut self, ending: Ending) -> i32 {
        let reason = self.stopping.clone().unwrap_or_default();
        self.say(5, &reason);
        self.record(EventKind::Stopping { reason });
        self.stop_services();
        self.stop_rest();
        self.close_logs();
        if self.options.sandboxed {
            if let Some(cgroups) = &self.cgroups {
                cgroups.remove_all();
            }
            return self.leave(ending);
        }
        for volume in [paths::DATA, paths::STATE] {
            if let Err(error) = mounts::release(volume) {
                self.say(3, &error.to_string());
            }
        }
        self.leave(ending)
    }

    fn stop_services(&mut self) {
        let deadline = time::monotonic() + SERVICES_DEADLINE;
        self.supervise(crate::planner::supervisor::Event::Shutdown { deadline });
        // The supervisor keeps its deadline itself; this one is for the case that it does not.
        let slack = Duration::from_secs(5);
        if !self.wait(deadline + slack, |machine| machine.stopped) {
            self.say(3, "services did not end in time");
        }
    }

    fn stop_rest(&mut self) {
        for (signal, patience) in [(Signal::TERM, TERM_WAIT), (Signal::KILL, KILL_WAIT)] {
            if !processes::any_left() {
                return;
            }
            processes::signal_all(signal);
            let until = time::monotonic() + patience;
            while time::monotonic() < until && processes::any_left() {
                self.turn(Some((time::monotonic() + LOOK).min(until)));
            }
        }
    }

    /// Leaves: a sandbox by its exit code, which is returned, a machine through the kernel. The watchdog
    /// stays armed over a reboot, so that one that hangs in the firmware's reset ends too; it is disarmed
    /// before a power-off.
    pub(super) fn leave(&mut self, ending: Ending) -> i32 {
        rustix::fs::sync();
        if self.options.sandboxed {
            return match ending {
                Ending::Reboot => EXIT_REBOOT,
                Ending::PowerOff => 0,
            };
        }
        self.say(5, &format!("{} now", ending.word()));
        if ending == Ending::PowerOff
            && let Some(watchdog) = self.watchdog.take()
        {
            watchdog.disarm();
        }
        let command = match ending {
            Ending::Reboot => RebootCommand::Restart,
            Ending::PowerOff => RebootCommand::PowerOff,
        };
        let result = rustix::system::reboot(command);
        // Not reached where the kernel can do it.
        self.say(1, &format!("the kernel refused: {result:?}"));
        loop {
            let _ = rustix::thread::nanosleep(&time::timespec(TERM_WAIT));
            let _ = rustix::system::reboot(RebootCommand::Restart);
        }
    }

    /// Resets the machine without further ado, for a boot that does not end.
    pub(super) fn reset_now(&mut self) {
        let _ = rustix::system::reboot(RebootCommand::Restart);
    }
}
