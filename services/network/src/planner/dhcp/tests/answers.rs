//! Answers of servers: options that are read, and answers that are not taken.

use super::*;
use crate::planner::dhcp::message::{self, Answer};

fn check_ignored(change: impl FnOnce(&mut Message), expect: Ignored) {
    let mut story = Story::new(None, None);
    story.input(Input::Carrier(true));
    story.receives(MessageType::Offer, SERVER);
    let bytes = story.answer(MessageType::Ack, SERVER, change);
    story.input(Input::Message(&bytes));
    assert_eq!(story.client.take_ignored(), Some(expect));
    assert_eq!(story.client.state(), "requesting");
}

#[test]
fn bad_answers_change_nothing() {
    check_ignored(
        |message| {
            message.set_xid(7);
        },
        Ignored::WrongTransaction,
    );
    check_ignored(
        |message| {
            message.set_chaddr(&[9; 6]);
        },
        Ignored::WrongHardwareAddress,
    );
    check_ignored(
        |message| {
            message.set_opcode(Opcode::BootRequest);
        },
        Ignored::Malformed,
    );
    check_ignored(
        |message| {
            message.set_yiaddr([10, 0, 0, 77]);
        },
        Ignored::WrongAddress,
    );
    check_ignored(
        |message| {
            message.set_yiaddr([127, 0, 0, 1]);
        },
        Ignored::WrongAddress,
    );
    check_ignored(
        |message| {
            message.set_yiaddr([10, 0, 0, 255]);
        },
        Ignored::WrongAddress,
    );
    check_ignored(
        |message| drop(message.opts_mut().remove(OptionCode::ServerIdentifier)),
        Ignored::NoServer,
    );
    check_ignored(
        |message| drop(message.opts_mut().remove(OptionCode::AddressLeaseTime)),
        Ignored::AbsurdLeaseTime,
    );
    check_ignored(
        |message| drop(message.opts_mut().insert(DhcpOption::AddressLeaseTime(0))),
        Ignored::AbsurdLeaseTime,
    );
    check_ignored(
        |message| {
            drop(
                message
                    .opts_mut()
                    .insert(DhcpOption::MessageType(MessageType::Discover)),
            )
        },
        Ignored::Unexpected,
    );
    check_ignored(
        |message| {
            drop(
                message
                    .opts_mut()
                    .insert(DhcpOption::ServerIdentifier(OTHER_SERVER)),
            )
        },
        Ignored::Unexpected,
    );
}

fn lease_of(change: impl FnOnce(&mut Message)) -> Lease {
    let bytes = encoded(7, MessageType::Ack, SERVER, change);
    match message::decode(&bytes, MAC, 7, seconds(1)).unwrap() {
        Answer::Ack(lease) => *lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_are_checked_one_by_one() {
    let lease = lease_of(|message| {
        let options = message.opts_mut();
        options.insert(DhcpOption::DomainNameServer(vec![
            SERVER,
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::BROADCAST,
        ]));
        options.insert(DhcpOption::DomainName(
            "one.example\nnameserver 6.6.6.6 TWO.example.".into(),
        ));
        options.insert(DhcpOption::Hostname("bad name\u{7}".into()));
        options.insert(DhcpOption::InterfaceMtu(68));
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 0, 255, 0)));
    });
    assert_eq!(lease.nameservers, [SERVER]);
    // Words that are DNS names are only that; a line break cannot come in.
    assert_eq!(
        lease.search_domains,
        ["one.example", "nameserver", "6.6.6.6", "two.example"]
    );
    assert_eq!((lease.hostname, lease.mtu, lease.prefix), (None, None, 8));
    assert_eq!(lease.routes.len(), 1);

    let lease = lease_of(|message| {
        let options = message.opts_mut();
        options.insert(DhcpOption::Hostname("Node-7.Example.".into()));
        options.insert(DhcpOption::InterfaceMtu(9000));
        options.insert(DhcpOption::NtpServers(vec![SERVER; 100]));
        let route = |text: &str| (text.parse().unwrap(), SERVER);
        options.insert(DhcpOption::ClasslessStaticRoute(vec![
            route("10.9.0.0/16"),
            route("0.0.0.0/0"),
        ]));
    });
    assert_eq!(
        (lease.hostname.as_deref(), lease.mtu),
        (Some("node-7.example"), Some(9000))
    );
    assert_eq!(lease.time_servers.len(), message::SERVERS_MAX);
    // RFC 3442: with classless routes the routers are not looked at.
    assert_eq!(lease.routes.len(), 2);
    assert_eq!(lease.routes[0].destination, Ipv4Addr::new(10, 9, 0, 0));
}

#[test]
fn options_in_the_file_and_server_name_fields_are_read() {
    let mut bytes = encoded(7, MessageType::Ack, SERVER, |message| {
        message.opts_mut().remove(OptionCode::SubnetMask);
        message.opts_mut().remove(OptionCode::Router);
    });
    assert_eq!(bytes.pop(), Some(255));
    bytes.extend([52, 1, 3, 255]); // both fields hold options
    bytes[108..115].copy_from_slice(&[1, 4, 255, 255, 254, 0, 255]);
    bytes[44..51].copy_from_slice(&[3, 4, 10, 0, 0, 9, 255]);
    let Answer::Ack(lease) = message::decode(&bytes, MAC, 7, seconds(1)).unwrap() else {
        panic!()
    };
    assert_eq!(lease.prefix, 23);
    assert_eq!(lease.routes[0].gateway, Some(Ipv4Addr::new(10, 0, 0, 9)));
}

#[test]
fn options_that_the_codec_stumbles_over_never_reach_it() {
    // The codec subtracts from these lengths.
    for option in [
        [81_u8, 0].as_slice(),
        &[81, 1, 0],
        &[151, 0],
        &[82, 1, 9],
        &[93, 0],
        &[80, 3, 1, 1, 1],
    ] {
        let mut bytes = encoded(7, MessageType::Ack, SERVER, |_| {});
        bytes.pop();
        bytes.extend(option);
        bytes.push(255);
        assert!(
            matches!(
                message::decode(&bytes, MAC, 7, seconds(1)),
                Ok(Answer::Ack(_))
            ),
            "{option:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_are_an_accident(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        options in proptest::collection::vec(any::<u8>(), 0..300),
        changes in proptest::collection::vec((0_usize..600, any::<u8>()), 0..8),
        cut in 0_usize..600,
    ) {
        let _ = message::decode(&bytes, MAC, 7, seconds(1));
        let mut mutated = encoded(7, MessageType::Ack, SERVER, |_| {});
        mutated.pop();
        mutated.extend(&options);
        for (at, byte) in changes {
            let length = mutated.len();
            mutated[at % length] = byte;
        }
        let _ = message::decode(&mutated, MAC, 7, seconds(1));
        mutated.truncate(cut);
        let _ = message::decode(&mutated, MAC, 7, seconds(1));
    }
}
