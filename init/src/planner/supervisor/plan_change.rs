//! What a new plan changes of the services.

use super::graph;
use super::interface::Action;
use super::service::{Check, Phase, Service};
use super::{PlanError, Supervisor};
use init_proto::plan::{Reload, ServiceKind, ServiceSpec};
use std::time::Duration;

impl Supervisor {
    /// Takes a plan, or refuses it and keeps the old one.
    pub(super) fn change_plan(&mut self, specs: Vec<ServiceSpec>, actions: &mut Vec<Action>) {
        if self.shutdown.is_some() {
            actions.push(Action::PlanRefused(PlanError::Stopping));
            return;
        }
        let edges = match graph::check(&specs) {
            Ok(edges) => edges,
            Err(error) => {
                actions.push(Action::PlanRefused(error));
                return;
            }
        };
        for (name, service) in &mut self.services {
            service.removed = !edges.contains_key(name);
        }
        for spec in specs {
            match self.services.get_mut(&spec.name) {
                Some(service) => service.change(spec, self.now, actions),
                None => {
                    let service = Service::new(spec, self.now);
                    self.services.insert(service.spec.name.clone(), service);
                }
            }
        }
        self.edges.extend(edges);
        self.reorder();
    }

    /// Recomputes the order after a change of services or edges.
    pub(super) fn reorder(&mut self) {
        self.edges
            .retain(|name, _| self.services.contains_key(name));
        // A cycle cannot be (see `graph`). Were there one, the order of names still runs everything.
        self.order =
            graph::order(&self.edges).unwrap_or_else(|_| self.services.keys().cloned().collect());
    }
}

impl Service {
    /// Takes the plan's spec of this service, new or not.
    fn change(&mut self, new: ServiceSpec, now: Duration, actions: &mut Vec<Action>) {
        if *self.newest() == new {
            return;
        }
        if self.newest().condition != new.condition {
            self.check = Check::Open;
        }
        self.failures = 0;
        if self.live.is_none() {
            self.spec = new;
            let ended = matches!(
                self.phase,
                Phase::BackOff { .. } | Phase::Finished | Phase::Failed
            );
            if ended {
                self.enter(Phase::Waiting, "its spec changed", now);
            }
            return;
        }
        if self.pending.is_none() && self.takes_by_hangup(&new) {
            self.spec = new;
            actions.push(Action::WriteConfig {
                name: self.spec.name.clone(),
            });
            self.hang_up(actions);
        } else {
            self.pending = Some(new);
            self.restart_due = true;
        }
    }

    fn takes_by_hangup(&self, new: &ServiceSpec) -> bool {
        let stays = matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. });
        let only_config = *new
            == ServiceSpec {
                config: new.config.clone(),
                ..self.spec.clone()
            };
        stays
            && !self.restart_due
            && only_config
            && new.reload == Reload::Hangup
            && new.kind == ServiceKind::Daemon
    }
}
