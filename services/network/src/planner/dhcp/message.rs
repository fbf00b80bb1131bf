//! DHCPv4 messages: ours encoded, a server's decoded and checked (RFC 2131, 2132, 3396, 3397, 3442).
//!
//! Everything in an answer is an outsider's claim. Only the options that are used are handed to the
//! codec, each value is bounded, and a value that makes no sense is left out; an answer without what a
//! lease needs is [`Ignored`].

use super::lease::{LEASE_MIN, Lease, LeaseRoute, Moment, Terms};
use crate::planner::model::network;
use dhcproto::{
    Decodable as _, Decoder, Encodable as _,
    v4::{DhcpOption, Message, MessageType, OptionCode},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Largest message that is read: what we tell servers (option 57), an Ethernet frame without its
/// IPv4 and UDP headers.
pub const MESSAGE_MAX: u16 = 1472;
/// Routes taken from a lease.
pub const ROUTES_MAX: usize = 64;
/// Nameservers, search domains and time servers taken from a lease, each.
pub const SERVERS_MAX: usize = 8;
/// MTUs that are believed: below, IPv4 itself does not hold (RFC 791); above there is no Ethernet.
pub const MTU_RANGE: std::ops::RangeInclusive<u16> = 576..=9216;

const HEADER: usize = 236;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTION_PAD: u8 = 0;
const OPTION_OVERLOAD: u8 = 52;
const OPTION_END: u8 = 255;
/// Options that are read: message type, server, lease time, T1, T2, and [`ASKED`].
const READ: [u8; 14] = [53, 54, 51, 58, 59, 1, 3, 6, 12, 15, 26, 42, 119, 121];
/// Options that servers are asked for. RFC 3442 wants 121 before 3.
const ASKED: [u8; 11] = [1, 121, 3, 6, 12, 15, 26, 42, 119, 58, 59];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hardware address. The client identifier (option 61) is made of it, so that a node gets the same
    /// address in every boot and from a boot loader's client.
    pub mac: [u8; 6],
    /// Name that the server may put into its DNS (option 12).
    pub hostname: Option<String>,
}

/// A message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// DHCPDISCOVER, with the address that we had before.
    Discover(Option<Ipv4Addr>),
    /// DHCPREQUEST that takes an offer.
    Take {
        /// Offered address.
        address: Ipv4Addr,
        /// Server that offered it.
        server: Ipv4Addr,
    },
    /// DHCPREQUEST of INIT-REBOOT: is this address still ours?
    Verify(Ipv4Addr),
    /// DHCPREQUEST of RENEWING and REBINDING, from the leased address.
    Extend(Ipv4Addr),
}

/// Encodes a message; `seconds` since the exchange began.
#[must_use]
pub fn encode(request: Request, identity: &Identity, xid: u32, seconds: u16) -> Vec<u8> {
    let zero = Ipv4Addr::UNSPECIFIED;
    let own = if let Request::Extend(address) = request {
        address
    } else {
        zero
    };
    let mut message = Message::new_with_id(xid, own, zero, zero, zero, &identity.mac);
    message.set_secs(seconds);
    let options = message.opts_mut();
    let kind = if matches!(request, Request::Discover(_)) {
        MessageType::Discover
    } else {
        MessageType::Request
    };
    options.insert(DhcpOption::MessageType(kind));
    let requested = match request {
        Request::Discover(address) => address,
        Request::Take { address, .. } | Request::Verify(address) => Some(address),
        Request::Extend(_) => None,
    };
    if let Some(address) = requested {
        options.insert(DhcpOption::RequestedIpAddress(address));
    }
    if let Request::Take { server, .. } = request {
        options.insert(DhcpOption::ServerIdentifier(server));
    }
    let client: Vec<u8> = std::iter::once(1).chain(identity.mac).collect(); // 1: Ethernet
    options.insert(DhcpOption::ClientIdentifier(client));
    options.insert(DhcpOption::MaxMessageSize(MESSAGE_MAX));
    options.insert(DhcpOption::ParameterRequestList(
        ASKED.iter().map(|code| OptionCode::from(*code)).collect(),
    ));
    if let Some(hostname) = &identity.hostname {
        options.insert(DhcpOption::Hostname(hostname.clone()));
    }
    message
        .to_vec()
        .expect("every field above is within its bounds")
}

/// Kind of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// DHCPOFFER.
    Offer {
        /// Offered address.
        address: Ipv4Addr,
        /// Server that offers it.
        server: Ipv4Addr,
    },
    /// DHCPACK, with what it grants.
    Ack(Box<Lease>),
    /// DHCPNAK.
    Nak {
        /// Server that says no, where it says who it is.
        server: Option<Ipv4Addr>,
    },
}

/// Why an answer was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// Too short, not a reply, or not decodable.
    Malformed,
    /// Answers another exchange.
    WrongTransaction,
    /// Is for another client.
    WrongHardwareAddress,
    /// No address that a host can have.
    WrongAddress,
    /// No server identifier.
    NoServer,
    /// No lease time, or one below [`LEASE_MIN`].
    AbsurdLeaseTime,
    /// Comes from a server that was not asked, or is a kind that the state does not wait for.
    Unexpected,
}

impl Ignored {
    /// As metrics label it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongTransaction => "wrong_transaction",
            Self::WrongHardwareAddress => "wrong_hardware_address",
            Self::WrongAddress => "wrong_address",
            Self::NoServer => "no_server",
            Self::AbsurdLeaseTime => "absurd_lease_time",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Decodes a server's answer to the exchange `xid` of the client `mac`, received at `now`.
///
/// # Errors
/// [`Ignored`] where the answer is not for us or not usable.
pub fn decode(bytes: &[u8], mac: [u8; 6], xid: u32, now: Moment) -> Result<Answer, Ignored> {
    let reduced = reduce(bytes).ok_or(Ignored::Malformed)?;
    let message = Message::decode(&mut Decoder::new(&reduced)).map_err(|_| Ignored::Malformed)?;
    if message.xid() != xid {
        return Err(Ignored::WrongTransaction);
    }
    if message.chaddr() != mac {
        return Err(Ignored::WrongHardwareAddress);
    }
    let options = message.opts();
    let server = match options.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) if is_host(*server) => Some(*server),
        _ => None,
    };
    match options.msg_type() {
        Some(MessageType::Nak) => Ok(Answer::Nak { server }),
        Some(MessageType::Offer) => {
            let address = message.yiaddr();
            if !is_host(address) {
                return Err(Ignored::WrongAddress);
            }
            Ok(Answer::Offer {
                address,
                server: server.ok_or(Ignored::NoServer)?,
            })
        }
        Some(MessageType::Ack) => {
            let server = server.ok_or(Ignored::NoServer)?;
            lease(&message, server, now).map(|lease| Answer::Ack(Box::new(lease)))
        }
        _ => Err(Ignored::Unexpected),
    }
}

/// The message with nothing but the options that are read, those in overloaded fields included.
///
/// The codec subtracts from lengths that some options' senders choose; options that nobody reads never
/// reach it.
fn reduce(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.get(..HEADER)?;
    // A reply (2) over Ethernet (1) with addresses of 6 bytes.
    if header[..3] != [2, 1, 6] || bytes.get(HEADER..HEADER + 4)? != COOKIE {
        return None;
    }
    let mut reduced = header.to_vec();
    reduced[SNAME.start..FILE.end].fill(0);
    reduced.extend(COOKIE);
    let overload = copy_options(&bytes[HEADER + 4..], &mut reduced)?;
    if overload & 1 != 0 {
        copy_options(&bytes[FILE], &mut reduced)?;
    }
    if overload & 2 != 0 {
        copy_options(&bytes[SNAME], &mut reduced)?;
    }
    reduced.push(OPTION_END);
    Some(reduced)
}

/// Copies the options that are read; gives the value of the overload option.
fn copy_options(mut from: &[u8], into: &mut Vec<u8>) -> Option<u8> {
    let mut overload = 0;
    while let Some((&code, rest)) = from.split_first() {
        match code {
            OPTION_PAD => from = rest,
            OPTION_END => break,
            _ => {
                let length = usize::from(*rest.first()?);
                let value = rest.get(1..=length)?;
                if code == OPTION_OVERLOAD {
                    overload = *value.first()?;
                } else if READ.contains(&code) {
                    into.extend_from_slice(&from[..2 + length]);
                }
                from = &rest[1 + length..];
            }
        }
    }
    Some(overload)
}

fn lease(message: &Message, server: Ipv4Addr, now: Moment) -> Result<Lease, Ignored> {
    let options = message.opts();
    let seconds = |code| match options.get(code) {
        Some(
            DhcpOption::AddressLeaseTime(n) | DhcpOption::Renewal(n) | DhcpOption::Rebinding(n),
        ) => Some(*n),
        _ => None,
    };
    let duration = |code| seconds(code).map(|n| Duration::from_secs(n.into()));
    let terms = match seconds(OptionCode::AddressLeaseTime) {
        Some(u32::MAX) => None, // infinity, RFC 2132 section 3.3
        Some(n) if Duration::from_secs(n.into()) >= LEASE_MIN => Some(Terms::new(
            Duration::from_secs(n.into()),
            duration(OptionCode::Renewal),
            duration(OptionCode::Rebinding),
        )),
        _ => return Err(Ignored::AbsurdLeaseTime),
    };
    let address = message.yiaddr();
    let prefix = prefix(options.get(OptionCode::SubnetMask), address);
    if !is_host(address) || !is_host_in(address, prefix) {
        return Err(Ignored::WrongAddress);
    }
    let mtu = match options.get(OptionCode::InterfaceMtu) {
        Some(DhcpOption::InterfaceMtu(mtu)) if MTU_RANGE.contains(mtu) => Some(u32::from(*mtu)),
        _ => None,
    };
    Ok(Lease {
        address,
        prefix,
        server,
        routes: routes(message),
        nameservers: hosts(options.get(OptionCode::DomainNameServer)),
        search_domains: search_domains(message),
        mtu,
        hostname: hostname(options.get(OptionCode::Hostname)),
        time_servers: hosts(options.get(OptionCode::NtpServers)),
        granted: now,
        terms,
    })
}

/// The mask's length; where it is missing or has holes, that of the address's class (RFC 950).
fn prefix(option: Option<&DhcpOption>, address: Ipv4Addr) -> u8 {
    if let Some(DhcpOption::SubnetMask(mask)) = option {
        let bits = u32::from(*mask);
        let length = bits.leading_ones();
        if length > 0 && bits.checked_shl(length).unwrap_or(0) == 0 {
            return u8::try_from(length).expect("a u32 has 32 bits");
        }
    }
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

fn routes(message: &Message) -> Vec<LeaseRoute> {
    let usable = |route: &LeaseRoute| route.gateway.is_none_or(is_host);
    if let Some(DhcpOption::ClasslessStaticRoute(routes)) =
        message.opts().get(OptionCode::ClasslessStaticRoute)
    {
        let routes = routes.iter().map(|(destination, gateway)| {
            let prefix = destination.prefix_len();
            let IpAddr::V4(first) = network(destination.addr().into(), prefix) else {
                unreachable!("masking keeps the family")
            };
            let gateway = (!gateway.is_unspecified()).then_some(*gateway);
            LeaseRoute {
                destination: first,
                prefix,
                gateway,
            }
        });
        return routes.filter(usable).take(ROUTES_MAX).collect();
    }
    let routers = hosts(message.opts().get(OptionCode::Router));
    // Servers list routers by preference; one default route is enough, and a second would need
    // somebody to notice that the first is dead.
    let default = |gateway| LeaseRoute {
        destination: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        gateway: Some(gateway),
    };
    routers.into_iter().take(1).map(default).collect()
}

fn hosts(option: Option<&DhcpOption>) -> Vec<Ipv4Addr> {
    let Some(
        DhcpOption::DomainNameServer(servers)
        | DhcpOption::NtpServers(servers)
        | DhcpOption::Router(servers),
    ) = option
    else {
        return Vec::new();
    };
    servers
        .iter()
        .copied()
        .filter(|server| is_host(*server))
        .take(SERVERS_MAX)
        .collect()
}

fn search_domains(message: &Message) -> Vec<String> {
    let domains: Vec<String> = match message.opts().get(OptionCode::DomainSearch) {
        Some(DhcpOption::DomainSearch(names)) => names.iter().map(ToString::to_string).collect(),
        _ => match message.opts().get(OptionCode::DomainName) {
            Some(DhcpOption::DomainName(text)) => {
                text.split_whitespace().map(ToOwned::to_owned).collect()
            }
            _ => Vec::new(),
        },
    };
    domains
        .iter()
        .filter_map(|domain| name(domain, 253))
        .take(SERVERS_MAX)
        .collect()
}

fn hostname(option: Option<&DhcpOption>) -> Option<String> {
    match option {
        // Linux takes 64 characters.
        Some(DhcpOption::Hostname(text)) => name(text, 64).filter(|name| !name.contains('_')),
        _ => None,
    }
}

/// `text` as a lower-case DNS name, where it is one. What is not would end in resolv.conf or in
/// prompts as it is.
fn name(text: &str, max: usize) -> Option<String> {
    let text = text.trim_end_matches(['\0', '.']).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (text.len() <= max && text.split('.').all(label)).then_some(text)
}

/// Whether a host can have it.
fn is_host(address: Ipv4Addr) -> bool {
    let class = address.octets()[0];
    class != 0 && class < 224 && !address.is_loopback()
}

/// Whether it is neither the network's own nor its broadcast address.
fn is_host_in(address: Ipv4Addr, prefix: u8) -> bool {
    let host_mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let host = u32::from(address) & host_mask;
    prefix >= 31 || (host != 0 && host != host_mask)
}
