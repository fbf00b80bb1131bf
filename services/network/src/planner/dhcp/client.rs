//! The client's state machine for one link.
//!
//! ```text
//!            carrier, address remembered            carrier, nothing remembered
//!   Stopped ────────────────────────────> Rebooting ─────┐        │
//!      ^                                   │ ACK │ NAK, no answer │
//!      │ carrier lost (from any)           │     └────────> Selecting <──────┐
//!      │                                   │        OFFER │  ^ NAK, no answer│
//!      │                                   v    ACK       v  │               │
//!      └───────────────────────────────  Bound <──────  Requesting           │
//!                                    T1 │   ^ ACK                            │
//!                                       v   │                                │
//!                                     Renewing ──T2──> Rebinding ──expiry, NAK
//! ```
//!
//! Invariants: there is at most one lease; it is never shown after its expiry or a NAK; packets go out
//! no faster than the back-off allows, whatever comes in.
//!
//! Addresses are not probed by ARP and never declined (RFC 2131 makes it a SHOULD): servers check
//! before they offer, and a probe would cost each boot two seconds or more.

use super::{
    lease::{Lease, Moment},
    message::{self, Answer, Identity, Ignored, Request},
};
use service::backoff::Backoff;
use std::{net::Ipv4Addr, time::Duration};

/// First wait for an answer; doubles up to [`WAIT_CAP`] (RFC 2131 section 4.1 says 4 and 64 s; the
/// first one is shorter since a lost first packet is common while a switch port comes up).
pub const WAIT_INITIAL: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
pub const WAIT_CAP: Duration = Duration::from_secs(64);
/// Requests that take one offer before another is sought.
pub const TAKE_ATTEMPTS: u32 = 4;
/// Requests that verify a remembered address before a new one is sought.
pub const VERIFY_ATTEMPTS: u32 = 3;
/// Shortest time between two requests while renewing and rebinding. RFC 2131 section 4.4.5 says 60 s,
/// which gives leases of minutes a single try; halving keeps the number of packets small anyway.
pub const EXTEND_WAIT_MIN: Duration = Duration::from_secs(2);

/// What happens to the client.
#[derive(Debug)]
pub enum Input<'a> {
    /// The link's carrier came or went.
    Carrier(bool),
    /// A DHCP message arrived.
    Message(&'a [u8]),
    /// Time went by; sent at [`Client::deadline`] or whenever.
    Tick,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// Our address where it goes to one server by ordinary routing; none: broadcast on the link.
    pub unicast: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The DHCP message.
    pub message: Vec<u8>,
}

/// One link's client.
#[derive(Debug, Clone)]
pub struct Client {
    identity: Identity,
    state: State,
    lease: Option<Lease>,
    /// Address of the last lease, to be asked for again.
    remembered: Option<Ipv4Addr>,
    /// Spaces new attempts after refusals.
    refusals: Backoff,
    ignored: Option<Ignored>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Stopped,
    Rebooting {
        address: Ipv4Addr,
        exchange: Exchange,
    },
    Selecting {
        exchange: Exchange,
    },
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
        exchange: Exchange,
    },
    Bound,
    Renewing {
        exchange: Exchange,
    },
    Rebinding {
        exchange: Exchange,
    },
}

/// One transaction: all its packets share the id.
#[derive(Debug, Clone)]
struct Exchange {
    xid: u32,
    began: Moment,
    sent: u32,
    next: Moment,
    waits: Backoff,
}

impl PartialEq for Exchange {
    fn eq(&self, other: &Self) -> bool {
        (self.xid, self.sent, self.next) == (other.xid, other.sent, other.next)
    }
}
impl Eq for Exchange {}

impl Exchange {
    fn start(now: Moment, wait: Duration, random: u64) -> Self {
        let (xid, _) = split(random);
        let waits = Backoff::new(WAIT_INITIAL, WAIT_CAP);
        Self {
            xid,
            began: now,
            sent: 0,
            next: now.saturating_add(wait),
            waits,
        }
    }

    fn seconds(&self, now: Moment) -> u16 {
        u16::try_from(now.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX)
    }
}

/// Two independent halves of a random number.
fn split(random: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = random.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

impl Client {
    /// A client without a carrier. `held` is a lease from this boot, which goes on at once; `remembered`
    /// is an address from an earlier boot, which is verified first.
    #[must_use]
    pub fn new(identity: Identity, held: Option<Lease>, remembered: Option<Ipv4Addr>) -> Self {
        Self {
            identity,
            state: State::Stopped,
            remembered: held.as_ref().map(|lease| lease.address).or(remembered),
            lease: held,
            refusals: Backoff::new(WAIT_INITIAL, WAIT_CAP),
            ignored: None,
        }
    }

    /// The lease that holds.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The address that a new lease is asked for, and that a later boot begins with. None after a
    /// server refused it.
    #[must_use]
    pub fn remembered(&self) -> Option<Ipv4Addr> {
        self.remembered
    }

    /// The state's name (RFC 2131 figure 5, in lower case).
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Stopped => "stopped",
            State::Rebooting { .. } => "rebooting",
            State::Selecting { .. } => "selecting",
            State::Requesting { .. } => "requesting",
            State::Bound => "bound",
            State::Renewing { .. } => "renewing",
            State::Rebinding { .. } => "rebinding",
        }
    }

    /// All names that [`Client::state`] gives.
    pub const STATES: [&'static str; 7] = [
        "stopped",
        "rebooting",
        "selecting",
        "requesting",
        "bound",
        "renewing",
        "rebinding",
    ];

    /// Why the last message was ignored, once.
    pub fn take_ignored(&mut self) -> Option<Ignored> {
        self.ignored.take()
    }

    /// When the next [`Input::Tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        let expires = self.lease.as_ref().and_then(Lease::expires);
        let next = match &self.state {
            State::Stopped => None,
            State::Bound => self.lease.as_ref().and_then(Lease::renews),
            State::Rebooting { exchange, .. }
            | State::Selecting { exchange }
            | State::Requesting { exchange, .. }
            | State::Renewing { exchange }
            | State::Rebinding { exchange } => Some(exchange.next),
        };
        [expires, next].into_iter().flatten().min()
    }

    /// Takes one input at `now`; gives the message to send, if any. `random` is any uniformly drawn
    /// number.
    pub fn step(&mut self, now: Moment, input: Input<'_>, random: u64) -> Option<Send> {
        self.expire(now, random);
        match input {
            Input::Carrier(false) => self.state = State::Stopped,
            Input::Carrier(true) if self.state == State::Stopped => self.begin(now, random),
            Input::Carrier(true) | Input::Tick => {}
            Input::Message(bytes) => {
                if let Err(ignored) = self.receive(now, bytes, random) {
                    self.ignored = Some(ignored);
                }
            }
        }
        self.act(now, random)
    }

    fn expire(&mut self, now: Moment, random: u64) {
        let over = self
            .lease
            .as_ref()
            .and_then(Lease::expires)
            .is_some_and(|expires| expires <= now);
        if over {
            self.lease = None;
            if !matches!(
                self.state,
                State::Stopped | State::Selecting { .. } | State::Requesting { .. }
            ) {
                self.select(now, Duration::ZERO, random);
            }
        }
    }

    fn begin(&mut self, now: Moment, random: u64) {
        match self.remembered {
            Some(address) => {
                let exchange = Exchange::start(now, Duration::ZERO, random);
                self.state = State::Rebooting { address, exchange };
            }
            None => self.select(now, Duration::ZERO, random),
        }
    }

    fn select(&mut self, now: Moment, wait: Duration, random: u64) {
        self.state = State::Selecting {
            exchange: Exchange::start(now, wait, random),
        };
    }

    /// A server said no: whatever was granted is void, and the next attempt waits, so that a confused
    /// server and we do not keep each other busy.
    fn refused(&mut self, now: Moment, random: u64) {
        self.lease = None;
        self.remembered = None;
        let wait = self.refusals.next(split(random).1);
        self.select(now, wait, random);
    }

    fn receive(&mut self, now: Moment, bytes: &[u8], random: u64) -> Result<(), Ignored> {
        let exchange = match &self.state {
            State::Stopped | State::Bound => return Err(Ignored::Unexpected),
            State::Rebooting { exchange, .. }
            | State::Selecting { exchange }
            | State::Requesting { exchange, .. }
            | State::Renewing { exchange }
            | State::Rebinding { exchange } => exchange,
        };
        if exchange.sent == 0 {
            return Err(Ignored::Unexpected);
        }
        let answer = message::decode(bytes, self.identity.mac, exchange.xid, now)?;
        let held = self
            .lease
            .as_ref()
            .map(|lease| (lease.address, lease.server));
        match (self.state.clone(), answer) {
            (State::Selecting { exchange }, Answer::Offer { address, server }) => {
                // The request goes on with the exchange's id (RFC 2131 section 4.4.1).
                let mut exchange = exchange;
                (exchange.sent, exchange.next) = (0, now);
                exchange.waits.reset();
                self.state = State::Requesting {
                    address,
                    server,
                    exchange,
                };
                Ok(())
            }
            (
                State::Requesting {
                    address, server, ..
                },
                Answer::Ack(lease),
            ) => self.bind(*lease, Some(address), Some(server)),
            (State::Rebooting { address, .. }, Answer::Ack(lease)) => {
                self.bind(*lease, Some(address), None)
            }
            (State::Renewing { .. }, Answer::Ack(lease)) => {
                self.bind(*lease, held.map(|held| held.0), held.map(|held| held.1))
            }
            (State::Rebinding { .. }, Answer::Ack(lease)) => {
                self.bind(*lease, held.map(|held| held.0), None)
            }
            (State::Requesting { server: asked, .. }, Answer::Nak { server })
                if server.is_none_or(|server| server == asked) =>
            {
                self.refused(now, random);
                Ok(())
            }
            (State::Renewing { .. }, Answer::Nak { server })
                if server.is_none() || server == held.map(|held| held.1) =>
            {
                self.refused(now, random);
                Ok(())
            }
            (State::Rebooting { .. } | State::Rebinding { .. }, Answer::Nak { .. }) => {
                self.refused(now, random);
                Ok(())
            }
            _ => Err(Ignored::Unexpected),
        }
    }

    fn bind(
        &mut self,
        lease: Lease,
        address: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Result<(), Ignored> {
        if address.is_some_and(|address| address != lease.address) {
            return Err(Ignored::WrongAddress);
        }
        if server.is_some_and(|server| server != lease.server) {
            return Err(Ignored::Unexpected);
        }
        self.remembered = Some(lease.address);
        self.lease = Some(lease);
        self.refusals.reset();
        self.state = State::Bound;
        Ok(())
    }

    /// Moves on where time has come, and sends what the state then owes.
    fn act(&mut self, now: Moment, random: u64) -> Option<Send> {
        self.give_up(now, random);
        let due = match &self.state {
            State::Bound => true,
            State::Renewing { exchange } => exchange.next <= now,
            _ => false,
        };
        let passed = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if let Some(lease) = self.lease.as_ref().filter(|_| due) {
            let exchange = Exchange::start(now, Duration::ZERO, random);
            if passed(lease.rebinds()) {
                self.state = State::Rebinding { exchange };
            } else if self.state == State::Bound && passed(lease.renews()) {
                self.state = State::Renewing { exchange };
            }
        }
        self.send(now, random)
    }

    /// Ends exchanges that were tried often enough.
    fn give_up(&mut self, now: Moment, random: u64) {
        match (&self.state, &self.lease) {
            (State::Requesting { exchange, .. }, _)
                if exchange.next <= now && exchange.sent >= TAKE_ATTEMPTS =>
            {
                self.select(now, Duration::ZERO, random);
            }
            (State::Rebooting { exchange, .. }, held)
                if exchange.next <= now && exchange.sent >= VERIFY_ATTEMPTS =>
            {
                // No server is there to ask. A lease of this boot still holds (RFC 2131 section 3.2);
                // an address from an earlier boot cannot be trusted, since no clock tells its age.
                if held.is_some() {
                    self.state = State::Bound;
                } else {
                    self.select(now, Duration::ZERO, random);
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Moment, random: u64) -> Option<Send> {
        let (_, jitter) = split(random);
        let (request, unicast) = match (&self.state, &self.lease) {
            (State::Rebooting { address, .. }, _) => (Request::Verify(*address), None),
            (State::Selecting { .. }, _) => (Request::Discover(self.remembered), None),
            (
                State::Requesting {
                    address, server, ..
                },
                _,
            ) => (
                Request::Take {
                    address: *address,
                    server: *server,
                },
                None,
            ),
            (State::Renewing { .. }, Some(lease)) => (
                Request::Extend(lease.address),
                Some((lease.address, lease.server)),
            ),
            (State::Rebinding { .. }, Some(lease)) => (Request::Extend(lease.address), None),
            _ => return None,
        };
        let until = match (&self.state, &self.lease) {
            (State::Renewing { .. }, Some(lease)) => lease.rebinds(),
            (State::Rebinding { .. }, Some(lease)) => lease.expires(),
            _ => None,
        };
        let (State::Rebooting { exchange, .. }
        | State::Selecting { exchange }
        | State::Requesting { exchange, .. }
        | State::Renewing { exchange }
        | State::Rebinding { exchange }) = &mut self.state
        else {
            return None;
        };
        if exchange.next > now {
            return None;
        }
        exchange.sent = exchange.sent.saturating_add(1);
        exchange.next = match until {
            Some(until) => now
                .saturating_add(extend_wait(until.saturating_sub(now)))
                .min(until),
            None => now.saturating_add(exchange.waits.next(jitter)),
        };
        let message = message::encode(request, &self.identity, exchange.xid, exchange.seconds(now));
        Some(Send { unicast, message })
    }
}

/// Half of what remains (RFC 2131 section 4.4.5), within bounds.
fn extend_wait(remaining: Duration) -> Duration {
    (remaining / 2).max(EXTEND_WAIT_MIN)
}
