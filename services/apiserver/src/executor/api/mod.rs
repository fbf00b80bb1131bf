//! Answers requests: from the path to the handler, and what is true of all answers.

mod answers;
mod ask;
mod labels;
mod reading;
mod transient;
mod writing;

use self::{answers::failed, ask::Ask, labels::labels};
use super::{
    access::Access,
    admission::Admission,
    aggregation::Aggregation,
    allocator::Allocator,
    body::Body,
    bootstrap::Bootstrap,
    cache::Cache,
    compress::{Compressor, accepts_gzip},
    documents::{Documents, Health},
    flow::{Flow, Load},
    metrics::Metrics,
    tokens::Tokens,
    websocket::{self, Sockets},
};
use crate::planner::{
    authorization::Action,
    flow::Client,
    negotiate::{self, Form},
    options::Query,
    route::{Method, Route, route},
    served::Catalogue,
    user::User,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use http_server::{Answer, Peer};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use kinds::Verb;
use objects::status::Status;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Largest body of a request; upstream's.
pub const BODY_MAX: usize = 3 * 1024 * 1024;
/// Longest time for anything but a watch; upstream's.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Answers requests. Clones are the same, each for one connection.
#[derive(Debug, Clone)]
pub struct Api {
    inner: Arc<Inner>,
    /// Whom the connection's certificate names.
    peer: Option<Arc<User>>,
}

#[derive(Debug)]
struct Inner {
    catalogue: Catalogue,
    allocator: Allocator,
    admission: Admission,
    documents: Documents,
    metrics: Metrics,
    access: Access,
    tokens: Tokens,
    cache: Cache,
    /// What each cluster has from its birth is there.
    born: AtomicBool,
    flow: Flow,
    compressor: Compressor,
    sockets: Sockets,
}

impl Api {
    /// Over a cache; `address`: at which clients reach the server.
    #[must_use]
    pub fn new(
        cache: Cache,
        catalogue: Catalogue,
        allocator: Allocator,
        admission: Admission,
        access: Access,
        tokens: Tokens,
        address: String,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                metrics: Metrics::new(cache.clone()),
                access,
                tokens,
                catalogue,
                allocator,
                admission,
                documents: Documents::builtin(address),
                cache,
                born: AtomicBool::new(false),
                flow: Flow::default(),
                compressor: Compressor::default(),
                sockets: Sockets::default(),
            }),
            peer: None,
        }
    }

    /// Makes what each cluster has from its birth.
    pub async fn bootstrap(&self, address: SocketAddr, nodes_by_role: bool) {
        let bootstrap = Bootstrap {
            cache: &self.inner.cache,
            catalogue: &self.inner.catalogue,
            allocator: &self.inner.allocator,
            address,
            nodes_by_role,
        };
        bootstrap.run().await;
        self.inner.born.store(true, Ordering::Relaxed);
    }

    /// Keeps the rules of cluster roles that gather those of others, for ever.
    pub async fn aggregate_roles(&self) {
        let aggregation = Aggregation {
            cache: &self.inner.cache,
            catalogue: &self.inner.catalogue,
            allocator: &self.inner.allocator,
        };
        aggregation.run().await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let accept = text(&request, &ACCEPT).map(str::to_owned);
        let labels = labels(&request);
        let reads = matches!(*request.method(), hyper::Method::GET | hyper::Method::HEAD);
        let gzip = reads && accepts_gzip(request.headers());
        let begun = self.inner.metrics.begun(!reads);
        let answered = timeout(REQUEST_MAX, self.handle(request)).await;
        drop(begun);
        let answered = answered.unwrap_or_else(|_| {
            Err(Status::timeout(
                "request did not complete within the allotted timeout",
                0,
            ))
        });
        let response = answered.unwrap_or_else(|status| {
            let form = negotiate::accept(accept.as_deref()).unwrap_or(Form::JSON);
            failed(&status, form)
        });
        let code = response.status().as_u16();
        self.inner.metrics.answered(labels, code, began.elapsed());
        self.inner.compressor.apply(gzip, response)
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let query = Query::parse(request.uri().query());
        let method = method(request.method())?;
        let path = request.uri().path().to_owned();
        let user = self
            .inner
            .access
            .user(self.peer.as_ref(), request.headers())?;
        let asked = match route(method, &path, query.flag("watch")) {
            Route::Resource(asked) => asked,
            Route::Other => {
                let verb = request.method().as_str().to_ascii_lowercase();
                let action = Action::Path {
                    verb: &verb,
                    path: &path,
                };
                self.inner.access.require(&user, action)?;
                if path == "/metrics" {
                    return self.metrics();
                }
                if let Some(found) = self.openid(&path) {
                    return Ok(found);
                }
                let health = Health {
                    cache: &self.inner.cache,
                    born: self.inner.born.load(Ordering::Relaxed),
                };
                let headers = request.headers();
                return self.inner.documents.answer(&path, &query, headers, health);
            }
        };
        self.inner
            .access
            .require(&user, Action::of_target(&asked))?;
        let served = self
            .inner
            .catalogue
            .find(&asked.group, &asked.version, &asked.resource);
        let served = served.ok_or_else(Status::resource_not_found)?;
        let part = match &asked.subresource {
            None => None,
            Some(name) => Some(
                served
                    .subresource(name)
                    .ok_or_else(Status::resource_not_found)?,
            ),
        };
        if !served.allows(part, asked.verb) {
            return Err(Status::method_not_allowed());
        }
        let accept = text(&request, &ACCEPT).map(str::to_owned);
        let content_type = text(&request, &CONTENT_TYPE).map(str::to_owned);
        let ask = Ask {
            user: &user,
            served,
            place: self.inner.cache.place(served.stored),
            asked: &asked,
            part,
            query: &query,
            form: negotiate::accept(accept.as_deref())?,
            content_type: content_type.as_deref(),
        };
        let scoped = asked.namespace.is_some() && asked.resource != "namespaces";
        if scoped != served.schema.namespaced
            && (scoped || asked.name.is_some() || asked.verb == Verb::Create)
        {
            return Err(Status::resource_not_found());
        }
        let enter = |load| self.inner.flow.enter(Client::of(&user), load);
        match asked.verb {
            Verb::Watch => {
                let answer = self.watch(&ask, enter(Load::Watch)?).await?;
                if websocket::is_asked(request.headers()) {
                    return self.inner.sockets.upgrade(request, answer.into_body());
                }
                Ok(answer)
            }
            Verb::Get | Verb::List => {
                let _slot = enter(Load::Read)?;
                self.read(&ask).await
            }
            _ => {
                let _slot = enter(Load::Write)?;
                let body = collect(request).await?;
                self.write(&ask, &body).await
            }
        }
    }
    /// Who makes tokens, and how they are verified, for others than us.
    fn openid(&self, path: &str) -> Option<Response<Body>> {
        use crate::planner::tokens::discovery::{
            CACHE_CONTROL, CONFIGURATION_PATH, KEYS_PATH, KEYS_TYPE, configuration, keys,
        };
        let tokens = &self.inner.tokens;
        let known = &tokens.verifier().keys;
        let (kind, body) = match path {
            CONFIGURATION_PATH => {
                let url = format!("{}{KEYS_PATH}", tokens.issuer().trim_end_matches('/'));
                (
                    "application/json",
                    configuration(tokens.issuer(), &url, known)?,
                )
            }
            KEYS_PATH => (KEYS_TYPE, keys(known)),
            _ => return None,
        };
        let mut response = Response::new(Body::from(body.to_string()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert("cache-control", HeaderValue::from_static(CACHE_CONTROL));
        Some(response)
    }

    fn metrics(&self) -> Result<Response<Body>, Status> {
        let text = self
            .inner
            .metrics
            .text()
            .map_err(|error| Status::internal(error.to_string()))?;
        let mut response = Response::new(Body::from(text));
        let kind =
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }
}

impl Answer for Api {
    type Body = Body;

    fn connected(&self, peer: Peer) -> Self {
        Self {
            inner: self.inner.clone(),
            peer: self.inner.access.authenticator.of_peer(&peer),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.respond(request).await
    }
}

async fn collect(request: Request<Incoming>) -> Result<Bytes, Status> {
    let limited = Limited::new(request.into_body(), BODY_MAX);
    match limited.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::body_too_large(
            u64::try_from(BODY_MAX).unwrap_or(u64::MAX),
        )),
        Err(error) => Err(Status::bad_request(format!(
            "the body cannot be read: {error}"
        ))),
    }
}

fn method(method: &hyper::Method) -> Result<Method, Status> {
    match *method {
        hyper::Method::GET | hyper::Method::HEAD => Ok(Method::Get),
        hyper::Method::POST => Ok(Method::Post),
        hyper::Method::PUT => Ok(Method::Put),
        hyper::Method::PATCH => Ok(Method::Patch),
        hyper::Method::DELETE => Ok(Method::Delete),
        _ => Err(Status::method_not_allowed()),
    }
}

fn text<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}
