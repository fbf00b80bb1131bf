//! The table of nftables that leads ports of the node to pods, as one transaction.
//!
//! ```text
//!   table inet orlop-runtime
//!     raw          prerouting -300    from a pod's link to 127.0.0.0/8, or from an address that has no route by it: dropped
//!     prerouting   -100  ┐  to an address of this node: address . protocol . port ──> pod . port   (one4, one6)
//!     output       -100  ┘                              protocol . port           ──> pod . port   (all4, all6)
//!     postrouting   100     from a pod to itself (back4, back6), from 127.0.0.0/8 to a pod's link: masqueraded
//! ```
//!
//! There is one where there is a routed network: the kernel's own look at sources (`rp_filter`) knows no IPv6, and is loose where `all` is.
//!
//! Whole each time: it is right after any crash and whatever others have done to it, and costs microseconds per mapping. Connections that
//! there are stay, since they are conntrack's.

use super::ports::{Mapping, Ports, Protocol};
use nftables::{
    Batch, Chain, Element, Expression, Family, Field, Flows, Hook, Kind, Map, Meta, Register,
    Table, Verdict, concatenation,
};
use std::net::IpAddr;

/// Links of pods begin with it.
pub const LINK_PREFIX: &str = "orl";
/// The table.
const TABLE: Table<'_> = Table {
    family: Family::Inet,
    name: "orlop-runtime",
};

/// nft(8)'s numbers of types, six bits each in a concatenation.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;

const fn types(all: &[u32]) -> u32 {
    let (mut sum, mut at) = (0, 0);
    while at < all.len() {
        sum = (sum << 6) | all[at];
        at += 1;
    }
    sum
}

/// Names and shapes of one family's maps and rules.
struct Shape {
    ipv4: bool,
    one: &'static str,
    all: &'static str,
    back: &'static str,
}

const SHAPES: [Shape; 2] = [
    Shape {
        ipv4: true,
        one: "one4",
        all: "all4",
        back: "back4",
    },
    Shape {
        ipv4: false,
        one: "one6",
        all: "all6",
        back: "back6",
    },
];

impl Shape {
    const fn address_bytes(&self) -> u32 {
        if self.ipv4 { 4 } else { 16 }
    }

    const fn address_type(&self) -> u32 {
        if self.ipv4 { TYPE_IPV4 } else { TYPE_IPV6 }
    }

    /// The register after an address that begins at the first.
    const fn after_address(&self) -> u8 {
        if self.ipv4 { 1 } else { 4 }
    }

    fn family(&self) -> [Expression<'static>; 2] {
        let number = if self.ipv4 { 2 } else { 10 };
        [
            Expression::Meta(Meta::NetworkFamily, Register(0)),
            Expression::Equal(Register(0), vec![number]),
        ]
    }

    fn maps(&self) -> [Map<'static>; 3] {
        let (address, bytes) = (self.address_type(), self.address_bytes());
        let value_type = types(&[address, TYPE_SERVICE]);
        [
            Map {
                name: self.one,
                key_type: types(&[address, TYPE_PROTOCOL, TYPE_SERVICE]),
                key_bytes: bytes + 8,
                value_type,
                value_bytes: bytes + 4,
            },
            Map {
                name: self.all,
                key_type: types(&[TYPE_PROTOCOL, TYPE_SERVICE]),
                key_bytes: 8,
                value_type,
                value_bytes: bytes + 4,
            },
            Map {
                name: self.back,
                key_type: types(&[address, address]),
                key_bytes: bytes * 2,
                value_type: 0,
                value_bytes: 0,
            },
        ]
    }

    /// To a pod by a port: of one address first, of all then.
    fn to_pods(&self) -> [Vec<Expression<'static>>; 2] {
        let (first, after) = (Register(0), self.after_address());
        let field = if self.ipv4 {
            Field::DESTINATION4
        } else {
            Field::DESTINATION6
        };
        let lead = if self.ipv4 {
            Expression::Destination4(first, Register(after))
        } else {
            Expression::Destination6(first, Register(after))
        };
        let begin = || {
            let mut rule = self.family().to_vec();
            rule.push(Expression::DestinationIsLocal(Register(0)));
            rule
        };
        let mut one = begin();
        one.extend([
            Expression::Payload(field, first),
            Expression::Meta(Meta::TransportProtocol, Register(after)),
            Expression::Payload(Field::DESTINATION_PORT, Register(after + 1)),
            Expression::InMap(self.one, first, first),
            lead.clone(),
        ]);
        let mut all = begin();
        all.extend([
            Expression::Meta(Meta::TransportProtocol, Register(0)),
            Expression::Payload(Field::DESTINATION_PORT, Register(1)),
            Expression::InMap(self.all, first, first),
            lead,
        ]);
        [one, all]
    }

    /// From a pod, by the node, to itself: it would take its own answer for a stranger's.
    fn back(&self) -> Vec<Expression<'static>> {
        let (source, destination) = if self.ipv4 {
            (Field::SOURCE4, Field::DESTINATION4)
        } else {
            (Field::SOURCE6, Field::DESTINATION6)
        };
        let mut rule = self.family().to_vec();
        rule.extend([
            Expression::Payload(source, Register(0)),
            Expression::Payload(destination, Register(self.after_address())),
            Expression::InSet(self.back, Register(0)),
            Expression::Masquerade,
        ]);
        rule
    }
}

/// The whole table as it is to be; none where the node's network is not routed and no pod has ports.
#[must_use]
pub fn transaction(ports: &Ports, routed: bool) -> Batch {
    let mut batch = Batch::new();
    // One that is not there cannot be removed.
    batch.add_table(TABLE);
    batch.delete_table(TABLE);
    let published = ports
        .values()
        .any(|published| !published.mappings.is_empty());
    if !routed && !published {
        return batch;
    }
    batch.add_table(TABLE);
    for shape in &SHAPES {
        for map in shape.maps() {
            batch.add_map(TABLE, &map);
        }
        let [mut one, mut all, mut back] = [const { Vec::new() }; 3];
        for published in ports.values() {
            let pod = if shape.ipv4 {
                published.ipv4().map(IpAddr::V4)
            } else {
                published.ipv6().map(IpAddr::V6)
            };
            let Some(pod) = pod else { continue };
            for mapping in published
                .mappings
                .iter()
                .filter(|one| one.is_for(shape.ipv4))
            {
                let element = element(mapping, pod);
                match mapping.only() {
                    Some(_) => one.push(element),
                    None => all.push(element),
                }
            }
            let bytes = octets(pod);
            back.push(Element {
                key: concatenation(&[&bytes, &bytes]),
                value: Vec::new(),
            });
        }
        batch.add_elements(TABLE, shape.one, &one);
        batch.add_elements(TABLE, shape.all, &all);
        batch.add_elements(TABLE, shape.back, &back);
    }
    let chain = |name, kind, hook, priority| Chain {
        name,
        kind,
        hook,
        priority,
    };
    batch.add_chain(TABLE, &chain("raw", Kind::Filter, Hook::Prerouting, -300));
    batch.add_chain(
        TABLE,
        &chain("prerouting", Kind::Nat, Hook::Prerouting, -100),
    );
    batch.add_chain(TABLE, &chain("output", Kind::Nat, Hook::Output, -100));
    batch.add_chain(
        TABLE,
        &chain("postrouting", Kind::Nat, Hook::Postrouting, 100),
    );
    // The links of pods with ports let packets of 127.0.0.0/8 pass, for the node's own sake: not for the pods'.
    let mut from_pods = loopback(Meta::InputName, Field::Network(16, 1));
    from_pods.push(Expression::Verdict(Verdict::Drop));
    batch.add_rule(TABLE, "raw", &from_pods);
    let [link_local, forged] = sources();
    batch.add_rule(TABLE, "raw", &link_local);
    batch.add_rule(TABLE, "raw", &forged);
    for shape in &SHAPES {
        for rule in shape.to_pods() {
            batch.add_rule(TABLE, "prerouting", &rule);
            batch.add_rule(TABLE, "output", &rule);
        }
        batch.add_rule(TABLE, "postrouting", &shape.back());
    }
    let mut to_pods = loopback(Meta::OutputName, Field::Network(12, 1));
    to_pods.push(Expression::Masquerade);
    batch.add_rule(TABLE, "postrouting", &to_pods);
    batch
}

/// What must be forgotten when these come or go: of what has no connections.
#[must_use]
pub fn flows(changed: &[Mapping]) -> Vec<Flows> {
    let udp = changed
        .iter()
        .filter(|mapping| mapping.protocol == Protocol::Udp);
    udp.flat_map(|mapping| {
        let families = [true, false].into_iter();
        families
            .filter(|ipv4| mapping.is_for(*ipv4))
            .map(|ipv4| Flows {
                ipv4,
                protocol: mapping.protocol.number(),
                port: mapping.host,
            })
    })
    .collect()
}

/// IPv4 packets on a pod's link, with 127 in this byte.
fn loopback(link: Meta, field: Field) -> Vec<Expression<'static>> {
    let [ipv4, _] = &SHAPES;
    let mut rule = ipv4.family().to_vec();
    rule.extend([
        Expression::Meta(link, Register(0)),
        Expression::Equal(Register(0), LINK_PREFIX.as_bytes().to_vec()),
        Expression::Payload(field, Register(0)),
        Expression::Equal(Register(0), vec![127]),
    ]);
    rule
}

/// What a pod sends has the pod's address. Of its link alone is fe80::/64, all that there is of fe80::/10 (RFC 4291, 2.5.6): no route tells pods
/// apart by it, and no router lets it go further.
fn sources() -> [Vec<Expression<'static>>; 2] {
    let from_pod = || {
        vec![
            Expression::Meta(Meta::InputName, Register(0)),
            Expression::Equal(Register(0), LINK_PREFIX.as_bytes().to_vec()),
        ]
    };
    let [_, ipv6] = &SHAPES;
    let mut link_local = from_pod();
    link_local.extend(ipv6.family());
    link_local.extend([
        Expression::Payload(Field::Network(8, 8), Register(0)),
        Expression::Equal(Register(0), vec![0xfe, 0x80, 0, 0, 0, 0, 0, 0]),
        Expression::Verdict(Verdict::Accept),
    ]);
    let mut forged = from_pod();
    forged.extend([
        Expression::SourceIsForged(Register(0)),
        Expression::Verdict(Verdict::Drop),
    ]);
    [link_local, forged]
}

fn element(mapping: &Mapping, pod: IpAddr) -> Element {
    let (protocol, port) = ([mapping.protocol.number()], mapping.host.to_be_bytes());
    let key = match mapping.only() {
        Some(address) => concatenation(&[&octets(address), &protocol, &port]),
        None => concatenation(&[&protocol, &port]),
    };
    Element {
        key,
        value: concatenation(&[&octets(pod), &mapping.pod.to_be_bytes()]),
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
