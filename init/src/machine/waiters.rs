//! Connections whose answer comes later: when a service has got there, or when a log has news.
//!
//! They are looked at once per turn, so a flood of lines is answered once per turn too. Each wait has
//! a bound; there is at most one per connection.

use super::Machine;
use super::control::Answer;
use crate::executor::time;
use crate::planner::supervisor::{Attempt, Event};
use init_proto::control::{LOG_CHUNK_MAX, LOG_WAIT, RefusalKind, Response, ServiceState};
use std::time::Duration;

/// Longest wait for a service to stop or start on request, below the callers' own deadline.
const SERVICE_WAIT: Duration = Duration::from_secs(45);

/// A connection that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    connection: u32,
    waits: Waits,
    /// Then it is answered in any case.
    pub(super) deadline: Duration,
}

#[derive(Debug)]
enum Waits {
    Service(ForService),
    Logs(LogsWanted),
}

#[derive(Debug)]
struct ForService {
    name: String,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Ended,
    /// A live process of another attempt than this.
    Runs(Option<Attempt>),
}

/// A piece of a service's log.
#[derive(Debug)]
pub(super) struct LogsWanted {
    name: String,
    cursor: u64,
    bytes_max: usize,
}

impl LogsWanted {
    /// From `cursor` on, as many bytes as were asked for and are allowed.
    pub(super) fn new(name: String, cursor: u64, bytes_max: u32) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(LOG_CHUNK_MAX);
        Self {
            name,
            cursor,
            bytes_max: bytes_max.min(LOG_CHUNK_MAX),
        }
    }
}

impl Machine {
    /// Hands a request to the supervisor; the answer comes when the service is stopped, or `runs`.
    pub(super) fn service(
        &mut self,
        number: u32,
        name: String,
        event: impl FnOnce(String) -> (Event, bool),
    ) {
        let before = self.supervisor.live(&name).map(|(attempt, _)| attempt);
        let (event, runs) = event(name.clone());
        let restart = matches!(event, Event::RestartRequest { .. });
        if let Some(refusal) = self.supervise(event).request {
            return self.answer(number, Err(refusal));
        }
        let wanted = match runs {
            // A start request to a running service is met by the process that runs.
            true => Wanted::Runs(before.filter(|_| restart)),
            false => Wanted::Ended,
        };
        let service = ForService { name, wanted };
        // At once where it is so already: a process that ends soon would not be seen a turn later.
        match self.service_answer(&service) {
            Some(answer) => self.answer(number, answer),
            None => self.wait_for(number, Waits::Service(service), SERVICE_WAIT),
        }
    }

    /// Answers with log lines, or waits for some.
    pub(super) fn logs_asked(&mut self, number: u32, wanted: LogsWanted, wait: bool) {
        let news = self
            .logs
            .get(&wanted.name)
            .map(|log| log.ring.has(wanted.cursor));
        if wait && news == Some(false) {
            return self.wait_for(number, Waits::Logs(wanted), LOG_WAIT);
        }
        let answer = self.logs_of(&wanted);
        self.answer(number, answer);
    }

    fn wait_for(&mut self, connection: u32, waits: Waits, longest: Duration) {
        self.connections.flush(&self.poller, connection);
        self.waiters.push(Waiter {
            connection,
            waits,
            deadline: time::monotonic() + longest,
        });
    }

    /// Answers those that have what they wait for, or whose time is over.
    pub(super) fn serve_waiters(&mut self, now: Duration) {
        if self.waiters.is_empty() {
            return;
        }
        let (mut open, mut answers) = (Vec::new(), Vec::new());
        for waiter in std::mem::take(&mut self.waiters) {
            if self.connections.get(waiter.connection).is_none() {
                continue;
            }
            match self.answer_for(&waiter, waiter.deadline <= now) {
                Some(answer) => answers.push((waiter.connection, answer)),
                None => open.push(waiter),
            }
        }
        self.waiters = open;
        for (connection, answer) in answers {
            self.answer_late(connection, answer);
        }
    }

    fn answer_for(&self, waiter: &Waiter, over: bool) -> Option<Answer> {
        match &waiter.waits {
            Waits::Service(service) => self.service_answer(service).or_else(|| {
                let message = format!(
                    "{} did not get there within {} s; it is still being tried",
                    service.name,
                    SERVICE_WAIT.as_secs()
                );
                over.then_some(Err((RefusalKind::DeadlineExceeded, message)))
            }),
            Waits::Logs(wanted) => {
                let news = self
                    .logs
                    .get(&wanted.name)
                    .is_none_or(|log| log.ring.has(wanted.cursor));
                (news || over).then(|| self.logs_of(wanted))
            }
        }
    }

    fn service_answer(&self, service: &ForService) -> Option<Answer> {
        let state = self.supervisor.state(&service.name);
        service.met(state, self.supervisor.live(&service.name))
    }

    fn logs_of(&self, wanted: &LogsWanted) -> Answer {
        let log = self.logs.get(&wanted.name).ok_or_else(|| {
            let message = format!("no log of a service {:?}", wanted.name);
            (RefusalKind::NotFound, message)
        })?;
        let chunk = log.ring.read(wanted.cursor, wanted.bytes_max);
        Ok(Response::Logs {
            lines: chunk.lines,
            next: chunk.next,
            lost: chunk.lost,
        })
    }
}

impl ForService {
    fn met(
        &self,
        state: Option<ServiceState>,
        live: Option<(Attempt, Option<i32>)>,
    ) -> Option<Answer> {
        match (&self.wanted, state) {
            (_, None) => {
                let message = format!("{} has left the plan", self.name);
                Some(Err((RefusalKind::NotFound, message)))
            }
            (
                Wanted::Ended,
                Some(ServiceState::Stopped | ServiceState::Failed | ServiceState::Finished),
            ) => Some(Ok(Response::Done)),
            (Wanted::Ended, _) => None,
            (Wanted::Runs(before), state) => {
                let new =
                    live.is_some_and(|(attempt, pid)| pid.is_some() && *before != Some(attempt));
                match state {
                    _ if new => Some(Ok(Response::Done)),
                    Some(ServiceState::Finished) => Some(Ok(Response::Done)),
                    Some(ServiceState::Failed) => {
                        let message = format!("{} has ended again; its log says why", self.name);
                        Some(Err((RefusalKind::Internal, message)))
                    }
                    _ => None,
                }
            }
        }
    }
}
