//! What anybody on the network can send: DHCP and NTP.

use orlop_network::planner::dhcp::lease::Lease;
use orlop_network::planner::dhcp::message::{Answer, ROUTES_MAX, SERVERS_MAX, decode};
use orlop_network::planner::frame;
use orlop_time::planner::packet::{self, Request};
use orlop_time::planner::{SECOND, Stamp};
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const EXCHANGE: u32 = 0x1234_5678;
const NONCE: u64 = 0x0123_4567_89ab_cdef;
const NOW: i64 = 1_800_000_000 * SECOND;
const DHCP_HEADER: usize = 236;

/// A lease that is taken can be held: bounded lists, ordered times, names without blanks or control
/// characters, which go to files. The input is a DHCP message; it is tried in its packet, too.
pub(crate) fn dhcp(bytes: &[u8]) {
    let _ = frame::parse(bytes);
    if let Ok(Answer::Ack(lease)) = decode(bytes, MAC, EXCHANGE, Duration::from_secs(1)) {
        check_lease(&lease);
    }
    let ours = frame::build(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, bytes);
    if let Some(mut packet) = ours {
        // From server to client: the ports change places, which the checksum does not see.
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        assert_eq!(frame::parse(&packet), Some(bytes));
    }
}

fn check_lease(lease: &Lease) {
    assert!(lease.prefix <= 32);
    assert!(lease.routes.len() <= ROUTES_MAX);
    for route in &lease.routes {
        assert!(route.prefix <= 32);
    }
    for servers in [&lease.nameservers, &lease.time_servers] {
        assert!(servers.len() <= SERVERS_MAX);
    }
    assert!(lease.search_domains.len() <= SERVERS_MAX);
    for name in lease.search_domains.iter().chain(&lease.hostname) {
        let clean = |c: char| !c.is_whitespace() && !c.is_control();
        assert!(!name.is_empty() && name.chars().all(clean), "{name:?}");
    }
    if let Some(terms) = lease.terms {
        assert!(terms.renew < terms.rebind && terms.rebind < terms.expire);
    }
}

/// Messages with all options that are read.
pub(crate) fn dhcp_packets() -> Vec<Vec<u8>> {
    let mut header = vec![0_u8; DHCP_HEADER];
    header[..3].copy_from_slice(&[2, 1, 6]);
    header[4..8].copy_from_slice(&EXCHANGE.to_be_bytes());
    header[16..20].copy_from_slice(&[10, 0, 0, 7]);
    header[28..34].copy_from_slice(&MAC);
    header.extend([0x63, 0x82, 0x53, 0x63]);
    let options: [&[u8]; 13] = [
        &[54, 4, 10, 0, 0, 1],
        &[51, 4, 0, 0, 14, 16],
        &[58, 4, 0, 0, 7, 8],
        &[59, 4, 0, 0, 12, 78],
        &[1, 4, 255, 255, 255, 0],
        &[3, 4, 10, 0, 0, 1],
        &[6, 8, 10, 0, 0, 2, 10, 0, 0, 3],
        &[12, 4, b'n', b'o', b'd', b'e'],
        &[15, 3, b'a', b'.', b'b'],
        &[26, 2, 5, 220],
        &[42, 4, 10, 0, 0, 4],
        &[119, 6, 1, b'a', 1, b'b', 0, 0],
        &[121, 8, 24, 10, 1, 2, 10, 0, 0, 1],
    ];
    let message = |kind: u8| {
        let mut bytes = header.clone();
        bytes.extend([53, 1, kind]);
        bytes.extend(options.concat());
        bytes.push(255);
        bytes
    };
    vec![message(2), message(5), message(6)]
}

/// A sample that is taken is one: a delay, a distance, a stratum.
pub(crate) fn ntp(bytes: &[u8]) {
    let at = |steady| Stamp {
        steady,
        wall: NOW + steady,
    };
    let request = Request {
        nonce: NONCE,
        sent: at(0),
    };
    if let Ok(Ok(sample)) = packet::decode(bytes, &request, at(SECOND / 100), NOW) {
        assert!(sample.delay >= 0 && sample.distance >= 0);
        assert!((1..=15).contains(&sample.stratum));
    }
}

pub(crate) fn ntp_packets() -> Vec<Vec<u8>> {
    let mut answer = vec![0_u8; 48];
    answer[..4].copy_from_slice(&[0x24, 2, 6, 0xec]);
    answer[24..32].copy_from_slice(&NONCE.to_be_bytes());
    // Seconds since 1900.
    let seconds = u32::try_from((NOW / SECOND + 2_208_988_800) % (1 << 32)).expect("32 bits");
    for at in [32, 40] {
        answer[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
    }
    let mut kiss = answer.clone();
    kiss[1] = 0;
    kiss[12..16].copy_from_slice(b"RATE");
    vec![answer, kiss]
}
