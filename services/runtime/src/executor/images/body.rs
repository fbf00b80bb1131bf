//! The bytes of a layer on their way from a registry to the disk: counted, verified, decompressed.
//!
//! ```text
//!   chunks ──> Body: digest of the blob ──> gzip, zstd or plain ──> Stream: diff ID, bounds ──> blocks and data
//! ```
//!
//! All of it on one thread that may block. A chunk is decompressed from where hyper has put it; the one copy between
//! network and page cache is the decompressor's own.

use super::error::LayerError;
use crate::planner::images::{
    archive::BLOCK,
    digest::Digest,
    layer::{LayerBounds, StepError},
};
use aws_lc_rs::digest::Context;
use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::io::{self, BufRead, Read};
use tokio::sync::mpsc;

/// Unpacked bytes that are held at once.
const WINDOW: usize = 256 * 1024;
/// Largest window of zstd: what `zstd` itself takes without being told.
const ZSTD_WINDOW_MAX: u64 = 128 * 1024 * 1024;

/// A blob, as it comes.
pub(super) struct Body {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    context: Context,
    expected: Digest,
    size: u64,
    got: u64,
}

impl Body {
    pub(super) fn new(chunks: mpsc::Receiver<Bytes>, expected: Digest, size: u64) -> Self {
        Self {
            chunks,
            chunk: Bytes::new(),
            context: expected.algorithm().context(),
            expected,
            size,
            got: 0,
        }
    }

    /// The next four bytes at least, if there are as many.
    fn peek(&mut self) -> io::Result<&[u8]> {
        while self.chunk.len() < 4 && self.got < self.size {
            let begin = std::mem::take(&mut self.chunk);
            let next = self.fill_buf()?;
            self.chunk = [&begin, next].concat().into();
        }
        Ok(&self.chunk)
    }

    /// Reads what the decompressor left, and compares.
    fn finish(mut self) -> Result<(), LayerError> {
        loop {
            let length = self.fill_buf().map_err(LayerError::Body)?.len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        let found = Digest::computed(self.expected.algorithm(), &self.context.finish());
        if found != self.expected {
            return Err(LayerError::Digest {
                expected: self.expected,
                found,
            });
        }
        Ok(())
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() && self.got < self.size {
            let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the layer broke off");
            self.chunk = self.chunks.blocking_recv().ok_or_else(cut)?;
            self.context.update(&self.chunk);
            self.got += u64::try_from(self.chunk.len()).unwrap_or(u64::MAX);
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// Decompresses what the first bytes say.
enum Decoder {
    Plain(Body),
    Gzip(Box<MultiGzDecoder<Body>>),
    /// Frame after frame; `None` only while one is changed for the next.
    Zstd(Option<Frames>),
}

enum Frames {
    Frame(Box<StreamingDecoder<Body, FrameDecoder>>),
    Done(Body),
}

impl Decoder {
    fn new(mut body: Body) -> Result<Self, LayerError> {
        match body.peek().map_err(LayerError::Body)? {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(body)))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let frames = Frames::next(body).map_err(LayerError::Compression)?;
                Ok(Self::Zstd(Some(frames)))
            }
            _ => Ok(Self::Plain(body)),
        }
    }

    fn into_body(self) -> Body {
        match self {
            Self::Plain(body) => body,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(frames) => match frames.expect(FRAMES) {
                Frames::Frame(decoder) => decoder.into_inner(),
                Frames::Done(body) => body,
            },
        }
    }
}

/// Why there are frames.
const FRAMES: &str = "an error ends the reading, and else they are put back";

impl Read for Decoder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(body) => body.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(frames) => loop {
                let Frames::Frame(decoder) = frames.as_mut().expect(FRAMES) else {
                    return Ok(0);
                };
                let read = decoder.read(into)?;
                if read > 0 {
                    return Ok(read);
                }
                if let Some(Frames::Frame(finished)) = frames.take() {
                    *frames = Some(Frames::next(finished.into_inner())?);
                }
            },
        }
    }
}

impl Frames {
    /// The next frame (RFC 8878 section 3.1). Skippable ones are passed over: zstd:chunked keeps an index in them.
    fn next(mut body: Body) -> io::Result<Self> {
        loop {
            match body.peek()? {
                [] => return Ok(Self::Done(body)),
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                    let mut header = [0; 8];
                    body.read_exact(&mut header)?;
                    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
                    let skipped = io::copy(&mut (&mut body).take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                _ => {
                    let frame = StreamingDecoder::new_with_max_window_size(body, ZSTD_WINDOW_MAX);
                    return frame
                        .map(|frame| Self::Frame(Box::new(frame)))
                        .map_err(io::Error::other);
                }
            }
        }
    }
}

/// The unpacked archive.
pub(super) struct Stream {
    decoder: Decoder,
    window: Vec<u8>,
    start: usize,
    end: usize,
    context: Context,
    expected: Digest,
    total: u64,
    bounds: LayerBounds,
}

impl Stream {
    pub(super) fn new(
        body: Body,
        diff_id: Digest,
        bounds: LayerBounds,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            decoder: Decoder::new(body)?,
            window: vec![0; WINDOW],
            start: 0,
            end: 0,
            context: diff_id.algorithm().context(),
            expected: diff_id,
            total: 0,
            bounds,
        })
    }

    /// Makes the window hold something, and says how much; nothing at the end.
    fn fill(&mut self) -> Result<usize, LayerError> {
        if self.start == self.end {
            self.start = 0;
            self.end = self
                .decoder
                .read(&mut self.window)
                .map_err(LayerError::Compression)?;
            self.context.update(&self.window[..self.end]);
            self.total += u64::try_from(self.end).expect("a window");
            if self.total > self.bounds.bytes {
                return Err(StepError::Bound {
                    bound: self.bounds.bytes,
                    what: "bytes",
                }
                .into());
            }
        }
        Ok(self.end - self.start)
    }

    /// Up to `most` of the next bytes, at least one; an error at the end.
    pub(super) fn some(&mut self, most: u64) -> Result<&[u8], LayerError> {
        let length = self.fill()?;
        if length == 0 {
            return Err(LayerError::CutOff);
        }
        let length = usize::try_from(most).map_or(length, |most| length.min(most));
        let start = self.start;
        self.start += length;
        Ok(&self.window[start..start + length])
    }

    /// A block; `None` where the archive ends instead.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            if filled == 0 && self.fill()? == 0 {
                return Ok(None);
            }
            let wanted = u64::try_from(BLOCK - filled).expect("512");
            let some = self.some(wanted)?;
            block[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        Ok(Some(block))
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, mut length: u64) -> Result<(), LayerError> {
        while length > 0 {
            let passed = self.some(length)?.len();
            length -= u64::try_from(passed).expect("a window");
        }
        Ok(())
    }

    /// Reads what is behind the archive's end, and compares both digests.
    pub(super) fn finish(mut self) -> Result<(), LayerError> {
        loop {
            self.start = self.end;
            if self.fill()? == 0 {
                break;
            }
        }
        let found = Digest::computed(self.expected.algorithm(), &self.context.finish());
        // The blob's first: where both are wrong, it is the transfer that was.
        self.decoder.into_body().finish()?;
        if found != self.expected {
            return Err(LayerError::DiffId {
                expected: self.expected,
                found,
            });
        }
        Ok(())
    }
}
