//! gRPC's framing: one byte of flags, four of length, the message; the status in the trailers.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tonic::{Code, Status, body::Body};

const PREFIX: usize = 5;

/// A message as it travels, not compressed.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("requests are bounded far below");
    let mut frame = Vec::with_capacity(PREFIX + message.len());
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// The messages of a response from our own services, which do not compress.
pub(super) struct Frames {
    body: Body,
    read: BytesMut,
}

impl Frames {
    pub(super) fn new(body: Body) -> Self {
        let read = BytesMut::new();
        Self { body, read }
    }

    /// The next message; None at the end of a call that went well. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    /// The call's status, or what broke it off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame?;
            if let Some(trailers) = frame.trailers_ref() {
                return match Status::from_header_map(trailers) {
                    Some(status) if status.code() != Code::Ok => Err(status),
                    _ => Ok(None),
                };
            }
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let length = self.read.get(1..PREFIX)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        if self.read.len() < PREFIX + length {
            return None;
        }
        self.read.advance(PREFIX);
        Some(self.read.split_to(length).freeze())
    }
}
