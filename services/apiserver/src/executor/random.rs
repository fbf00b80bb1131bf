//! The system's random numbers.

use aws_lc_rs::rand;

/// 64 bits.
#[must_use]
pub fn number() -> u64 {
    u64::from_be_bytes(bytes())
}

/// 32 bits.
#[must_use]
pub fn number32() -> u32 {
    u32::from_be_bytes(bytes())
}

/// A UUID of version 4 (RFC 9562).
#[must_use]
pub fn uuid() -> String {
    uuid::Builder::from_random_bytes(bytes())
        .into_uuid()
        .to_string()
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}
