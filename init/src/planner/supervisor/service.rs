//! One service: its phase, its live process, and what events of its own do to it.
//!
//! Invariant: there is a live attempt exactly in the phases starting, running and stopping. Whether it
//! may start or must stop depends on others and is decided in `reconcile.rs`.

use super::interface::{Action, Attempt, ExitStatus, Notice};
use super::watch::{Health, Probing, Turn};
use super::{CONDITION_INTERVAL, MESSAGE_MAX, words};
use init_proto::control::{ServiceState, ServiceStatus};
use init_proto::plan::{Condition, Readiness, ServiceKind, ServiceSpec};
use std::time::Duration;

/// kill(2)'s number for "read your config again".
const SIGHUP: i32 = 1;

/// A service of the plan, or one that has left it and still runs.
#[derive(Debug)]
pub(super) struct Service {
    /// What the live process was started with; the newest where there is none.
    pub(super) spec: ServiceSpec,
    /// A newer spec that the next start uses.
    pub(super) pending: Option<ServiceSpec>,
    /// No longer in the plan.
    pub(super) removed: bool,
    /// Stopped by request.
    pub(super) stop_requested: bool,
    /// The live process shall be replaced, without back-off.
    pub(super) restart_due: bool,
    /// SIGHUP is owed once it is up.
    pub(super) hangup_due: bool,
    pub(super) check: Check,
    pub(super) phase: Phase,
    pub(super) live: Option<Live>,
    /// Failures in a row, for the back-off.
    pub(super) failures: u32,
    starts: u32,
    pub(super) last_exit: Option<String>,
    /// Why it is in its phase.
    pub(super) why: String,
    /// Its own `STATUS=`.
    said: String,
    since: Duration,
    reported: Option<(ServiceState, bool)>,
}

/// A process that was spawned and not yet reaped.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) attempt: Attempt,
    pub(super) pid: Option<i32>,
    pub(super) up_at: Option<Duration>,
}

/// Where a service is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    Waiting,
    Starting {
        give_up: Duration,
        probing: Probing,
    },
    Running {
        health: Option<Health>,
    },
    Stopping {
        cause: Cause,
        kill_at: Duration,
        kills: u32,
    },
    BackOff {
        until: Duration,
    },
    Finished,
    Failed,
    Stopped,
}

/// Why a live process is being stopped.
#[derive(Debug)]
pub(super) enum Cause {
    /// It was decided so: its end is no failure and calls for no back-off.
    Decided,
    /// It failed in this way.
    Failure(String),
    /// It said so itself: its exit status tells what follows.
    Itself,
}

/// State of the start condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// To be looked at once nothing else keeps the service from starting.
    Open,
    /// Asked; not waited for after this time.
    Asked(Duration),
    /// Not met; looked at again at this time.
    Again(Duration),
    Met,
}

/// How an attempt ended.
pub(super) enum End {
    NotStarted(String),
    Exited(ExitStatus),
}

impl Service {
    pub(super) fn new(spec: ServiceSpec, now: Duration) -> Self {
        Self {
            spec,
            pending: None,
            removed: false,
            stop_requested: false,
            restart_due: false,
            hangup_due: false,
            check: Check::Open,
            phase: Phase::Waiting,
            live: None,
            failures: 0,
            starts: 0,
            last_exit: None,
            why: "new in the plan".to_owned(),
            said: String::new(),
            since: now,
            reported: None,
        }
    }

    /// The spec that counts for everything but the live process.
    pub(super) fn newest(&self) -> &ServiceSpec {
        self.pending.as_ref().unwrap_or(&self.spec)
    }

    pub(super) fn is_attempt(&self, attempt: Attempt) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.attempt == attempt)
    }

    /// A process that SIGKILL does not end.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.phase, Phase::Stopping { kills, .. } if kills >= 2)
    }

    pub(super) fn state(&self) -> ServiceState {
        match self.phase {
            Phase::Waiting => ServiceState::Waiting,
            Phase::Starting { .. } => ServiceState::Starting,
            Phase::Running { .. } => ServiceState::Running,
            Phase::Stopping { .. } => ServiceState::Stopping,
            Phase::BackOff { .. } => ServiceState::BackOff,
            Phase::Finished => ServiceState::Finished,
            Phase::Failed => ServiceState::Failed,
            Phase::Stopped => ServiceState::Stopped,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Finished)
    }

    pub(super) fn status(&self, name: &str, now: Duration) -> ServiceStatus {
        let since = now.saturating_sub(self.since);
        ServiceStatus {
            name: name.to_owned(),
            state: self.state(),
            ready: self.is_ready(),
            pid: self.live.as_ref().and_then(|live| live.pid),
            restarts: self.starts.saturating_sub(1),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            last_exit: self.last_exit.clone(),
            message: match self.live {
                Some(_) if !self.said.is_empty() => self.said.clone(),
                _ => self.why.clone(),
            },
            memory_bytes: 0,
        }
    }

    /// Reports state and readiness if they differ from what was reported last.
    pub(super) fn report(&mut self, name: &str, actions: &mut Vec<Action>) {
        let current = (self.state(), self.is_ready());
        if self.reported.replace(current) != Some(current) {
            actions.push(Action::Changed {
                name: name.to_owned(),
                state: current.0,
                ready: current.1,
                message: self.why.clone(),
            });
        }
    }

    /// Next time at which [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let check = match self.check {
            Check::Asked(until) | Check::Again(until) => Some(until),
            Check::Open | Check::Met => None,
        };
        let phase = match &self.phase {
            Phase::Starting { give_up, probing } if self.is_probed_for_readiness() => {
                Some(probing.deadline().min(*give_up))
            }
            Phase::Starting { give_up, .. } => Some(*give_up),
            Phase::Running { health } => health.as_ref().map(Health::deadline),
            Phase::Stopping { kill_at, .. } => Some(*kill_at),
            Phase::BackOff { until } => Some(*until),
            Phase::Waiting | Phase::Finished | Phase::Failed | Phase::Stopped => None,
        };
        phase.into_iter().chain(check).min()
    }

    pub(super) fn enter(&mut self, phase: Phase, why: impl Into<String>, now: Duration) {
        let before = self.state();
        self.phase = phase;
        self.why = why.into();
        if self.state() != before {
            self.since = now;
        }
    }

    /// Writes its config and starts it.
    pub(super) fn spawn(&mut self, attempt: Attempt, now: Duration, actions: &mut Vec<Action>) {
        let name = self.spec.name.clone();
        actions.push(Action::WriteConfig { name: name.clone() });
        actions.push(Action::Spawn { name, attempt });
        self.live = Some(Live {
            attempt,
            pid: None,
            up_at: None,
        });
        self.starts = self.starts.saturating_add(1);
        self.said.clear();
        let starting = Phase::Starting {
            give_up: now.saturating_add(self.spec.start_timeout),
            probing: Probing::first_at(now),
        };
        self.enter(starting, "started", now);
    }

    pub(super) fn started(&mut self, pid: i32, now: Duration, actions: &mut Vec<Action>) {
        if let Some(live) = &mut self.live {
            live.pid = Some(pid);
        }
        let daemon = self.spec.kind == ServiceKind::Daemon;
        if let Phase::Starting { probing, .. } = &mut self.phase {
            *probing = Probing::first_at(now);
            if daemon && self.spec.readiness == Readiness::Started {
                self.up(now, actions);
            }
        }
    }

    pub(super) fn notified(&mut self, notice: Notice, now: Duration, actions: &mut Vec<Action>) {
        let awaits_notice = self.spec.kind == ServiceKind::Daemon
            && self.spec.readiness == Readiness::Notify
            && matches!(self.phase, Phase::Starting { .. });
        match notice {
            Notice::Ready if awaits_notice => self.up(now, actions),
            Notice::Ready => {}
            Notice::Status(text) => self.said = words::cut(text, MESSAGE_MAX),
            Notice::Watchdog => {
                if let Phase::Running {
                    health: Some(Health::Watchdog(until)),
                } = &mut self.phase
                    && let Some(check) = &self.spec.health
                {
                    *until = Health::silence(check, now);
                }
            }
            Notice::Stopping => {
                if matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. }) {
                    let stopping = Phase::Stopping {
                        cause: Cause::Itself,
                        kill_at: now.saturating_add(self.spec.stop_deadline),
                        kills: 0,
                    };
                    self.enter(stopping, "it is stopping itself", now);
                }
            }
        }
    }

    pub(super) fn condition_seen(&mut self, path: &str, ok: bool, now: Duration) {
        let asked = matches!(self.check, Check::Asked(_));
        if asked && matches!(&self.newest().condition, Condition::PathExists(of) if of == path) {
            self.check = if ok {
                Check::Met
            } else {
                Check::Again(now.saturating_add(CONDITION_INTERVAL))
            };
        }
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if matches!(self.check, Check::Asked(until) | Check::Again(until) if until <= now) {
            self.check = Check::Open;
        }
        match &mut self.phase {
            Phase::Starting { give_up, .. } if *give_up <= now => {
                let limit = words::span(self.spec.start_timeout);
                let what = match self.spec.kind {
                    ServiceKind::Daemon => format!("not ready within {limit}"),
                    ServiceKind::OneShot => format!("not finished within {limit}"),
                };
                self.kill_as_failed(what, now, turn.actions);
            }
            Phase::Starting { .. } => self.tick_readiness(turn),
            Phase::Running { .. } => self.tick_health(turn),
            Phase::Stopping { kill_at, .. } if *kill_at <= now => self.kill(now, turn.actions),
            Phase::BackOff { until } if *until <= now => {
                self.enter(Phase::Waiting, "its wait is over", now);
            }
            Phase::Waiting
            | Phase::Stopping { .. }
            | Phase::BackOff { .. }
            | Phase::Finished
            | Phase::Failed
            | Phase::Stopped => {}
        }
    }

    pub(super) fn up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Some(live) = &mut self.live {
            live.up_at = Some(now);
        }
        let health = self
            .spec
            .health
            .as_ref()
            .map(|check| Health::begin(check, now));
        self.enter(Phase::Running { health }, "up", now);
        if self.hangup_due {
            self.hang_up(actions);
        }
    }

    /// Has the live process read its config again, now or once it is up.
    pub(super) fn hang_up(&mut self, actions: &mut Vec<Action>) {
        self.hangup_due = !matches!(self.phase, Phase::Running { .. });
        if let (false, Some(live)) = (self.hangup_due, &self.live) {
            actions.push(Action::Signal {
                name: self.spec.name.clone(),
                attempt: live.attempt,
                signal: SIGHUP,
            });
        }
    }
}
