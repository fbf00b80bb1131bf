//! What lies around a message: who it is, and where it ends.

use super::wire::{Reader, Wire, put_bytes, put_nested, put_varint};
use super::{EncodeError, ProtobufError};
use std::convert::Infallible;

/// The first four bytes of every object, which no JSON or YAML begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The one content type, where the envelope says any.
const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// An object's bytes, opened: `runtime.Unknown`.
///
/// ```text
///   "k8s\0"  1: {1: apiVersion, 2: kind}  2: message  3: content encoding  4: content type
/// ```
///
/// The last two are empty in all that is sent. In `message` there is neither apiVersion nor kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apps/v1`; may be empty.
    pub api_version: &'a str,
    /// `Deployment`; may be empty.
    pub kind: &'a str,
    /// The object as a message of its type.
    pub message: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens an envelope; the message in it is not looked at.
    ///
    /// # Errors
    /// The bytes are none, or the content is said to be something else than a plain message.
    pub fn open(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let bytes = bytes
            .strip_prefix(MAGIC)
            .ok_or(ProtobufError::NotProtobuf)?;
        let mut found = Envelope {
            api_version: "",
            kind: "",
            message: &[],
        };
        let (mut encoding, mut content) = ("", "");
        each(bytes, |number, bytes| {
            match number {
                1 => each(bytes, |number, bytes| {
                    match number {
                        1 => found.api_version = text(bytes)?,
                        2 => found.kind = text(bytes)?,
                        _ => {}
                    }
                    Ok(())
                })?,
                2 => found.message = bytes,
                3 => encoding = text(bytes)?,
                4 => content = text(bytes)?,
                _ => {}
            }
            Ok(())
        })
        .map_err(|what| ProtobufError::Message {
            path: "runtime.Unknown".to_owned(),
            what: what.to_owned(),
        })?;
        if !encoding.is_empty() || !matches!(content, "" | CONTENT_TYPE) {
            return Err(ProtobufError::Content {
                content_type: content.to_owned(),
                content_encoding: encoding.to_owned(),
            });
        }
        Ok(found)
    }
}

/// Hands out a message's fields, which are all bytes.
fn each<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u32, &'a [u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match wire {
            Wire::Bytes(bytes) => take(number, bytes)?,
            _ if number <= 4 => return Err("wrong wire type"),
            _ => {}
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "invalid UTF-8")
}

/// Puts a message into its envelope: the reverse of [`Envelope::open`].
///
/// ```
/// use orlop_objects::protobuf::{Envelope, envelope};
///
/// let object = envelope("v1", "Pod", &[]);
/// assert_eq!(object, b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00\x1a\x00\x22\x00");
/// assert_eq!(Envelope::open(&object)?, Envelope { api_version: "v1", kind: "Pod", message: &[] });
/// # Ok::<(), orlop_objects::protobuf::ProtobufError>(())
/// ```
#[must_use]
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + api_version.len() + kind.len() + 24);
    begin(&mut out, api_version, kind);
    put_bytes(&mut out, 2, message);
    end(&mut out);
    out
}

/// The same with a message that is still to be written.
pub(super) fn envelope_of<E>(
    api_version: &str,
    kind: &str,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(512);
    begin(&mut out, api_version, kind);
    put_nested(&mut out, 2, fill)?;
    end(&mut out);
    Ok(out)
}

fn begin(out: &mut Vec<u8>, api_version: &str, kind: &str) {
    out.extend_from_slice(MAGIC);
    let filled = put_nested(out, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
        Ok::<(), Infallible>(())
    });
    match filled {
        Ok(()) => {}
    }
}

/// Empty content encoding and type, as Go writes them.
fn end(out: &mut Vec<u8>) {
    put_bytes(out, 3, &[]);
    put_bytes(out, 4, &[]);
}

/// One event of a watch (`application/vnd.kubernetes.protobuf;stream=watch`): a frame of the stream. The event itself has no
/// envelope; its object does. An error is an event too, whose object is a `Status`.
///
/// ```text
///   4 bytes, highest first: length of the rest
///   1: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR"   2: {1: the object in its envelope}
/// ```
///
/// # Errors
/// The frame's length has no room in 32 bits.
pub fn watch_frame(event: &str, object: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(object.len() + event.len() + 24);
    out.extend_from_slice(&[0; 4]);
    put_bytes(&mut out, 1, event.as_bytes());
    // The object lies in two messages; their lengths are known, so it is copied once.
    let length = object.len();
    let mut inner = Vec::with_capacity(12);
    put_varint(&mut inner, 1 << 3 | 2);
    put_varint(
        &mut inner,
        u64::try_from(length).map_err(|_| EncodeError::TooLarge)?,
    );
    put_varint(&mut out, 2 << 3 | 2);
    let whole = length + inner.len();
    put_varint(
        &mut out,
        u64::try_from(whole).map_err(|_| EncodeError::TooLarge)?,
    );
    out.extend_from_slice(&inner);
    out.extend_from_slice(object);
    let length = u32::try_from(out.len() - 4).map_err(|_| EncodeError::TooLarge)?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_envelope() {
        let check = |bytes: &[u8], expect: &str| {
            assert_eq!(Envelope::open(bytes).unwrap_err().to_string(), expect);
        };
        let no_magic = "provided data does not appear to be a protobuf message, expected prefix [107, 56, 115, 0]";
        check(b"", no_magic);
        check(b"{\"kind\":\"Pod\"}", no_magic);
        check(
            b"k8s\0\x0a\x02",
            "proto: runtime.Unknown: unexpected end of the message",
        );
        check(b"k8s\0\x10\x02", "proto: runtime.Unknown: wrong wire type");
        check(
            b"k8s\0\x0a\x03\x0a\x01\xff",
            "proto: runtime.Unknown: invalid UTF-8",
        );
        check(
            b"k8s\0\x1a\x04gzip",
            "protobuf within content type \"\" and encoding \"gzip\" is not taken",
        );
        check(
            b"k8s\0\x22\x04json",
            "protobuf within content type \"json\" and encoding \"\" is not taken",
        );
    }

    #[test]
    fn an_envelope_may_be_empty_and_may_have_more() {
        let empty = Envelope::open(b"k8s\0").unwrap();
        assert_eq!(
            (empty.api_version, empty.kind, empty.message),
            ("", "", &[][..])
        );
        let more =
            Envelope::open(b"k8s\0\x28\x01\x12\x01a\x22\x23application/vnd.kubernetes.protobuf");
        assert_eq!(more.unwrap().message, b"a");
    }

    #[test]
    fn a_frame_has_its_length_first() {
        let frame = watch_frame("ADDED", b"k8s\0").unwrap();
        assert_eq!(frame, b"\0\0\0\x0f\x0a\x05ADDED\x12\x06\x0a\x04k8s\0");
    }
}
