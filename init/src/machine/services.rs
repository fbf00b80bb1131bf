//! Carries out the supervisor's actions and brings it their outcomes.

use super::Machine;
use super::start::write_config;
use crate::executor::{notify_socket, processes, time};
use crate::planner::notify::{Message, parse};
use crate::planner::supervisor::{Action, Attempt, Event, ExitStatus, Notice, Probe};
use init_proto::control::{EventKind, FDS_KEPT, RefusalKind};
use init_proto::plan::ServiceSpec;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::VecDeque;
use std::path::Path;

/// What `init` holds for a service beside the supervisor's state.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    /// Live main process and its attempt.
    main: Option<(i32, Attempt)>,
    /// Descriptors that the service has stored, with their names.
    stored: Vec<(String, OwnedFd)>,
    /// Why the config could not be written; the next spawn fails with it.
    config_failure: Option<String>,
    /// The last `STATUS=`, so that only news is shown.
    status: String,
}

/// What the supervisor refused in one step.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// A request.
    pub(super) request: Option<(RefusalKind, String)>,
    /// A plan.
    pub(super) plan: Option<String>,
}

impl Machine {
    /// Hands an event to the supervisor and carries out what it answers, until nothing is left to do.
    pub(super) fn supervise(&mut self, event: Event) -> Refused {
        let mut events = VecDeque::from([event]);
        let mut refused = Refused::default();
        while let Some(event) = events.pop_front() {
            for action in self.supervisor.step(time::monotonic(), event) {
                events.extend(self.act(action, &mut refused));
            }
        }
        refused
    }

    fn act(&mut self, action: Action, refused: &mut Refused) -> Option<Event> {
        match action {
            Action::WriteConfig { name } => {
                let failure = self.write_config(&name).err();
                let runtime = self.services.entry(name.clone()).or_default();
                runtime.config_failure.clone_from(&failure);
                if let (Some(reason), Some(_)) = (failure, runtime.main) {
                    self.say(3, &format!("{name}: goes on with its old config: {reason}"));
                }
            }
            Action::Spawn { name, attempt } => return Some(self.start(name, attempt)),
            Action::Signal {
                name,
                attempt,
                signal,
            } => {
                if let Some(pid) = self.main_process(&name, attempt) {
                    processes::signal(pid, signal);
                }
            }
            Action::KillCgroup { name, attempt } => {
                if let Some(cgroups) = &self.cgroups {
                    cgroups.kill(&name);
                }
                if let Some(pid) = self.main_process(&name, attempt) {
                    processes::signal(pid, libc::SIGKILL);
                }
            }
            Action::Probe {
                probe,
                target,
                timeout,
            } => {
                let now = time::monotonic();
                return self
                    .probes
                    .begin(&self.poller, now, probe, &target, timeout)
                    .map(|(probe, ok)| Event::ProbeResult { probe, ok });
            }
            Action::CheckCondition { name, path } => {
                let ok = Path::new(&path).exists();
                return Some(Event::ConditionResult { name, path, ok });
            }
            Action::Changed {
                name,
                state,
                ready,
                message,
            } => {
                let kind = EventKind::Service {
                    name,
                    state,
                    ready,
                    message,
                };
                self.record(kind);
            }
            Action::PlanRefused(error) => refused.plan = Some(error.to_string()),
            Action::RequestRefused { kind, message, .. } => {
                refused.request = Some((kind, message));
            }
            Action::ShutdownComplete => self.stopped = true,
        }
        None
    }

    fn main_process(&self, name: &str, attempt: Attempt) -> Option<i32> {
        self.services
            .get(name)
            .and_then(|runtime| runtime.main)
            .filter(|(_, live)| *live == attempt)
            .map(|(pid, _)| pid)
    }

    /// A probe has its answer.
    pub(super) fn probed(&mut self, probe: Probe, ok: bool) {
        self.supervise(Event::ProbeResult { probe, ok });
    }

    /// A main process has ended: true when this was one.
    pub(super) fn main_ended(&mut self, pid: i32, end: processes::End) -> bool {
        let found = self.services.iter_mut().find_map(|(name, runtime)| {
            let (_, attempt) = runtime.main.filter(|(main, _)| *main == pid)?;
            runtime.main = None;
            Some((name.clone(), attempt))
        });
        let Some((name, attempt)) = found else {
            return false;
        };
        self.drain_outputs_of(&name);
        let status = match end {
            processes::End::Code(code) => ExitStatus::Code(code),
            processes::End::Signal(signal) => ExitStatus::Signal(signal),
        };
        self.supervise(Event::Exited {
            name,
            attempt,
            status,
        });
        true
    }

    fn write_config(&mut self, name: &str) -> Result<(), String> {
        let Some(spec) = self.supervisor.spec(name).cloned() else {
            return Err("the service is not in the plan".into());
        };
        write_config(&spec)
    }

    fn start(&mut self, name: String, attempt: Attempt) -> Event {
        let failure = self
            .services
            .entry(name.clone())
            .or_default()
            .config_failure
            .take();
        let started = match (failure, self.supervisor.spec(&name).cloned()) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err("the service is not in the plan".into()),
            (None, Some(spec)) => self.start_process(&spec),
        };
        match started {
            Ok(pid) => {
                self.services.entry(name.clone()).or_default().main = Some((pid, attempt));
                Event::Started { name, attempt, pid }
            }
            Err(reason) => {
                self.say(3, &format!("{name}: could not be started: {reason}"));
                Event::StartFailed {
                    name,
                    attempt,
                    reason,
                }
            }
        }
    }

    /// Starts a service's process as its spec says.
    pub(super) fn start_process(&mut self, spec: &ServiceSpec) -> Result<i32, String> {
        let prepared = self.prepare(spec)?;
        let stored = self
            .services
            .get(&spec.name)
            .map_or(&[][..], |runtime| &runtime.stored);
        let descriptors = stored
            .iter()
            .map(|(name, descriptor)| (name.clone(), descriptor.as_fd()))
            .collect();
        let spawned = prepared.spawn(spec, descriptors)?;
        self.watch_log(&spec.name, spawned.output, false);
        self.watch_log(&spec.name, spawned.error, true);
        Ok(spawned.pid)
    }

    /// A datagram on the notification socket.
    pub(super) fn on_notification(&mut self, datagram: notify_socket::Datagram) {
        let Some(name) = self.service_of_process(datagram.pid) else {
            return;
        };
        let mut descriptors = datagram.descriptors;
        for message in parse(&datagram.bytes) {
            let notice = match message {
                Message::Ready => Notice::Ready,
                Message::Stopping => Notice::Stopping,
                Message::Watchdog => Notice::Watchdog,
                Message::Status(status) => {
                    self.status_changed(&name, &status);
                    Notice::Status(status)
                }
                Message::StoreDescriptors(label) => {
                    self.store(&name, &label, std::mem::take(&mut descriptors));
                    continue;
                }
                Message::RemoveDescriptors(label) => {
                    if let Some(runtime) = self.services.get_mut(&name) {
                        runtime.stored.retain(|(kept, _)| *kept != label);
                    }
                    continue;
                }
            };
            if let Some((attempt, _)) = self.supervisor.live(&name) {
                let name = name.clone();
                self.supervise(Event::Notified {
                    name,
                    attempt,
                    notice,
                });
            }
        }
    }

    fn status_changed(&mut self, name: &str, status: &str) {
        let runtime = self.services.entry(name.to_owned()).or_default();
        if runtime.status != status {
            runtime.status = status.to_owned();
            self.show(name, 5, status, time::monotonic());
        }
    }

    /// What a service has last said of itself.
    pub(super) fn last_status(&self, name: &str) -> Option<&str> {
        let runtime = self.services.get(name)?;
        Some(runtime.status.as_str()).filter(|status| !status.is_empty())
    }

    fn store(&mut self, name: &str, label: &str, descriptors: Vec<OwnedFd>) {
        let runtime = self.services.entry(name.to_owned()).or_default();
        let mut over = 0;
        for descriptor in descriptors {
            // A service that stores what it was handed back has it once.
            let again = runtime
                .stored
                .iter()
                .any(|(kept, fd)| kept == label && same_file(fd, &descriptor));
            if again {
                continue;
            }
            if runtime.stored.len() < FDS_KEPT {
                runtime.stored.push((label.to_owned(), descriptor));
            } else {
                over += 1;
            }
        }
        if over > 0 {
            let text = format!("{name}: {over} descriptors over the {FDS_KEPT} kept were closed");
            self.say(4, &text);
        }
    }

    /// The service that a process belongs to: its main process, or any in its cgroup.
    pub(super) fn service_of_process(&self, pid: i32) -> Option<String> {
        let main = self.services.iter().find_map(|(name, runtime)| {
            runtime
                .main
                .filter(|(main, _)| *main == pid)
                .map(|_| name.clone())
        });
        main.or_else(|| {
            let name = processes::service_of(pid)?;
            self.supervisor.spec(&name).map(|_| name)
        })
    }

    /// Converges the services to this list; gives why it was refused.
    pub(super) fn run_services(&mut self, specs: Vec<ServiceSpec>) -> Result<(), String> {
        let refused = self.supervise(Event::PlanChanged(specs));
        if let Some(reason) = refused.plan {
            return Err(reason);
        }
        self.forget_services();
        Ok(())
    }

    /// Lets go of services that have left the plan and have ended: their stored descriptors, which stay
    /// through restarts and stops, and their cgroups.
    pub(super) fn forget_services(&mut self) {
        let over: Vec<String> = self
            .services
            .keys()
            .filter(|name| self.supervisor.spec(name).is_none())
            .cloned()
            .collect();
        for name in over {
            self.services.remove(&name);
            self.remove_cgroup(&name);
        }
        if let Some(cgroups) = &self.cgroups {
            self.leaving.retain(|name| !cgroups.remove(name));
        }
    }
}

/// Whether two descriptors are of one file and may do the same with it (the two ends of a pipe are one
/// file, too).
fn same_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    let identity = |fd: &OwnedFd| {
        let status = rustix::fs::fstat(fd).ok()?;
        let flags = rustix::fs::fcntl_getfl(fd).ok()? & rustix::fs::OFlags::RWMODE;
        Some((status.st_dev, status.st_ino, flags))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_pipe_are_two_things_and_a_copy_is_none() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let copy = reader.try_clone().unwrap();
        assert!(same_file(&reader, &copy));
        assert!(!same_file(&reader, &writer));
        let (other, _) = rustix::pipe::pipe().unwrap();
        assert!(!same_file(&reader, &other));
    }
}
