//! How one service's process is stopped, what follows its end, and what requests change of it.

use super::backoff::{self, Jitter};
use super::interface::{Action, ExitStatus};
use super::service::{Cause, End, Phase, Service};
use super::{KILL_REPEAT, MESSAGE_MAX, words};
use init_proto::plan::{Restart, ServiceKind};
use std::time::Duration;

impl Service {
    /// Sends the stop signal; SIGKILL follows after the stop deadline.
    pub(super) fn stop(
        &mut self,
        cause: Cause,
        why: impl Into<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(live) = &self.live else {
            return;
        };
        actions.push(Action::Signal {
            name: self.spec.name.clone(),
            attempt: live.attempt,
            signal: self.spec.stop_signal,
        });
        let stopping = Phase::Stopping {
            cause,
            kill_at: now.saturating_add(self.spec.stop_deadline),
            kills: 0,
        };
        self.enter(stopping, why, now);
        if self.spec.stop_deadline.is_zero() {
            self.kill(now, actions);
        }
    }

    /// Kills a process that has shown not to answer.
    pub(super) fn kill_as_failed(
        &mut self,
        what: String,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let stopping = Phase::Stopping {
            cause: Cause::Failure(what.clone()),
            kill_at: now,
            kills: 0,
        };
        self.enter(stopping, what, now);
        self.kill(now, actions);
    }

    /// Kills whatever lives, at the end of a shutdown.
    pub(super) fn kill_for_shutdown(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.live.is_none() {
            return;
        }
        if !matches!(self.phase, Phase::Stopping { .. }) {
            let stopping = Phase::Stopping {
                cause: Cause::Decided,
                kill_at: now,
                kills: 0,
            };
            self.enter(stopping, "the shutdown's time is over", now);
        }
        self.kill(now, actions);
    }

    /// Sends SIGKILL to the cgroup of a stopping process, and again after [`KILL_REPEAT`].
    pub(super) fn kill(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let (Phase::Stopping { kill_at, kills, .. }, Some(live)) = (&mut self.phase, &self.live)
        {
            *kill_at = now.saturating_add(KILL_REPEAT);
            *kills = kills.saturating_add(1);
            actions.push(Action::KillCgroup {
                name: self.spec.name.clone(),
                attempt: live.attempt,
            });
        }
    }

    /// Takes the end of the live attempt and decides what follows. `stopping`: the machine stops.
    pub(super) fn ended(&mut self, end: End, now: Duration, stopping: bool, jitter: &mut Jitter) {
        let up_for = self
            .live
            .take()
            .and_then(|live| live.up_at)
            .map(|up_at| now.saturating_sub(up_at));
        if up_for.is_some_and(|up_for| up_for >= self.spec.backoff_reset) {
            self.failures = 0;
        }
        let cause = match &mut self.phase {
            Phase::Stopping { cause, .. } => Some(std::mem::replace(cause, Cause::Decided)),
            _ => None,
        };
        let decided = self.restart_due || matches!(cause, Some(Cause::Decided));
        let clean = matches!(end, End::Exited(ExitStatus::Code(0)))
            && !matches!(cause, Some(Cause::Failure(_)));
        let what = match (end, cause) {
            (_, Some(Cause::Failure(what))) => what,
            (End::Exited(status), _) => words::exit(status),
            (End::NotStarted(reason), _) => {
                words::cut(format!("not started: {reason}"), MESSAGE_MAX)
            }
        };
        self.last_exit = Some(what.clone());
        self.restart_due = false;
        self.hangup_due = false;
        if let Some(pending) = self.pending.take() {
            self.spec = pending;
        }
        if stopping || self.stop_requested || self.removed {
            self.enter(Phase::Stopped, format!("stopped: {what}"), now);
        } else if decided {
            self.enter(
                Phase::Waiting,
                format!("stopped to be started again: {what}"),
                now,
            );
        } else {
            self.follow_policy(clean, what, now, jitter);
        }
    }

    fn follow_policy(&mut self, clean: bool, what: String, now: Duration, jitter: &mut Jitter) {
        if clean && self.spec.kind == ServiceKind::OneShot {
            self.failures = 0;
            self.enter(Phase::Finished, what, now);
            return;
        }
        let again = match self.spec.restart {
            Restart::Always => true,
            Restart::OnFailure => !clean,
            Restart::Never => false,
        };
        if again {
            let wait = backoff::wait(self.spec.backoff_initial, self.failures, jitter);
            self.failures = self.failures.saturating_add(1);
            let until = now.saturating_add(wait);
            let why = format!("{what}; starts again in {}", words::span(wait));
            self.enter(Phase::BackOff { until }, why, now);
        } else {
            self.enter(Phase::Failed, what, now);
        }
    }

    /// Start request.
    pub(super) fn request_start(&mut self, now: Duration) {
        self.stop_requested = false;
        self.failures = 0;
        match self.phase {
            Phase::BackOff { .. } | Phase::Finished | Phase::Failed | Phase::Stopped => {
                self.enter(Phase::Waiting, "started by request", now);
            }
            Phase::Stopping { .. } => self.restart_due = true,
            Phase::Waiting | Phase::Starting { .. } | Phase::Running { .. } => {}
        }
    }

    /// Stop request; `reconcile.rs` does the rest.
    pub(super) fn request_stop(&mut self, _now: Duration) {
        self.stop_requested = true;
        self.restart_due = false;
    }

    /// Restart request.
    pub(super) fn request_restart(&mut self, now: Duration) {
        self.request_start(now);
        self.restart_due = self.live.is_some();
    }
}
