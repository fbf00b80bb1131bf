//! Transcripts of the client with servers, good and bad.

use super::{
    client::{Client, Input, TAKE_ATTEMPTS, VERIFY_ATTEMPTS, WAIT_CAP},
    lease::{Lease, Moment},
    message::{Identity, Ignored},
};
use dhcproto::{
    Decodable as _, Decoder, Encodable as _,
    v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
};
use proptest::prelude::*;
use std::{net::Ipv4Addr, time::Duration};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const LEASE: u64 = 800;

fn identity() -> Identity {
    Identity {
        mac: MAC,
        hostname: Some("node1".into()),
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A client, the time, and what it sent last.
struct Story {
    client: Client,
    now: Moment,
    random: u64,
    sent: Option<Message>,
    unicast: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Story {
    fn new(held: Option<Lease>, remembered: Option<Ipv4Addr>) -> Self {
        let client = Client::new(identity(), held, remembered);
        Self {
            client,
            now: seconds(100),
            random: 1,
            sent: None,
            unicast: None,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let send = self.client.step(self.now, input, self.random);
        self.unicast = send.as_ref().and_then(|send| send.unicast);
        self.sent = send.map(|send| Message::decode(&mut Decoder::new(&send.message)).unwrap());
    }

    /// Lets time go by to the client's next deadline.
    fn next(&mut self) {
        self.now = self
            .client
            .deadline()
            .expect("something is to be waited for")
            .max(self.now);
        self.input(Input::Tick);
    }

    fn kind(&self) -> Option<MessageType> {
        self.sent.as_ref().and_then(|sent| sent.opts().msg_type())
    }

    fn option(&self, code: OptionCode) -> Option<&DhcpOption> {
        self.sent.as_ref()?.opts().get(code)
    }

    /// An answer to the last message.
    fn answer(
        &self,
        kind: MessageType,
        server: Ipv4Addr,
        change: impl FnOnce(&mut Message),
    ) -> Vec<u8> {
        let xid = self.sent.as_ref().expect("a message to answer").xid();
        encoded(xid, kind, server, change)
    }

    fn receives(&mut self, kind: MessageType, server: Ipv4Addr) {
        let bytes = self.answer(kind, server, |_| {});
        self.input(Input::Message(&bytes));
    }

    /// From the start to a lease.
    fn bound() -> Self {
        let mut story = Self::new(None, None);
        story.input(Input::Carrier(true));
        story.receives(MessageType::Offer, SERVER);
        story.receives(MessageType::Ack, SERVER);
        assert_eq!(story.client.state(), "bound");
        story
    }

    fn holds(&self) -> bool {
        self.client.lease().is_some()
    }
}

fn encoded(
    xid: u32,
    kind: MessageType,
    server: Ipv4Addr,
    change: impl FnOnce(&mut Message),
) -> Vec<u8> {
    let zero = Ipv4Addr::UNSPECIFIED;
    let yours = if kind == MessageType::Nak {
        zero
    } else {
        ADDRESS
    };
    let mut message = Message::new_with_id(xid, zero, yours, zero, zero, &MAC);
    message.set_opcode(Opcode::BootReply);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(server));
    options.insert(DhcpOption::AddressLeaseTime(u32::try_from(LEASE).unwrap()));
    options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
    options.insert(DhcpOption::Router(vec![SERVER]));
    change(&mut message);
    message.to_vec().unwrap()
}

#[test]
fn discover_offer_request_ack() {
    let mut story = Story::new(None, None);
    assert_eq!(story.client.deadline(), None);
    story.input(Input::Carrier(true));
    assert_eq!(story.kind(), Some(MessageType::Discover));
    assert_eq!(story.option(OptionCode::RequestedIpAddress), None);
    assert_eq!(
        story.option(OptionCode::Hostname),
        Some(&DhcpOption::Hostname("node1".into()))
    );
    let xid = story.sent.as_ref().unwrap().xid();

    story.receives(MessageType::Offer, SERVER);
    assert_eq!(story.kind(), Some(MessageType::Request));
    assert_eq!(story.sent.as_ref().unwrap().xid(), xid);
    assert_eq!(
        story.option(OptionCode::RequestedIpAddress),
        Some(&DhcpOption::RequestedIpAddress(ADDRESS))
    );
    assert_eq!(
        story.option(OptionCode::ServerIdentifier),
        Some(&DhcpOption::ServerIdentifier(SERVER))
    );
    assert!(!story.holds());

    story.receives(MessageType::Ack, SERVER);
    assert_eq!((story.client.state(), story.kind()), ("bound", None));
    assert_eq!(story.client.lease().unwrap().address, ADDRESS);
    assert_eq!(story.client.deadline(), Some(seconds(100 + LEASE / 2)));
}

#[test]
fn silence_is_met_with_back_off() {
    let mut story = Story::new(None, None);
    story.input(Input::Carrier(true));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = story.now;
        story.next();
        assert_eq!(story.kind(), Some(MessageType::Discover));
        waits.push(story.now - before);
    }
    assert!(waits[0] <= seconds(2), "{waits:?}");
    assert!(
        waits
            .iter()
            .all(|wait| *wait >= seconds(1) && *wait <= WAIT_CAP),
        "{waits:?}"
    );
    assert!(*waits.last().unwrap() >= WAIT_CAP / 2, "{waits:?}");
}

#[test]
fn an_offer_that_is_not_kept_is_given_up() {
    let mut story = Story::new(None, None);
    story.input(Input::Carrier(true));
    story.receives(MessageType::Offer, SERVER);
    for _ in 1..TAKE_ATTEMPTS {
        story.next();
        assert_eq!(story.kind(), Some(MessageType::Request));
    }
    story.next();
    assert_eq!(
        (story.client.state(), story.kind()),
        ("selecting", Some(MessageType::Discover))
    );
}

#[test]
fn the_lease_is_renewed_with_its_server() {
    let mut story = Story::bound();
    story.next();
    assert_eq!(story.now, seconds(100 + LEASE / 2));
    assert_eq!(
        (story.client.state(), story.kind()),
        ("renewing", Some(MessageType::Request))
    );
    assert_eq!(story.unicast, Some((ADDRESS, SERVER)));
    assert_eq!(story.sent.as_ref().unwrap().ciaddr(), ADDRESS);
    // RFC 2131 table 5: neither of these while renewing.
    assert_eq!(story.option(OptionCode::RequestedIpAddress), None);
    assert_eq!(story.option(OptionCode::ServerIdentifier), None);

    let foreign = story.answer(MessageType::Ack, OTHER_SERVER, |_| {});
    story.input(Input::Message(&foreign));
    assert_eq!(story.client.take_ignored(), Some(Ignored::Unexpected));
}

#[test]
fn a_renewal_starts_the_lease_anew() {
    let mut story = Story::bound();
    story.next();
    story.receives(MessageType::Ack, SERVER);
    assert_eq!(story.client.state(), "bound");
    assert_eq!(
        story.client.deadline(),
        Some(seconds(100 + LEASE / 2 + LEASE / 2))
    );
}

#[test]
fn without_its_server_the_lease_is_rebound_with_any() {
    let mut story = Story::bound();
    let mut asked = 0;
    while story.client.state() != "rebinding" {
        story.next();
        asked += 1;
        assert!(asked < 20 && story.holds());
    }
    assert!(story.now >= seconds(100 + LEASE / 8 * 7));
    assert_eq!(
        (story.unicast, story.kind()),
        (None, Some(MessageType::Request))
    );
    story.receives(MessageType::Ack, OTHER_SERVER);
    assert_eq!(story.client.state(), "bound");
    assert_eq!(story.client.lease().unwrap().server, OTHER_SERVER);
}

#[test]
fn an_unanswered_lease_ends_and_its_address_is_asked_for_again() {
    let mut story = Story::bound();
    while story.holds() {
        story.next();
        assert!(story.now <= seconds(100 + LEASE));
    }
    assert_eq!(story.now, seconds(100 + LEASE));
    assert_eq!(
        (story.client.state(), story.kind()),
        ("selecting", Some(MessageType::Discover))
    );
    assert_eq!(
        story.option(OptionCode::RequestedIpAddress),
        Some(&DhcpOption::RequestedIpAddress(ADDRESS))
    );
}

#[test]
fn a_refusal_ends_the_lease_at_once_and_the_next_attempt_waits() {
    for state in ["renewing", "rebinding"] {
        let mut story = Story::bound();
        while story.client.state() != state {
            story.next();
        }
        story.receives(MessageType::Nak, SERVER);
        assert!(!story.holds());
        assert_eq!((story.client.state(), story.kind()), ("selecting", None));
        assert!(story.client.deadline().unwrap() >= story.now + seconds(1));
        assert_eq!(story.client.remembered(), None);
    }
}

#[test]
fn a_server_that_refuses_its_own_offers_is_asked_less_and_less() {
    let mut story = Story::new(None, None);
    story.input(Input::Carrier(true));
    let mut waits = Vec::new();
    for _ in 0..10 {
        story.receives(MessageType::Offer, SERVER);
        story.receives(MessageType::Nak, SERVER);
        let before = story.now;
        story.next();
        assert_eq!(story.kind(), Some(MessageType::Discover));
        waits.push(story.now - before);
    }
    assert!(*waits.last().unwrap() >= WAIT_CAP / 2, "{waits:?}");
}

#[test]
fn an_address_of_an_earlier_boot_is_verified_first() {
    let mut story = Story::new(None, Some(ADDRESS));
    story.input(Input::Carrier(true));
    assert_eq!(
        (story.client.state(), story.kind()),
        ("rebooting", Some(MessageType::Request))
    );
    assert_eq!(
        story.option(OptionCode::RequestedIpAddress),
        Some(&DhcpOption::RequestedIpAddress(ADDRESS))
    );
    assert_eq!(story.option(OptionCode::ServerIdentifier), None);
    assert!(!story.holds());
    story.receives(MessageType::Ack, OTHER_SERVER);
    assert_eq!(story.client.state(), "bound");

    let mut refused = Story::new(None, Some(ADDRESS));
    refused.input(Input::Carrier(true));
    refused.receives(MessageType::Nak, SERVER);
    assert_eq!(refused.client.state(), "selecting");

    let mut unanswered = Story::new(None, Some(ADDRESS));
    unanswered.input(Input::Carrier(true));
    for _ in 0..VERIFY_ATTEMPTS {
        unanswered.next();
    }
    assert_eq!(
        (unanswered.client.state(), unanswered.kind()),
        ("selecting", Some(MessageType::Discover))
    );
}

#[test]
fn a_lease_of_this_boot_holds_through_a_crash_and_a_pulled_cable() {
    let lease = Story::bound().client.lease().cloned();
    let mut story = Story::new(lease, None);
    assert!(story.holds());
    story.input(Input::Carrier(true));
    assert_eq!(story.client.state(), "rebooting");
    for _ in 0..VERIFY_ATTEMPTS {
        story.next();
        assert!(story.holds());
    }
    assert_eq!(story.client.state(), "bound");

    story.input(Input::Carrier(false));
    assert!(story.holds());
    story.input(Input::Carrier(true));
    assert_eq!(story.client.state(), "rebooting");
    story.receives(MessageType::Nak, SERVER); // the cable went into another network
    assert!(!story.holds());
}

/// Regressions of the property below: the state after an unanswered verification was that of its start.
#[test]
fn a_verification_that_ends_past_t1_or_t2_goes_on_from_there() {
    for (begins, state) in [(LEASE / 2, "renewing"), (LEASE / 8 * 7, "rebinding")] {
        let mut story = Story::bound();
        story.now = seconds(100 + begins) - seconds(1);
        story.input(Input::Carrier(false));
        story.input(Input::Carrier(true));
        for _ in 0..VERIFY_ATTEMPTS {
            story.next();
        }
        assert_eq!(story.client.state(), state);
        assert_eq!(story.kind(), Some(MessageType::Request));
        assert!(story.client.deadline().unwrap() > story.now);
    }
}

#[test]
fn a_lease_ends_without_a_carrier_too() {
    let mut story = Story::bound();
    story.input(Input::Carrier(false));
    story.next();
    assert_eq!((story.now, story.holds()), (seconds(100 + LEASE), false));
    assert_eq!(story.client.deadline(), None);
}

#[test]
fn a_lease_for_ever_is_never_renewed() {
    let mut story = Story::new(None, None);
    story.input(Input::Carrier(true));
    story.receives(MessageType::Offer, SERVER);
    let ack = story.answer(MessageType::Ack, SERVER, |message| {
        message
            .opts_mut()
            .insert(DhcpOption::AddressLeaseTime(u32::MAX));
    });
    story.input(Input::Message(&ack));
    assert_eq!(
        (story.client.state(), story.client.deadline()),
        ("bound", None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Whatever comes in any order: a lease that shows has not expired, something is always waited for
    /// while there is a carrier, and no more is sent than the back-off allows.
    #[test]
    fn the_invariants_hold_in_any_order(
        steps in proptest::collection::vec((0_u8..10, 0_u64..40, any::<bool>()), 1..200),
    ) {
        let mut story = Story::new(None, None);
        let mut last = None;
        let (mut sent, mut answered) = (0_u64, 0_u64);
        for (what, wait, other) in steps {
            story.now += seconds(wait);
            let server = if other { OTHER_SERVER } else { SERVER };
            let kind = match what {
                0 => MessageType::Offer,
                1 => MessageType::Nak,
                _ => MessageType::Ack,
            };
            match (what, last) {
                (0..=3, Some(xid)) => {
                    answered += 1;
                    let bytes = encoded(xid, kind, server, |_| {});
                    story.input(Input::Message(&bytes));
                }
                (4, _) => story.input(Input::Carrier(false)),
                (5, _) => story.input(Input::Carrier(true)),
                (6..=8, _) if story.client.deadline().is_some() => story.next(),
                _ => story.input(Input::Tick),
            }
            if let Some(message) = &story.sent {
                last = Some(message.xid());
                sent += 1;
            }
            if let Some(lease) = story.client.lease() {
                prop_assert!(lease.expires().unwrap() > story.now);
            }
            let waits = story.client.deadline();
            prop_assert!(story.client.state() == "stopped" || waits.is_some());
            prop_assert!(waits.is_none_or(|at| at > story.now), "{waits:?} is not after {:?}", story.now);
        }
        prop_assert!(sent <= 200 && answered <= 200);
    }
}

mod answers;
