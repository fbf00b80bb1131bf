//! epoll, with each descriptor known by what it is.

use super::time::timespec;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use std::time::Duration;

/// Descriptors reported by one wait; the rest are reported by the next.
const BATCH: usize = 64;

/// What a watched descriptor is. The number tells apart those of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// signalfd.
    Signals,
    /// Kernel's uevents.
    Uevents,
    /// sd_notify datagrams.
    Notify,
    /// Control socket's listener.
    Control,
    /// Control connection.
    Connection(u32),
    /// Output pipe of a service or one-shot.
    Output(u32),
    /// A probe's socket.
    Probe(u32),
    /// An input device (power button).
    Input(u32),
}

impl Source {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Uevents => (1, 0),
            Self::Notify => (2, 0),
            Self::Control => (3, 0),
            Self::Connection(number) => (4, number),
            Self::Output(number) => (5, number),
            Self::Probe(number) => (6, number),
            Self::Input(number) => (7, number),
        };
        kind << 32 | u64::from(number)
    }

    fn decode(value: u64) -> Option<Self> {
        let number = u32::try_from(value & u64::from(u32::MAX)).ok()?;
        Some(match value >> 32 {
            0 => Self::Signals,
            1 => Self::Uevents,
            2 => Self::Notify,
            3 => Self::Control,
            4 => Self::Connection(number),
            5 => Self::Output(number),
            6 => Self::Probe(number),
            7 => Self::Input(number),
            _ => return None,
        })
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Input (and hang-up).
    Read,
    /// Room for output.
    Write,
    /// Hang-up and errors only.
    Hangup,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
            Self::Hangup => epoll::EventFlags::empty(),
        }
    }
}

/// One ready descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Which.
    pub(crate) source: Source,
    /// The other side is gone.
    pub(crate) hangup: bool,
}

/// The one epoll set.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    /// Watches a descriptor until it is closed.
    pub(crate) fn add(&self, source: Source, fd: impl AsFd, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.encode());
        Ok(epoll::add(&self.epoll, fd, data, interest.flags())?)
    }

    /// Changes what is waited for.
    pub(crate) fn change(
        &self,
        source: Source,
        fd: impl AsFd,
        interest: Interest,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.encode());
        Ok(epoll::modify(&self.epoll, fd, data, interest.flags())?)
    }

    /// Waits for ready descriptors, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<Vec<Ready>> {
        let mut events = Vec::with_capacity(BATCH);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, Some(&timespec(timeout))) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        Ok(events
            .iter()
            .filter_map(|event: &epoll::Event| {
                let hangup = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                let (flags, data) = (event.flags, event.data);
                Some(Ready {
                    source: Source::decode(data.u64())?,
                    hangup: flags.intersects(hangup),
                })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_kernel() {
        for source in [
            Source::Signals,
            Source::Uevents,
            Source::Notify,
            Source::Control,
            Source::Connection(u32::MAX),
            Source::Output(7),
            Source::Probe(0),
            Source::Input(1),
        ] {
            assert_eq!(Source::decode(source.encode()), Some(source));
        }
    }

    #[test]
    fn a_pipe_is_reported_with_its_hangup() {
        let poller = Poller::new().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        poller
            .add(Source::Output(5), &reader, Interest::Read)
            .unwrap();
        assert!(poller.wait(Duration::ZERO).unwrap().is_empty());
        drop(writer);
        let ready = poller.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(ready[0].source, Source::Output(5));
        assert!(ready[0].hangup);
    }
}
