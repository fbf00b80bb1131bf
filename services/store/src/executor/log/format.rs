//! The bytes of a log segment. All numbers are little endian.
//!
//! ```text
//!   segment   magic    8   "ORLOPLOG"
//!             version  4   1
//!             crc32    4   of version and the fields below
//!             number   8   of the segment; its successor's is one more
//!             first    8   index of the next entry when the segment was made
//!             salt     8   random; goes into every checksum of the segment
//!             batch, batch, ...
//!
//!   batch     magic    4   "OLB1"; begins at a multiple of 8
//!             crc32    4   of salt and the fields below
//!             first    8   index of the first entry; entries from there on that came before are void
//!             synced   8   the segment was durable up to this byte when the batch was written
//!             count    4   of entries; 0 where the log was only cut
//!             length   4   of the entries' bytes
//!             entry, entry, ..., zeros up to a multiple of 8
//!
//!   entry     length   4   of the payload
//!             crc32    4   of salt, index, length and payload
//!             payload
//! ```
//!
//! Nothing is ever overwritten: a batch that begins before the end of the log cuts it there. So a crash cannot lose what
//! was durable, and a cut is kept in its order among appends.
//!
//! `synced` tells a torn tail from damage: where a batch cannot be read and a later one says that these bytes were durable,
//! they were damaged after they had been acknowledged; where none does, they may be what a power cut left of a write.
//! The salt keeps a client from sending a value that looks like a batch.

use std::ops::Range;

/// Begins every segment.
const SEGMENT_MAGIC: &[u8; 8] = b"ORLOPLOG";
/// Begins every batch.
const BATCH_MAGIC: &[u8; 4] = b"OLB1";
/// Of this layout.
pub const VERSION: u32 = 1;
/// Bytes before the first batch.
pub const SEGMENT_HEADER: usize = 40;
/// Bytes of a batch before its entries.
pub const BATCH_HEADER: usize = 32;
/// Bytes of an entry before its payload.
pub const ENTRY_HEADER: usize = 8;
/// Batches begin at multiples of this, so that the search for one looks at few places.
const ALIGNMENT: usize = 8;
/// Largest payload: far above the largest request, far below what would not fit in memory.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of the entries of a batch; one entry alone may be as large as it may.
pub const BATCH_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + ENTRY_HEADER;

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Of the segment; its successor's is one more.
    pub number: u64,
    /// Index of the next entry when the segment was made.
    pub first: u64,
    /// Goes into every checksum.
    pub salt: u64,
}

/// Why a segment's head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// It is not what was written.
    Damaged(&'static str),
    /// A later release wrote it.
    Version(u32),
}

impl SegmentHeader {
    /// As the file holds it.
    #[must_use]
    pub fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..].copy_from_slice(&self.salt.to_le_bytes());
        let crc = checksum(&[&bytes[8..12], &bytes[16..]]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what the file holds.
    ///
    /// # Errors
    /// It is damaged, or of a later release.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let head = bytes
            .first_chunk::<SEGMENT_HEADER>()
            .ok_or(HeaderError::Damaged("it is too short"))?;
        if &head[..8] != SEGMENT_MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a segment does"));
        }
        if checksum(&[&head[8..12], &head[16..]]) != u32_at(head, 12) {
            return Err(HeaderError::Damaged("the checksum of its head is wrong"));
        }
        match u32_at(head, 8) {
            VERSION => Ok(Self {
                number: u64_at(head, 16),
                first: u64_at(head, 24),
                salt: u64_at(head, 32),
            }),
            version => Err(HeaderError::Version(version)),
        }
    }
}

/// Appends one batch to a buffer that will be written at a multiple of 8. Returns where each payload is in it.
///
/// Payloads are at most [`PAYLOAD_BYTES_MAX`] each, and together with their headers at most [`BATCH_BYTES_MAX`].
pub fn encode_batch<P: AsRef<[u8]>>(
    salt: u64,
    first: u64,
    synced: u64,
    payloads: &[P],
    buffer: &mut Vec<u8>,
) -> Vec<Range<usize>> {
    let start = buffer.len();
    buffer.resize(start + BATCH_HEADER, 0);
    let mut positions = Vec::with_capacity(payloads.len());
    for (index, payload) in (first..).zip(payloads) {
        let payload = payload.as_ref();
        let length = u32::try_from(payload.len()).expect("at most PAYLOAD_BYTES_MAX");
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(&entry_checksum(salt, index, payload).to_le_bytes());
        positions.push(buffer.len()..buffer.len() + payload.len());
        buffer.extend_from_slice(payload);
    }
    let count = u32::try_from(payloads.len()).expect("each takes bytes of at most BATCH_BYTES_MAX");
    let length = buffer.len() - start - BATCH_HEADER;
    let length = u32::try_from(length).expect("at most BATCH_BYTES_MAX");
    let head = &mut buffer[start..start + BATCH_HEADER];
    head[..4].copy_from_slice(BATCH_MAGIC);
    head[8..16].copy_from_slice(&first.to_le_bytes());
    head[16..24].copy_from_slice(&synced.to_le_bytes());
    head[24..28].copy_from_slice(&count.to_le_bytes());
    head[28..].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&[&salt.to_le_bytes(), &head[8..]]);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
    positions
}

/// A batch that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Index of the first entry.
    pub first: u64,
    /// The segment was durable up to this byte when the batch was written.
    pub synced: u64,
    /// Where the payload of each entry is in the segment.
    pub payloads: Vec<Range<usize>>,
    /// Where the next batch begins.
    pub end: usize,
}

/// Reads the batch that begins at `start`, whole with all its checksums; None where there is none.
#[must_use]
pub fn decode_batch(segment: &[u8], salt: u64, start: usize) -> Option<Batch> {
    let head = segment.get(start..)?.first_chunk::<BATCH_HEADER>()?;
    if &head[..4] != BATCH_MAGIC || checksum(&[&salt.to_le_bytes(), &head[8..]]) != u32_at(head, 4)
    {
        return None;
    }
    let (first, synced) = (u64_at(head, 8), u64_at(head, 16));
    let count = usize::try_from(u32_at(head, 24)).ok()?;
    let length = usize::try_from(u32_at(head, 28)).ok()?;
    let body = start + BATCH_HEADER..(start + BATCH_HEADER).checked_add(length)?;
    let padded = body.end.next_multiple_of(ALIGNMENT);
    if segment.get(body.end..padded)?.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut payloads = Vec::new();
    let mut at = body.start;
    while at < body.end {
        let index = first.checked_add(u64::try_from(payloads.len()).ok()?)?;
        let payload = decode_entry(&segment[..body.end], salt, index, at)?;
        at = payload.end;
        payloads.push(payload);
    }
    (payloads.len() == count).then_some(Batch {
        first,
        synced,
        payloads,
        end: padded,
    })
}

/// Where the payload of the entry that begins at `start` is; None where there is no such entry.
#[must_use]
pub fn decode_entry(bytes: &[u8], salt: u64, index: u64, start: usize) -> Option<Range<usize>> {
    let head = bytes.get(start..)?.first_chunk::<ENTRY_HEADER>()?;
    let payload = start + ENTRY_HEADER;
    let payload = payload..payload.checked_add(usize::try_from(u32_at(head, 0)).ok()?)?;
    let content = bytes.get(payload.clone())?;
    (entry_checksum(salt, index, content) == u32_at(head, 4)).then_some(payload)
}

/// The first batch at or after `start` that can be read.
#[must_use]
pub fn next_batch(segment: &[u8], salt: u64, start: usize) -> Option<Batch> {
    (start.next_multiple_of(ALIGNMENT)..segment.len())
        .step_by(ALIGNMENT)
        .find_map(|start| decode_batch(segment, salt, start))
}

fn entry_checksum(salt: u64, index: u64, payload: &[u8]) -> u32 {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    checksum(&[
        &salt.to_le_bytes(),
        &index.to_le_bytes(),
        &length.to_le_bytes(),
        payload,
    ])
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: u64 = 0x1234_5678_9abc_def0;

    #[test]
    fn a_head_comes_back_and_any_flipped_bit_is_noticed() {
        let header = SegmentHeader {
            number: 2,
            first: 7,
            salt: SALT,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for position in 0..SEGMENT_HEADER * 8 {
            let mut bytes = bytes;
            bytes[position / 8] ^= 1 << (position % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {position}");
        }
    }

    #[test]
    fn a_batch_comes_back_and_any_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        let payloads = encode_batch(SALT, 5, 3, &[&b"one"[..], b"", b"three"], &mut bytes);
        let batch = decode_batch(&bytes, SALT, 0).expect("whole");
        assert_eq!((batch.first, batch.synced, batch.end), (5, 3, bytes.len()));
        assert_eq!(batch.payloads, payloads);
        assert_eq!(&bytes[payloads[2].clone()], b"three");
        let start = payloads[2].start - ENTRY_HEADER;
        assert_eq!(
            decode_entry(&bytes, SALT, 7, start),
            Some(payloads[2].clone())
        );
        assert_eq!(
            decode_entry(&bytes, SALT, 8, start),
            None,
            "another entry's place"
        );
        for position in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[position / 8] ^= 1 << (position % 8);
            assert_eq!(decode_batch(&bytes, SALT, 0), None, "bit {position}");
        }
        for length in 0..bytes.len() {
            assert_eq!(
                decode_batch(&bytes[..length], SALT, 0),
                None,
                "cut to {length}"
            );
        }
    }

    #[test]
    fn a_value_that_looks_like_a_batch_is_none() {
        let mut forged = Vec::new();
        encode_batch(0, 6, 6, &[b"forged"], &mut forged);
        let mut bytes = Vec::new();
        encode_batch(SALT, 5, 4, &[&forged], &mut bytes);
        bytes[0] ^= 1;
        assert_eq!(next_batch(&bytes, SALT, 0), None);
        assert!(
            next_batch(&bytes, 0, 0).is_some(),
            "it would be one without the salt"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, salt in 0..2_u64, start in 0..64_usize) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = next_batch(&bytes, salt, start);
            let _ = decode_batch(&bytes, salt, start);
            // The same behind a magic, so that more than the first comparison is exercised.
            bytes.splice(0..0, *BATCH_MAGIC);
            let _ = decode_batch(&bytes, salt, 0);
        }
    }
}
