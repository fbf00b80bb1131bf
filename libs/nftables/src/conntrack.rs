//! Flows that the kernel remembers: address translation decides for the first packet of each, and rules that come or go later are
//! nothing to it. TCP ends by itself; a sender of UDP may go on for ever.
//!
//! Shapes are those of `linux/netfilter/nfnetlink_conntrack.h`.

use crate::{
    Error, Socket,
    encode::{Attributes, header},
};

/// Of subsystem `CTNETLINK`, message `CT_DELETE`.
const DELETE: u16 = (1 << 8) | 2;
const REQUEST_AND_ACKNOWLEDGE: u16 = 0x1 | 0x4;
const SEQUENCE: u32 = 1;

/// Flows of one transport protocol to one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flows {
    /// Of IPv4, or of IPv6.
    pub ipv4: bool,
    /// IP's number of the protocol.
    pub protocol: u8,
    /// To which their first packets went.
    pub port: u16,
}

impl Socket {
    /// The kernel forgets them, and decides anew with their next packets. Linux 6.10 and later know how; earlier ones refuse.
    ///
    /// # Errors
    /// [`Error`].
    pub fn forget(&self, flows: Flows) -> Result<(), Error> {
        let Flows {
            ipv4,
            protocol,
            port,
        } = flows;
        let operation = format!("forget flows of protocol {protocol} to port {port}");
        let message = message(flows).ok_or_else(|| Error::TooLarge {
            operation: operation.clone(),
            reason: "it is longer than an attribute of netlink",
        })?;
        self.send(&message)?;
        let family = if ipv4 { "IPv4" } else { "IPv6" };
        self.answers(SEQUENCE, |_| Some(format!("{operation} of {family}")))
    }
}

fn message(flows: Flows) -> Option<Vec<u8>> {
    const ORIGINAL: u16 = 1;
    const PROTOCOL_PART: u16 = 2;
    const FILTER: u16 = 25;
    /// Which of the tuple's parts must be the same: the protocol's number and the destination port.
    const NUMBER_AND_PORT: u32 = (1 << 3) | (1 << 5);
    let mut attributes = Attributes::new();
    attributes
        .nest(ORIGINAL, |tuple| {
            tuple.nest(PROTOCOL_PART, |part| {
                part.bytes(1, &[flows.protocol])
                    .bytes(3, &flows.port.to_be_bytes());
            });
        })
        .nest(FILTER, |filter| {
            // The one number of netfilter in the machine's byte order.
            filter.bytes(1, &NUMBER_AND_PORT.to_ne_bytes());
        });
    let body = attributes.finish()?;
    let mut bytes = Vec::new();
    header(
        &mut bytes,
        DELETE,
        REQUEST_AND_ACKNOWLEDGE,
        SEQUENCE,
        body.len() + 4,
    )?;
    bytes.extend([if flows.ipv4 { 2 } else { 10 }, 0, 0, 0]);
    bytes.extend(body);
    Some(bytes)
}
