//! Ports of the node that are pods': who has which.
//!
//! `hostPort` of a pod is a port of all the node's addresses, or of one. Two pods cannot have the same one, and the second is told so;
//! what the node's own programs listen on is not looked at, as with portmap.

use cri_proto::runtime::{PortMapping, Protocol as CriProtocol};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Mappings of one pod. Kubernetes has no bound; a container with more is not known.
pub const PORTS_MAX: usize = 256;

/// Why a port is not the pod's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It cannot be read.
    #[error("PortMapping of host port {port}: {reason}")]
    Invalid {
        /// As it was given.
        port: i32,
        /// Why not.
        reason: String,
    },
    /// There are too many.
    #[error("PodSandboxConfig.port_mappings has more than {PORTS_MAX} entries with a host port")]
    TooMany,
    /// Another pod has it.
    #[error("host port {port}/{protocol} of {address} is taken by sandbox {holder:?}")]
    Taken {
        /// Which.
        port: u16,
        /// Of which protocol.
        protocol: Protocol,
        /// Of which of the node's addresses.
        address: String,
        /// Whose it is.
        holder: String,
    },
}

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// IP's number of it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As plugins know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A port of the node that leads to one of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Of what.
    pub protocol: Protocol,
    /// Of which of the node's addresses; None: of all. An unspecified one: of all of its family.
    pub address: Option<IpAddr>,
    /// The node's.
    pub host: u16,
    /// The pod's.
    pub pod: u16,
}

impl Mapping {
    /// Whether it is for packets to addresses of this family.
    #[must_use]
    pub fn is_for(&self, ipv4: bool) -> bool {
        self.address.is_none_or(|address| address.is_ipv4() == ipv4)
    }

    /// The one address of the node that it is for.
    #[must_use]
    pub fn only(&self) -> Option<IpAddr> {
        self.address.filter(|address| !address.is_unspecified())
    }

    fn meets(&self, other: &Self) -> bool {
        let families = [true, false]
            .into_iter()
            .any(|ipv4| self.is_for(ipv4) && other.is_for(ipv4));
        let addresses = match (self.only(), other.only()) {
            (Some(one), Some(other)) => one == other,
            _ => families,
        };
        self.protocol == other.protocol && self.host == other.host && addresses
    }
}

/// Reads what a kubelet asks for. Mappings without a host port are a pod's own affair, as containerd takes them.
///
/// # Errors
/// [`PortError::Invalid`] for the first that is wrong, [`PortError::TooMany`].
pub fn read(asked: &[PortMapping]) -> Result<Vec<Mapping>, PortError> {
    let mut all: Vec<Mapping> = Vec::new();
    for one in asked.iter().filter(|one| one.host_port > 0) {
        let invalid = |reason: String| PortError::Invalid {
            port: one.host_port,
            reason,
        };
        let port = |number: i32, what: &str| {
            u16::try_from(number)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| invalid(format!("{what} {number} is no port")))
        };
        let protocol = match CriProtocol::try_from(one.protocol) {
            Ok(CriProtocol::Tcp) => Protocol::Tcp,
            Ok(CriProtocol::Udp) => Protocol::Udp,
            Ok(CriProtocol::Sctp) => Protocol::Sctp,
            Err(_) => return Err(invalid(format!("protocol {} is unknown", one.protocol))),
        };
        let address = match one.host_ip.as_str() {
            "" => None,
            text => Some(
                text.parse::<IpAddr>()
                    .map_err(|_| invalid(format!("host_ip {text:?} is no address")))?,
            ),
        };
        let mapping = Mapping {
            protocol,
            address,
            host: port(one.host_port, "host_port")?,
            pod: port(one.container_port, "container_port")?,
        };
        if all.len() >= PORTS_MAX {
            return Err(PortError::TooMany);
        }
        if all
            .iter()
            .any(|other| other.meets(&mapping) && *other != mapping)
        {
            return Err(invalid("it is asked for twice".to_owned()));
        }
        if !all.contains(&mapping) {
            all.push(mapping);
        }
    }
    Ok(all)
}

/// A pod with ports of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The pod's, one of each family at most.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub mappings: Vec<Mapping>,
}

impl Published {
    /// Its address of IPv4.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }

    /// Its address of IPv6.
    #[must_use]
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        })
    }
}

/// All pods with ports of the node, by their sandboxes' IDs.
pub type Ports = BTreeMap<String, Published>;

/// Whether a sandbox can have these.
///
/// # Errors
/// [`PortError::Taken`] for the first that another has.
pub fn check(all: &Ports, sandbox: &str, wanted: &[Mapping]) -> Result<(), PortError> {
    for mapping in wanted {
        for (holder, published) in all.iter().filter(|(id, _)| *id != sandbox) {
            if published.mappings.iter().any(|other| other.meets(mapping)) {
                return Err(PortError::Taken {
                    port: mapping.host,
                    protocol: mapping.protocol,
                    address: mapping
                        .only()
                        .map_or_else(|| "all addresses".to_owned(), |address| address.to_string()),
                    holder: holder.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host_ip: &str, host_port: i32, container_port: i32) -> PortMapping {
        PortMapping {
            protocol: CriProtocol::Tcp.into(),
            host_ip: host_ip.to_owned(),
            host_port,
            container_port,
        }
    }

    fn one(host_ip: &str) -> Mapping {
        read(&[asked(host_ip, 80, 8080)]).expect("valid").remove(0)
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let check = |mapping: PortMapping, expect: &str| {
            let error = read(&[mapping]).expect_err("invalid").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(asked("", 70_000, 1), "host_port 70000 is no port");
        check(asked("", 80, 0), "container_port 0 is no port");
        check(asked("", 80, -1), "container_port -1 is no port");
        check(
            asked("localhost", 80, 1),
            "host_ip \"localhost\" is no address",
        );
        let mut unknown = asked("", 80, 1);
        unknown.protocol = 9;
        check(unknown, "protocol 9 is unknown");
        assert_eq!(read(&[asked("", 0, 80), asked("", -1, 80)]), Ok(Vec::new()));
        assert_eq!(
            read(&[asked("", 80, 80), asked("", 80, 80)]).map(|all| all.len()),
            Ok(1)
        );
        let twice = read(&[asked("", 80, 80), asked("127.0.0.1", 80, 81)]);
        assert!(matches!(twice, Err(PortError::Invalid { .. })));
        let many: Vec<_> = (1..=257).map(|port| asked("", port, port)).collect();
        assert_eq!(read(&many), Err(PortError::TooMany));
    }

    #[test]
    fn two_cannot_have_the_same() {
        let meets = |left: &str, right: &str, expect: bool| {
            assert_eq!(one(left).meets(&one(right)), expect, "{left} {right}");
            assert_eq!(one(right).meets(&one(left)), expect, "{right} {left}");
        };
        meets("", "", true);
        meets("", "127.0.0.1", true);
        meets("", "::1", true);
        meets("0.0.0.0", "::1", false);
        meets("0.0.0.0", "::", false);
        meets("0.0.0.0", "10.0.0.1", true);
        meets("10.0.0.2", "10.0.0.1", false);
        let mut other = one("");
        other.protocol = Protocol::Udp;
        assert!(!other.meets(&one("")));

        let all = Ports::from([(
            "first".to_owned(),
            Published {
                addresses: Vec::new(),
                mappings: vec![one("10.0.0.1")],
            },
        )]);
        assert_eq!(check(&all, "first", &[one("")]), Ok(()));
        assert_eq!(check(&all, "second", &[one("10.0.0.2")]), Ok(()));
        let error = check(&all, "second", &[one("")]).expect_err("taken");
        assert_eq!(
            error.to_string(),
            "host port 80/tcp of all addresses is taken by sandbox \"first\""
        );
    }
}
