//! Channels in messages of a WebSocket.
//!
//! ```text
//!   binary  | channel 8 | bytes          base64  | '0' + channel | base64 of the bytes
//!   v5      | 255 | channel |            the client sends nothing more on this channel
//! ```

use super::protocol::Form;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The channel of ends.
const CLOSE: u8 = 255;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Some bytes of a channel.
    Bytes(u8, Vec<u8>),
    /// Nothing more comes on a channel.
    Close(u8),
    /// Nothing, or nothing that makes sense: as kubelets do, it is passed over.
    Nothing,
}

/// Reads a message.
#[must_use]
pub fn read(message: &[u8], form: Form, closes: bool) -> Said {
    let Some((channel, bytes)) = message.split_first() else {
        return Said::Nothing;
    };
    match form {
        Form::Binary if *channel == CLOSE && closes => {
            bytes.first().map_or(Said::Nothing, |of| Said::Close(*of))
        }
        Form::Binary if bytes.is_empty() => Said::Nothing,
        Form::Binary => Said::Bytes(*channel, bytes.to_vec()),
        Form::Base64 => match (channel.checked_sub(b'0'), STANDARD.decode(bytes)) {
            (Some(channel), Ok(bytes)) if !bytes.is_empty() => Said::Bytes(channel, bytes),
            _ => Said::Nothing,
        },
    }
}

/// A message with some bytes of a channel, of which there are fewer than ten in base64.
#[must_use]
pub fn write(channel: u8, bytes: &[u8], form: Form) -> Vec<u8> {
    match form {
        Form::Binary => [&[channel], bytes].concat(),
        Form::Base64 => {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0'.saturating_add(channel)));
            STANDARD.encode_string(bytes, &mut text);
            text.into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_read() {
        let check = |message: &[u8], form, closes, expected| {
            assert_eq!(read(message, form, closes), expected, "{message:?}");
        };
        check(b"\0hi", Form::Binary, true, Said::Bytes(0, b"hi".to_vec()));
        check(b"\xff\0", Form::Binary, true, Said::Close(0));
        check(b"\xff", Form::Binary, true, Said::Nothing);
        check(b"\xff\0", Form::Binary, false, Said::Bytes(255, vec![0]));
        check(
            b"0aGk=",
            Form::Base64,
            false,
            Said::Bytes(0, b"hi".to_vec()),
        );
        check(b"0!", Form::Base64, false, Said::Nothing);
        check(b"", Form::Base64, false, Said::Nothing);
        check(b"\0", Form::Binary, false, Said::Nothing);
        check(b"\x01", Form::Base64, false, Said::Nothing);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(channel in 0_u8..10, bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            for form in [Form::Binary, Form::Base64] {
                let message = write(channel, &bytes, form);
                prop_assert_eq!(read(&message, form, true), Said::Bytes(channel, bytes.clone()));
            }
        }

        #[test]
        fn hostile_messages_never_panic(message in proptest::collection::vec(any::<u8>(), 0..64), closes: bool) {
            let _ = read(&message, Form::Binary, closes);
            let _ = read(&message, Form::Base64, closes);
        }
    }
}
