//! Which connections live: pure bookkeeping of half-open and open connections.
//!
//! ```text
//!   arrive ──> half-open ──complete──> open ──leave──> gone
//!                  │ over a bound: the oldest of the peer with the most is dropped
//!                  └──────────────────────────────> gone
//! ```
//!
//! Half-open means that the TLS handshake is not over. Who floods the API with half-open connections
//! pushes out their own first; a newcomer always gets its chance. Open connections are dropped
//! only while no call is under way on them; where all are busy, the newcomer is refused.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// Half-open connections at once: each costs a socket and about 20 KiB.
pub const HALF_OPEN_MAX: usize = 256;
/// Half-open connections of one peer: room for a burst of clients behind one address.
pub const HALF_OPEN_PER_PEER_MAX: usize = 64;
/// Open connections at once.
pub const OPEN_MAX: usize = 512;
/// Open connections of one peer.
pub const OPEN_PER_PEER_MAX: usize = 128;

/// Number of a connection, never used twice.
pub type Id = u64;

/// Where connections come from, as far as one party can choose addresses freely: an IPv4 address, or
/// the /64 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
                address.to_bits() & !u128::from(u64::MAX),
            )),
        })
    }
}

/// What becomes of a connection whose handshake is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It is open.
    Admitted,
    /// It is open; this idle one is to be closed for it.
    InPlaceOf(Id),
    /// Every connection that could make room is busy; close it.
    Refused,
    /// It was dropped while it was half-open.
    Gone,
}

/// All connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    half_open: Table,
    open: Table,
}

/// Connections in the order of their arrival, which is that of their numbers.
type Table = BTreeMap<Id, Peer>;

impl Admission {
    /// A new half-open connection; the answer names the one to drop, where a bound is met. It
    /// is never the new one.
    pub fn arrive(&mut self, id: Id, peer: Peer) -> Option<Id> {
        self.half_open.insert(id, peer);
        let victim = if count(&self.half_open, peer) > HALF_OPEN_PER_PEER_MAX {
            oldest(&self.half_open, peer)
        } else if self.half_open.len() > HALF_OPEN_MAX {
            most_numerous(&self.half_open).and_then(|peer| oldest(&self.half_open, peer))
        } else {
            None
        };
        if let Some(victim) = victim {
            self.half_open.remove(&victim);
        }
        victim
    }

    /// The handshake of `id` is over; `idle` says which open connections carry no call.
    pub fn complete(&mut self, id: Id, idle: impl Fn(Id) -> bool) -> Completed {
        let Some(peer) = self.half_open.remove(&id) else {
            return Completed::Gone;
        };
        let crowded = if count(&self.open, peer) >= OPEN_PER_PEER_MAX {
            Some(peer)
        } else if self.open.len() >= OPEN_MAX {
            most_numerous(&self.open)
        } else {
            None
        };
        let completed = match crowded {
            None => Completed::Admitted,
            Some(crowd) => self
                .open
                .iter()
                .find(|(id, peer)| **peer == crowd && idle(**id))
                .map_or(Completed::Refused, |(id, _)| Completed::InPlaceOf(*id)),
        };
        if let Completed::InPlaceOf(victim) = completed {
            self.open.remove(&victim);
        }
        if completed != Completed::Refused {
            self.open.insert(id, peer);
        }
        completed
    }

    /// The connection is gone.
    pub fn leave(&mut self, id: Id) {
        self.half_open.remove(&id);
        self.open.remove(&id);
    }

    /// Connections whose handshake is not over.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Connections whose handshake is over.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

fn count(table: &Table, peer: Peer) -> usize {
    table.values().filter(|other| **other == peer).count()
}

fn oldest(table: &Table, peer: Peer) -> Option<Id> {
    table
        .iter()
        .find(|(_, other)| **other == peer)
        .map(|(id, _)| *id)
}

fn most_numerous(table: &Table) -> Option<Peer> {
    let mut counts = BTreeMap::<Peer, usize>::new();
    for peer in table.values() {
        *counts.entry(*peer).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(peer, _)| peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(last: u8) -> Peer {
        Peer::from(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_flood_pushes_out_its_own_half_open_connections_only() {
        let mut admission = Admission::default();
        assert_eq!(admission.arrive(0, peer(1)), None);
        for id in 1..=10_000 {
            assert_ne!(admission.arrive(id, peer(2)), Some(0));
        }
        assert_eq!(admission.half_open(), HALF_OPEN_PER_PEER_MAX + 1);
        assert_eq!(admission.complete(0, |_| false), Completed::Admitted);
    }

    #[test]
    fn the_crowd_with_the_most_makes_room_for_many_crowds() {
        let mut admission = Admission::default();
        assert_eq!(admission.arrive(0, peer(200)), None);
        for id in 1..=10_000 {
            let from = u8::try_from(id % 8).unwrap();
            assert_ne!(admission.arrive(id, peer(from)), Some(0));
        }
        assert_eq!(admission.half_open(), HALF_OPEN_MAX);
    }

    #[test]
    fn an_idle_connection_makes_room_and_a_busy_one_does_not() {
        let mut admission = Admission::default();
        for id in 0..u64::try_from(OPEN_PER_PEER_MAX).unwrap() {
            admission.arrive(id, peer(1));
            assert_eq!(admission.complete(id, |_| false), Completed::Admitted);
        }
        admission.arrive(900, peer(1));
        assert_eq!(admission.complete(900, |_| false), Completed::Refused);
        admission.arrive(901, peer(1));
        assert_eq!(
            admission.complete(901, |id| id >= 5),
            Completed::InPlaceOf(5)
        );
        admission.arrive(902, peer(2));
        assert_eq!(admission.complete(902, |_| false), Completed::Admitted);
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
    }

    proptest! {
        #[test]
        fn bounds_hold_in_every_order(steps in proptest::collection::vec((0_u8..4, 0_u8..6, any::<u8>()), 0..2_000)) {
            let mut admission = Admission::default();
            let mut next = 0;
            for (step, from, which) in steps {
                match step {
                    0 | 1 => {
                        let victim = admission.arrive(next, peer(from));
                        prop_assert_ne!(victim, Some(next));
                        next += 1;
                    }
                    2 => {
                        let id = next.saturating_sub(u64::from(which));
                        admission.complete(id, |id| id % 3 == 0);
                    }
                    _ => admission.leave(next.saturating_sub(u64::from(which))),
                }
                prop_assert!(admission.half_open() <= HALF_OPEN_MAX);
                prop_assert!(admission.open() <= OPEN_MAX);
            }
        }
    }
}
