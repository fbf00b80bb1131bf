//! The service supervisor: a pure state machine over all services of the plan.
//!
//! [`Supervisor::step`] takes the time and one [`Event`] and returns the [`Action`]s to carry out, in
//! their order. It never waits, reads a clock or fails; randomness comes from a seed. It knows nothing
//! of processes beyond attempt numbers, and nothing of what services are for.
//!
//! ```text
//!             condition met,                Started, READY=1
//!             what it waits for is up       or probe answered
//!   Waiting ───────────────────> Starting ───────────────────> Running
//!    ^  ^ ^                       │  │  │ one-shot: exit 0      │  │
//!    │  │ │                       │  │  └──────────> Finished   │  │
//!    │  │ │                       │  │                          │  │
//!    │  │ │     start_timeout,    │  │ stop or restart request, │  │
//!    │  │ │     unhealthy,        v  v changed, removed,        v  │
//!    │  │ │     STOPPING=1       Stopping <── shutdown ─────────┘  │
//!    │  │ │                       │ │ │                            │
//!    │  │ └── restart, changed ───┘ │ └── stopped by request, ──> Stopped (until a start request)
//!    │  │     or held               │     shutdown                 │
//!    │  │                           v                              │
//!    │  │ wait over   BackOff <── policy says restart <── it ended ┘
//!    │  └───────────────┘
//!    │                    Failed  <── policy says no
//!    └── start request, changed spec ── Failed, Finished, Stopped, BackOff
//! ```
//!
//! Rules, each held by a test in `supervisor/tests.rs` or by the simulation in
//! `supervisor/simulation.rs`:
//!
//! - **Start order.** A service starts when all it `requires` are up, and all it is `after` are up or
//!   down for good (stopped by request, failed, or themselves held): order alone never keeps a service
//!   from running. *Held* is a service of which something required is down for good: it is stopped, and
//!   started again when that is back. A required service that merely restarts holds nobody.
//! - **Stop order.** A service that shall stop gets its signal after all services that, by the newest
//!   plan, wait for it and shall stop too have ended. A process that two SIGKILLs, [`KILL_REPEAT`]
//!   apart, did not end (it hangs in the kernel) is no longer waited for.
//! - **One attempt at a time.** A new process is spawned only after the old one was reaped. Whatever
//!   the main process left in its cgroup gets SIGKILL first.
//! - **Slow starts and silence** (no watchdog sign) end in SIGKILL at once: that process has shown that
//!   it does not get round to answering. Failed health probes and stops send the stop signal, and
//!   SIGKILL after the stop deadline.
//! - **Back-off** is described in `supervisor/backoff.rs`. It starts over after a run that was up for
//!   `backoff_reset`, with a changed spec, and with a start or restart request.
//! - **A changed spec** stops and starts the service; where only `config` changed and `reload` says so,
//!   the process gets SIGHUP once it is up. A one-shot runs again.
//! - **Stop requests** hold until a start or restart request, across changes of the plan that keep the
//!   service. A service that leaves the plan is forgotten once it has ended.
//! - **Shutdown** stops services in reverse order, independent ones at once. A slice before the deadline
//!   ([`SHUTDOWN_KILL_SLICE`], at most a quarter of the time) everything left gets SIGKILL, and at the
//!   deadline it is complete whether or not the kernel has let go of every process.

mod backoff;
mod ending;
mod graph;
mod interface;
mod plan_change;
mod reconcile;
mod service;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watch;
mod words;

pub(crate) use graph::PlanError;
pub(crate) use interface::{Action, Attempt, Event, ExitStatus, Notice, Probe, ProbeTarget};

use backoff::Jitter;
use graph::Edges;
use init_proto::control::{RefusalKind, ServiceState, ServiceStatus};
use init_proto::plan::ServiceSpec;
use service::{End, Service};
use std::collections::BTreeMap;
use std::time::Duration;
use watch::Turn;

/// Time between two looks at a start condition, and the longest wait for one look's answer.
pub(crate) const CONDITION_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two readiness probes. A boot waits for these, so it is short.
pub(crate) const READINESS_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait for one readiness probe's connection.
pub(crate) const READINESS_TIMEOUT: Duration = Duration::from_secs(1);
/// An answer that is this much later than a probe's timeout is not waited for any more.
pub(crate) const ANSWER_SLACK: Duration = Duration::from_secs(1);
/// SIGKILL is sent again after this time: a process may have been between fork(2) and its cgroup.
pub(crate) const KILL_REPEAT: Duration = Duration::from_secs(5);
/// Time kept at the end of a shutdown for killing what is left and reaping it.
pub(crate) const SHUTDOWN_KILL_SLICE: Duration = Duration::from_secs(2);
/// Longest message of a service or of the executor that is kept, in bytes.
pub(crate) const MESSAGE_MAX: usize = 1024;

/// The state machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Supervisor {
    now: Duration,
    jitter: Jitter,
    attempts: u64,
    probes: u64,
    services: BTreeMap<String, Service>,
    edges: Edges,
    /// All of `services`, each after what it waits for.
    order: Vec<String>,
    shutdown: Option<Shutdown>,
}

#[derive(Debug)]
struct Shutdown {
    deadline: Duration,
    /// When all that is left is killed; None once that is done.
    kill_at: Option<Duration>,
    complete: bool,
}

impl Supervisor {
    /// A supervisor without services. `seed` spreads the back-off waits; equal seeds and events give
    /// equal actions.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            jitter: Jitter::new(seed),
            attempts: 0,
            probes: 0,
            services: BTreeMap::new(),
            edges: Edges::new(),
            order: Vec::new(),
            shutdown: None,
        }
    }

    /// Takes one event at time `now` (since any fixed point; a time before an earlier one counts as
    /// that one) and returns what to do, in order. At most [`graph::SERVICES_MAX`] services times eight
    /// actions.
    pub(crate) fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        if self
            .shutdown
            .as_ref()
            .is_some_and(|shutdown| shutdown.complete)
        {
            return actions;
        }
        self.take(event, &mut actions);
        self.reconcile(&mut actions);
        self.report(&mut actions);
        self.complete_shutdown(&mut actions);
        actions
    }

    /// When [`Event::Tick`] is due at the latest; None: only other events can change anything. May be
    /// in the past after any event but a tick.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let shutdown = self.shutdown.as_ref();
        if shutdown.is_some_and(|shutdown| shutdown.complete) {
            return None;
        }
        let ending = shutdown.map(|shutdown| shutdown.kill_at.unwrap_or(shutdown.deadline));
        self.services
            .values()
            .filter_map(Service::deadline)
            .chain(ending)
            .min()
    }

    /// All services in the order of their names; `memory_bytes` is left 0 for the executor to fill in.
    pub(crate) fn status(&self, now: Duration) -> Vec<ServiceStatus> {
        self.services
            .iter()
            .map(|(name, service)| service.status(name, now))
            .collect()
    }

    /// The spec that a spawn of this service uses now: of its live process, else the newest.
    pub(crate) fn spec(&self, name: &str) -> Option<&ServiceSpec> {
        self.services.get(name).map(|service| &service.spec)
    }

    /// Where a service is in its life; None for one that is not known (any more).
    pub(crate) fn state(&self, name: &str) -> Option<ServiceState> {
        self.services.get(name).map(Service::state)
    }

    /// The live attempt of a service and, once known, its main process.
    pub(crate) fn live(&self, name: &str) -> Option<(Attempt, Option<i32>)> {
        let live = self.services.get(name)?.live.as_ref()?;
        Some((live.attempt, live.pid))
    }

    /// Whether [`Event::Shutdown`] was taken.
    pub(crate) fn stopping(&self) -> bool {
        self.shutdown.is_some()
    }

    fn take(&mut self, event: Event, actions: &mut Vec<Action>) {
        let now = self.now;
        match event {
            Event::PlanChanged(specs) => self.change_plan(specs, actions),
            Event::Started { name, attempt, pid } => {
                if let Some(service) = self.of_attempt(&name, attempt) {
                    service.started(pid, now, actions);
                }
            }
            Event::StartFailed {
                name,
                attempt,
                reason,
            } => {
                self.ended(&name, attempt, End::NotStarted(reason));
            }
            Event::Exited {
                name,
                attempt,
                status,
            } => {
                if self.of_attempt(&name, attempt).is_some() {
                    self.ended(&name, attempt, End::Exited(status));
                    actions.push(Action::KillCgroup { name, attempt });
                }
            }
            Event::Notified {
                name,
                attempt,
                notice,
            } => {
                if let Some(service) = self.of_attempt(&name, attempt) {
                    service.notified(notice, now, actions);
                }
            }
            Event::ProbeResult { probe, ok } => {
                if let Some(service) = self.of_attempt(&probe.name, probe.attempt) {
                    service.probed(&probe, ok, now, actions);
                }
            }
            Event::ConditionResult { name, path, ok } => {
                if let Some(service) = self.services.get_mut(&name) {
                    service.condition_seen(&path, ok, now);
                }
            }
            Event::StartRequest { name } => self.request(name, actions, Service::request_start),
            Event::StopRequest { name } => self.request(name, actions, Service::request_stop),
            Event::RestartRequest { name } => self.request(name, actions, Service::request_restart),
            Event::Shutdown { deadline } => self.begin_shutdown(deadline),
            Event::Tick => self.tick(actions),
        }
    }

    fn of_attempt(&mut self, name: &str, attempt: Attempt) -> Option<&mut Service> {
        self.services
            .get_mut(name)
            .filter(|service| service.is_attempt(attempt))
    }

    fn ended(&mut self, name: &str, attempt: Attempt, end: End) {
        let (now, stopping) = (self.now, self.stopping());
        if let Some(service) = self.services.get_mut(name)
            && service.is_attempt(attempt)
        {
            service.ended(end, now, stopping, &mut self.jitter);
        }
    }

    fn request(
        &mut self,
        name: String,
        actions: &mut Vec<Action>,
        act: fn(&mut Service, Duration),
    ) {
        let now = self.now;
        let (kind, message) = match self.services.get_mut(&name) {
            _ if self.shutdown.is_some() => (
                RefusalKind::FailedPrecondition,
                "the machine is stopping".to_owned(),
            ),
            Some(service) if !service.removed => return act(service, now),
            _ => (
                RefusalKind::NotFound,
                format!("no service {name:?} in this node's plan"),
            ),
        };
        actions.push(Action::RequestRefused {
            name,
            kind,
            message,
        });
    }

    fn begin_shutdown(&mut self, deadline: Duration) {
        let deadline = match &self.shutdown {
            Some(shutdown) => shutdown.deadline.min(deadline),
            None => deadline,
        };
        let left = deadline.saturating_sub(self.now);
        let kill_at = deadline.saturating_sub(SHUTDOWN_KILL_SLICE.min(left / 4));
        match &mut self.shutdown {
            Some(shutdown) => {
                shutdown.deadline = deadline;
                shutdown.kill_at = shutdown.kill_at.map(|old| old.min(kill_at));
            }
            None => {
                self.shutdown = Some(Shutdown {
                    deadline,
                    kill_at: Some(kill_at),
                    complete: false,
                });
            }
        }
    }

    fn tick(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let mut turn = Turn {
            now,
            serials: &mut self.probes,
            actions,
        };
        for service in self.services.values_mut() {
            service.tick(&mut turn);
        }
        if let Some(shutdown) = &mut self.shutdown
            && shutdown.kill_at.is_some_and(|kill_at| kill_at <= now)
        {
            shutdown.kill_at = None;
            self.kill_all(actions);
        }
    }

    fn kill_all(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        for service in self.services.values_mut() {
            service.kill_for_shutdown(now, actions);
        }
    }

    fn complete_shutdown(&mut self, actions: &mut Vec<Action>) {
        let live = self.services.values().any(|service| service.live.is_some());
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        if live && shutdown.deadline > self.now {
            return;
        }
        shutdown.complete = true;
        if shutdown.kill_at.take().is_some() {
            self.kill_all(actions);
        }
        actions.push(Action::ShutdownComplete);
    }

    fn report(&mut self, actions: &mut Vec<Action>) {
        for (name, service) in &mut self.services {
            service.report(name, actions);
        }
    }
}
