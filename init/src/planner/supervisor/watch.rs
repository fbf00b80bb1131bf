//! Watching one service's process: readiness probes, health probes, and the watchdog's silence.

use super::interface::{Action, Attempt, Probe, ProbeTarget, Purpose};
use super::service::{Cause, Phase, Service};
use super::{ANSWER_SLACK, READINESS_INTERVAL, READINESS_TIMEOUT, words};
use init_proto::plan::{HealthCheck, HealthProbe, ServiceKind};
use std::time::Duration;

/// How health is watched.
#[derive(Debug)]
pub(super) enum Health {
    /// Longest silence ends then.
    Watchdog(Duration),
    /// Probed, with failures in a row.
    Probed(Probing, u32),
}

/// Periodic probes of one purpose; at most one is under way.
#[derive(Debug)]
pub(super) struct Probing {
    next: Duration,
    /// Serial of the probe under way, and when its answer is not waited for any more.
    asked: Option<(u64, Duration)>,
}

/// One tick: its time, the serials of probes, and what is to be done.
pub(super) struct Turn<'a> {
    pub(super) now: Duration,
    pub(super) serials: &'a mut u64,
    pub(super) actions: &'a mut Vec<Action>,
}

/// Who is probed, where and how often.
struct Probed<'a> {
    name: &'a str,
    attempt: Attempt,
    purpose: Purpose,
    target: ProbeTarget,
    interval: Duration,
    timeout: Duration,
}

impl Probing {
    pub(super) fn first_at(next: Duration) -> Self {
        Self { next, asked: None }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.asked.map_or(self.next, |(_, until)| until)
    }

    /// Gives up on an overdue answer; true if there was one.
    fn overdue(&mut self, now: Duration) -> bool {
        self.asked.take_if(|(_, until)| *until <= now).is_some()
    }

    /// Sends the next probe if it is due: not before the interval, nor before the last one's answer.
    fn send(&mut self, probed: Probed<'_>, turn: &mut Turn<'_>) {
        if self.asked.is_some() || self.next > turn.now {
            return;
        }
        *turn.serials = turn.serials.wrapping_add(1);
        let serial = *turn.serials;
        let answer_by = turn.now.saturating_add(probed.timeout);
        self.asked = Some((serial, answer_by.saturating_add(ANSWER_SLACK)));
        self.next = turn.now.saturating_add(probed.interval);
        turn.actions.push(Action::Probe {
            probe: Probe {
                name: probed.name.to_owned(),
                attempt: probed.attempt,
                purpose: probed.purpose,
                serial,
            },
            target: probed.target,
            timeout: probed.timeout,
        });
    }

    /// Takes an answer; false if it is not the awaited one.
    fn answered(&mut self, serial: u64) -> bool {
        self.asked.take_if(|(asked, _)| *asked == serial).is_some()
    }
}

impl Health {
    pub(super) fn begin(check: &HealthCheck, now: Duration) -> Self {
        match check.probe {
            HealthProbe::Watchdog => Self::Watchdog(Self::silence(check, now)),
            HealthProbe::UnixSocket(_) | HealthProbe::TcpPort(_) => {
                Self::Probed(Probing::first_at(now.saturating_add(check.interval)), 0)
            }
        }
    }

    pub(super) fn silence(check: &HealthCheck, now: Duration) -> Duration {
        now.saturating_add(check.interval.saturating_mul(check.failures))
    }

    pub(super) fn deadline(&self) -> Duration {
        match self {
            Self::Watchdog(until) => *until,
            Self::Probed(probing, _) => probing.deadline(),
        }
    }
}

impl Service {
    pub(super) fn probed(
        &mut self,
        probe: &Probe,
        ok: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let awaited = match (&mut self.phase, probe.purpose) {
            (Phase::Starting { probing, .. }, Purpose::Readiness) => Some((probing, None)),
            (
                Phase::Running {
                    health: Some(Health::Probed(probing, failed)),
                },
                Purpose::Health,
            ) => Some((probing, Some(failed))),
            _ => None,
        };
        let Some((probing, failed)) = awaited else {
            return;
        };
        match (probing.answered(probe.serial), failed) {
            (true, None) if ok => self.up(now, actions),
            (true, Some(failed)) => {
                *failed = if ok { 0 } else { failed.saturating_add(1) };
                self.judge_health(now, actions);
            }
            (false, _) | (true, None) => {}
        }
    }

    pub(super) fn is_probed_for_readiness(&self) -> bool {
        self.spec.kind == ServiceKind::Daemon
            && ProbeTarget::of_readiness(&self.spec.readiness).is_some()
            && self.live.as_ref().is_some_and(|live| live.pid.is_some())
    }

    pub(super) fn tick_readiness(&mut self, turn: &mut Turn<'_>) {
        if !self.is_probed_for_readiness() {
            return;
        }
        if let (Phase::Starting { probing, .. }, Some(live), Some(target)) = (
            &mut self.phase,
            &self.live,
            ProbeTarget::of_readiness(&self.spec.readiness),
        ) {
            probing.overdue(turn.now);
            let probed = Probed {
                name: &self.spec.name,
                attempt: live.attempt,
                purpose: Purpose::Readiness,
                target,
                interval: READINESS_INTERVAL,
                timeout: READINESS_TIMEOUT,
            };
            probing.send(probed, turn);
        }
    }

    pub(super) fn tick_health(&mut self, turn: &mut Turn<'_>) {
        let Phase::Running {
            health: Some(health),
        } = &mut self.phase
        else {
            return;
        };
        let (Some(live), Some(check)) = (&self.live, &self.spec.health) else {
            return;
        };
        match (health, ProbeTarget::of_health(&check.probe)) {
            (Health::Watchdog(until), _) if *until <= turn.now => {
                let silence = check.interval.saturating_mul(check.failures);
                let what = format!("no watchdog sign for {}", words::span(silence));
                self.kill_as_failed(what, turn.now, turn.actions);
            }
            (Health::Probed(probing, failed), Some(target)) => {
                if probing.overdue(turn.now) {
                    *failed = failed.saturating_add(1);
                }
                if *failed < check.failures {
                    let probed = Probed {
                        name: &self.spec.name,
                        attempt: live.attempt,
                        purpose: Purpose::Health,
                        target,
                        interval: check.interval,
                        timeout: check.timeout,
                    };
                    probing.send(probed, turn);
                } else {
                    self.judge_health(turn.now, turn.actions);
                }
            }
            (Health::Watchdog(_) | Health::Probed(..), _) => {}
        }
    }

    fn judge_health(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let (
            Phase::Running {
                health: Some(Health::Probed(_, failed)),
            },
            Some(check),
        ) = (&self.phase, &self.spec.health)
            && *failed >= check.failures
        {
            let what = format!("{failed} health checks in a row failed");
            self.stop(Cause::Failure(what.clone()), what, now, actions);
        }
    }
}
