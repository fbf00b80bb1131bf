//! From HTTP/1.1 to SPDY or WebSocket: which protocol, and the answer.
//!
//! Source: RFC 6455; k8s.io/apimachinery/pkg/util/httpstream, whose status codes and texts these are.

use crate::planner::streams::protocol::{SPDY_ACCEPTED, SPDY_PROTOCOLS, SocketTerms, choose};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

/// What is put behind the client's key (RFC 6455, section 1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version of WebSocket.
const VERSION: &str = "13";
/// As the header Upgrade has it.
const SPDY: &str = "SPDY/3.1";
/// Protocols that a client may name.
const NAMED_MAX: usize = 32;

/// An answer of the server.
pub(super) type Answer = Response<Full<Bytes>>;

/// An answer of one line.
pub(super) fn refuse(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut text = text.into();
    text.push('\n');
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Whether WebSocket is asked for.
pub(super) fn is_socket(headers: &HeaderMap) -> bool {
    has(headers, &CONNECTION, "upgrade") && has(headers, &UPGRADE, "websocket")
}

/// Agrees to SPDY by one of these protocols.
pub(super) fn spdy<'a, T>(
    headers: &HeaderMap,
    known: &'a [T],
    name: impl Fn(&T) -> &'static str,
) -> Result<(&'a T, Answer), Box<Answer>> {
    let protocols = HeaderName::from_static(SPDY_PROTOCOLS);
    let asked: Vec<&str> = values(headers, &protocols).take(NAMED_MAX).collect();
    if asked.is_empty() {
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "unable to upgrade: X-Stream-Protocol-Version is required",
        )));
    }
    let Some(chosen) = choose(&asked, known, &name) else {
        let names: Vec<&str> = known.iter().map(&name).collect();
        let mut answer = refuse(
            StatusCode::FORBIDDEN,
            format!(
                "unable to upgrade: unable to negotiate protocol: client supports {asked:?}, server accepts {names:?}"
            ),
        );
        for name in names {
            answer.headers_mut().append(
                HeaderName::from_static(SPDY_ACCEPTED),
                HeaderValue::from_static(name),
            );
        }
        return Err(Box::new(answer));
    };
    if !has(headers, &CONNECTION, "upgrade") || !has(headers, &UPGRADE, SPDY) {
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "unable to upgrade: missing upgrade headers in request",
        )));
    }
    let mut answer = switching(SPDY);
    answer
        .headers_mut()
        .insert(protocols, HeaderValue::from_static(name(chosen)));
    Ok((chosen, answer))
}

/// Agrees to WebSocket by one of these protocols.
pub(super) fn socket(
    headers: &HeaderMap,
    known: &[SocketTerms],
) -> Result<(SocketTerms, Answer), Box<Answer>> {
    if !has(headers, &SEC_WEBSOCKET_VERSION, VERSION) {
        let mut answer = refuse(
            StatusCode::UPGRADE_REQUIRED,
            "Sec-WebSocket-Version: 13 is the only one",
        );
        answer
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        return Err(Box::new(answer));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    let Some(key) = key else {
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key: 16 bytes in base64",
        )));
    };
    let mut asked: Vec<&str> = values(headers, &SEC_WEBSOCKET_PROTOCOL)
        .take(NAMED_MAX)
        .collect();
    if asked.is_empty() {
        asked.push("");
    }
    let Some(terms) = choose(&asked, known, |terms| terms.name) else {
        let names: Vec<&str> = known.iter().map(|terms| terms.name).collect();
        return Err(Box::new(refuse(
            StatusCode::FORBIDDEN,
            format!("requested protocol(s) are not supported: {asked:?}; supports {names:?}"),
        )));
    };
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC.as_bytes()].concat());
    let accept = HeaderValue::from_str(&STANDARD.encode(accept));
    let accept = accept
        .map_err(|error| Box::new(refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))?;
    let mut answer = switching("websocket");
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !terms.name.is_empty() {
        answer
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(terms.name));
    }
    Ok((*terms, answer))
}

fn switching(to: &'static str) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(to));
    answer
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn has(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    values(headers, name).any(|value| value.eq_ignore_ascii_case(wanted))
}
