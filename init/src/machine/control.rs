//! Answers requests on the control socket.

use super::{Machine, Work, stop::Ending, waiters::LogsWanted};
use crate::executor::connections::State;
use crate::executor::{processes, time};
use crate::planner::supervisor::Event;
use init_proto::control::{ApplyEffect, RefusalKind, Request, Response, Status};
use init_proto::generation::CONFIG_MAX;
use init_proto::plan::Mode;
use rustix::fs::OFlags;

pub(super) type Answer = Result<Response, (RefusalKind, String)>;

impl Machine {
    /// A connection has something to read, room to write, or is gone.
    pub(super) fn on_connection(&mut self, number: u32, hangup: bool) {
        if hangup {
            return self.connections.close(number);
        }
        let (state, done) = {
            let done = self.connections.flush(&self.poller, number);
            let Some(connection) = self.connections.get(number) else {
                return;
            };
            (connection.state, done)
        };
        if !done {
            return;
        }
        if let State::Events(_) = state {
            self.feed_subscribers();
        }
        let mut request = self.connections.read(number);
        // Requests that were sent without waiting for answers are served one by one; where an answer
        // comes late, the rest follows in the turn after it ([`Machine::answer_late`]).
        while let Some(next) = request {
            self.serve(number, next);
            request = self.connections.next_request(number);
        }
    }

    fn serve(&mut self, number: u32, request: Request) {
        let Some((user, pid)) = self.connections.get(number).map(|c| (c.user, c.pid)) else {
            return;
        };
        if !request.allowed_for(user) {
            let message = format!("user {user} may not ask this of init");
            return self.answer(number, Err((RefusalKind::PermissionDenied, message)));
        }
        match request {
            Request::Events { after } => {
                let after = self.history.clamp(after);
                self.connections.stream(number, after);
                self.connections.flush(&self.poller, number);
                self.feed_subscribers();
            }
            Request::OpenKernelLog => self.open_kernel_log(number),
            Request::ServiceStart { name } => {
                self.service(number, name, |name| (Event::StartRequest { name }, true))
            }
            Request::ServiceStop { name } => {
                self.service(number, name, |name| (Event::StopRequest { name }, false))
            }
            Request::ServiceRestart { name } => {
                self.service(number, name, |name| (Event::RestartRequest { name }, true))
            }
            Request::ConfigApply { ref config, .. } if config.len() > CONFIG_MAX => {
                let message = format!("the config is longer than {CONFIG_MAX} bytes");
                self.answer(number, Err((RefusalKind::InvalidArgument, message)));
            }
            Request::Logs {
                name,
                cursor,
                bytes_max,
                wait,
            } => self.logs_asked(number, LogsWanted::new(name, cursor, bytes_max), wait),
            request @ Request::ConfigApply { .. } => {
                self.connections.flush(&self.poller, number);
                if !self.queue(Work::Apply(number, user, request)) {
                    let message = "init is busy with other requests; try again".into();
                    self.answer(number, Err((RefusalKind::ResourceExhausted, message)));
                }
            }
            request => {
                let answer = self.answer_now(request, pid);
                self.answer(number, answer);
            }
        }
    }

    fn answer_now(&mut self, request: Request, pid: i32) -> Answer {
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Services => {
                let mut services = self.supervisor.status(time::monotonic());
                for service in &mut services {
                    service.memory_bytes = service.pid.map_or(0, processes::resident_bytes);
                }
                Response::Services(services)
            }
            Request::ConfigGet => {
                let stored = self.store.read();
                Response::Config {
                    generation: stored.as_ref().map_or(0, |stored| stored.number),
                    config: stored.map(|stored| stored.config),
                }
            }
            Request::Reboot => self.begin(Ending::Reboot)?,
            Request::PowerOff => self.begin(Ending::PowerOff)?,
            request @ (Request::RegisterChild { .. }
            | Request::Children
            | Request::ForgetChild { .. }
            | Request::ExitOf { .. }) => self.answer_children(request, pid)?,
            // Those with later answers were taken out before.
            Request::Events { .. }
            | Request::OpenKernelLog
            | Request::Logs { .. }
            | Request::ServiceStart { .. }
            | Request::ServiceStop { .. }
            | Request::ServiceRestart { .. }
            | Request::ConfigApply { .. } => {
                return Err((RefusalKind::Internal, "request out of turn".into()));
            }
        })
    }

    fn answer_children(&mut self, request: Request, pid: i32) -> Answer {
        let owner = self.owner(pid);
        match request {
            Request::RegisterChild {
                pid: child,
                start_time,
                label,
            } => match self.exits.register(&owner, (child, start_time), label) {
                Ok(()) => Ok(Response::Done),
                Err(error) => Err((RefusalKind::ResourceExhausted, error.to_string())),
            },
            Request::ForgetChild {
                pid: child,
                start_time,
            } => {
                if self.exits.forget(&owner, (child, start_time)) {
                    return Ok(Response::Done);
                }
                let message = format!("no registered child {child}");
                Err((RefusalKind::NotFound, message))
            }
            Request::ExitOf {
                pid: child,
                start_time,
            } => Ok(Response::Exit(self.exit_of(child, start_time))),
            _ => {
                let alive = |(pid, start)| processes::start_time(pid) == Some(start);
                Ok(Response::Children(self.exits.children(&owner, alive)))
            }
        }
    }

    /// Children belong to the service of the peer; a peer outside all services has its own share.
    fn owner(&self, pid: i32) -> String {
        self.service_of_process(pid).unwrap_or_default()
    }

    fn begin(&mut self, ending: Ending) -> Result<Response, (RefusalKind, String)> {
        if let Some(reason) = &self.stopping {
            let message = format!("the machine is stopping already: {reason}");
            return Err((RefusalKind::FailedPrecondition, message));
        }
        self.begin_end(ending, "request over the API");
        Ok(Response::Done)
    }

    /// Sends an answer that could not be given at once. The peer's next request may have come long ago:
    /// the next turn looks for it, since no more bytes will announce it.
    pub(super) fn answer_late(&mut self, number: u32, answer: Answer) {
        self.answer(number, answer);
        self.resumed.push(number);
    }

    /// Sends the answer.
    pub(super) fn answer(&mut self, number: u32, answer: Answer) {
        let response = answer.unwrap_or_else(|(kind, message)| Response::Refused { kind, message });
        self.connections
            .answer(&self.poller, number, &response, None);
    }

    fn open_kernel_log(&mut self, number: u32) {
        if self.options.sandboxed {
            let message = "the kernel log belongs to the host of this sandboxed node".into();
            return self.answer(number, Err((RefusalKind::FailedPrecondition, message)));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()) {
            Ok(log) => {
                self.connections
                    .answer(&self.poller, number, &Response::Done, Some(log));
            }
            Err(error) => {
                let message = format!("open /dev/kmsg: {error}");
                self.answer(number, Err((RefusalKind::Internal, message)));
            }
        }
    }

    /// Sends news to the subscribers that have taken everything so far.
    pub(super) fn feed_subscribers(&mut self) {
        for (number, mut after) in self.connections.hungry() {
            // Until its socket is full: room there is announced, the end of a number of events is not.
            while let Some(event) = self.history.next_after(after) {
                after = event.sequence;
                self.connections.event(&self.poller, number, &event);
                if !self.connections.flush(&self.poller, number) {
                    break;
                }
            }
        }
    }

    /// The plan's mode; a reason that goes on while somebody works on it has their last word.
    fn mode(&self) -> Mode {
        let mut mode = self.plan.mode.clone();
        if let (Mode::Maintenance { reason }, Some(name)) = (&mut mode, &self.plan.explained_by)
            && let Some(said) = self.last_status(name)
        {
            reason.push_str(&format!("\n{name}: {said}"));
        }
        mode
    }

    fn status(&self) -> Status {
        let mut phases = self.phases.clone();
        let now = time::millis(self.uptime());
        for phase in &mut phases {
            if phase.state == init_proto::control::PhaseState::Running {
                phase.took_ms = now.saturating_sub(phase.started_ms);
            }
        }
        Status {
            version: self.version.clone(),
            boot_id: self.boot_id.clone(),
            machine_id: self.machine_id.clone(),
            sandboxed: self.options.sandboxed,
            mode: self.mode(),
            source: self.plan.source,
            generation: self.generation,
            stopping: self.stopping.is_some(),
            phases,
            watchdog_seconds: self.watchdog.as_ref().map(|watchdog| watchdog.seconds),
            last_event: self.history.last(),
        }
    }
}

/// What an applied config shall lead to, for the log.
pub(super) fn effect_name(effect: ApplyEffect) -> &'static str {
    match effect {
        ApplyEffect::NoReboot => "without reboot",
        ApplyEffect::Reboot => "with reboot",
    }
}
