//! IP addresses with a prefix length: an interface's own address, and a network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{TextValue, text_type};

/// An address and the network that is on-link with it, such as `10.0.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix: u8,
}

impl InterfaceAddress {
    /// The address itself.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix in bits: 1 to 32 for IPv4, 1 to 128 for IPv6.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The on-link network.
    #[must_use]
    pub fn network(&self) -> Network {
        Network {
            address: masked(self.address, self.prefix),
            prefix: self.prefix,
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TextValue for InterfaceAddress {
    const FORMAT: &'static str = "interface-address";
    const ABOUT: &'static str = "an address with its prefix length, such as 10.0.0.2/24";

    fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = split(text)?;
        if prefix == 0 {
            return Err("has prefix length 0, so that every address would be on-link".to_owned());
        }
        if address.is_unspecified() || address.is_multicast() {
            return Err("is not an address that an interface can have".to_owned());
        }
        let network = masked(address, prefix);
        if let IpAddr::V4(host) = address
            && prefix < 31
        {
            // RFC 3021: only /31 and /32 have no network and broadcast address.
            let broadcast = match network {
                IpAddr::V4(network) => Ipv4Addr::from(u32::from(network) | !mask_v4(prefix)),
                IpAddr::V6(_) => unreachable!("masking keeps the family"),
            };
            if address == network {
                return Err(format!(
                    "is the address of the network {network}/{prefix} itself"
                ));
            }
            if host == broadcast {
                return Err(format!("is the broadcast address of {network}/{prefix}"));
            }
        }
        Ok(Self { address, prefix })
    }
}

text_type!(InterfaceAddress);

/// A network in CIDR notation whose host bits are zero, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network that holds `address` with this prefix length; `None` when the length is more
    /// than the family has bits.
    #[must_use]
    pub fn containing(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then(|| Self {
            address: masked(address, prefix),
            prefix,
        })
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is an IPv6 network.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether `address` is inside; never for the other family.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_ipv6() == address.is_ipv6() && masked(address, self.prefix) == self.address
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TextValue for Network {
    const FORMAT: &'static str = "cidr";
    const ABOUT: &'static str = "a network in CIDR notation, such as 10.244.0.0/16 or fd00::/64";

    fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = split(text)?;
        let first = masked(address, prefix);
        if first != address {
            return Err(format!(
                "has host bits set; the network is {first}/{prefix}"
            ));
        }
        Ok(Self { address, prefix })
    }
}

text_type!(Network);

/// The check of plain addresses (format `ip`).
pub(super) fn check_ip(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) if text.contains('/') => Err("has a prefix length where none belongs".to_owned()),
        Err(_) => Err("is not an IP address".to_owned()),
    }
}

fn split(text: &str) -> Result<(IpAddr, u8), String> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Err("has no prefix length".to_owned());
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| "does not begin with an IP address".to_owned())?;
    let digits =
        !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    let length = if digits {
        prefix.parse::<u8>().ok()
    } else {
        None
    };
    match length {
        Some(length) if length <= bits(address) => Ok((address, length)),
        _ => Err(format!("needs a prefix length of 0 to {}", bits(address))),
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & mask_v4(prefix)).into(),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_addresses() {
        for good in [
            "10.0.0.2/24",
            "10.0.0.0/31",
            "10.0.0.1/32",
            "fd00::1/64",
            "fe80::1/128",
        ] {
            assert_eq!(InterfaceAddress::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "10.0.0.2",
            "10.0.0.0/24",
            "10.0.0.255/24",
            "0.0.0.0/8",
            "10.0.0.1/33",
            "10.0.0.1/0",
            "10.0.0.1/+8",
            "10.0.0.1/",
            "fd00::1/129",
            "224.0.0.1/24",
            "a/24",
            "10.0.0.01/24",
        ] {
            assert!(InterfaceAddress::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_no_host_bits_and_know_what_they_share() {
        let network = |text: &str| Network::parse(text).unwrap();
        assert!(
            Network::parse("10.0.0.1/8")
                .unwrap_err()
                .contains("10.0.0.0/8")
        );
        assert!(network("0.0.0.0/0").contains("10.0.0.1".parse().unwrap()));
        assert!(network("10.0.0.0/8").overlaps(&network("10.1.0.0/16")));
        assert!(network("10.1.0.0/16").overlaps(&network("10.0.0.0/8")));
        assert!(!network("10.0.0.0/16").overlaps(&network("10.1.0.0/16")));
        assert!(!network("0.0.0.0/0").overlaps(&network("::/0")));
        assert!(network("::/0").contains("fd00::1".parse().unwrap()));
    }
}
