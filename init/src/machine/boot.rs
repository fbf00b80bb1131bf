//! The table of boot phases, and how one is run.
//!
//! A failed phase does not end the boot: the node goes on to maintenance mode with what it has, so that a
//! person can look at it through the API. Only a boot that does not reach its end in
//! [`crate::planner::options::Options::boot_deadline`] is reset.

use super::{Machine, guarded};
use crate::executor::time;
use init_proto::control::{EventKind, PhaseState, PhaseStatus};
use init_proto::services::maintenance_of;
use std::time::Duration;

/// One row.
struct Phase {
    name: &'static str,
    /// Left out in a sandbox.
    whole_machine: bool,
    /// Time for everything in the phase that can be waited for. What cannot (a system call that hangs
    /// in the kernel) is the watchdog's business.
    deadline: Duration,
    run: fn(&mut Machine, Duration) -> Result<(), String>,
}

const fn phase(
    name: &'static str,
    whole_machine: bool,
    seconds: u64,
    run: fn(&mut Machine, Duration) -> Result<(), String>,
) -> Phase {
    Phase {
        name,
        whole_machine,
        deadline: Duration::from_secs(seconds),
        run,
    }
}

/// All phases in their order.
const PHASES: &[Phase] = &[
    phase("mount", false, 10, Machine::phase_mount),
    phase("watchdog", true, 10, Machine::phase_watchdog),
    phase("root", true, 30, Machine::phase_root),
    phase("harden", true, 10, Machine::phase_harden),
    phase("modules", true, 60, Machine::phase_modules),
    phase("devices", true, 60, Machine::phase_devices),
    phase("plan", false, 60, Machine::phase_plan),
    phase("volumes", false, 180, Machine::phase_volumes),
    phase("services", false, 30, Machine::phase_services),
];

impl Machine {
    /// Runs all phases.
    pub(super) fn boot(&mut self) {
        self.phases = PHASES
            .iter()
            .map(|phase| PhaseStatus {
                name: phase.name.into(),
                whole_machine: phase.whole_machine,
                state: PhaseState::Pending,
                started_ms: 0,
                took_ms: 0,
            })
            .collect();
        for (index, phase) in PHASES.iter().enumerate() {
            self.run_phase(index, phase);
            guarded(|| self.breathe());
        }
        self.booted = true;
        let total = time::millis(self.uptime());
        self.say(5, &format!("boot took {total} ms"));
    }

    fn run_phase(&mut self, index: usize, phase: &Phase) {
        let started = self.uptime();
        if phase.whole_machine && self.options.sandboxed {
            return self.phase_is(index, PhaseState::Skipped, started, Duration::ZERO);
        }
        self.phase_is(index, PhaseState::Running, started, Duration::ZERO);
        let deadline = time::monotonic() + phase.deadline;
        let result = guarded(|| (phase.run)(self, deadline))
            .unwrap_or_else(|| Err("init has a bug there; its kernel log line says where".into()));
        let hit = |fault: &Option<String>| fault.as_deref() == Some(phase.name);
        if hit(&self.options.faults.hang) {
            self.say(1, &format!("phase {}: injected hang", phase.name));
            hang();
        }
        let result = match result {
            Ok(()) if hit(&self.options.faults.fail) => Err("injected failure".to_owned()),
            result => result,
        };
        let took = self.uptime().saturating_sub(started);
        match result {
            Ok(()) => {
                self.phase_is(index, PhaseState::Done, started, took);
                self.say(5, &format!("phase {}: {} ms", phase.name, took.as_millis()));
            }
            Err(reason) => self.phase_failed(index, phase, reason, started, took),
        }
    }

    fn phase_failed(
        &mut self,
        index: usize,
        phase: &Phase,
        reason: String,
        started: Duration,
        took: Duration,
    ) {
        let text = format!("boot phase {} failed: {reason}", phase.name);
        self.say(3, &text);
        self.phase_is(index, PhaseState::Failed { reason }, started, took);
        if self.failure.is_none() {
            self.failure = Some(phase.name.to_owned());
            // Phases after `plan` must not run what it has planned.
            self.fall_back(text);
        }
    }

    fn phase_is(&mut self, index: usize, state: PhaseState, started: Duration, took: Duration) {
        if let Some(status) = self.phases.get_mut(index) {
            status.state = state;
            status.started_ms = time::millis(started);
            status.took_ms = time::millis(took);
            let status = status.clone();
            self.record(EventKind::Phase(status));
        }
    }

    /// Goes to maintenance mode, for this reason. A node that has a role goes on to trust its cluster only.
    pub(super) fn fall_back(&mut self, reason: String) {
        let plan = maintenance_of(&self.plan, reason, self.options.sandboxed);
        let services = plan.services.clone();
        self.set_mode(plan);
        // Services run already only where the last phase was the one that failed.
        let started = self
            .phases
            .last()
            .is_some_and(|last| last.state != PhaseState::Pending);
        if started && let Err(reason) = self.run_services(services) {
            self.say(
                2,
                &format!("maintenance services could not be started: {reason}"),
            );
        }
    }

    /// Whether a boot phase has failed that this name does not repair.
    pub(super) fn failed_beyond(&self, repaired: &[&str]) -> Option<&str> {
        self.failure
            .as_deref()
            .filter(|failed| !repaired.contains(failed))
    }
}

/// What a hang of `init` looks like to the watchdog.
fn hang() -> ! {
    loop {
        let _ = rustix::thread::nanosleep(&time::timespec(Duration::from_secs(3600)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_unique_names_and_the_watchdog_comes_before_what_can_hang() {
        let at = |name| PHASES.iter().position(|phase| phase.name == name);
        for phase in PHASES {
            let same = PHASES.iter().filter(|other| other.name == phase.name);
            assert_eq!(same.count(), 1, "{}", phase.name);
        }
        assert!(at("watchdog") < at("root"));
        assert!(at("harden") < at("plan"));
        assert_eq!(PHASES.last().map(|phase| phase.name), Some("services"));
    }

    #[test]
    fn a_sandbox_leaves_out_what_belongs_to_the_host() {
        let kept: Vec<_> = PHASES
            .iter()
            .filter(|phase| !phase.whole_machine)
            .map(|phase| phase.name)
            .collect();
        assert_eq!(kept, ["mount", "plan", "volumes", "services"]);
    }
}
