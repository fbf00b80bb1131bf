//! The simulated machine: what it is made of, what is done to it, and what must be true in the end.

mod check;
mod run;

use super::super::interface::Purpose;
use super::super::{
    Action, Attempt, Event, ExitStatus, Notice, Probe, SHUTDOWN_KILL_SLICE, Supervisor,
};
use super::Op;
use init_proto::control::{ServiceState, ServiceStatus};
use init_proto::plan::{Restart, ServiceKind, ServiceSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The machine and everything in it.
pub(super) struct World {
    now: Duration,
    supervisor: Supervisor,
    random: u64,
    /// Processes behave and nothing is lost.
    calm: bool,
    /// What will happen, by time and order of scheduling.
    agenda: BTreeMap<(Duration, u64), Due>,
    scheduled: u64,
    processes: BTreeMap<Attempt, Process>,
    /// The accepted plan.
    plan: BTreeMap<String, ServiceSpec>,
    /// Services that have left the plan, until they are drawn in again.
    outside: BTreeMap<String, ServiceSpec>,
    stopped_by_request: BTreeSet<String>,
    /// One-shots whose last run ended with 0.
    finished: BTreeSet<String>,
    /// Earliest next start after a failure, and cleared by whatever allows an immediate start.
    not_before: BTreeMap<String, Duration>,
    /// Services whose start condition was seen to be met.
    condition_met: BTreeSet<String>,
    /// Deadline and time of the last kill of the shutdown.
    shutdown: Option<(Duration, Duration)>,
    complete: bool,
    /// Ticks in this second.
    ticks: (u64, usize),
}

/// What happens in the world at some time.
enum Due {
    Report(Event),
    /// The main process ends, unless it has ended.
    End(Attempt, ExitStatus),
    /// It is up: it answers probes or says so.
    Up(Attempt),
    /// It shows that it lives, and will again.
    Sign(Attempt),
}

/// A spawned process as the world has it, and what the supervisor has been told of it.
struct Process {
    name: String,
    spec: ServiceSpec,
    /// Runs in the world.
    alive: bool,
    /// Neither end nor failed start has been reported.
    live: bool,
    /// Accepts connections.
    serving: bool,
    /// The supervisor knows that it is up.
    known_up: bool,
    asked_to_stop: bool,
    /// A request or a new spec asked for a new process since.
    forgiven: bool,
    kills: u32,
    temper: Temper,
}

/// How a process behaves.
struct Temper {
    starts: bool,
    up_after: Option<Duration>,
    ends_after: Option<(Duration, ExitStatus)>,
    stops_after: Option<Duration>,
    /// None: hangs in the kernel until the world calms down.
    dies_after: Option<Duration>,
    signs_until: Duration,
    sick: bool,
}

impl World {
    pub(super) fn new(seed: u64, specs: Vec<ServiceSpec>) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            supervisor: Supervisor::new(seed),
            random: seed | 1,
            calm: false,
            agenda: BTreeMap::new(),
            scheduled: 0,
            processes: BTreeMap::new(),
            plan: BTreeMap::new(),
            outside: BTreeMap::new(),
            stopped_by_request: BTreeSet::new(),
            finished: BTreeSet::new(),
            not_before: BTreeMap::new(),
            condition_met: BTreeSet::new(),
            shutdown: None,
            complete: false,
            ticks: (0, 0),
        };
        let plan = specs
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect();
        assert!(world.submit(plan), "an acyclic plan is taken");
        world
    }

    /// Carries out the script.
    pub(super) fn play(&mut self, script: Vec<(Duration, Op)>) {
        for (pause, op) in script {
            self.run_until(self.now + pause);
            self.operate(op);
        }
    }

    /// From now on nothing misbehaves; lets `time` pass.
    pub(super) fn calm_down(&mut self, time: Duration) {
        self.calm = true;
        let hanging: Vec<_> = self
            .processes
            .iter_mut()
            .filter(|(_, process)| process.alive)
            .map(|(attempt, process)| {
                process.temper.dies_after = Some(Duration::ZERO);
                process.temper.sick = false;
                (*attempt, process.kills > 0)
            })
            .collect();
        for (attempt, killed) in hanging {
            if killed {
                self.schedule(Duration::ZERO, Due::End(attempt, ExitStatus::Signal(9)));
            }
        }
        self.run_until(self.now + time);
    }

    /// Every service is where its spec and its requests want it.
    pub(super) fn expect_converged(&self) {
        let status = self.status();
        for (name, spec) in &self.plan {
            let service = &status[name];
            let live = self.live(name).is_some();
            let expect: &[ServiceState] = if self.stopped_by_request.contains(name) {
                &[ServiceState::Stopped]
            } else if service.state == ServiceState::Failed {
                let clean = service.last_exit.as_deref() == Some("exit code 0");
                match spec.restart {
                    Restart::Never => {}
                    Restart::OnFailure if clean => {}
                    _ => panic!("{name} failed for good against its policy: {service:?}"),
                }
                &[ServiceState::Failed]
            } else if self.is_held(name, &status) {
                &[ServiceState::Waiting, ServiceState::Finished]
            } else if spec.kind == ServiceKind::OneShot {
                &[ServiceState::Finished]
            } else {
                &[ServiceState::Running]
            };
            assert!(
                expect.contains(&service.state),
                "{name}: not {expect:?}: {service:?}"
            );
            assert_eq!(
                live,
                service.state == ServiceState::Running,
                "{name}: {service:?}"
            );
        }
        assert_eq!(
            status.len(),
            self.plan.len(),
            "removed services are forgotten"
        );
    }

    /// Shuts down within `deadline`.
    pub(super) fn shut_down(&mut self, deadline: Duration) {
        self.begin_shutdown(deadline);
        self.finish_shutdown();
    }

    /// A second order comes while the first is carried out.
    pub(super) fn shut_down_twice(&mut self, first: Duration, second: Duration) {
        self.begin_shutdown(first);
        self.run_until(self.now + first / 3);
        if !self.complete {
            self.begin_shutdown(second);
        }
        self.finish_shutdown();
    }

    fn begin_shutdown(&mut self, time: Duration) {
        let deadline = match self.shutdown {
            Some((first, _)) => first.min(self.now + time),
            None => self.now + time,
        };
        let last_kill = deadline - SHUTDOWN_KILL_SLICE.min((deadline - self.now) / 4);
        self.shutdown = Some((deadline, last_kill));
        self.step(Event::Shutdown {
            deadline: self.now + time,
        });
    }

    fn finish_shutdown(&mut self) {
        let (deadline, last_kill) = self.shutdown.expect("it has begun");
        self.run_until(last_kill);
        if !self.complete {
            for process in self.processes.values().filter(|process| process.live) {
                assert!(process.kills > 0, "{} was not killed in time", process.name);
            }
        }
        self.run_until(deadline);
        assert!(self.complete, "shutdown is not complete at its deadline");
        assert_eq!(self.supervisor.next_deadline(), None);
        let late = self.supervisor.step(self.now, Event::Tick);
        assert!(late.is_empty(), "after completion: {late:?}");
    }

    fn operate(&mut self, op: Op) {
        let mut plan = self.plan.clone();
        match op {
            Op::Start(at) => self.request(at, |name| Event::StartRequest { name }),
            Op::Stop(at) => self.request(at, |name| Event::StopRequest { name }),
            Op::Restart(at) => self.request(at, |name| Event::RestartRequest { name }),
            Op::Command(at) => {
                if let Some(spec) = plan.get_mut(&super::name(at)) {
                    spec.command.push("--again".into());
                    self.submit(plan);
                }
            }
            Op::Config(at) => {
                if let Some(spec) = plan.get_mut(&super::name(at)) {
                    spec.config.push(1);
                    self.submit(plan);
                }
            }
            Op::Member(at) => self.toggle_member(&super::name(at)),
            Op::Edges(at, after, requires) => {
                if let Some(spec) = plan.get_mut(&super::name(at)) {
                    spec.after = super::chosen(at, after);
                    spec.requires = super::chosen(at, requires);
                    self.submit(plan);
                }
            }
            Op::Cycle => {
                let names: Vec<_> = plan.keys().cloned().collect();
                if let [first, .., last] = names.as_slice() {
                    plan.get_mut(first).unwrap().after.push(last.clone());
                    plan.get_mut(last).unwrap().requires.push(first.clone());
                    assert!(!self.submit(plan), "a cycle was taken");
                }
            }
            Op::Stale(at) => self.repeat_stale_reports(&super::name(at)),
        }
    }

    fn toggle_member(&mut self, name: &str) {
        let mut plan = self.plan.clone();
        if let Some(gone) = plan.remove(name) {
            for spec in plan.values_mut() {
                spec.requires.retain(|required| required != name);
            }
            assert!(self.submit(plan));
            self.outside.insert(name.to_owned(), gone);
        } else if let Some(spec) = self.outside.get(name).cloned() {
            plan.insert(name.to_owned(), spec);
            if self.submit(plan) {
                self.outside.remove(name);
            }
        }
    }

    /// Hands a plan in; true if it was taken.
    fn submit(&mut self, plan: BTreeMap<String, ServiceSpec>) -> bool {
        let kept = (self.not_before.clone(), self.finished.clone());
        let before = std::mem::replace(&mut self.plan, plan);
        let names: BTreeSet<_> = before.keys().chain(self.plan.keys()).cloned().collect();
        for name in names {
            if before.get(&name) != self.plan.get(&name) {
                self.forgive(&name);
            }
        }
        let specs = self.plan.values().cloned().collect();
        let actions = self.step(Event::PlanChanged(specs));
        let refused = actions
            .iter()
            .any(|action| matches!(action, Action::PlanRefused(_)));
        if refused {
            self.plan = before;
            (self.not_before, self.finished) = kept;
        }
        !refused
    }

    /// An immediate start is due, and what ran before no longer counts.
    fn forgive(&mut self, name: &str) {
        self.not_before.remove(name);
        self.finished.remove(name);
        for process in self.processes.values_mut() {
            process.forgiven |= process.name == name;
        }
    }

    fn request(&mut self, at: usize, event: fn(String) -> Event) {
        let name = super::name(at);
        let event = event(name.clone());
        let known = self.plan.contains_key(&name);
        if known {
            match event {
                Event::StopRequest { .. } => {
                    self.stopped_by_request.insert(name.clone());
                    self.finished.remove(&name);
                }
                _ => {
                    self.stopped_by_request.remove(&name);
                    self.forgive(&name);
                }
            }
        }
        let actions = self.step(event);
        let refused = actions
            .iter()
            .any(|action| matches!(action, Action::RequestRefused { .. }));
        assert_eq!(refused, !known, "{name}: {actions:?}");
    }

    fn repeat_stale_reports(&mut self, name: &str) {
        let ended = self
            .processes
            .iter()
            .rfind(|(_, process)| process.name == name && !process.live)
            .map(|(attempt, _)| *attempt);
        let Some(attempt) = ended else {
            return;
        };
        let name = || name.to_owned();
        let probe = Probe {
            name: name(),
            attempt,
            purpose: Purpose::Readiness,
            serial: 1,
        };
        for event in [
            Event::Started {
                name: name(),
                attempt,
                pid: 7,
            },
            Event::Exited {
                name: name(),
                attempt,
                status: ExitStatus::Code(0),
            },
            Event::StartFailed {
                name: name(),
                attempt,
                reason: "late".into(),
            },
            Event::Notified {
                name: name(),
                attempt,
                notice: Notice::Ready,
            },
            Event::Notified {
                name: name(),
                attempt,
                notice: Notice::Stopping,
            },
            Event::ProbeResult { probe, ok: true },
        ] {
            let actions = self.step(event.clone());
            assert!(actions.is_empty(), "{event:?}: {actions:?}");
        }
    }

    fn status(&self) -> BTreeMap<String, ServiceStatus> {
        let status = self.supervisor.status(self.now);
        status
            .into_iter()
            .map(|service| (service.name.clone(), service))
            .collect()
    }

    fn live(&self, name: &str) -> Option<&Process> {
        self.processes
            .values()
            .find(|process| process.live && process.name == name)
    }
}
