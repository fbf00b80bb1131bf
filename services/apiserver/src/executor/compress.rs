//! Large answers are compressed for those who can take it.
//!
//! Source: the API concepts page ("Compression for responses"): gzip of 128 KiB and more, at the fastest level. Watches are not.

use super::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body::Body as _;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY},
};
use std::{
    io::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is smaller costs more to compress than to send; upstream's.
const WORTH_IT: u64 = 128 * 1024;
/// Compressions at once: each has some 300 KiB for as long as its client takes to read. Beyond it, answers go as they are.
const AT_ONCE: usize = 32;

/// Compressed at one go.
const PIECE: usize = 64 * 1024;

/// Compresses some answers.
#[derive(Debug)]
pub struct Compressor(Arc<Semaphore>);

impl Default for Compressor {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// A body, compressed while it is sent.
pub struct Compressed {
    body: Body,
    /// Of the body, and not compressed yet.
    rest: Bytes,
    /// None: its end is sent.
    encoder: Option<GzEncoder<Vec<u8>>>,
    _slot: OwnedSemaphorePermit,
}

impl Compressor {
    /// An answer, compressed where it is worth it and the client can take it.
    #[must_use]
    pub fn apply(&self, accepts: bool, response: Response<Body>) -> Response<Body> {
        let large = matches!(response.body(), Body::Whole(_) | Body::List(_))
            && response.body().size_hint().lower() >= WORTH_IT;
        if !accepts || !large || response.status() != StatusCode::OK {
            return response;
        }
        let Ok(slot) = Arc::clone(&self.0).try_acquire_owned() else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        let headers = &mut parts.headers;
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        let compressed = Box::new(Compressed {
            body,
            rest: Bytes::new(),
            encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
            _slot: slot,
        });
        Response::from_parts(parts, Body::Compressed(compressed))
    }
}

impl Compressed {
    /// The next bytes; None: it is over. An error ends the body before its time, so that the client sees it is not whole.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        while let Some(encoder) = &mut self.encoder {
            if !self.rest.is_empty() {
                let piece = self.rest.split_to(self.rest.len().min(PIECE));
                encoder.write_all(&piece)?;
                let ready = std::mem::take(encoder.get_mut());
                if !ready.is_empty() {
                    return Poll::Ready(Some(Ok(ready.into())));
                }
                // Others come in between: a piece takes part of a millisecond.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return Poll::Pending;
            };
            let frame = frame.transpose()?;
            let Some(data) = frame.and_then(|frame| frame.into_data().ok()) else {
                let rest = self.encoder.take().map(GzEncoder::finish).transpose();
                return Poll::Ready(rest.transpose().map(|rest| rest.map(Bytes::from)));
            };
            self.rest = data;
        }
        Poll::Ready(None)
    }

    /// Whether all has been sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.encoder.is_none()
    }
}

impl std::fmt::Debug for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressed").finish_non_exhaustive()
    }
}

/// Whether a client takes gzip: it names it, with a weight above none.
#[must_use]
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::io::Read as _;

    #[test]
    fn who_takes_gzip_says_so() {
        let accepts = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().expect("a value"));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip"));
        assert!(accepts("deflate, GZIP;q=0.5"));
        for text in [
            "",
            "identity",
            "gzip;q=0",
            "gzip; q=0.0",
            "gzipped",
            "gzip;q=x",
        ] {
            assert!(!accepts(text), "{text}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_large_answer_is_whole_when_it_is_unpacked() {
        let text = "0123456789abcdef".repeat(20_000);
        let compressor = Compressor::default();
        let large = || Response::new(Body::from(text.clone()));
        let small = compressor.apply(true, Response::new(Body::from("small".to_owned())));
        assert!(small.headers().get(CONTENT_ENCODING).is_none());
        let unasked = compressor.apply(false, large());
        assert!(unasked.headers().get(CONTENT_ENCODING).is_none());
        let response = compressor.apply(true, large());
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let sent = response.into_body().collect().await.expect("no error");
        let sent = sent.to_bytes();
        assert!(sent.len() < text.len() / 10, "{}", sent.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&*sent)
            .read_to_string(&mut read)
            .expect("gzip");
        assert!(read == text);
    }

    #[test]
    fn beyond_the_bound_answers_go_as_they_are() {
        let text = "x".repeat(200_000);
        let compressor = Compressor::default();
        let answer = || compressor.apply(true, Response::new(Body::from(text.clone())));
        let first: Vec<_> = (0..AT_ONCE).map(|_| answer()).collect();
        assert!(answer().headers().get(CONTENT_ENCODING).is_none());
        drop(first);
        assert!(answer().headers().get(CONTENT_ENCODING).is_some());
    }
}
