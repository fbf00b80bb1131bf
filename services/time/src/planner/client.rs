//! When which server is asked, and what comes of the answers.
//!
//! ```text
//!             time has come: ask all at once               all answered, or 2 s later
//!   Waiting ────────────────────────────────> Asking ────────────────────────────────> Waiting
//!                                                         agreement ──> step or slew
//! ```
//!
//! All servers are asked in one round, so that their samples are of one moment and can be compared.
//! Invariants: no server is asked more often than every [`RETRY_MIN`], or than it asks for itself; an
//! answer counts once, and only to the request that is out.

use super::{
    Nanos, SECOND, Stamp,
    discipline::{Correction, Discipline},
    packet::{self, DELAY_MAX, Ignored, Kiss, PACKET, Request, Sample},
    select::{Agreement, select},
};
use std::net::SocketAddr;

/// Shortest interval between rounds of a synchronised clock.
pub const INTERVAL_MIN: Nanos = 64 * SECOND;
/// Longest interval.
pub const INTERVAL_MAX: Nanos = 1024 * SECOND;
/// Wait after the first round without agreement, or after a step; doubles up to [`INTERVAL_MIN`].
pub const RETRY_MIN: Nanos = 2 * SECOND;
/// Calm rounds before the interval doubles.
const CALM_ROUNDS: u32 = 4;
/// An offset below this is calm, whatever the noise.
const CALM_OFFSET: Nanos = SECOND / 200;
/// Servers that are asked; more are left out.
pub const SERVERS_MAX: usize = 16;
/// A server that says RATE is left alone this long, doubled each time, up to [`KISS_MAX`].
pub const KISS_MIN: Nanos = 2 * INTERVAL_MAX;
/// Longest time that a server is left alone because it said RATE.
pub const KISS_MAX: Nanos = 36 * 3600 * SECOND;
/// Without an agreement for this long the clock counts as not synchronised.
pub const SYNCHRONISED_FOR: Nanos = 4 * INTERVAL_MAX;

/// What happens to the client.
#[derive(Debug)]
pub enum Event<'a> {
    /// The servers are these.
    Servers(Vec<SocketAddr>),
    /// A datagram arrived.
    Packet(SocketAddr, &'a [u8]),
    /// Time went by; sent at [`Client::deadline`] or whenever.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a request.
    Send(SocketAddr, [u8; PACKET]),
    /// Correct the clock: [`Correction::Step`] or [`Correction::Slew`].
    Correct(Correction),
}

/// What the client knows, for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Last agreed offset.
    pub offset: Nanos,
    /// How wrong it can be.
    pub error: Nanos,
    /// Lowest stratum of those who agreed.
    pub stratum: u8,
    /// Servers that are asked.
    pub servers: usize,
    /// Servers that answered the last round usably.
    pub answered: usize,
    /// Servers of these that agreed.
    pub agreed: usize,
    /// Steady time of the last agreement.
    pub agreed_at: Option<Nanos>,
}

#[derive(Debug, Clone)]
struct Server {
    address: SocketAddr,
    request: Option<Request>,
    sample: Option<Sample>,
    /// Not asked before this steady time.
    pause: Nanos,
    /// Next pause, should it ask for one.
    kiss: Nanos,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { next: Nanos },
    Asking { until: Nanos },
}

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    servers: Vec<Server>,
    state: State,
    discipline: Discipline,
    interval: Nanos,
    retry: Nanos,
    calm: u32,
    floor: Nanos,
    summary: Summary,
    ignored: Option<Ignored>,
}

impl Client {
    /// A client without servers. `frequency` is the correction that the kernel has, in parts per
    /// billion; `floor` is a time that has passed for sure.
    #[must_use]
    pub fn new(now: Stamp, frequency: i64, floor: Nanos) -> Self {
        Self {
            servers: Vec::new(),
            state: State::Waiting { next: now.steady },
            discipline: Discipline::new(frequency),
            interval: INTERVAL_MIN,
            retry: RETRY_MIN,
            calm: 0,
            floor,
            summary: Summary::default(),
            ignored: None,
        }
    }

    /// What is known.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            servers: self.servers.len(),
            ..self.summary
        }
    }

    /// Frequency correction in parts per billion.
    #[must_use]
    pub fn frequency(&self) -> i64 {
        self.discipline.frequency()
    }

    /// Whether the servers agreed not long ago.
    #[must_use]
    pub fn synchronised(&self, now: Stamp) -> bool {
        self.summary
            .agreed_at
            .is_some_and(|at| now.steady.saturating_sub(at) < SYNCHRONISED_FOR)
    }

    /// Why the last packet was ignored, once.
    pub fn take_ignored(&mut self) -> Option<Ignored> {
        self.ignored.take()
    }

    /// Steady time at which the next [`Event::Tick`] has something to do; none without servers.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        match self.state {
            State::Waiting { .. } if self.servers.is_empty() => None,
            State::Waiting { next } => Some(next),
            State::Asking { until } => Some(until),
        }
    }

    /// Whether the last round got an answer from less than half of the servers: it may be worth while
    /// to look their names up again.
    #[must_use]
    pub fn wants_addresses(&self) -> bool {
        self.servers.is_empty()
            || (matches!(self.state, State::Waiting { .. })
                && self.summary.answered * 2 < self.servers.len())
    }

    /// Takes one event at `now`. `random` gives any uniformly drawn numbers.
    pub fn step(
        &mut self,
        now: Stamp,
        event: Event<'_>,
        random: &mut dyn FnMut() -> u64,
    ) -> Vec<Action> {
        match event {
            Event::Servers(addresses) => self.set_servers(now, &addresses),
            Event::Packet(from, bytes) => {
                if let Err(ignored) = self.receive(now, from, bytes) {
                    self.ignored = Some(ignored);
                }
            }
            Event::Tick => {}
        }
        match self.state {
            State::Waiting { next } if next <= now.steady && !self.servers.is_empty() => {
                self.ask(now, random)
            }
            State::Asking { until } if until <= now.steady || self.all_answered() => {
                self.conclude(now)
            }
            _ => Vec::new(),
        }
    }

    fn set_servers(&mut self, now: Stamp, addresses: &[SocketAddr]) {
        let had_none = self.servers.is_empty();
        let mut servers: Vec<Server> = Vec::new();
        for address in addresses {
            if servers.len() == SERVERS_MAX
                || servers.iter().any(|server| server.address == *address)
            {
                continue;
            }
            let known = self
                .servers
                .iter()
                .find(|server| server.address == *address)
                .cloned();
            servers.push(known.unwrap_or(Server {
                address: *address,
                request: None,
                sample: None,
                pause: now.steady,
                kiss: KISS_MIN,
                stopped: false,
            }));
        }
        self.servers = servers;
        if had_none && matches!(self.state, State::Waiting { .. }) {
            self.state = State::Waiting { next: now.steady };
        }
    }

    fn receive(&mut self, now: Stamp, from: SocketAddr, bytes: &[u8]) -> Result<(), Ignored> {
        let server = self
            .servers
            .iter_mut()
            .find(|server| server.address == from);
        let server = server.ok_or(Ignored::Unexpected)?;
        let request = server.request.ok_or(Ignored::Unexpected)?;
        match packet::decode(bytes, &request, now, self.floor) {
            Err(ignored) => {
                // A wrong origin may be anybody's packet; anything else is the server's answer.
                if ignored != Ignored::WrongOrigin && ignored != Ignored::Malformed {
                    server.request = None;
                }
                Err(ignored)
            }
            Ok(answer) => {
                server.request = None;
                match answer {
                    Ok(sample) => server.sample = Some(sample),
                    Err(Kiss::Stop) => server.stopped = true,
                    Err(Kiss::Slower) => {
                        server.pause = now.steady.saturating_add(server.kiss);
                        server.kiss = server.kiss.saturating_mul(2).min(KISS_MAX);
                    }
                }
                Ok(())
            }
        }
    }

    fn all_answered(&self) -> bool {
        self.servers.iter().all(|server| server.request.is_none())
    }

    fn ask(&mut self, now: Stamp, random: &mut dyn FnMut() -> u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for server in &mut self.servers {
            server.sample = None;
            server.request = None;
            if !server.stopped && server.pause <= now.steady {
                let nonce = random();
                server.request = Some(Request { nonce, sent: now });
                actions.push(Action::Send(server.address, packet::encode(nonce)));
            }
        }
        self.state = if actions.is_empty() {
            State::Waiting {
                next: now.steady.saturating_add(INTERVAL_MIN),
            }
        } else {
            State::Asking {
                until: now.steady.saturating_add(DELAY_MAX),
            }
        };
        actions
    }

    fn conclude(&mut self, now: Stamp) -> Vec<Action> {
        let samples: Vec<Sample> = self
            .servers
            .iter()
            .filter_map(|server| server.sample)
            .collect();
        for server in &mut self.servers {
            server.request = None;
        }
        self.summary.answered = samples.len();
        self.summary.agreed = 0;
        let Some(agreement) = select(&samples) else {
            self.again(now);
            return Vec::new();
        };
        self.summary = Summary {
            offset: agreement.offset,
            error: agreement.error,
            stratum: agreement.stratum,
            servers: self.servers.len(),
            answered: samples.len(),
            agreed: agreement.members.len(),
            agreed_at: Some(now.steady),
        };
        let correction = self.discipline.update(now.steady, &agreement);
        match correction {
            Correction::Wait => {
                self.again(now);
                Vec::new()
            }
            Correction::Step(_) => {
                (self.interval, self.calm, self.retry) = (INTERVAL_MIN, 0, RETRY_MIN);
                self.state = State::Waiting {
                    next: now.steady.saturating_add(RETRY_MIN),
                };
                vec![Action::Correct(correction)]
            }
            Correction::Slew { .. } => {
                self.adapt(&agreement);
                self.retry = RETRY_MIN;
                self.state = State::Waiting {
                    next: now.steady.saturating_add(self.interval),
                };
                vec![Action::Correct(correction)]
            }
        }
    }

    /// No usable result: sooner than the interval, but less and less often.
    fn again(&mut self, now: Stamp) {
        self.state = State::Waiting {
            next: now.steady.saturating_add(self.retry),
        };
        self.retry = self.retry.saturating_mul(2).min(INTERVAL_MIN);
    }

    fn adapt(&mut self, agreement: &Agreement) {
        let calm = self.discipline.noise().saturating_mul(3).max(CALM_OFFSET);
        if agreement.offset.saturating_abs() > calm {
            self.calm = 0;
            self.interval = (self.interval / 2).max(INTERVAL_MIN);
            return;
        }
        self.calm += 1;
        if self.calm >= CALM_ROUNDS {
            self.calm = 0;
            self.interval = self.interval.saturating_mul(2).min(INTERVAL_MAX);
        }
    }
}
