//! META: what must be known of the disk before any of its file systems is trusted. Pure encoding.
//!
//! ```text
//!   partition    0            copy A        2 MiB        copy B
//!
//!   copy         0        8            16       20       24
//!                +--------+------------+--------+--------+-------------------+
//!                | magic  | generation | length | crc32  | JSON              |
//!                | "ORLOPM1\n" | u64 LE | u32 LE | u32 LE | length bytes     |
//!                +--------+------------+--------+--------+-------------------+   4096 bytes, zeros behind
//! ```
//!
//! A write replaces the older copy, so a write torn at any byte leaves the newer one. The checksum covers
//! generation, length and JSON. Unknown fields are kept out of a rewritten copy: a release that adds a
//! field must do without it after a fallback.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bytes of one copy.
pub const COPY_BYTES: usize = 4096;
/// Where the two copies begin, in bytes from the partition's start.
pub const COPY_OFFSETS: [u64; 2] = [0, 2 * 1024 * 1024];
const HEADER: usize = 24;
const MAGIC: &[u8; 8] = b"ORLOPM1\n";

/// Content of META.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// GUID of the disk's partition table: META of another table does not count.
    pub disk: Uuid,
    /// The ESP has a whole file system.
    pub esp_made: bool,
    /// STATE has a whole file system. Never made again once this is true.
    pub state_made: bool,
    /// DATA has a whole file system.
    pub data_made: bool,
}

/// META and its place in the order of writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Grows by one with each write; the first is 1.
    pub number: u64,
    /// The content.
    pub meta: Meta,
}

/// Why META cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("META of {0} bytes does not fit its copy")]
pub struct TooLarge(usize);

impl Generation {
    /// The bytes of one copy.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn encode(&self) -> Result<[u8; COPY_BYTES], TooLarge> {
        let json = serde_json::to_vec(&self.meta).expect("META has no map");
        let length = u32::try_from(json.len()).map_err(|_| TooLarge(json.len()))?;
        let mut copy = [0_u8; COPY_BYTES];
        let body = copy
            .get_mut(HEADER..HEADER + json.len())
            .ok_or(TooLarge(json.len()))?;
        body.copy_from_slice(&json);
        copy[..8].copy_from_slice(MAGIC);
        copy[8..16].copy_from_slice(&self.number.to_le_bytes());
        copy[16..20].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(&copy[8..20], &json);
        copy[20..24].copy_from_slice(&sum.to_le_bytes());
        Ok(copy)
    }

    /// Reads a copy; `None` for anything but whole, unchanged bytes of [`Generation::encode`].
    #[must_use]
    pub fn decode(copy: &[u8]) -> Option<Self> {
        let header = copy.first_chunk::<HEADER>()?;
        let number = u64::from_le_bytes(*header[8..].first_chunk()?);
        let length = usize::try_from(u32::from_le_bytes(*header[16..].first_chunk()?)).ok()?;
        let sum = u32::from_le_bytes(*header[20..].first_chunk()?);
        let json = copy.get(HEADER..HEADER.checked_add(length)?)?;
        if &header[..8] != MAGIC || checksum(&header[8..20], json) != sum {
            return None;
        }
        let meta = serde_json::from_slice(json).ok()?;
        Some(Self { number, meta })
    }
}

/// The newest whole copy, and which of the two (0 or 1) the next write replaces.
#[must_use]
pub fn newest(a: &[u8], b: &[u8]) -> (Option<Generation>, usize) {
    match (Generation::decode(a), Generation::decode(b)) {
        (Some(a), Some(b)) if a.number >= b.number => (Some(a), 1),
        (_, Some(b)) => (Some(b), 0),
        (Some(a), None) => (Some(a), 1),
        (None, None) => (None, 0),
    }
}

fn checksum(head: &[u8], json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(json);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn generation(number: u64) -> Generation {
        Generation {
            number,
            meta: Meta {
                disk: Uuid::from_u128(number.into()),
                state_made: number > 1,
                ..Meta::default()
            },
        }
    }

    #[test]
    fn a_write_torn_at_any_byte_keeps_the_newer_copy() {
        let (stale, old, new) = (generation(6), generation(7), generation(8));
        let old_bytes = old.encode().unwrap();
        let (stale, new_bytes) = (stale.encode().unwrap(), new.encode().unwrap());
        for cut in 0..=COPY_BYTES {
            let mut torn = stale;
            torn[..cut].copy_from_slice(&new_bytes[..cut]);
            let (found, next) = newest(&old_bytes, &torn);
            let found = found.expect("one copy is whole");
            assert!(found == old || found == new, "{found:?}");
            assert_eq!(next, usize::from(found == old), "the older one is replaced");
        }
    }

    #[test]
    fn every_flipped_bit_of_the_used_part_is_noticed() {
        let bytes = generation(3).encode().unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for bit in 0..used * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Generation::decode(&flipped), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Generation::decode(&bytes), None);
        }
    }
}
