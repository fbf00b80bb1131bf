//! Length-prefixed frames: `u32` little-endian length, then that many bytes of postcard.
//!
//! The bound is checked before anything is allocated, so a hostile length costs nothing.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Largest frame in bytes: a machine config (1 MiB) with room for the envelope.
pub const FRAME_MAX: usize = 2 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announced more than [`FRAME_MAX`].
    #[error("frame of {0} bytes is over the limit of {FRAME_MAX} bytes")]
    TooLarge(usize),
    /// The bytes are not an encoding of the expected type.
    #[error("frame is malformed")]
    Malformed(#[source] postcard::Error),
    /// The transport failed.
    #[error("frame could not be transferred")]
    Io(#[from] io::Error),
}

/// Encodes `value` with its length in front.
///
/// # Errors
/// [`FrameError::TooLarge`] where the encoding is over [`FRAME_MAX`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = postcard::to_extend(value, vec![0_u8; 4]).map_err(FrameError::Malformed)?;
    let body = out.len() - 4;
    let length = u32::try_from(body)
        .ok()
        .filter(|_| body <= FRAME_MAX)
        .ok_or(FrameError::TooLarge(body))?;
    out[..4].copy_from_slice(&length.to_le_bytes());
    Ok(out)
}

/// Takes one whole frame off the front of `buffer`, if it is there, and says how many bytes it used.
///
/// # Errors
/// [`FrameError::TooLarge`] and [`FrameError::Malformed`]; the connection cannot go on after either.
pub fn decode<T: DeserializeOwned>(buffer: &[u8]) -> Result<Option<(T, usize)>, FrameError> {
    let Some((head, rest)) = buffer.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(FrameError::TooLarge(length));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let value = postcard::from_bytes(body).map_err(FrameError::Malformed)?;
    Ok(Some((value, 4 + length)))
}

/// Reads one frame from a blocking stream.
///
/// # Errors
/// As [`decode`], and [`FrameError::Io`] with `UnexpectedEof` on a cut stream.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, FrameError> {
    let mut head = [0_u8; 4];
    stream.read_exact(&mut head)?;
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(FrameError::TooLarge(length));
    }
    let mut body = vec![0_u8; length];
    stream.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(FrameError::Malformed)
}

/// Writes one frame to a blocking stream.
///
/// # Errors
/// As [`encode`], and [`FrameError::Io`].
pub fn write<T: Serialize>(stream: &mut impl Write, value: &T) -> Result<(), FrameError> {
    stream.write_all(&encode(value)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn survives_any_split(text in ".{0,200}", cut in 0_usize..200) {
            let bytes = encode(&text).unwrap();
            let cut = cut.min(bytes.len() - 1);
            prop_assert!(decode::<String>(&bytes[..cut]).unwrap().is_none());
            prop_assert_eq!(decode::<String>(&bytes).unwrap(), Some((text, bytes.len())));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode::<crate::control::Request>(&bytes);
            let _ = decode::<crate::plan::Plan>(&bytes);
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        let bytes = u32::MAX.to_le_bytes();
        assert!(matches!(
            decode::<String>(&bytes),
            Err(FrameError::TooLarge(_))
        ));
        assert!(matches!(
            read::<String>(&mut &bytes[..]),
            Err(FrameError::TooLarge(_))
        ));
    }
}
