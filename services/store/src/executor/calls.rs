//! Calls of gRPC, counted from their beginning to their end under the names of go-grpc-prometheus.
//!
//! A call costs two additions: its counters are looked up by its path, and made when its method is first called.

use super::descriptors;
use hyper::HeaderMap;
use prometheus_client::metrics::{counter::Counter, family::Family};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};
use tonic::{Code, Status};

/// Labels of a count.
pub type Labels<const N: usize> = [(&'static str, String); N];

/// How many codes gRPC has.
const CODES: usize = 17;

/// Counts of calls. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    started: Family<Labels<3>, Counter>,
    handled: Family<Labels<4>, Counter>,
    /// By path. Only methods that exist are here, or a client could make up as many as it likes.
    methods: RwLock<HashMap<String, Arc<Method>>>,
}

/// One method's counters.
#[derive(Debug)]
struct Method {
    labels: Labels<3>,
    started: Counter,
    handled: [OnceLock<Counter>; CODES],
}

impl Calls {
    /// A call of this path (`/etcdserverpb.KV/Put`) begins; it ends when what is returned is dropped. None: there is no such
    /// method, and nothing is counted.
    #[must_use]
    pub fn begin(&self, path: &str) -> Option<Call> {
        let method = self.method(path)?;
        method.started.inc();
        Some(Call {
            calls: self.clone(),
            method,
            // Without a status, the client went away.
            code: Code::Cancelled,
        })
    }

    /// Counts of calls that began.
    #[must_use]
    pub fn started(&self) -> Family<Labels<3>, Counter> {
        self.0.started.clone()
    }

    /// Counts of calls that ended.
    #[must_use]
    pub fn handled(&self) -> Family<Labels<4>, Counter> {
        self.0.handled.clone()
    }

    fn method(&self, path: &str) -> Option<Arc<Method>> {
        let methods = &self.0.methods;
        let known = methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(method) = known.get(path) {
            return Some(method.clone());
        }
        drop(known);
        let labels = labels(path)?;
        let method = Arc::new(Method {
            started: self.0.started.get_or_create(&labels).clone(),
            labels,
            handled: [const { OnceLock::new() }; CODES],
        });
        let mut known = methods.write().unwrap_or_else(PoisonError::into_inner);
        Some(known.entry(path.to_owned()).or_insert(method).clone())
    }
}

/// Labels of a method that exists.
fn labels(path: &str) -> Option<Labels<3>> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let known = descriptors::method(service, method)?;
    let kind = match (known.is_client_streaming(), known.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    };
    Some([
        ("grpc_type", kind.to_owned()),
        ("grpc_service", service.to_owned()),
        ("grpc_method", method.to_owned()),
    ])
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    calls: Calls,
    method: Arc<Method>,
    code: Code,
}

impl Call {
    /// Headers or trailers of the answer: either may hold the status.
    pub fn headers(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let number = usize::try_from(i32::from(self.code)).unwrap_or_default();
        let Some(counter) = self.method.handled.get(number) else {
            return;
        };
        let make = || {
            let [kind, service, method] = self.method.labels.clone();
            let code = ("grpc_code", code_name(self.code).to_owned());
            let labels = [kind, service, method, code];
            self.calls.0.handled.get_or_create(&labels).clone()
        };
        counter.get_or_init(make).inc();
    }
}

/// As Go's gRPC writes a code, which dashboards match.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
