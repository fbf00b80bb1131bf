//! What rules are made of: small steps over a few registers.

use crate::encode::Attributes;

/// A register of 32 bits, 0 to 15; a longer value takes the following ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    /// `NFT_REG32_00` is 8.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Where in a packet something is: offset and length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Within the IP header.
    Network(u32, u32),
    /// Within the header above it.
    Transport(u32, u32),
}

impl Field {
    /// IPv4 source address.
    pub const SOURCE4: Self = Self::Network(12, 4);
    /// IPv4 destination address.
    pub const DESTINATION4: Self = Self::Network(16, 4);
    /// IPv6 source address.
    pub const SOURCE6: Self = Self::Network(8, 16);
    /// IPv6 destination address.
    pub const DESTINATION6: Self = Self::Network(24, 16);
    /// Destination port of TCP, UDP and SCTP.
    pub const DESTINATION_PORT: Self = Self::Transport(2, 2);
}

/// What is known of a packet besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// Name of the link that it came by, padded with zeros to 16 bytes.
    InputName,
    /// Name of the link that it goes by.
    OutputName,
    /// One byte: 2 for IPv4, 10 for IPv6.
    NetworkFamily,
    /// One byte: 6 for TCP, 17 for UDP, 132 for SCTP.
    TransportProtocol,
}

impl Meta {
    const fn key(self) -> u32 {
        match self {
            Self::InputName => 6,
            Self::OutputName => 7,
            Self::NetworkFamily => 15,
            Self::TransportProtocol => 16,
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone.
    Drop,
    /// This hook is done with it.
    Accept,
}

/// One step of a rule. One that does not match ends the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<'a> {
    /// Loads bytes of the packet.
    Payload(Field, Register),
    /// Loads what is known of the packet.
    Meta(Meta, Register),
    /// Goes on where a register's first bytes are these.
    Equal(Register, Vec<u8>),
    /// Goes on where the destination is an address of this machine. The register is used.
    DestinationIsLocal(Register),
    /// Goes on where the source has no route by the link that the packet came by. Before routing only. The register is used.
    SourceIsForged(Register),
    /// Goes on where a set has the key that begins at this register.
    InSet(&'a str, Register),
    /// Looks up the key that begins at the first register, and puts its value from the second on. Goes on where there is one.
    InMap(&'a str, Register, Register),
    /// Destination NAT to the IPv4 address and the port in these registers.
    Destination4(Register, Register),
    /// The same with an IPv6 address.
    Destination6(Register, Register),
    /// Source NAT to the address of the link that it goes by.
    Masquerade,
    /// Ends the rule with a verdict.
    Verdict(Verdict),
}

const NFPROTO_IPV4: u32 = 2;
const NFPROTO_IPV6: u32 = 10;
const RTN_LOCAL: u32 = 2;

impl Expression<'_> {
    /// As elements of a rule's list of expressions.
    pub(crate) fn encode(&self, list: &mut Attributes) {
        match self {
            Self::Payload(field, to) => {
                let (base, offset, length) = match *field {
                    Field::Network(offset, length) => (1, offset, length),
                    Field::Transport(offset, length) => (2, offset, length),
                };
                element(list, "payload", |data| {
                    data.number(1, to.number())
                        .number(2, base)
                        .number(3, offset)
                        .number(4, length);
                });
            }
            Self::Meta(meta, to) => element(list, "meta", |data| {
                data.number(1, to.number()).number(2, meta.key());
            }),
            Self::Equal(from, value) => equal(list, *from, value),
            Self::DestinationIsLocal(by) => {
                const ADDRESS_TYPE: u32 = 3;
                const OF_DESTINATION: u32 = 2;
                element(list, "fib", |data| {
                    data.number(1, by.number())
                        .number(2, ADDRESS_TYPE)
                        .number(3, OF_DESTINATION);
                });
                equal(list, *by, &RTN_LOCAL.to_ne_bytes());
            }
            Self::SourceIsForged(by) => {
                const LINK: u32 = 1;
                const OF_SOURCE_BY_INPUT: u32 = 1 | 8;
                const NONE: u32 = 0;
                element(list, "fib", |data| {
                    data.number(1, by.number())
                        .number(2, LINK)
                        .number(3, OF_SOURCE_BY_INPUT);
                });
                equal(list, *by, &NONE.to_ne_bytes());
            }
            Self::InSet(name, from) => element(list, "lookup", |data| {
                data.text(1, name).number(2, from.number());
            }),
            Self::InMap(name, from, to) => element(list, "lookup", |data| {
                data.text(1, name)
                    .number(2, from.number())
                    .number(3, to.number());
            }),
            Self::Destination4(address, port) => destination(list, NFPROTO_IPV4, *address, *port),
            Self::Destination6(address, port) => destination(list, NFPROTO_IPV6, *address, *port),
            Self::Masquerade => element(list, "masq", |_| {}),
            Self::Verdict(verdict) => {
                let code = match verdict {
                    Verdict::Drop => 0,
                    Verdict::Accept => 1,
                };
                element(list, "immediate", |data| {
                    const VERDICT_REGISTER: u32 = 0;
                    data.number(1, VERDICT_REGISTER).nest(2, |value| {
                        value.nest(2, |verdict| {
                            verdict.number(1, code);
                        });
                    });
                });
            }
        }
    }
}

fn element(list: &mut Attributes, name: &str, data: impl FnOnce(&mut Attributes)) {
    list.nest(1, |expression| {
        expression.text(1, name).nest(2, data);
    });
}

fn equal(list: &mut Attributes, from: Register, value: &[u8]) {
    const EQUAL: u32 = 0;
    element(list, "cmp", |data| {
        data.number(1, from.number())
            .number(2, EQUAL)
            .nest(3, |with| {
                with.bytes(1, value);
            });
    });
}

fn destination(list: &mut Attributes, family: u32, address: Register, port: Register) {
    const DNAT: u32 = 1;
    element(list, "nat", |data| {
        data.number(1, DNAT)
            .number(2, family)
            .number(3, address.number())
            .number(5, port.number());
    });
}

/// Fields of a concatenated key or value, each padded to 4 bytes as registers are.
#[must_use]
pub fn concatenation(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend(*field);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
