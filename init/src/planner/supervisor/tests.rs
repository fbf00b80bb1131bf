//! Stories: what happens on the left, what the supervisor does about it on the right.

use super::interface::Purpose;
use super::{Action, Attempt, Event, ExitStatus, Notice, Probe, ProbeTarget, Supervisor};
use init_proto::control::ServiceState;
use init_proto::plan::{
    Condition, HealthCheck, HealthProbe, Readiness, Reload, Restart, ServiceKind, ServiceSpec,
};
use init_proto::services::daemon;
use std::time::Duration;

/// A service that is up once it runs, with waits that are easy to follow.
fn service(name: &str) -> ServiceSpec {
    ServiceSpec {
        readiness: Readiness::Started,
        health: None,
        start_timeout: Duration::from_secs(10),
        stop_deadline: Duration::from_secs(5),
        backoff_initial: Duration::from_secs(1),
        ..daemon(name)
    }
}

fn after(name: &str, other: &str) -> ServiceSpec {
    ServiceSpec {
        after: vec![other.into()],
        ..service(name)
    }
}

fn requires(name: &str, other: &str) -> ServiceSpec {
    ServiceSpec {
        requires: vec![other.into()],
        ..service(name)
    }
}

fn one_shot(spec: ServiceSpec) -> ServiceSpec {
    ServiceSpec {
        kind: ServiceKind::OneShot,
        ..spec
    }
}

struct Story {
    supervisor: Supervisor,
    now: Duration,
}

impl Story {
    fn new() -> Self {
        Self {
            supervisor: Supervisor::new(1),
            now: Duration::ZERO,
        }
    }

    /// Services, all of which are started at once and report so in the order of their names.
    fn running(specs: &[ServiceSpec]) -> Self {
        let mut story = Self::new();
        story.act(Event::PlanChanged(specs.to_vec()));
        for _ in specs {
            for spec in specs {
                if let Some((attempt, None)) = story.supervisor.live(&spec.name) {
                    story.act(started(&spec.name, attempt.0));
                }
            }
        }
        story
    }

    fn act(&mut self, event: Event) -> Vec<Action> {
        self.supervisor.step(self.now, event)
    }

    /// `event` leads to `expect`.
    #[track_caller]
    fn check(&mut self, event: Event, expect: &str) {
        let text = format!("{event:?}");
        let actions: Vec<_> = self.act(event).iter().map(word).collect();
        assert_eq!(actions.join(", "), expect, "after {text} at {:?}", self.now);
    }

    /// Up to `ms` milliseconds pass until something is done: `expect`.
    #[track_caller]
    fn check_wait(&mut self, ms: u64, expect: &str) {
        let end = self.now + Duration::from_millis(ms);
        let mut actions = Vec::new();
        let mut ticks = 0;
        while let Some(next) = self.supervisor.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            actions = self.act(Event::Tick);
            ticks += 1;
            assert!(ticks < 1000, "busy loop at {:?}", self.now);
            if !actions.is_empty() {
                break;
            }
        }
        if actions.is_empty() {
            self.now = end;
        }
        let actions: Vec<_> = actions.iter().map(word).collect();
        assert_eq!(actions.join(", "), expect, "at {:?}", self.now);
    }

    #[track_caller]
    fn check_state(&self, name: &str, state: ServiceState, text: &str) {
        let status = self.supervisor.status(self.now);
        let service = status.iter().find(|service| service.name == name).unwrap();
        assert_eq!(service.state, state, "{service:?}");
        let all = format!("{} / {:?}", service.message, service.last_exit);
        assert!(all.contains(text), "{all:?} lacks {text:?}");
    }

    fn backoff_of(&self, name: &str) -> Duration {
        assert_eq!(
            self.supervisor.services[name].state(),
            ServiceState::BackOff
        );
        self.supervisor.services[name].deadline().unwrap() - self.now
    }
}

fn word(action: &Action) -> String {
    match action {
        Action::WriteConfig { name } => format!("config {name}"),
        Action::Spawn { name, attempt } => format!("spawn {name}#{}", attempt.0),
        Action::Signal {
            name,
            attempt,
            signal,
        } => format!("signal {signal} {name}#{}", attempt.0),
        Action::KillCgroup { name, attempt } => format!("kill {name}#{}", attempt.0),
        Action::Probe { probe, target, .. } => {
            let target = match target {
                ProbeTarget::UnixSocket(path) => path.clone(),
                ProbeTarget::TcpPort(port) => port.to_string(),
            };
            format!("probe {}#{} at {target}", probe.name, probe.attempt.0)
        }
        Action::CheckCondition { name, path } => format!("look for {path} of {name}"),
        Action::Changed {
            name, state, ready, ..
        } => {
            format!("{name} {state:?}{}", if *ready { "!" } else { "" })
        }
        Action::PlanRefused(error) => format!("refused: {error}"),
        Action::RequestRefused { name, message, .. } => format!("refused {name}: {message}"),
        Action::ShutdownComplete => "complete".into(),
    }
}

fn plan(specs: &[ServiceSpec]) -> Event {
    Event::PlanChanged(specs.to_vec())
}

fn started(name: &str, attempt: u64) -> Event {
    Event::Started {
        name: name.into(),
        attempt: Attempt(attempt),
        pid: 100,
    }
}

fn exited(name: &str, attempt: u64, status: ExitStatus) -> Event {
    Event::Exited {
        name: name.into(),
        attempt: Attempt(attempt),
        status,
    }
}

fn crashed(name: &str, attempt: u64) -> Event {
    exited(name, attempt, ExitStatus::Signal(11))
}

fn clean(name: &str, attempt: u64) -> Event {
    exited(name, attempt, ExitStatus::Code(0))
}

fn said(name: &str, attempt: u64, notice: Notice) -> Event {
    Event::Notified {
        name: name.into(),
        attempt: Attempt(attempt),
        notice,
    }
}

fn answer(name: &str, purpose: Purpose, serial: u64, ok: bool) -> Event {
    Event::ProbeResult {
        probe: Probe {
            name: name.into(),
            attempt: Attempt(1),
            purpose,
            serial,
        },
        ok,
    }
}

fn start(name: &str) -> Event {
    Event::StartRequest { name: name.into() }
}

fn stop(name: &str) -> Event {
    Event::StopRequest { name: name.into() }
}

fn restart(name: &str) -> Event {
    Event::RestartRequest { name: name.into() }
}

mod dependencies;
mod life;
mod shutdown;
