//! Answers that are taken, and the many that are not.

use super::*;
use proptest::prelude::*;

const NONCE: u64 = 0x0123_4567_89ab_cdef;
const NOW: Nanos = 1_800_000_000 * SECOND;

fn stamp(after: Nanos) -> Stamp {
    Stamp {
        steady: 50 * SECOND + after,
        wall: NOW + after,
    }
}

fn request() -> Request {
    Request {
        nonce: NONCE,
        sent: stamp(0),
    }
}

/// NTP's form of a time.
fn ntp(time: Nanos) -> [u8; 8] {
    let seconds = u64::try_from(time / SECOND).unwrap() + UNIX_EPOCH;
    let fraction = (u64::try_from(time % SECOND).unwrap() << 32) / 1_000_000_000;
    (seconds << 32 | fraction).to_be_bytes()
}

/// A good answer of a server whose clock is `ahead`, 10 ms away, which takes 1 ms to answer.
fn answer(ahead: Nanos) -> Vec<u8> {
    let mut packet = vec![0; PACKET];
    packet[0] = 4 << 3 | MODE_SERVER;
    packet[1] = 2;
    packet[24..32].copy_from_slice(&NONCE.to_be_bytes());
    packet[32..40].copy_from_slice(&ntp(NOW + 10_000_000 + ahead));
    packet[40..48].copy_from_slice(&ntp(NOW + 11_000_000 + ahead));
    packet
}

fn decoded(packet: &[u8]) -> Result<Result<Sample, Kiss>, Ignored> {
    decode(packet, &request(), stamp(21_000_000), NOW - SECOND)
}

fn check(change: impl FnOnce(&mut Vec<u8>), expect: Ignored) {
    let mut packet = answer(0);
    change(&mut packet);
    assert_eq!(decoded(&packet), Err(expect));
}

#[test]
fn a_request_tells_nothing_but_its_nonce() {
    let packet = encode(NONCE);
    assert_eq!(packet[0], 0x23);
    assert!(packet[1..40].iter().all(|byte| *byte == 0));
    assert_eq!(packet[40..], NONCE.to_be_bytes());
}

#[test]
fn a_good_answer_gives_offset_delay_and_distance() {
    for ahead in [0, 5 * SECOND, -3_600 * SECOND] {
        let mut packet = answer(ahead);
        packet[4..8].copy_from_slice(&0x8000_u32.to_be_bytes()); // root delay 0.5 s
        packet[8..12].copy_from_slice(&0x4000_u32.to_be_bytes()); // root dispersion 0.25 s
        packet.extend([0; 20]); // an extension
        let sample = decoded(&packet).unwrap().unwrap();
        assert!((sample.offset - ahead).abs() < 10, "{sample:?}");
        assert!((sample.delay - 20_000_000).abs() < 10, "{sample:?}");
        assert!(
            (sample.distance - (10_000_000 + SECOND / 2)).abs() < 10,
            "{sample:?}"
        );
        assert_eq!(sample.stratum, 2);
    }
}

#[test]
fn bad_answers_are_ignored() {
    check(|packet| packet.truncate(47), Ignored::Malformed);
    check(|packet| packet[0] = 4 << 3 | 3, Ignored::Malformed); // a client's
    check(
        |packet| packet[0] = 2 << 3 | MODE_SERVER,
        Ignored::Malformed,
    );
    check(|packet| packet[24] ^= 1, Ignored::WrongOrigin);
    check(|packet| packet[24..32].fill(0), Ignored::WrongOrigin);
    check(|packet| packet[0] |= 3 << 6, Ignored::Unsynchronised);
    check(|packet| packet[1] = 16, Ignored::Unsynchronised);
    check(|packet| packet[1] = 0, Ignored::Unsynchronised);
    check(|packet| packet[40..48].fill(0), Ignored::Unsynchronised);
    check(|packet| packet[4] = 9, Ignored::TooFar);
    check(|packet| packet[8] = 9, Ignored::TooFar);
    check(
        |packet| packet[32..40].copy_from_slice(&ntp(NOW + SECOND)),
        Ignored::AbsurdDelay,
    );
    check(
        |packet| packet[40..48].copy_from_slice(&ntp(NOW + SECOND)),
        Ignored::AbsurdDelay,
    );
}

#[test]
fn an_answer_counts_only_while_our_clock_was_left_alone() {
    let late = Stamp {
        steady: stamp(21_000_000).steady,
        wall: NOW + 5 * SECOND,
    };
    assert_eq!(
        decode(&answer(0), &request(), late, 0),
        Err(Ignored::ClockMoved)
    );
    let slow = stamp(3 * SECOND);
    assert_eq!(
        decode(&answer(0), &request(), slow, 0),
        Err(Ignored::AbsurdDelay)
    );
}

#[test]
fn kisses_of_death_are_understood() {
    for (code, kiss) in [
        (b"RATE", Kiss::Slower),
        (b"DENY", Kiss::Stop),
        (b"RSTR", Kiss::Stop),
    ] {
        let mut packet = answer(0);
        packet[1] = 0;
        packet[12..16].copy_from_slice(code);
        assert_eq!(decoded(&packet), Ok(Err(kiss)));
        packet[24] ^= 1; // anybody can send a kiss; only who saw the request is heard
        assert_eq!(decoded(&packet), Err(Ignored::WrongOrigin));
    }
}

#[test]
fn seconds_that_wrapped_in_2036_are_told_apart_by_the_floor() {
    let year = 365 * 86_400 * SECOND;
    for years in [56, 66, 67, 100, 180] {
        let at = years * year;
        let bytes = {
            // The 32 bits alone, whatever the era.
            let seconds = u64::try_from(at / SECOND).unwrap() + UNIX_EPOCH;
            (seconds & 0xffff_ffff) << 32
        };
        assert_eq!(time(bytes, 56 * year), at, "{years} years after 1970");
    }
    assert_eq!(
        time(
            (56 * 365 * 86_400 + UNIX_EPOCH) << 32,
            56 * year + 100 * 86_400 * SECOND
        ),
        56 * year
    );
}

proptest! {
    #[test]
    fn no_bytes_are_an_accident(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decoded(&bytes);
    }

    /// Whatever is changed in a good answer, the result is an error or within the promised bounds.
    #[test]
    fn a_mutated_answer_stays_within_bounds(
        ahead in -1_000_000_000_000_i64..1_000_000_000_000,
        changes in proptest::collection::vec((0_usize..PACKET, any::<u8>()), 1..6),
    ) {
        let mut packet = answer(ahead);
        for (at, byte) in changes {
            packet[at] = byte;
        }
        if let Ok(Ok(sample)) = decoded(&packet) {
            prop_assert!(sample.distance <= ROOT_DISTANCE_MAX);
            prop_assert!((0..=DELAY_MAX + CLOCK_MOVED).contains(&sample.delay));
            prop_assert!((1..=15).contains(&sample.stratum));
        }
    }
}
