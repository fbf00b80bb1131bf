//! One generation of the machine config on STATE.
//!
//! ```text
//! 0        8            16          24         28
//! +--------+------------+-----------+----------+----------------+
//! | magic  | generation | length    | crc32    | config bytes   |
//! | "ORLOPC1\n" | u64 LE | u64 LE  | u32 LE   | length bytes   |
//! +--------+------------+-----------+----------+----------------+
//! ```
//!
//! Two files hold the last two generations; a write always replaces the older one, so a write torn at
//! any byte leaves the newer intact. The checksum covers generation, length and bytes.

/// Largest config in bytes.
pub const CONFIG_MAX: usize = 1024 * 1024;
/// Bytes before the config.
pub const HEADER: usize = 28;
const MAGIC: &[u8; 8] = b"ORLOPC1\n";

/// A config and its place in the order of configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Grows by one with each accepted config; the first is 1.
    pub number: u64,
    /// The config as it was given, byte for byte.
    pub config: Vec<u8>,
}

/// Why a file is not a whole generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerationError {
    /// Shorter than its header or its announced length.
    #[error("the file is cut short")]
    Truncated,
    /// The first bytes are not ours.
    #[error("the file does not begin with the config magic")]
    Magic,
    /// Announced length over [`CONFIG_MAX`].
    #[error("the file announces more than {CONFIG_MAX} bytes")]
    TooLarge,
    /// Checksum over generation, length and bytes does not match.
    #[error("the checksum does not match")]
    Checksum,
}

impl Generation {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.config.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(
            &u64::try_from(self.config.len())
                .unwrap_or(u64::MAX)
                .to_le_bytes(),
        );
        out.extend_from_slice(&checksum(&out[8..24], &self.config).to_le_bytes());
        out.extend_from_slice(&self.config);
        out
    }

    /// Reads a file back.
    ///
    /// # Errors
    /// [`GenerationError`] for anything but the whole, unchanged bytes of [`Generation::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GenerationError> {
        let header = bytes
            .first_chunk::<HEADER>()
            .ok_or(GenerationError::Truncated)?;
        if &header[..8] != MAGIC {
            return Err(GenerationError::Magic);
        }
        let number = u64_at(header, 8);
        let length = usize::try_from(u64_at(header, 16))
            .ok()
            .filter(|length| *length <= CONFIG_MAX)
            .ok_or(GenerationError::TooLarge)?;
        let config = bytes
            .get(HEADER..HEADER + length)
            .ok_or(GenerationError::Truncated)?;
        let stored = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
        if checksum(&header[8..24], config) != stored {
            return Err(GenerationError::Checksum);
        }
        Ok(Self {
            number,
            config: config.to_vec(),
        })
    }
}

/// The newest whole generation of the two files, and which of the two (0 or 1) the next write replaces.
#[must_use]
pub fn newest(a: &[u8], b: &[u8]) -> (Option<Generation>, usize) {
    match (Generation::decode(a).ok(), Generation::decode(b).ok()) {
        (Some(a), Some(b)) if a.number >= b.number => (Some(a), 1),
        (_, Some(b)) => (Some(b), 0),
        (Some(a), None) => (Some(a), 1),
        (None, None) => (None, 0),
    }
}

fn checksum(head: &[u8], config: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(config);
    hasher.finalize()
}

fn u64_at(header: &[u8; HEADER], at: usize) -> u64 {
    let mut bytes = [0_u8; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u64) -> Generation {
        Generation {
            number,
            config: format!("kind: Machine # {number}\n").into_bytes(),
        }
    }

    #[test]
    fn a_write_torn_at_any_byte_keeps_the_other_generation() {
        let (old, new) = (generation(7).encode(), generation(8).encode());
        let stale = generation(6).encode();
        for cut in 0..=new.len() {
            // The file system may show the new bytes over the stale ones, or a short file.
            let mut over = new[..cut].to_vec();
            over.extend(stale.iter().skip(cut));
            for torn in [&new[..cut], &over[..]] {
                let (found, next) = newest(&old, torn);
                let found = found.expect("one generation is whole");
                assert!(found == generation(7) || found == generation(8));
                if found.number == 7 {
                    assert_eq!(next, 1, "the whole one is never the next to be replaced");
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = generation(3).encode();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(Generation::decode(&flipped).is_err(), "bit {at}");
        }
    }

    #[test]
    fn both_gone_is_none_and_starts_with_the_first_file() {
        assert_eq!(newest(b"", b"garbage"), (None, 0));
    }
}
