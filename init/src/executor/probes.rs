//! Readiness and health probes: a connection that must be accepted, without ever blocking.

use super::poller::{Interest, Poller, Source};
use crate::planner::supervisor::{Probe, ProbeTarget};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketAddrV4, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Connections that are being tried.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    running: BTreeMap<u32, Running>,
    next: u32,
}

#[derive(Debug)]
struct Running {
    probe: Probe,
    socket: OwnedFd,
    deadline: Duration,
}

impl Probes {
    /// Begins a probe; gives the answer where it is there at once.
    pub(crate) fn begin(
        &mut self,
        poller: &Poller,
        now: Duration,
        probe: Probe,
        target: &ProbeTarget,
        timeout: Duration,
    ) -> Option<(Probe, bool)> {
        let (socket, connected) = match connect(target) {
            Ok(result) => result,
            Err(_) => return Some((probe, false)),
        };
        if connected {
            return Some((probe, true));
        }
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        if poller
            .add(Source::Probe(number), &socket, Interest::Write)
            .is_err()
        {
            return Some((probe, false));
        }
        let deadline = now + timeout;
        let running = Running {
            probe,
            socket,
            deadline,
        };
        self.running.insert(number, running);
        None
    }

    /// A socket has its answer.
    pub(crate) fn ready(&mut self, number: u32) -> Option<(Probe, bool)> {
        let running = self.running.remove(&number)?;
        let ok = matches!(
            rustix::net::sockopt::socket_error(&running.socket),
            Ok(Ok(()))
        );
        Some((running.probe, ok))
    }

    /// Probes whose time is over.
    pub(crate) fn expired(&mut self, now: Duration) -> Vec<(Probe, bool)> {
        let over: Vec<u32> = self
            .running
            .iter()
            .filter(|(_, running)| running.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        over.into_iter()
            .filter_map(|number| self.running.remove(&number))
            .map(|running| (running.probe, false))
            .collect()
    }

    /// When the next one expires.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.running.values().map(|running| running.deadline).min()
    }
}

fn connect(target: &ProbeTarget) -> rustix::io::Result<(OwnedFd, bool)> {
    let family = match target {
        ProbeTarget::UnixSocket(_) => AddressFamily::UNIX,
        ProbeTarget::TcpPort(_) => AddressFamily::INET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let result = match target {
        ProbeTarget::UnixSocket(path) => {
            rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_str())?)
        }
        ProbeTarget::TcpPort(port) => {
            rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port))
        }
    };
    match result {
        Ok(()) => Ok((socket, true)),
        Err(rustix::io::Errno::INPROGRESS) => Ok((socket, false)),
        // A Unix socket with a full backlog answers EAGAIN: it listens, but does not accept.
        Err(error) => Err(error),
    }
}
