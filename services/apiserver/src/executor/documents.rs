//! Paths that are no resource: discovery, OpenAPI, health, version.
//!
//! Sources: the API concepts page, "Kubernetes API health endpoints", `libs/kinds` on who reads OpenAPI and how it is cached.

use super::{body::Body, cache::Cache};
use crate::planner::{options::Query, version};
use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION},
};
use kinds::{
    Entry,
    discovery::{self, Root},
    entry,
    openapi::Documents as OpenApi,
};
use objects::status::{PATH_NOT_FOUND, Status};
use serde_json::Value;
use std::{fmt::Write as _, sync::OnceLock};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// OpenAPI v2 in protobuf: as clients ask for it, old and new, and as it is answered.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_NEW: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// With its hash in the URL, a document never changes.
const FOR_EVER: &str = "public, immutable";

/// Answers for what is no resource.
#[derive(Debug)]
pub struct Documents {
    entries: Vec<Entry<'static>>,
    /// At which clients reach the server.
    address: String,
    version: String,
    index: OnceLock<Bytes>,
}

/// What health is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Health<'a> {
    /// How far the cache is.
    pub cache: &'a Cache,
    /// What each cluster has from its birth is there.
    pub born: bool,
}

/// What can be said of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Ping,
    Store,
    StoreReady,
    Cache,
    Born,
}

impl Check {
    const LIVE: &'static [Self] = &[Self::Ping, Self::Store];
    const READY: &'static [Self] = &[
        Self::Ping,
        Self::Store,
        Self::StoreReady,
        Self::Cache,
        Self::Born,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Store => "etcd",
            Self::StoreReady => "etcd-readiness",
            Self::Cache => "informer-sync",
            Self::Born => "poststarthook/rbac/bootstrap-roles",
        }
    }

    /// None: well.
    fn fault(self, health: Health<'_>, live: bool) -> Option<&'static str> {
        let state = health.cache.state();
        match self {
            Self::Ping => None,
            // A store that is away is no reason to start the server again.
            Self::Store if live => None,
            Self::Store | Self::StoreReady => {
                (!state.following).then_some("the store is not followed")
            }
            Self::Cache => (!state.loaded).then_some("the cache is not loaded"),
            Self::Born => (!health.born).then_some("not all that a cluster has is there"),
        }
    }
}

impl Documents {
    /// About all that is built in.
    #[must_use]
    pub fn builtin(address: String) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            entries: entry::builtin().collect(),
            address,
            version: text(&version::document()["gitVersion"]),
            index: OnceLock::new(),
        }
    }

    /// Answers for a path.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn answer(
        &self,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
        state: Health<'_>,
    ) -> Result<Response<Body>, Status> {
        let trimmed = path.trim_end_matches('/');
        let mut segments = trimmed.split('/').skip(1);
        let segments = [
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ];
        let accept = headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let found = match segments {
            [Some("api"), None, ..] => Some(self.root(Root::Core, accept)),
            [Some("apis"), None, ..] => Some(self.root(Root::Groups, accept)),
            [Some("api"), Some(version), None, _] => self.resources("", version),
            [Some("apis"), Some(group), None, _] => {
                discovery::group(&self.entries, group).map(|group| json(&group))
            }
            [Some("apis"), Some(group), Some(version), None] => self.resources(group, version),
            [Some("openapi"), Some("v2"), None, _] => Some(self.v2(accept)),
            [Some("openapi"), Some("v3"), None, _] => Some(self.index()),
            [Some("openapi"), Some("v3"), ..] => {
                let topic = trimmed.trim_start_matches("/openapi/v3/");
                self.v3(topic, query, headers)
            }
            [Some("version"), None, ..] => Some(json(&version::document())),
            [Some(path @ ("livez" | "readyz" | "healthz")), check, ..] => {
                let one = check
                    .map(|_| trimmed.trim_start_matches('/')[path.len()..].trim_start_matches('/'));
                health(path, one, query, state)
            }
            [None | Some(""), ..] => Some(json(&self.paths())),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| {
            respond(
                StatusCode::NOT_FOUND,
                TEXT,
                Bytes::from_static(PATH_NOT_FOUND.as_bytes()),
            )
        }))
    }

    fn root(&self, root: Root, accept: &str) -> Response<Body> {
        let aggregated = accept
            .split(',')
            .map(|range| range.split(';').map(str::trim).collect::<Vec<_>>())
            .take_while(|range| range.as_slice() != [JSON])
            .any(|range| {
                range.first() == Some(&JSON)
                    && range.contains(&"g=apidiscovery.k8s.io")
                    && range.contains(&"v=v2")
                    && range.contains(&"as=APIGroupDiscoveryList")
            });
        if aggregated {
            let body = discovery::aggregated(&self.entries, root).to_string();
            let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            return respond(StatusCode::OK, kind, body.into());
        }
        json(&match root {
            Root::Core => discovery::versions(&self.address),
            Root::Groups => discovery::groups(&self.entries),
        })
    }

    fn resources(&self, group: &str, version: &str) -> Option<Response<Body>> {
        discovery::resources(&self.entries, group, version).map(|list| json(&list))
    }

    fn openapi(&self) -> OpenApi<'_, 'static> {
        OpenApi::new(&self.entries, &self.version)
    }

    fn v2(&self, accept: &str) -> Response<Body> {
        if accept.contains(V2_PROTOBUF) || accept.contains(V2_PROTOBUF_NEW) {
            return respond(
                StatusCode::OK,
                V2_PROTOBUF,
                self.openapi().v2_protobuf().into(),
            );
        }
        respond(StatusCode::OK, JSON, self.openapi().v2().into())
    }

    fn index(&self) -> Response<Body> {
        let index = self.index.get_or_init(|| self.openapi().index().into());
        respond(StatusCode::OK, JSON, index.clone())
    }

    fn v3(&self, topic: &str, query: &Query, headers: &HeaderMap) -> Option<Response<Body>> {
        let document = self.openapi().v3(topic)?;
        let hash = OpenApi::hash(&document);
        let asked = query.get("hash");
        if asked.is_some_and(|asked| asked != hash) {
            let mut moved = respond(StatusCode::MOVED_PERMANENTLY, TEXT, Bytes::new());
            let url = format!("/openapi/v3/{topic}?hash={hash}");
            moved
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_str(&url).ok()?);
            return Some(moved);
        }
        let tag = format!("\"{hash}\"");
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok());
        let mut response =
            if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
                respond(StatusCode::NOT_MODIFIED, JSON, Bytes::new())
            } else {
                respond(StatusCode::OK, JSON, document.into())
            };
        let response_headers = response.headers_mut();
        response_headers.insert(ETAG, HeaderValue::from_str(&tag).ok()?);
        if asked.is_some() {
            response_headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
            let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(365 * 24);
            let expires =
                jiff::fmt::rfc2822::to_string(&expires.to_zoned(jiff::tz::TimeZone::UTC)).ok()?;
            // HTTP's form has the name of the zone (RFC 9110).
            let expires = expires.replace("+0000", "GMT").replace("-0000", "GMT");
            response_headers.insert("expires", HeaderValue::from_str(&expires).ok()?);
        }
        Some(response)
    }

    fn paths(&self) -> Value {
        let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
        for entry in &self.entries {
            let kind = &entry.resource.kind;
            let path = if kind.group.is_empty() {
                format!("/api/{}", kind.version)
            } else {
                format!("/apis/{}/{}", kind.group, kind.version)
            };
            paths.push(path);
        }
        let own = [
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/readyz",
            "/version",
        ];
        paths.extend(own.map(str::to_owned));
        paths.sort_unstable();
        paths.dedup();
        serde_json::json!({"paths": paths})
    }
}

/// All checks, or one by its name; each in a line of its own with `verbose`, or when one fails.
fn health(
    path: &str,
    one: Option<&str>,
    query: &Query,
    state: Health<'_>,
) -> Option<Response<Body>> {
    let live = path == "livez";
    let checks = if live { Check::LIVE } else { Check::READY };
    let wanted: Vec<Check> = match one {
        None => checks.to_vec(),
        Some(name) => checks
            .iter()
            .copied()
            .filter(|check| check.name() == name)
            .collect(),
    };
    if wanted.is_empty() {
        return None;
    }
    let mut lines = String::new();
    let mut well = true;
    for check in wanted {
        let name = check.name();
        let line = if query.all("exclude").any(|excluded| excluded == name) {
            writeln!(lines, "[+]{name} excluded: ok")
        } else {
            match check.fault(state, live) {
                None => writeln!(lines, "[+]{name} ok"),
                Some(why) => {
                    well = false;
                    tracing::debug!(check = name, why, "a check failed");
                    writeln!(lines, "[-]{name} failed: reason withheld")
                }
            }
        };
        // Writing to a text does not fail.
        line.unwrap_or_default();
    }
    let end = if well { "passed" } else { "failed" };
    let _ = writeln!(lines, "{path} check {end}");
    let code = if well {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let short = well && !query.has("verbose");
    let body = if short {
        Bytes::from_static(b"ok")
    } else {
        lines.into()
    };
    Some(respond(code, TEXT, body))
}

fn json(value: &Value) -> Response<Body> {
    respond(StatusCode::OK, JSON, value.to_string().into())
}

fn respond(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
