//! Everything that is answered over HTTP: gRPC, the JSON gateway, health, version, metrics.

use super::{
    gateway::Gateway,
    metrics::Metrics,
    server::{Backend, CLUSTER_VERSION, GRPC_PREFIX, RequestBody, Services, VERSION},
};
use crate::planner::{
    health::{self, Check, Observed},
    state::{Alarm, ReadError},
};
use etcd_proto::etcdserverpb::{AlarmType, RangeRequest};
use http_body_util::Full;
use http_server::Answer;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE},
};
use std::collections::BTreeSet;
use tonic::body::Body;
use url::form_urlencoded;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http<B> {
    services: Services<B>,
    gateway: Gateway<B>,
    metrics: Metrics,
    /// Whether keys are served, or only what says how the member is.
    store: bool,
}

impl<B: Backend> Answer for Http<B> {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if self.store && (path.starts_with(GRPC_PREFIX) || is_grpc(&request)) {
            return self.services.call(request.map(RequestBody::Wire)).await;
        }
        // What is rare is kept out of the future of what is not: that one is moved several times.
        Box::pin(self.answer_other(request)).await
    }
}

impl<B: Backend> Http<B> {
    /// Over these services, whose calls `metrics` counts.
    pub fn new(services: Services<B>, metrics: Metrics) -> Self {
        Self {
            gateway: Gateway::new(services.clone()),
            services,
            metrics,
            store: true,
        }
    }

    /// The same without keys: health, version and metrics (`--listen-metrics-urls`).
    #[must_use]
    pub fn without_store(&self) -> Self {
        Self {
            store: false,
            ..self.clone()
        }
    }

    /// Everything but gRPC.
    async fn answer_other(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if self.store && Gateway::<B>::serves(path) {
            return self.gateway.answer(request).await;
        }
        let query = Query::of(&request);
        let live = path.strip_prefix("/livez");
        let ready = path.strip_prefix("/readyz");
        let get = request.method() == Method::GET || request.method() == Method::HEAD;
        match path {
            "/health" | "/version" | "/metrics" if !get => not_allowed(),
            "/health" => self.health(&query).await,
            "/version" => {
                let body = serde_json::json!({
                    "etcdserver": VERSION,
                    "etcdcluster": CLUSTER_VERSION,
                });
                respond(StatusCode::OK, JSON, body.to_string())
            }
            "/metrics" => self.metrics(),
            _ => match (live, ready) {
                (Some(_), _) | (_, Some(_)) if !get => not_allowed(),
                (Some(rest), _) => self.checks("/livez", rest, Check::LIVE, &query).await,
                (_, Some(rest)) => self.checks("/readyz", rest, Check::READY, &query).await,
                _ => not_found(),
            },
        }
    }

    fn metrics(&self) -> Response<Body> {
        let status = self.services.api().backend().status();
        let text = status.map_err(|error| told(&error)).and_then(|status| {
            self.metrics
                .text(&status)
                .map_err(|error| error.to_string())
        });
        match text {
            Ok(text) => respond(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error + "\n"),
        }
    }

    async fn health(&self, query: &Query) -> Response<Body> {
        let serializable = query.is_true("serializable");
        let has_leader = self.services.api().backend().standing().leader_id != 0;
        let read = if !serializable && !has_leader {
            // Known already, and the read would wait for its timeout.
            Ok(())
        } else {
            self.read(serializable).await
        };
        let (alarms, read) = match self.alarms() {
            Ok(alarms) => (alarms, read),
            Err(error) => (BTreeSet::new(), Err(error)),
        };
        let observed = Observed {
            alarms,
            has_leader,
            read,
        };
        let illness = health::illness(&observed, &query.all("exclude"), serializable);
        let code = if illness.is_none() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = serde_json::json!({
            "health": illness.is_none().to_string(),
            "reason": illness.unwrap_or_default(),
        });
        respond(code, JSON, body.to_string())
    }

    /// `/livez`, `/readyz`, and one check of theirs by its name below them.
    async fn checks(&self, path: &str, rest: &str, all: &[Check], query: &Query) -> Response<Body> {
        let one = rest.strip_prefix('/');
        let known = one.is_none_or(|name| all.iter().any(|check| check.name() == name));
        if !known || (one.is_none() && !rest.is_empty()) {
            return not_found();
        }
        let (exclude, allow) = (query.all("exclude"), query.all("allowlist"));
        if !exclude.is_empty() && !allow.is_empty() {
            let text = "do not specify both exclude and allowlist parameters\n".to_owned();
            return respond(StatusCode::BAD_REQUEST, TEXT, text);
        }
        let named = |list: &[String], check: &Check| list.iter().any(|name| name == check.name());
        let mut results = Vec::new();
        for check in all {
            let wanted = match one {
                Some(name) => name == check.name(),
                None => !named(&exclude, check) && (allow.is_empty() || named(&allow, check)),
            };
            if wanted {
                results.push((*check, self.check(*check).await));
            }
        }
        let whole = format!("{path}{rest}");
        let (well, text) = health::lines(&whole, &results, query.has("verbose"));
        let code = if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        respond(code, TEXT, text)
    }

    async fn check(&self, check: Check) -> Result<(), String> {
        match check {
            Check::DataCorruption => {
                let alarms = self.alarms()?;
                let corrupt = i32::from(AlarmType::Corrupt);
                if alarms.iter().any(|alarm| alarm.kind == corrupt) {
                    return Err("alarm activated: CORRUPT".to_owned());
                }
                Ok(())
            }
            Check::SerializableRead => self.read(true).await,
            Check::LinearizableRead => self.read(false).await,
        }
    }

    fn alarms(&self) -> Result<BTreeSet<Alarm>, String> {
        let backend = self.services.api().backend();
        let alarms = backend.read(|state, _| state.alarms().clone());
        alarms.map_err(|error| told(&error))
    }

    /// A small read, as etcd makes one to see whether it can.
    async fn read(&self, serializable: bool) -> Result<(), String> {
        let backend = self.services.api().backend();
        if !serializable {
            let linear = backend.linearize().await;
            linear.map_err(|error| told(&error))?;
        }
        let request = RangeRequest {
            key: "a".into(),
            limit: 1,
            serializable,
            ..RangeRequest::default()
        };
        let answer = backend.read(|state, records| state.range(&request, records).map(|_| ()));
        match answer.map_err(|error| told(&error))? {
            Ok(()) => Ok(()),
            // Members that disagree are the alarm's to tell.
            Err(ReadError::Refused(etcd_proto::errors::Refusal::Corrupt)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// etcd's text of an error where it has one.
fn told(error: &super::member::MemberError) -> String {
    error
        .refusal()
        .map_or_else(|| error.to_string(), |refusal| refusal.to_string())
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Incoming>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    fn is_true(&self, name: &str) -> bool {
        self.all(name).first().is_some_and(|value| value == "true")
    }
}

/// An answer with a body.
pub(super) fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    Response::builder()
        .status(code)
        .header(CONTENT_TYPE, kind)
        .body(Body::new(Full::from(body)))
        .expect("the status and the type are valid")
}

fn not_allowed() -> Response<Body> {
    let text = "Method Not Allowed\n".to_owned();
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
    let get = hyper::header::HeaderValue::from_static("GET");
    response.headers_mut().insert(ALLOW, get);
    response
}

/// Go's words, as etcd's clients see them.
fn not_found() -> Response<Body> {
    let text = "404 page not found\n".to_owned();
    respond(StatusCode::NOT_FOUND, TEXT, text)
}
