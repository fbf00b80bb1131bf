//! Addresses of pods: handed out from the node's ranges, one of each family.
//!
//! The truth is in the sandboxes' records; this is what they add up to. The next one after the last that was handed out comes first,
//! so that an address is not another pod's the moment it is given back: there are caches of neighbours and of names, and connections.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Ranges that a node may have: one of each family, as Kubernetes has it.
const RANGES_MAX: usize = 2;
/// Longest list of ranges that is looked at.
const TEXT_MAX: usize = 256;

/// Why there is no range, or no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// It cannot be read.
    #[error("{text:?} is no range of pod addresses: {reason}")]
    Invalid {
        /// What was given.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// All are taken.
    #[error(
        "no pod address is left in {range}: all {taken} are taken; remove pods, or give the node a larger range"
    )]
    Exhausted {
        /// Which range.
        range: String,
        /// How many of it are.
        taken: usize,
    },
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    network: IpAddr,
    prefix: u8,
}

impl std::fmt::Display for Range {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

impl Range {
    /// Reads `10.1.2.0/24` or `fd00::/64`; bits of the host are passed over, as Go's ParseCIDR does.
    ///
    /// # Errors
    /// [`IpamError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, IpamError> {
        let invalid = |reason| IpamError::Invalid {
            text: text.chars().take(TEXT_MAX).collect(),
            reason,
        };
        let (address, prefix) = text
            .split_once('/')
            .ok_or_else(|| invalid("it is no ADDRESS/LENGTH"))?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| invalid("its address is none"))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = Some(prefix)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u8>().ok())
            .filter(|prefix| (8..=bits).contains(prefix))
            .ok_or_else(|| invalid("its length is none, or below 8"))?;
        let unusable = match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || is_reserved(v4),
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.to_ipv4_mapped().is_some()
            }
        };
        if unusable {
            return Err(invalid("pods cannot have such addresses"));
        }
        let mask = u128::MAX.checked_shl(u32::from(bits - prefix)).unwrap_or(0);
        let network = with_number(address, number(address) & mask);
        Ok(Self { network, prefix })
    }

    /// Reads a list with commas: one range of each family at most.
    ///
    /// # Errors
    /// [`IpamError::Invalid`].
    pub fn parse_list(text: &str) -> Result<Vec<Self>, IpamError> {
        let invalid = |reason| IpamError::Invalid {
            text: text.chars().take(TEXT_MAX).collect(),
            reason,
        };
        if text.len() > TEXT_MAX {
            return Err(invalid("it is too long"));
        }
        let ranges = text
            .split(',')
            .map(|one| Self::parse(one.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        let ipv4 = ranges
            .iter()
            .filter(|range| range.network.is_ipv4())
            .count();
        if ranges.len() > RANGES_MAX || ipv4 > 1 || ranges.len() - ipv4 > 1 {
            return Err(invalid("there may be one of each family"));
        }
        Ok(ranges)
    }

    /// Whether it is of IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.network.is_ipv4()
    }

    /// The first and the last that a pod may have. Network and broadcast are nobody's; where there are but two or one, all are
    /// pods' (RFC 3021). The first of IPv6 is the routers' (RFC 4291, 2.6.1).
    fn bounds(&self) -> (u128, u128) {
        let bits = if self.network.is_ipv4() { 32 } else { 128 };
        let host = bits - u32::from(self.prefix);
        let first = number(self.network);
        let last = first | !u128::MAX.checked_shl(host).unwrap_or(0);
        match (self.network.is_ipv4(), host) {
            (_, 0 | 1) => (first, last),
            (true, _) => (first + 1, last - 1),
            (false, _) => (first + 1, last),
        }
    }
}

/// 0.0.0.0/8, multicast and above.
fn is_reserved(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first == 0 || first >= 224
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of the same family with this number.
fn with_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => {
            let low = u32::try_from(number & u128::from(u32::MAX)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(low))
        }
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

/// Who has which address.
#[derive(Debug, Default, Clone)]
pub struct Ipam {
    ranges: Vec<Range>,
    taken: BTreeMap<IpAddr, String>,
    /// The last that was handed out, and when its sandbox was asked for.
    last: BTreeMap<bool, (i64, IpAddr)>,
}

impl Ipam {
    /// From these ranges from now on. Who has an address keeps it.
    pub fn set_ranges(&mut self, ranges: Vec<Range>) {
        self.ranges = ranges;
    }

    /// Those that there are.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// A sandbox of an earlier runtime, asked for at that time, has this one.
    ///
    /// # Errors
    /// Who has it already, and keeps it.
    pub fn keep(&mut self, address: IpAddr, sandbox: &str, asked_at: i64) -> Result<(), String> {
        let holder = self.taken.entry(address).or_insert(sandbox.to_owned());
        if holder != sandbox {
            return Err(holder.clone());
        }
        let last = self
            .last
            .entry(address.is_ipv4())
            .or_insert((asked_at, address));
        if last.0 <= asked_at {
            *last = (asked_at, address);
        }
        Ok(())
    }

    /// Whether some sandbox has one.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.taken.is_empty()
    }

    /// One of each range, all or none.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`].
    pub fn take(&mut self, sandbox: &str, now: i64) -> Result<Vec<IpAddr>, IpamError> {
        let found = self
            .ranges
            .iter()
            .map(|range| self.next(range))
            .collect::<Result<Vec<_>, _>>()?;
        for address in &found {
            // It was nobody's.
            let _ = self.keep(*address, sandbox, now);
        }
        Ok(found)
    }

    /// All that a sandbox has are nobody's.
    pub fn release(&mut self, sandbox: &str) {
        self.taken.retain(|_, holder| holder != sandbox);
    }

    fn next(&self, range: &Range) -> Result<IpAddr, IpamError> {
        let (first, last) = range.bounds();
        let after = self
            .last
            .get(&range.is_ipv4())
            .map(|(_, address)| number(*address))
            .filter(|number| (first..last).contains(number))
            .map_or(first, |number| number + 1);
        // Of so many in a row one is free, unless all are taken.
        let tries = self.taken.len() + 1;
        (after..=last)
            .chain(first..after)
            .take(tries)
            .map(|number| with_number(range.network, number))
            .find(|address| !self.taken.contains_key(address))
            .ok_or_else(|| IpamError::Exhausted {
                range: range.to_string(),
                taken: self
                    .taken
                    .keys()
                    .filter(|address| address.is_ipv4() == range.is_ipv4())
                    .filter(|address| (first..=last).contains(&number(**address)))
                    .count(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipam(ranges: &str) -> Ipam {
        let mut ipam = Ipam::default();
        ipam.set_ranges(Range::parse_list(ranges).expect("ranges"));
        ipam
    }

    fn taken(ipam: &mut Ipam, sandbox: &str) -> String {
        match ipam.take(sandbox, 0) {
            Ok(all) => all
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ranges_are_read() {
        let check = |text: &str, expect: &str| {
            let read = match Range::parse_list(text) {
                Ok(ranges) => ranges
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(IpamError::Invalid { reason, .. }) => reason.to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(read, expect, "{text}");
        };
        check("10.1.2.3/24", "10.1.2.0/24");
        check("fd00:1::5/64, 10.0.0.0/8", "fd00:1::/64 10.0.0.0/8");
        check("10.1.2.0", "it is no ADDRESS/LENGTH");
        check("10.1.2/24", "its address is none");
        check("10.1.2.0/33", "its length is none, or below 8");
        check("10.1.2.0/+24", "its length is none, or below 8");
        check("0.0.0.0/0", "its length is none, or below 8");
        check("127.0.0.0/8", "pods cannot have such addresses");
        check("169.254.0.0/16", "pods cannot have such addresses");
        check("224.0.0.0/8", "pods cannot have such addresses");
        check("fe80::/64", "pods cannot have such addresses");
        check("::ffff:10.0.0.0/120", "pods cannot have such addresses");
        check("10.0.0.0/24,10.1.0.0/24", "there may be one of each family");
        check("", "it is no ADDRESS/LENGTH");
        check(&"1".repeat(300), "it is too long");
    }

    #[test]
    fn the_next_comes_first_and_all_come_round() {
        let mut ipam = ipam("10.0.0.0/29,fd00::/64");
        assert_eq!(taken(&mut ipam, "a"), "10.0.0.1 fd00::1");
        assert_eq!(taken(&mut ipam, "b"), "10.0.0.2 fd00::2");
        ipam.release("a");
        for expect in [
            "10.0.0.3 fd00::3",
            "10.0.0.4 fd00::4",
            "10.0.0.5 fd00::5",
            "10.0.0.6 fd00::6",
        ] {
            assert_eq!(taken(&mut ipam, "c"), expect);
        }
        assert_eq!(taken(&mut ipam, "d"), "10.0.0.1 fd00::7");
        let text = taken(&mut ipam, "e");
        assert!(text.contains("10.0.0.0/29: all 6 are taken"), "{text}");
        // All or none: that of the other family was not taken.
        ipam.release("b");
        assert_eq!(taken(&mut ipam, "f"), "10.0.0.2 fd00::8");
    }

    #[test]
    fn small_ranges_have_no_ends() {
        let mut two = ipam("10.0.0.8/31");
        assert_eq!(taken(&mut two, "a"), "10.0.0.8");
        assert_eq!(taken(&mut two, "b"), "10.0.0.9");
        assert!(taken(&mut two, "c").contains("all 2 are taken"));
        let mut one = ipam("fd00::1/128");
        assert_eq!(taken(&mut one, "a"), "fd00::1");
        assert!(taken(&mut one, "b").contains("all 1 are taken"));
    }

    #[test]
    fn a_restart_goes_on_after_the_youngest_and_a_new_range_leaves_the_old_alone() {
        let mut again = ipam("10.0.0.0/24");
        for (address, at) in [("10.0.0.9", 5), ("10.0.0.200", 9), ("10.0.0.3", 7)] {
            let kept = again.keep(address.parse().expect("an address"), address, at);
            assert_eq!(kept, Ok(()));
        }
        assert_eq!(taken(&mut again, "new"), "10.0.0.201");
        again.set_ranges(Range::parse_list("10.0.1.0/24").expect("a range"));
        assert_eq!(taken(&mut again, "newer"), "10.0.1.1");
        assert_eq!(again.taken.len(), 5);
    }

    proptest! {
        /// Whatever comes and goes: no address is two sandboxes', each is within, and none is refused while one is free.
        #[test]
        fn nobody_shares(steps in proptest::collection::vec((0_u8..20, any::<bool>()), 0..200)) {
            let mut ipam = ipam("10.0.0.0/28");
            let mut have = BTreeMap::<String, IpAddr>::new();
            for (who, comes) in steps {
                let who = who.to_string();
                if !comes {
                    ipam.release(&who);
                    have.remove(&who);
                } else if !have.contains_key(&who) {
                    match ipam.take(&who, 0) {
                        Ok(all) => {
                            let [address] = all.as_slice() else { panic!("one") };
                            prop_assert!(!have.values().any(|other| other == address));
                            let IpAddr::V4(v4) = address else { panic!("IPv4") };
                            prop_assert!((1..=14).contains(&v4.octets()[3]));
                            have.insert(who, *address);
                        }
                        Err(_) => prop_assert_eq!(have.len(), 14),
                    }
                }
            }
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,80}") {
            if let Ok(ranges) = Range::parse_list(&text) {
                for range in ranges {
                    prop_assert_eq!(Range::parse(&range.to_string()), Ok(range));
                    let (first, last) = range.bounds();
                    prop_assert!(first <= last);
                }
            }
        }
    }

    #[test]
    fn who_has_an_address_keeps_it() {
        let mut ipam = ipam("10.1.0.0/30");
        let address = "10.1.0.1".parse().expect("an address");
        assert_eq!(ipam.keep(address, "one", 1), Ok(()));
        assert_eq!(ipam.keep(address, "one", 1), Ok(()));
        assert_eq!(ipam.keep(address, "two", 2), Err("one".to_owned()));
        ipam.release("two");
        assert_eq!(taken(&mut ipam, "three"), "10.1.0.2");
    }
}
