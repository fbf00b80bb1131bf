//! Lets time pass in the simulated machine and carries out actions, each checked against the model.

use super::super::super::{Action, Attempt, Event, ExitStatus, Notice};
use super::{Due, Process, Temper, World};
use init_proto::control::{ServiceState, ServiceStatus};
use init_proto::plan::{HealthProbe, ServiceKind, ServiceSpec};
use std::collections::BTreeMap;
use std::time::Duration;

const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;
/// More ticks per service in one second are a busy loop.
const TICKS_PER_SECOND: usize = 32;
/// More actions per service in one step are too many.
const ACTIONS_PER_STEP: usize = 8;

/// The executor comes at most this late.
pub(super) const HELD_UP_MAX: Duration = Duration::from_millis(500);

impl World {
    pub(super) fn run_until(&mut self, end: Duration) {
        while !self.complete {
            let report = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let tick = self.supervisor.next_deadline();
            let Some(next) = report
                .into_iter()
                .chain(tick)
                .min()
                .filter(|next| *next <= end)
            else {
                break;
            };
            let late = next < self.now;
            self.now = self.now.max(next);
            if !late && !self.calm && self.shutdown.is_none() && self.chance(6) {
                // The executor was held up.
                let late = HELD_UP_MAX.mul_f64(f64::from(self.random_below(100)) / 100.0);
                self.now = (self.now + late).min(end);
            }
            if report.is_some_and(|at| at <= self.now) {
                if let Some((_, due)) = self.agenda.pop_first() {
                    self.happen(due);
                }
            } else {
                self.tick();
            }
        }
        self.now = self.now.max(end);
    }

    fn tick(&mut self) {
        let second = self.now.as_secs();
        self.ticks = (
            second,
            if self.ticks.0 == second {
                self.ticks.1 + 1
            } else {
                0
            },
        );
        assert!(
            self.ticks.1 <= TICKS_PER_SECOND * (self.plan.len() + 1),
            "busy loop"
        );
        self.step(Event::Tick);
        let next = self.supervisor.next_deadline();
        assert!(
            next.is_none_or(|next| next > self.now),
            "{next:?} is past {:?}",
            self.now
        );
        let again = self.supervisor.step(self.now, Event::Tick);
        assert!(again.is_empty(), "nothing happened, but: {again:?}");
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Report(event) => {
                self.step(event);
            }
            Due::End(attempt, status) => {
                let delay = self.within(50);
                if let Some(process) = self
                    .processes
                    .get_mut(&attempt)
                    .filter(|process| process.alive)
                {
                    process.alive = false;
                    process.serving = false;
                    let name = process.name.clone();
                    let exited = Event::Exited {
                        name,
                        attempt,
                        status,
                    };
                    self.schedule(delay, Due::Report(exited));
                }
            }
            Due::Up(attempt) => {
                if let Some(process) = self
                    .processes
                    .get_mut(&attempt)
                    .filter(|process| process.alive)
                {
                    process.serving = true;
                    self.notify(attempt, Notice::Ready);
                }
            }
            Due::Sign(attempt) => {
                let process = &self.processes[&attempt];
                if process.alive && self.now < process.temper.signs_until {
                    let interval = process.spec.health.as_ref().map(|health| health.interval);
                    self.schedule(interval.unwrap_or_default() / 2, Due::Sign(attempt));
                    self.notify(attempt, Notice::Watchdog);
                }
            }
        }
    }

    fn notify(&mut self, attempt: Attempt, notice: Notice) {
        let lost = notice == Notice::Ready && !self.calm && self.chance(10);
        if !lost {
            let name = self.processes[&attempt].name.clone();
            self.step(Event::Notified {
                name,
                attempt,
                notice,
            });
        }
    }

    /// One step of the supervisor, checked and carried out.
    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        self.learn(&event);
        let ended = self.ended_by(&event);
        let services = self.supervisor.status(self.now).len() + self.plan.len();
        let actions = self.supervisor.step(self.now, event);
        assert!(
            actions.len() <= ACTIONS_PER_STEP * services + 1,
            "too many for {services} services: {actions:?}"
        );
        let status = self.status();
        for (at, action) in actions.iter().enumerate() {
            self.check_and_do(action, &actions[..at], &status);
        }
        if let Some(ended) = ended {
            self.check_end(&ended, &actions, &status);
        }
        self.check_status(&status);
        actions
    }

    fn check_and_do(
        &mut self,
        action: &Action,
        earlier: &[Action],
        status: &BTreeMap<String, ServiceStatus>,
    ) {
        assert!(!self.complete, "after completion: {action:?}");
        match action {
            Action::WriteConfig { name } => {
                assert_eq!(
                    self.supervisor.spec(name).map(|spec| &spec.name),
                    Some(name)
                );
            }
            Action::Spawn { name, attempt } => {
                let config = Action::WriteConfig { name: name.clone() };
                assert_eq!(earlier.last(), Some(&config));
                self.check_spawn(name, *attempt, status);
                self.spawn(name, *attempt);
            }
            Action::Signal {
                name,
                attempt,
                signal,
            } => {
                let process = &self.processes[attempt];
                assert!(
                    process.live && process.name == *name,
                    "signal to a dead process"
                );
                if *signal == SIGHUP {
                    assert_eq!(process.spec.command, self.plan[name].command);
                    assert!(process.known_up, "{name} was hung up before it was up");
                } else {
                    self.check_stop_order(name, status);
                    self.stop(*attempt);
                }
            }
            Action::KillCgroup { attempt, .. } => self.kill(*attempt),
            Action::Probe { probe, timeout, .. } => {
                let process = &self.processes[&probe.attempt];
                assert!(process.live, "probe of a dead process");
                let (serving, sick) = (process.serving, process.temper.sick);
                let ok = serving && !(sick && self.chance(50));
                let longest = if self.calm {
                    timeout.mul_f64(0.01)
                } else {
                    *timeout
                };
                let delay = longest.mul_f64(f64::from(self.random_below(100)) / 100.0);
                if self.calm || !self.chance(5) {
                    let probe = probe.clone();
                    self.schedule(delay, Due::Report(Event::ProbeResult { probe, ok }));
                }
            }
            Action::CheckCondition { name, path } => {
                assert_eq!(status[name].state, ServiceState::Waiting);
                let delay = self.within(500);
                let ok = self.calm || self.chance(25);
                if self.calm || !self.chance(5) {
                    let (name, path) = (name.clone(), path.clone());
                    self.schedule(
                        delay,
                        Due::Report(Event::ConditionResult { name, path, ok }),
                    );
                }
            }
            Action::Changed {
                name, state, ready, ..
            } => match status.get(name) {
                Some(service) => assert_eq!((service.state, service.ready), (*state, *ready)),
                None => assert_eq!((ServiceState::Stopped, false), (*state, *ready)),
            },
            Action::PlanRefused(_) | Action::RequestRefused { .. } => {}
            Action::ShutdownComplete => {
                let (deadline, _) = self.shutdown.expect("a shutdown was asked for");
                let left = self.processes.values().any(|process| process.live);
                assert!(!left || self.now >= deadline, "complete too early");
                self.complete = true;
            }
        }
    }

    fn spawn(&mut self, name: &str, attempt: Attempt) {
        let spec = self.plan[name].clone();
        let temper = self.temper(&spec);
        self.finished.remove(name);
        let delay = if self.chance(50) {
            Duration::ZERO
        } else {
            self.within(200)
        };
        let name = name.to_owned();
        let answer = if temper.starts {
            let pid = i32::try_from(attempt.0).unwrap();
            Event::Started {
                name: name.clone(),
                attempt,
                pid,
            }
        } else {
            let reason = "no such program".to_owned();
            Event::StartFailed {
                name: name.clone(),
                attempt,
                reason,
            }
        };
        self.schedule(delay, Due::Report(answer));
        if temper.starts {
            if let Some(up_after) = temper.up_after {
                self.schedule(up_after, Due::Up(attempt));
            }
            if let Some((after, status)) = temper.ends_after {
                self.schedule(after, Due::End(attempt, status));
            }
            if let Some(health) = &spec.health
                && health.probe == HealthProbe::Watchdog
            {
                self.schedule(health.interval / 2, Due::Sign(attempt));
            }
        }
        let process = Process {
            name,
            alive: temper.starts,
            live: true,
            serving: false,
            known_up: false,
            asked_to_stop: false,
            forgiven: false,
            kills: 0,
            temper,
            spec,
        };
        self.processes.insert(attempt, process);
    }

    fn stop(&mut self, attempt: Attempt) {
        let clean = self.chance(50);
        let process = self.processes.get_mut(&attempt).unwrap();
        process.asked_to_stop = true;
        let status = if clean {
            ExitStatus::Code(0)
        } else {
            ExitStatus::Signal(SIGTERM)
        };
        if let Some(after) = process.temper.stops_after {
            self.schedule(after, Due::End(attempt, status));
        }
    }

    fn kill(&mut self, attempt: Attempt) {
        let process = self.processes.get_mut(&attempt).unwrap();
        process.kills += 1;
        if let Some(after) = process.temper.dies_after {
            self.schedule(after, Due::End(attempt, ExitStatus::Signal(9)));
        }
    }

    fn temper(&mut self, spec: &ServiceSpec) -> Temper {
        let one_shot = spec.kind == ServiceKind::OneShot;
        if self.calm {
            let after = Duration::from_millis(100);
            return Temper {
                starts: true,
                up_after: Some(after),
                ends_after: one_shot.then_some((after, ExitStatus::Code(0))),
                stops_after: Some(after),
                dies_after: Some(Duration::ZERO),
                signs_until: Duration::MAX,
                sick: false,
            };
        }
        let status = match self.random_below(4) {
            0 | 1 => ExitStatus::Code(0),
            2 => ExitStatus::Code(1),
            _ => ExitStatus::Signal(11),
        };
        let slow = self.chance(30);
        let up_after = self.within(if slow { 15_000 } else { 500 });
        let ends_after = self.within(if slow { 40_000 } else { 2000 });
        Temper {
            starts: self.chance(90),
            up_after: self.chance(80).then_some(up_after),
            ends_after: self
                .chance(if one_shot { 90 } else { 50 })
                .then_some((ends_after, status)),
            stops_after: {
                let after = self.within(3000);
                self.chance(75).then_some(after)
            },
            dies_after: {
                let after = self.within(200);
                self.chance(90).then_some(after)
            },
            signs_until: if self.chance(75) {
                Duration::MAX
            } else {
                self.now + self.within(60_000)
            },
            sick: self.chance(25),
        }
    }

    pub(super) fn schedule(&mut self, after: Duration, due: Due) {
        self.scheduled += 1;
        self.agenda.insert((self.now + after, self.scheduled), due);
    }

    /// True in so many of a hundred cases.
    fn chance(&mut self, percent: u32) -> bool {
        self.random_below(100) < percent
    }

    fn within(&mut self, ms: u32) -> Duration {
        Duration::from_millis(self.random_below(ms).into())
    }

    /// Marsaglia's xorshift.
    fn random_below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from((self.random >> 33) % u64::from(bound)).unwrap()
    }
}
