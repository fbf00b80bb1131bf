//! The model: what must hold of every action and every state.

use super::super::super::interface::Purpose;
use super::super::super::{Action, Attempt, Event, ExitStatus, Notice};
use super::run::HELD_UP_MAX;
use super::{Process, World};
use init_proto::control::{ServiceState, ServiceStatus};
use init_proto::plan::{BACKOFF_CAP, Condition, Readiness, ServiceKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// The end of a live attempt.
pub(super) struct Ended {
    name: String,
    attempt: Attempt,
    /// It had a process.
    ran: bool,
    /// A new one may start at once.
    forgiven: bool,
}

impl World {
    /// What the supervisor will know after the event, as the model sees it.
    pub(super) fn learn(&mut self, event: &Event) {
        let (attempt, up) = match event {
            Event::Started { attempt, .. } => (attempt, Some(Readiness::Started)),
            Event::Notified {
                attempt,
                notice: Notice::Ready,
                ..
            } => (attempt, Some(Readiness::Notify)),
            Event::ProbeResult { probe, ok: true } if probe.purpose == Purpose::Readiness => {
                (&probe.attempt, None)
            }
            Event::ConditionResult { name, ok: true, .. } => {
                self.condition_met.insert(name.clone());
                return;
            }
            _ => return,
        };
        if let Some(process) = self.processes.get_mut(attempt) {
            let by_probe = up.is_none();
            let counts = by_probe || up.as_ref() == Some(&process.spec.readiness);
            let daemon = process.spec.kind == ServiceKind::Daemon;
            process.known_up |= process.live && daemon && counts;
        }
    }

    /// What the event ends, if that is a live attempt.
    pub(super) fn ended_by(&mut self, event: &Event) -> Option<Ended> {
        let (attempt, exit) = match event {
            Event::Exited {
                attempt, status, ..
            } => (*attempt, Some(*status)),
            Event::StartFailed { attempt, .. } => (*attempt, None),
            _ => return None,
        };
        let process = self
            .processes
            .get_mut(&attempt)
            .filter(|process| process.live)?;
        process.live = false;
        let name = process.name.clone();
        let quiet = !process.asked_to_stop && process.kills == 0;
        let forgiven = process.forgiven || process.asked_to_stop;
        let one_shot = process.spec.kind == ServiceKind::OneShot;
        if one_shot && quiet && exit == Some(ExitStatus::Code(0)) && self.plan.contains_key(&name) {
            self.finished.insert(name.clone());
        }
        Some(Ended {
            name,
            attempt,
            ran: exit.is_some(),
            forgiven,
        })
    }

    pub(super) fn check_spawn(
        &self,
        name: &str,
        attempt: Attempt,
        status: &BTreeMap<String, ServiceStatus>,
    ) {
        assert!(self.shutdown.is_none(), "{name} was started in a shutdown");
        assert!(
            !self.stopped_by_request.contains(name),
            "{name} was stopped by request"
        );
        assert!(self.live(name).is_none(), "{name} has a live attempt");
        assert!(self.processes.keys().all(|earlier| *earlier < attempt));
        assert!(
            self.not_before.get(name).is_none_or(|at| *at <= self.now),
            "{name}: too early"
        );
        let spec = &self.plan[name];
        assert_eq!(self.supervisor.spec(name), Some(spec));
        assert!(spec.condition == Condition::Always || self.condition_met.contains(name));
        for other in &spec.requires {
            assert!(
                self.is_up(other),
                "{name} was started, but {other} is not up"
            );
        }
        for other in spec
            .after
            .iter()
            .filter(|other| self.plan.contains_key(*other))
        {
            let excused = self.is_down(other, status);
            assert!(
                excused || self.is_up(other),
                "{name} was started before {other}"
            );
        }
    }

    /// No process that waits for `name` in the newest plan, and shall stop as well, may live when `name`
    /// gets its signal.
    pub(super) fn check_stop_order(&self, name: &str, status: &BTreeMap<String, ServiceStatus>) {
        let unhealthy = status
            .get(name)
            .is_some_and(|service| service.message.contains("health checks"));
        let killing = self
            .shutdown
            .is_some_and(|(_, last_kill)| self.now >= last_kill);
        if unhealthy || killing || !self.plan.contains_key(name) {
            return;
        }
        for (dependent, spec) in &self.plan {
            let waits = spec.after.iter().chain(&spec.requires);
            let shall_stop = self.shutdown.is_some()
                || self.stopped_by_request.contains(dependent)
                || self.is_held(dependent, status);
            if let Some(process) = self.live(dependent)
                && waits.into_iter().any(|other| other == name)
                && shall_stop
            {
                assert!(process.kills >= 2, "{name} was stopped before {dependent}");
            }
        }
    }

    pub(super) fn check_status(&mut self, status: &BTreeMap<String, ServiceStatus>) {
        for (name, service) in status {
            let process = self.live(name);
            let expect = matches!(
                service.state,
                ServiceState::Starting | ServiceState::Running | ServiceState::Stopping
            );
            assert_eq!(process.is_some(), expect, "{service:?}");
            if service.state == ServiceState::Running {
                assert!(
                    process.is_some_and(|process| process.known_up),
                    "{service:?}"
                );
            }
            if service.state == ServiceState::BackOff {
                let since = Duration::from_millis(service.since_ms);
                assert!(since <= BACKOFF_CAP + HELD_UP_MAX, "{service:?}");
            }
        }
        self.stopped_by_request
            .retain(|name| status.contains_key(name));
        self.condition_met.retain(|name| status.contains_key(name));
        self.not_before.retain(|name, _| status.contains_key(name));
    }

    /// The end of a live attempt is followed by SIGKILL to its cgroup, and by no start without a wait.
    pub(super) fn check_end(
        &mut self,
        ended: &Ended,
        actions: &[Action],
        status: &BTreeMap<String, ServiceStatus>,
    ) {
        let name = &ended.name;
        let sweep = Action::KillCgroup {
            name: name.clone(),
            attempt: ended.attempt,
        };
        let spawned = actions.iter().position(
            |action| matches!(action, Action::Spawn { name: spawned, .. } if spawned == name),
        );
        let swept = actions.iter().position(|action| *action == sweep);
        assert_eq!(swept.is_some(), ended.ran, "{name}: leftovers: {actions:?}");
        assert!(spawned.is_none_or(|spawned| !ended.ran || swept < Some(spawned)));
        assert!(
            spawned.is_none() || ended.forgiven,
            "{name} started again without a wait"
        );
        if status
            .get(name)
            .is_some_and(|service| service.state == ServiceState::BackOff)
        {
            let wait = self.plan[name].backoff_initial.min(BACKOFF_CAP) / 2;
            self.not_before.insert(name.clone(), self.now + wait);
        }
    }

    fn is_up(&self, name: &str) -> bool {
        let up =
            |process: &Process| process.known_up && !process.asked_to_stop && process.kills == 0;
        self.live(name).map_or(self.finished.contains(name), up)
    }

    /// Down until a request or a new plan.
    fn is_down(&self, name: &str, status: &BTreeMap<String, ServiceStatus>) -> bool {
        let state = status.get(name).map(|service| service.state);
        self.stopped_by_request.contains(name)
            || state == Some(ServiceState::Failed)
            || (state != Some(ServiceState::Finished) && self.is_held(name, status))
    }

    /// Something that it requires is down.
    pub(super) fn is_held(&self, name: &str, status: &BTreeMap<String, ServiceStatus>) -> bool {
        let requires = self.plan.get(name).map(|spec| spec.requires.as_slice());
        requires
            .unwrap_or_default()
            .iter()
            .any(|other| self.is_down(other, status))
    }
}
