//! etcd's JSON gateway under `/v3/`: every call becomes a gRPC call to our own services, and its answer JSON again.
//!
//! ```text
//!   POST /v3/kv/put {"key": "Zm9v"} ──json──> gRPC request ──> Services ──> gRPC response ──json──> {"header": ...}
//! ```
//!
//! Nothing here knows a message by name: [`routes`] says which method a path means, its descriptors say the rest. So the
//! gateway cannot answer otherwise than gRPC does.

mod frames;
pub mod json;
mod routes;

use super::{
    descriptors,
    http::respond,
    server::{Backend, Limits, RequestBody, Services},
};
use bytes::Bytes;
use frames::{Frames, frame};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderName, TE},
};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, body::Body};

const PREFIX: &str = "/v3/";
/// Base64 makes four characters of three bytes; the rest is for names and white space.
const JSON_PER_BYTE: usize = 2;
/// Headers that become the call's metadata.
const METADATA_PREFIX: &str = "grpc-metadata-";
const JSON: &str = "application/json";

/// The gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway<B> {
    services: Services<B>,
}

impl<B: Backend> Gateway<B> {
    /// In front of these services.
    pub fn new(services: Services<B>) -> Self {
        Self { services }
    }

    /// Whether a path is the gateway's.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let routed = routes::route(path);
        let Some((service, method)) = routed else {
            return failed(&Status::not_found(format!("there is no {path}")));
        };
        if request.method() != Method::POST {
            let body = json::error(&Status::unimplemented("Method Not Allowed"));
            return respond(StatusCode::METHOD_NOT_ALLOWED, JSON, body.to_string());
        }
        let Some(method) = descriptors::method(&service, method) else {
            return failed(&Status::unimplemented(format!("there is no {path}")));
        };
        match self.call(&method, request).await {
            Ok(response) if method.is_server_streaming() => stream(method.output(), response),
            Ok(response) => one(&method.output(), response).await,
            Err(status) => failed(&status),
        }
    }

    /// Makes the call. A response whose headers say already that it failed is an error.
    async fn call(
        &self,
        method: &MethodDescriptor,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Status> {
        let max =
            JSON_PER_BYTE * (self.services.api().limits().request_bytes + Limits::ENVELOPE_BYTES);
        let (parts, body) = request.into_parts();
        let body = if method.is_client_streaming() {
            let (frames, stream) = mpsc::channel(1);
            tokio::spawn(read_requests(method.input(), body, max, frames));
            Body::new(StreamBody::new(ReceiverStream::new(stream)))
        } else {
            Body::new(Full::from(read_request(&method.input(), body, max).await?))
        };
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut call = Request::new(RequestBody::Memory(body));
        *call.method_mut() = Method::POST;
        *call.uri_mut() = path.parse().map_err(|_| Status::internal("a bad path"))?;
        *call.headers_mut() = metadata(&parts.headers);
        let response = self.services.call(call).await;
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != Code::Ok => Err(status),
            _ => Ok(response),
        }
    }
}

fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut call = HeaderMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(METADATA_PREFIX) else {
            continue;
        };
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            call.append(name, value.clone());
        }
    }
    let value = hyper::header::HeaderValue::from_static;
    call.insert(CONTENT_TYPE, value("application/grpc"));
    call.insert(TE, value("trailers"));
    call
}

/// The one request of a call. No body at all is an empty message, as in etcd.
async fn read_request(
    kind: &MessageDescriptor,
    body: Incoming,
    max: usize,
) -> Result<Bytes, Status> {
    let text = Limited::new(body, max)
        .collect()
        .await
        .map_err(|error| Status::invalid_argument(format!("read the request: {error}")))?
        .to_bytes();
    let value = if text.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&text)
            .map_err(|error| Status::invalid_argument(error.to_string()))?
    };
    Ok(frame(&json::to_protobuf(kind, value)?))
}

/// The requests of a stream, one JSON value after the other, passed on as they come.
async fn read_requests(
    kind: MessageDescriptor,
    mut body: Incoming,
    max: usize,
    frames: mpsc::Sender<Result<Frame<Bytes>, Status>>,
) {
    let mut text = Vec::new();
    loop {
        let next = tokio::select! {
            next = body.frame() => next,
            () = frames.closed() => return,
        };
        let ended = match next {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    text.extend_from_slice(&data);
                }
                false
            }
            Some(Err(_)) | None => true,
        };
        loop {
            let taken = match take_value(&mut text, ended, max) {
                Ok(None) => break,
                Ok(Some(value)) => json::to_protobuf(&kind, value),
                Err(status) => Err(status),
            };
            let broken = taken.is_err();
            let sent = frames.send(taken.map(|message| Frame::data(frame(&message))));
            if sent.await.is_err() || broken {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

/// Takes the first JSON value off a text; None where it is not there as a whole yet.
fn take_value(text: &mut Vec<u8>, ended: bool, max: usize) -> Result<Option<Value>, Status> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => {
            let length = values.byte_offset();
            text.drain(..length);
            Ok(Some(value))
        }
        Some(Err(error)) if error.is_eof() && !ended => {
            let small = text.len() <= max;
            small
                .then_some(None)
                .ok_or_else(|| Status::invalid_argument("the request is too large"))
        }
        Some(Err(error)) => Err(Status::invalid_argument(error.to_string())),
        None => {
            text.clear();
            Ok(None)
        }
    }
}

/// The answer of a call with one response.
async fn one(kind: &MessageDescriptor, response: Response<Body>) -> Response<Body> {
    let mut frames = Frames::new(response.into_body());
    let message = match frames.next().await {
        Ok(Some(message)) => message,
        Ok(None) => return failed(&Status::internal("the call ended without an answer")),
        Err(status) => return failed(&status),
    };
    // The status comes after the message.
    if let Err(status) = frames.next().await {
        return failed(&status);
    }
    match json::from_protobuf(kind, &message) {
        Ok(value) => respond(StatusCode::OK, JSON, value.to_string()),
        Err(status) => failed(&status),
    }
}

/// The answer of a call with a stream of responses: one line for each.
fn stream(kind: MessageDescriptor, response: Response<Body>) -> Response<Body> {
    let (lines, stream) = mpsc::channel::<Result<Frame<Bytes>, Status>>(1);
    tokio::spawn(async move {
        let mut frames = Frames::new(response.into_body());
        loop {
            let next = tokio::select! {
                next = frames.next() => next,
                // The client has gone; dropping the response ends the call.
                () = lines.closed() => return,
            };
            let line = match next {
                Ok(Some(message)) => json::from_protobuf(&kind, &message),
                Ok(None) => return,
                Err(status) => Err(status),
            };
            let (value, last) = match line {
                Ok(value) => (json!({"result": value}), false),
                Err(status) => (json::stream_error(&status), true),
            };
            let line = Frame::data(Bytes::from(format!("{value}\n")));
            if lines.send(Ok(line)).await.is_err() || last {
                return;
            }
        }
    });
    let body = StreamBody::new(ReceiverStream::new(stream));
    Response::builder()
        .header(CONTENT_TYPE, JSON)
        .body(Body::new(body))
        .expect("the type is valid")
}

fn failed(status: &Status) -> Response<Body> {
    let code = json::http_code(status.code());
    respond(code, JSON, json::error(status).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_come() {
        let mut text = br#"{"a": 1} {"b""#.to_vec();
        let mut take = |more: &[u8], ended| {
            text.extend_from_slice(more);
            take_value(&mut text, ended, 20).map_err(|status| status.code())
        };
        assert_eq!(take(b"", false), Ok(Some(json!({"a": 1}))));
        assert_eq!(take(b"", false), Ok(None));
        assert_eq!(take(b": 2}\n", false), Ok(Some(json!({"b": 2}))));
        assert_eq!(take(b"", true), Ok(None));
        assert_eq!(take(b"{", true), Err(Code::InvalidArgument));
        assert_eq!(
            take(b"\"a long one that never ends", false),
            Err(Code::InvalidArgument)
        );
    }
}
