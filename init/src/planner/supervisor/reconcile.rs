//! Compares what each service shall be with what it is, after every event.
//!
//! One pass stops, against the order; one starts, along it. Starting makes nothing up and stopping ends
//! nothing in the same step, so a second run of both would find nothing to do.

use super::CONDITION_INTERVAL;
use super::Supervisor;
use super::interface::{Action, Attempt};
use super::service::{Cause, Check, Phase, Service};
use init_proto::plan::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// What the services make of each other.
#[derive(Debug, Default)]
struct View {
    /// Down for good: nothing but a request or a new plan brings them up.
    down: BTreeSet<String>,
    /// Those that shall not run, and why.
    unwanted: BTreeMap<String, String>,
}

impl Supervisor {
    pub(super) fn reconcile(&mut self, actions: &mut Vec<Action>) {
        let view = self.view();
        self.stop_pass(&view, actions);
        self.start_pass(&view, actions);
    }

    fn view(&self) -> View {
        let mut view = View::default();
        for name in &self.order {
            let Some(service) = self.services.get(name) else {
                continue;
            };
            // What a one-shot has done stays done, whatever became of what it needed for it.
            let finished = matches!(service.phase, Phase::Finished);
            let lost = service
                .newest()
                .requires
                .iter()
                .find(|required| !finished && view.down.contains(*required));
            let why = if self.stopping() {
                Some("the machine stops".to_owned())
            } else if service.removed {
                Some("removed from the plan".to_owned())
            } else if service.stop_requested {
                Some("stopped by request".to_owned())
            } else if let Some(lost) = lost {
                Some(format!("{lost}, which it requires, is down"))
            } else if service.restart_due {
                Some("stopped to be started again".to_owned())
            } else {
                None
            };
            let failed = matches!(service.phase, Phase::Failed);
            if service.stop_requested || service.removed || failed || lost.is_some() {
                view.down.insert(name.clone());
            }
            if let Some(why) = why {
                view.unwanted.insert(name.clone(), why);
            }
        }
        view
    }

    fn stop_pass(&mut self, view: &View, actions: &mut Vec<Action>) {
        let (now, stopping) = (self.now, self.stopping());
        let mut forgotten = false;
        for name in self.order.clone().iter().rev() {
            let Some(why) = view.unwanted.get(name) else {
                continue;
            };
            let blocked = self.is_waited_for(name, view);
            let Some(service) = self.services.get_mut(name) else {
                continue;
            };
            match (&service.phase, service.live.is_some()) {
                (Phase::Stopping { .. }, _) => {}
                (_, true) if blocked => {}
                (_, true) => service.stop(Cause::Decided, why.clone(), now, actions),
                (_, false) if service.removed => {
                    service.enter(Phase::Stopped, why.clone(), now);
                    service.report(name, actions);
                    self.services.remove(name);
                    forgotten = true;
                }
                (Phase::Stopped, false) => {}
                (Phase::Waiting | Phase::BackOff { .. }, false) if stopping => {
                    service.enter(Phase::Stopped, why.clone(), now);
                }
                (_, false) if service.stop_requested && !stopping => {
                    service.enter(Phase::Stopped, why.clone(), now);
                }
                (_, false) => {}
            }
        }
        if forgotten {
            self.reorder();
        }
    }

    /// Whether a process that waits for `name`, and shall stop too, still lives and may yet end.
    fn is_waited_for(&self, name: &str, view: &View) -> bool {
        self.edges.iter().any(|(dependent, waits_for)| {
            waits_for.contains(name)
                && view.unwanted.contains_key(dependent)
                && self
                    .services
                    .get(dependent)
                    .is_some_and(|service| service.live.is_some() && !service.is_stuck())
        })
    }

    fn start_pass(&mut self, view: &View, actions: &mut Vec<Action>) {
        let now = self.now;
        for name in self.order.clone() {
            let awaited = self.awaited(&name, view);
            let Some(service) = self.services.get_mut(&name) else {
                continue;
            };
            if !matches!(service.phase, Phase::Waiting) {
                continue;
            }
            if !awaited.is_empty() {
                service.why = format!("waits for {}", awaited.join(", "));
            } else if let Some(path) = service.unmet_condition() {
                service.why = format!("waits until {path} exists");
                if service.check == Check::Open {
                    service.check = Check::Asked(now.saturating_add(CONDITION_INTERVAL));
                    actions.push(Action::CheckCondition { name, path });
                }
            } else {
                self.attempts = self.attempts.wrapping_add(1);
                service.spawn(Attempt(self.attempts), now, actions);
            }
        }
    }

    /// What keeps a service from starting: required ones that are not up, and ones to start after that
    /// are not up and not down for good.
    fn awaited(&self, name: &str, view: &View) -> Vec<String> {
        let (Some(service), Some(waits_for)) = (self.services.get(name), self.edges.get(name))
        else {
            return Vec::new();
        };
        let is_up = |other: &String| {
            !view.unwanted.contains_key(other)
                && self.services.get(other).is_some_and(Service::is_ready)
        };
        waits_for
            .iter()
            .filter(|other| !is_up(other))
            .filter(|other| service.spec.requires.contains(other) || !view.down.contains(*other))
            .cloned()
            .collect()
    }
}

impl Service {
    fn unmet_condition(&self) -> Option<String> {
        match &self.spec.condition {
            Condition::PathExists(path) if self.check != Check::Met => Some(path.clone()),
            Condition::PathExists(_) | Condition::Always => None,
        }
    }
}
