//! A lease: what a DHCPv4 server granted, checked and bounded.

use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, time::Duration};

/// A point in time: time since boot, suspended time included (CLOCK_BOOTTIME). Leases run on it, since
/// the wall clock may jump.
pub type Moment = Duration;

/// What a server granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// Its on-link prefix in bits.
    pub prefix: u8,
    /// Server that granted it (option 54).
    pub server: Ipv4Addr,
    /// Routes: the classless ones (option 121, RFC 3442) or else the routers (option 3).
    pub routes: Vec<LeaseRoute>,
    /// Nameservers (option 6).
    pub nameservers: Vec<Ipv4Addr>,
    /// Search domains (option 119, else 15).
    pub search_domains: Vec<String>,
    /// Largest packet (option 26).
    pub mtu: Option<u32>,
    /// Host name (option 12).
    pub hostname: Option<String>,
    /// Time servers (option 42).
    pub time_servers: Vec<Ipv4Addr>,
    /// When it was granted.
    pub granted: Moment,
    /// How long it lasts; none: for ever.
    pub terms: Option<Terms>,
}

/// Durations of a lease, each from the grant on: `renew < rebind < expire`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// T1: ask the server for more.
    pub renew: Duration,
    /// T2: ask any server for more.
    pub rebind: Duration,
    /// The end.
    pub expire: Duration,
}

/// A route of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRoute {
    /// Network, host bits zero.
    pub destination: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// Next hop; none: on the link.
    pub gateway: Option<Ipv4Addr>,
}

impl Lease {
    /// When it ends.
    #[must_use]
    pub fn expires(&self) -> Option<Moment> {
        self.terms
            .map(|terms| self.granted.saturating_add(terms.expire))
    }

    /// When to ask the server for more.
    #[must_use]
    pub fn renews(&self) -> Option<Moment> {
        self.terms
            .map(|terms| self.granted.saturating_add(terms.renew))
    }

    /// When to ask any server for more.
    #[must_use]
    pub fn rebinds(&self) -> Option<Moment> {
        self.terms
            .map(|terms| self.granted.saturating_add(terms.rebind))
    }
}

/// Shortest lease that is taken: a shorter one would keep every node of a network asking.
pub const LEASE_MIN: Duration = Duration::from_secs(10);
/// Shortest T1 that is taken from a server.
pub const RENEW_MIN: Duration = Duration::from_secs(1);

impl Terms {
    /// Terms for a lease of `expire`, with the server's T1 and T2 where they make sense and RFC 2131's
    /// defaults (one half, seven eighths) where not.
    #[must_use]
    pub fn new(expire: Duration, renew: Option<Duration>, rebind: Option<Duration>) -> Self {
        match (renew, rebind) {
            (Some(renew), Some(rebind))
                if RENEW_MIN <= renew && renew < rebind && rebind < expire =>
            {
                Self {
                    renew,
                    rebind,
                    expire,
                }
            }
            _ => Self {
                renew: expire / 2,
                rebind: expire / 8 * 7,
                expire,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expire: u64, given: (Option<u64>, Option<u64>), renew: u64, rebind: u64) {
        let seconds = |n: u64| Duration::from_secs(n);
        let terms = Terms::new(seconds(expire), given.0.map(seconds), given.1.map(seconds));
        assert_eq!(
            (terms.renew, terms.rebind),
            (seconds(renew), seconds(rebind))
        );
    }

    #[test]
    fn a_servers_times_are_taken_where_they_make_sense() {
        check(80, (Some(10), Some(20)), 10, 20);
        check(80, (None, None), 40, 70);
        check(80, (Some(0), Some(20)), 40, 70);
        check(80, (Some(20), Some(20)), 40, 70);
        check(80, (Some(20), Some(80)), 40, 70);
        check(80, (Some(20), None), 40, 70);
    }
}
