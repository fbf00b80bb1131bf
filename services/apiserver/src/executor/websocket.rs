//! Watches over WebSocket: an event is a message of text.
//!
//! ```text
//!   GET with Upgrade: websocket ──> 101 ──> a task: lines of the body ─> messages, until it ends, or the client closes
//!                                  400, 426: not a handshake that we know
//! ```
//! Source: RFC 6455.

use super::body::Body;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use objects::status::Status;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, interval_at, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        protocol::{Role, WebSocketConfig},
    },
};

/// What is put behind the client's key (RFC 6455, section 1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version there is.
const VERSION: &str = "13";
/// The largest message of a client: who watches has nothing to say.
const MESSAGE_MAX: usize = 16 * 1024;
/// Longest time for one message to be taken by the client's system.
const SEND_MAX: Duration = Duration::from_secs(30);
/// Sockets at once: browsers and the like.
const SOCKETS_MAX: usize = 1_024;
/// Signs of life, against clients that are gone without a word: one that has said nothing since the last has gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// The protocol in whose name a token is hidden is not one that we speak.
const BEARER: &str = "base64url.bearer.";

/// Whether a request asks for one.
#[must_use]
pub fn is_asked(headers: &HeaderMap) -> bool {
    has(headers, &CONNECTION, "upgrade") && has(headers, &UPGRADE, "websocket")
}

/// Sockets that are open. The listener does not count them: to it, their connections have ended.
#[derive(Debug)]
pub struct Sockets(Arc<Semaphore>);

impl Default for Sockets {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SOCKETS_MAX)))
    }
}

impl Sockets {
    /// Agrees to a handshake, and sends the body that the request would have been answered with.
    ///
    /// # Errors
    /// The answer to the client: its handshake is not one, or there are too many sockets.
    pub fn upgrade(
        &self,
        mut request: Request<Incoming>,
        body: Body,
    ) -> Result<Response<Body>, Status> {
        let slot = Arc::clone(&self.0).try_acquire_owned();
        let slot = slot.map_err(|_| {
            Status::too_many_requests("Too many requests, please try again later.", 1)
        })?;
        let response = agree(request.headers())?;
        let upgrade = hyper::upgrade::on(&mut request);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It ends with its body, or its connection.
            tokio::spawn(async move {
                send(upgrade, body).await;
                drop(slot);
            });
        }
        Ok(response)
    }
}

/// The answer to a handshake.
fn agree(headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let mut response = Response::new(Body::from(Bytes::new()));
    let answered = response.headers_mut();
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version.as_bytes() != VERSION.as_bytes()) {
        answered.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return Ok(response);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    let key = key.ok_or_else(|| Status::bad_request("Sec-WebSocket-Key: 16 bytes in base64"))?;
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC.as_bytes()].concat());
    let accept = HeaderValue::from_str(&STANDARD.encode(accept));
    let accept = accept.map_err(|error| Status::internal(error.to_string()))?;
    answered.insert(SEC_WEBSOCKET_ACCEPT, accept);
    answered.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let protocols = values(headers, &SEC_WEBSOCKET_PROTOCOL);
    let first = protocols.into_iter().find(|name| !name.starts_with(BEARER));
    if let Some(protocol) = first.and_then(|name| HeaderValue::from_str(name).ok()) {
        answered.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    Ok(response)
}

/// Sends a body's lines until it ends, the client closes, or does not read.
async fn send(upgrade: OnUpgrade, mut body: Body) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let mut ticks = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut heard = true;
    loop {
        let lines = tokio::select! {
            frame = body.frame() => match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                _ => break,
            },
            said = socket.next() => match said {
                // Pings are answered below us; what else is said means nothing.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Binary(_))) => {
                    heard = true;
                    continue;
                }
                _ => return,
            },
            _ = ticks.tick() => {
                let ping = socket.send(Message::Ping(Bytes::new()));
                if !std::mem::take(&mut heard) || !matches!(timeout(SEND_MAX, ping).await, Ok(Ok(()))) {
                    return;
                }
                continue;
            }
        };
        for line in split(lines) {
            let Ok(text) = Utf8Bytes::try_from(line) else {
                return;
            };
            let sent = timeout(SEND_MAX, socket.send(Message::Text(text))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }
    // A client that is gone needs no farewell.
    let _ = timeout(SEND_MAX, socket.close(None)).await;
}

/// Each line by itself, with its end.
fn split(mut lines: Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
        parts.push(lines.split_to(end + 1));
    }
    if !lines.is_empty() {
        parts.push(lines);
    }
    parts
}

fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let mut values = values(headers, name).into_iter();
    values.any(|value| value.eq_ignore_ascii_case(word))
}

/// The members of a header that is a list.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let texts = headers.get_all(name).iter();
    let texts = texts.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let asked = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (
                "sec-websocket-protocol",
                "base64url.bearer.x.y, chat, superchat",
            ),
        ]);
        assert!(is_asked(&asked));
        let response = agree(&asked).expect("a handshake");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let answered = response.headers();
        let accept = &answered[SEC_WEBSOCKET_ACCEPT];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answered[SEC_WEBSOCKET_PROTOCOL], "chat");
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        assert!(!is_asked(&headers(&[("upgrade", "websocket")])));
        let upgraded = headers(&[("connection", "upgrade"), ("upgrade", "h2c")]);
        assert!(!is_asked(&upgraded));
        let old = agree(&headers(&[("sec-websocket-version", "8")])).expect("an answer");
        assert_eq!(old.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(old.headers()[SEC_WEBSOCKET_VERSION], "13");
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ"] {
            let asked = headers(&[("sec-websocket-version", "13"), ("sec-websocket-key", key)]);
            assert_eq!(agree(&asked).expect_err("no key").code, 400, "{key}");
        }
    }

    #[test]
    fn each_line_is_a_message() {
        let lines = |text: &'static str| split(Bytes::from_static(text.as_bytes()));
        assert!(lines("").is_empty());
        assert_eq!(lines("a\nb\n"), ["a\n", "b\n"]);
        assert_eq!(lines("a\nb"), ["a\n", "b"]);
    }
}
