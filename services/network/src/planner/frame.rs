//! IPv4 and UDP headers around DHCP messages, for packet sockets (RFC 791, RFC 768).
//!
//! ```text
//!   0        20       28
//!   +--------+--------+----------------+
//!   | IPv4   | UDP    | DHCP message   |
//!   +--------+--------+----------------+
//! ```
//!
//! A link without an address cannot receive the server's answer through a UDP socket once reverse path
//! filtering is strict, so both directions carry their own headers.

use std::net::Ipv4Addr;

/// UDP port that clients listen on.
pub const CLIENT_PORT: u16 = 68;
/// UDP port that servers listen on.
pub const SERVER_PORT: u16 = 67;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;
/// Flag "more fragments" and the fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// An IPv4 packet from `source`:68 to `destination`:67. None where `message` is too long for one.
#[must_use]
pub fn build(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(UDP_HEADER.checked_add(message.len())?).ok()?;
    let total = u16::try_from(
        IP_HEADER
            .checked_add(UDP_HEADER)?
            .checked_add(message.len())?,
    )
    .ok()?;
    let mut packet = Vec::with_capacity(total.into());
    packet.extend([0x45, 0]);
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, TIME_TO_LIVE, PROTOCOL_UDP, 0, 0]); // identification 0, do not fragment
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let header_sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&header_sum.to_be_bytes());

    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    let pseudo = [0, PROTOCOL_UDP];
    let sum = checksum(&[
        &source.octets(),
        &destination.octets(),
        &pseudo,
        &udp_length.to_be_bytes(),
        &packet[IP_HEADER..],
    ]);
    // Zero means "no checksum" on the wire, so a sum of zero is sent as its other form.
    let sum = if sum == 0 { 0xffff } else { sum };
    packet[IP_HEADER + 6..IP_HEADER + 8].copy_from_slice(&sum.to_be_bytes());
    Some(packet)
}

/// The DHCP message in an IPv4 packet from a server to a client; none for anything else.
///
/// The UDP checksum is not looked at: a server on the same host leaves it to hardware that is not
/// there, and the message's own checks decide.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < IP_HEADER || checksum(&[packet.get(..header)?]) != 0 {
        return None;
    }
    let total = usize::from(word(packet, 2)?);
    let datagram = packet.get(header..total)?;
    let fragmented = word(packet, 6)? & FRAGMENT_MASK != 0;
    let udp_length = usize::from(word(datagram, 4)?);
    let ports = (word(datagram, 0)?, word(datagram, 2)?);
    if fragmented || packet[9] != PROTOCOL_UDP || ports != (SERVER_PORT, CLIENT_PORT) {
        return None;
    }
    datagram.get(UDP_HEADER..udp_length)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The Internet checksum (RFC 1071) over the concatenation of even-sized parts and a last one.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As [`build`], with the ports of the way back.
    fn from_server(message: &[u8]) -> Vec<u8> {
        let mut packet = build(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::BROADCAST, message).unwrap();
        packet[IP_HEADER..IP_HEADER + 4].copy_from_slice(&[0, 67, 0, 68]);
        packet
    }

    #[test]
    fn a_packet_carries_its_message() {
        let packet = from_server(b"message");
        assert_eq!(parse(&packet), Some(&b"message"[..]));
        // Ethernet pads short frames.
        let padded = [&packet[..], &[0; 20]].concat();
        assert_eq!(parse(&padded), Some(&b"message"[..]));
    }

    #[test]
    fn the_wrong_way_or_a_broken_header_is_no_message() {
        let own = build(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, b"message").unwrap();
        assert_eq!(parse(&own), None);
        let mut broken = from_server(b"message");
        broken[8] ^= 1;
        assert_eq!(parse(&broken), None);
        let mut fragment = from_server(b"message");
        fragment[6] = 0x20;
        assert_eq!(parse(&fragment), None);
        assert_eq!(
            build(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &vec![0; 70_000]),
            None
        );
    }

    #[test]
    fn the_udp_checksum_is_right() {
        let packet = build(
            Ipv4Addr::new(10, 0, 0, 2),
            Ipv4Addr::new(10, 0, 0, 1),
            b"odd",
        )
        .unwrap();
        let length = u16::try_from(packet.len() - IP_HEADER).unwrap();
        let sum = checksum(&[
            &packet[12..20],
            &[0, PROTOCOL_UDP],
            &length.to_be_bytes(),
            &packet[20..],
        ]);
        assert_eq!(sum, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_are_an_accident(bytes in proptest::collection::vec(any::<u8>(), 0..80),
                                    cut in 0_usize..64, flip in 0_usize..500) {
            let _ = parse(&bytes);
            let mut packet = from_server(&bytes);
            let at = flip / 8 % packet.len();
            packet[at] ^= 1 << (flip % 8);
            let _ = parse(&packet);
            let _ = parse(&packet[..cut.min(packet.len())]);
        }
    }
}
