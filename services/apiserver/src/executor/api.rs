//! Answers requests: from the path to the handler, and what is true of all answers.

use super::{
    access::Access,
    allocator::Allocator,
    body::Body,
    bootstrap::Bootstrap,
    cache::{Cache, Place},
    clock,
    documents::Documents,
    metrics::{Labels, Metrics},
    parts,
    read::Where,
    reviews,
    tokens::Tokens,
    write::{Target, Written, context},
};
use crate::planner::{
    authorization::{Action, GROUP, escalation::Write as RoleWrite},
    negotiate::{self, Form},
    options::{ListOptions, Query, parse_revision},
    render::Renderer,
    route::{Method, Route, Target as Asked, route},
    served::{Catalogue, Part, Served},
    tokens::request,
    user::User,
    write::{self as plan, Body as Given, Complete, DeleteOptions, Planned, Scope},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use http_server::{Answer, Peer};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use kinds::Verb;
use objects::{
    decode::{FieldValidation, Target as Decode},
    metadata::Metadata,
    schema::Schemas,
    status::{Qualified, Status},
    table::Include,
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// Largest body of a request; upstream's.
pub const BODY_MAX: usize = 3 * 1024 * 1024;
/// Longest time for anything but a watch; upstream's.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// Reads at once, and writes; upstream's. Who comes then is asked to come again.
const READS_MAX: usize = 400;
const WRITES_MAX: usize = 200;

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
    documents: Documents,
    metrics: Metrics,
    access: Access,
    tokens: Tokens,
    cache: Cache,
    reads: Semaphore,
    writes: Semaphore,
}

/// A request for a resource, understood.
struct Ask<'a> {
    user: &'a User,
    served: &'a Served,
    place: Option<Place>,
    asked: &'a Asked,
    part: Option<Part>,
    query: &'a Query,
    form: Form,
    content_type: Option<&'a str>,
}

impl Api {
    /// Over a cache; `address`: at which clients reach the server.
    #[must_use]
    pub fn new(
        cache: Cache,
        catalogue: Catalogue,
        allocator: Allocator,
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
                documents: Documents::builtin(address),
                cache,
                reads: Semaphore::new(READS_MAX),
                writes: Semaphore::new(WRITES_MAX),
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
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let accept = text(&request, &ACCEPT).map(str::to_owned);
        let labels = labels(&request);
        let reads = matches!(*request.method(), hyper::Method::GET | hyper::Method::HEAD);
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
        response
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
                let headers = request.headers();
                return self
                    .inner
                    .documents
                    .answer(&path, &query, headers, &self.inner.cache);
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
        let busy = || Status::too_many_requests("Too many requests, please try again later.", 1);
        match asked.verb {
            Verb::Watch => self.read(&ask).await,
            Verb::Get | Verb::List => {
                let _slot = self.inner.reads.try_acquire().map_err(|_| busy())?;
                self.read(&ask).await
            }
            _ => {
                let _slot = self.inner.writes.try_acquire().map_err(|_| busy())?;
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

    /// A question about users.
    fn review(
        &self,
        ask: &Ask<'_>,
        body: &Bytes,
        context: &plan::Context,
    ) -> Result<Response<Body>, Status> {
        let decoded = ask.given(body)?.object(ask.served, context)?;
        let resource = ask.served.resource.name;
        let access = &self.inner.access;
        let namespace = ask.namespace();
        let mut value = decoded.value;
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), ask.served.api_version().into());
            fields.insert("kind".to_owned(), (&*ask.served.schema.kind.kind).into());
        }
        let mut errors = objects::field::ErrorList::default();
        (ask.served.resource.rules.validate)(&value, &mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid(ask.served.qualified_kind(), "", &errors));
        }
        let answered = reviews::answer(access, ask.user, resource, namespace, value)?;
        let body = answered.to_string();
        Ok(ok(
            StatusCode::CREATED,
            Form::JSON,
            body.into(),
            &decoded.warnings,
        ))
    }

    /// A token for a service account.
    async fn token(
        &self,
        ask: &Ask<'_>,
        target: &Target<'_>,
        body: &Bytes,
        context: &plan::Context,
    ) -> Result<Response<Body>, Status> {
        let request = parts::token_request(body, negotiate::content(ask.content_type)?, context)?;
        let namespace = ask.namespace();
        let look = |resource: &'static str, namespace: Option<&str>, name: String| {
            let namespace = namespace.map(str::to_owned);
            async move {
                let served = self.inner.catalogue.find("", "v1", resource);
                let place = served.and_then(|served| self.inner.cache.place(served.stored));
                let (Some(served), Some(place)) = (served, place) else {
                    return Err(Status::internal(format!("{resource} are not served")));
                };
                let at = Where {
                    cache: &self.inner.cache,
                    served,
                    place,
                    namespace: namespace.as_deref(),
                };
                let found = at.get(&name, None).await?;
                serde_json::from_slice::<Value>(&found)
                    .map_err(|error| Status::internal(error.to_string()))
            }
        };
        let account = look("serviceaccounts", namespace, target.name.clone()).await?;
        let wanted = request::bound(&request)?;
        let bound = match wanted {
            None => None,
            Some(bound) => {
                let namespace = namespace.filter(|_| bound.resource != "nodes");
                Some(look(bound.resource, namespace, bound.name).await?)
            }
        };
        let node = bound
            .as_ref()
            .and_then(|pod| pod.pointer("/spec/nodeName")?.as_str());
        let node = match node.filter(|node| !node.is_empty()) {
            None => None,
            // A node that is gone takes nothing from the pod's token.
            Some(node) => look("nodes", None, node.to_owned()).await.ok(),
        };
        let found = request::Found {
            account: &account,
            bound: bound.as_ref(),
            node: node.as_ref(),
        };
        let (answer, warnings) = self.inner.tokens.make(&request, found)?;
        Ok(ok(
            StatusCode::CREATED,
            Form::JSON,
            answer.to_string().into(),
            &warnings,
        ))
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

    async fn read(&self, ask: &Ask<'_>) -> Result<Response<Body>, Status> {
        let place = ask.place.ok_or_else(Status::method_not_allowed)?;
        let at = Where {
            cache: &self.inner.cache,
            served: ask.served,
            place,
            namespace: ask.namespace(),
        };
        let renderer = ask.renderer()?;
        let body = match ask.asked.verb {
            Verb::Get => {
                let version = ask
                    .query
                    .get("resourceVersion")
                    .map(parse_revision)
                    .transpose()?;
                let name = ask.asked.name.as_deref().unwrap_or_default();
                let object = at.get(name, version).await?;
                match ask.part {
                    Some(Part::Other(part)) if part.name == "scale" => {
                        parts::scale(&object)?.into()
                    }
                    _ => renderer.one(&object)?.into(),
                }
            }
            Verb::List => {
                let options = ListOptions::parse(ask.query, false)?;
                at.list(&options, &renderer).await?
            }
            _ => {
                let query = named(ask.query, ask.asked.name.as_deref());
                let options = ListOptions::parse(&query, true)?;
                at.watch(&options, &query, &renderer).await?
            }
        };
        Ok(ok(StatusCode::OK, ask.form, body, &[]))
    }

    async fn write(&self, ask: &Ask<'_>, body: &Bytes) -> Result<Response<Body>, Status> {
        let context = context(validation(ask.query)?);
        let dry_run = dry_run(ask.query)?;
        if ask.served.resource.name == "bindings" {
            return self.bind(ask, body, &context, dry_run).await;
        }
        if ask.served.resource.key.is_empty() {
            return self.review(ask, body, &context);
        }
        let place = ask.place.ok_or_else(Status::method_not_allowed)?;
        let name = ask.asked.name.clone().unwrap_or_default();
        let target = |name: &str| Target {
            cache: &self.inner.cache,
            served: ask.served,
            place,
            key: ask.key(name),
            name: name.to_owned(),
            dry_run,
            allocator: &self.inner.allocator,
        };
        let scope = match ask.part {
            None => Scope::Object,
            Some(Part::Status) => Scope::Status,
            Some(Part::Other(part)) => match Scope::of(part.name) {
                Some(scope) => scope,
                None => {
                    return self
                        .deed(ask, part.name, &target(&name), body, &context)
                        .await;
                }
            },
        };
        match ask.asked.verb {
            Verb::Create => {
                let given = ask.given(body)?;
                let plan = |complete: Complete<'_>| {
                    let planned =
                        plan::create(ask.served, ask.namespace(), &given, &context, complete)?;
                    self.not_escalating(ask, planned, None)
                };
                self.namespace_takes_new(ask, body).await?;
                let written = target(&name).create(plan).await?;
                self.written(ask, written, StatusCode::CREATED)
            }
            Verb::Update => {
                let given = ask.given(body)?;
                let target = target(&name);
                let plan = |old: &Value, complete: Complete<'_>| {
                    let planned =
                        plan::update(ask.served, scope, &name, &given, old, &context, complete)?;
                    self.not_escalating(ask, planned, Some(old))
                };
                let written = target.change(plan).await?;
                self.written(ask, written, StatusCode::OK)
            }
            Verb::Patch => {
                let kind = negotiate::patch(ask.content_type)?;
                let given = Given {
                    bytes: body,
                    format: plan::Format::Json,
                };
                let target = target(&name);
                let plan = |old: &Value, complete: Complete<'_>| {
                    let planned =
                        plan::patch(ask.served, scope, kind, &given, old, &context, complete)?;
                    self.not_escalating(ask, planned, Some(old))
                };
                let written = target.change(plan).await?;
                self.written(ask, written, StatusCode::OK)
            }
            Verb::Delete => {
                let mut options = delete_options(ask, body, &context)?;
                options.dry_run |= dry_run;
                let target = Target {
                    dry_run: options.dry_run,
                    ..target(&name)
                };
                let plan = |old: &Value, _: Complete<'_>| {
                    plan::delete(ask.served, &options, old, &context)
                };
                let written = target.change(plan).await?;
                self.deleted(ask, written, &name)
            }
            Verb::DeleteCollection => self.delete_many(ask, place, body, &context, dry_run).await,
            Verb::Get | Verb::List | Verb::Watch => Err(Status::method_not_allowed()),
        }
    }

    /// Subresources of another kind than their object's.
    async fn deed(
        &self,
        ask: &Ask<'_>,
        part: &str,
        target: &Target<'_>,
        body: &Bytes,
        context: &plan::Context,
    ) -> Result<Response<Body>, Status> {
        let patched = match ask.asked.verb {
            Verb::Patch => Some(negotiate::patch(ask.content_type)?),
            _ => None,
        };
        let format = match patched {
            Some(_) => plan::Format::Json,
            None => negotiate::content(ask.content_type)?,
        };
        match part {
            "scale" => {
                let written = parts::write_scale(target, body, format, patched, context).await?;
                let scale = parts::scale(&written.object)?;
                Ok(ok(StatusCode::OK, Form::JSON, scale.into(), &[]))
            }
            "token" => self.token(ask, target, body, context).await,
            "binding" => Ok(told(&parts::bind(target, body, format, context).await?)),
            "eviction" => {
                let namespace = ask.namespace().unwrap_or_default();
                let catalogue = &self.inner.catalogue;
                let evicted = parts::evict_pod(target, catalogue, namespace, body, format, context);
                Ok(told(&evicted.await?))
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// A binding that was posted to the collection names its pod.
    async fn bind(
        &self,
        ask: &Ask<'_>,
        body: &Bytes,
        context: &plan::Context,
        dry_run: bool,
    ) -> Result<Response<Body>, Status> {
        let format = negotiate::content(ask.content_type)?;
        let name = parts::bound_name(body, format, context)?;
        let pods = self.inner.catalogue.find("", "v1", "pods");
        let place = pods.and_then(|served| self.inner.cache.place(served.stored));
        let (Some(served), Some(place)) = (pods, place) else {
            return Err(Status::internal("pods are not served"));
        };
        let target = Target {
            cache: &self.inner.cache,
            served,
            place,
            key: ask.key(&name),
            name,
            dry_run,
            allocator: &self.inner.allocator,
        };
        Ok(told(&parts::bind(&target, body, format, context).await?))
    }

    /// Deletes all that a list with these options has. What others delete meanwhile is gone, too.
    async fn delete_many(
        &self,
        ask: &Ask<'_>,
        place: Place,
        body: &Bytes,
        context: &plan::Context,
        dry_run: bool,
    ) -> Result<Response<Body>, Status> {
        let mut options = delete_options(ask, body, context)?;
        options.dry_run |= dry_run;
        let list = ListOptions::parse(ask.query, false)?;
        let at = Where {
            cache: &self.inner.cache,
            served: ask.served,
            place,
            namespace: ask.namespace(),
        };
        let filter = at.filter(&list)?;
        self.inner
            .cache
            .fresh()
            .await
            .map_err(|error| super::read::unavailable(&error))?;
        let entries: Vec<_> = {
            let (objects, _) = self.inner.cache.read(place);
            let matching = objects.iter(filter.namespace.as_deref());
            matching
                .filter(|entry| filter.matches(entry))
                .cloned()
                .collect()
        };
        for entry in &entries {
            let target = Target {
                cache: &self.inner.cache,
                served: ask.served,
                place,
                key: entry.key().to_owned(),
                name: entry.name().to_owned(),
                dry_run: options.dry_run,
                allocator: &self.inner.allocator,
            };
            let plan =
                |old: &Value, _: Complete<'_>| plan::delete(ask.served, &options, old, context);
            match target.change(plan).await {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        let renderer = ask.renderer()?;
        let meta = objects::table::ListMeta::default();
        let stored = entries.iter().map(|entry| entry.bytes().clone());
        let list = renderer.list(stored, &meta)?;
        Ok(ok(StatusCode::OK, ask.form, list.into(), &[]))
    }

    fn written(
        &self,
        ask: &Ask<'_>,
        written: Written,
        code: StatusCode,
    ) -> Result<Response<Body>, Status> {
        let object = ask.renderer()?.one(&written.object)?;
        Ok(ok(code, ask.form, object.into(), &written.warnings))
    }

    /// An object that is still there, or that it is gone.
    fn deleted(
        &self,
        ask: &Ask<'_>,
        written: Written,
        name: &str,
    ) -> Result<Response<Body>, Status> {
        if !written.removed || returns_object(ask.served) {
            return self.written(ask, written, StatusCode::OK);
        }
        let object: Value = serde_json::from_slice(&written.object).unwrap_or_default();
        let uid = Metadata::of(&object).uid();
        let status = Status::deleted(ask.served.qualified(), name, uid);
        let body = status.to_value().to_string();
        Ok(ok(
            StatusCode::OK,
            Form::JSON,
            body.into(),
            &written.warnings,
        ))
    }

    /// Nobody gives by a role, or a binding, what he has not.
    fn not_escalating(
        &self,
        ask: &Ask<'_>,
        planned: Planned,
        old: Option<&Value>,
    ) -> Result<Planned, Status> {
        if let Planned::Write { object, .. } = &planned
            && ask.served.resource.group == GROUP
            && !self.inner.access.always
        {
            let write = RoleWrite {
                resource: ask.served.resource.name,
                namespace: ask.namespace().unwrap_or_default(),
                new: object,
                old,
            };
            self.inner
                .access
                .authorizer
                .check_escalation(ask.user, &write)?;
        }
        Ok(planned)
    }

    /// Nothing new comes into a namespace that is not there, or that is going.
    async fn namespace_takes_new(&self, ask: &Ask<'_>, body: &Bytes) -> Result<(), Status> {
        let Some(namespace) = ask.namespace().filter(|_| ask.served.schema.namespaced) else {
            return Ok(());
        };
        let namespaces = self.inner.catalogue.find("", "v1", "namespaces");
        let (Some(served), Some(place)) = (
            namespaces,
            namespaces.and_then(|served| self.inner.cache.place(served.stored)),
        ) else {
            return Err(Status::internal("namespaces are not served"));
        };
        let at = Where {
            cache: &self.inner.cache,
            served,
            place,
            namespace: None,
        };
        let cached = {
            let (objects, _) = self.inner.cache.read(place);
            objects.get(namespace).map(|entry| entry.bytes().clone())
        };
        let found = match cached {
            Some(found) => found,
            // It may have been made just now.
            None => at.get(namespace, None).await?,
        };
        let found: Value = serde_json::from_slice(&found).unwrap_or_default();
        if Metadata::of(&found).deletion_timestamp().is_none() {
            return Ok(());
        }
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = Metadata::of(&object).name().to_owned();
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let message = format!("namespace {namespace} is being terminated");
        Err(
            Status::forbidden(ask.served.qualified(), &name, &why).with_cause(
                "NamespaceTerminating",
                message,
                "metadata.namespace",
            ),
        )
    }
}

impl Ask<'_> {
    fn namespace(&self) -> Option<&str> {
        self.asked
            .namespace
            .as_deref()
            .filter(|_| self.served.schema.namespaced)
    }

    fn key(&self, name: &str) -> String {
        match self.namespace() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    fn renderer(&self) -> Result<Renderer<'_>, Status> {
        let include = self.query.get("includeObject").unwrap_or_default();
        let include = Include::parse(include).ok_or_else(|| {
            Status::bad_request(format!("unrecognized includeObject value: \"{include}\""))
        })?;
        Ok(Renderer {
            served: self.served,
            form: self.form,
            include,
            now: clock::now(),
        })
    }

    fn given<'a>(&self, body: &'a Bytes) -> Result<Given<'a>, Status> {
        Ok(Given {
            bytes: body,
            format: negotiate::content(self.content_type)?,
        })
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

/// A watch of one object is one of those with its name.
fn named(query: &Query, name: Option<&str>) -> Query {
    match name {
        Some(name) => query.with("fieldSelector", &format!("metadata.name={name}")),
        None => query.clone(),
    }
}

/// Whether a removal is answered with what was removed; for others, with that it was done.
fn returns_object(served: &Served) -> bool {
    served.stored.group.is_empty()
        && matches!(
            served.stored.name,
            "pods"
                | "podtemplates"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "resourcequotas"
                | "limitranges"
        )
}

fn delete_options(
    ask: &Ask<'_>,
    body: &Bytes,
    context: &plan::Context,
) -> Result<DeleteOptions, Status> {
    let mut value = Value::Object(serde_json::Map::new());
    if !body.is_empty() {
        let schemas = Schemas::builtin();
        let kind = schemas.find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        let target = kind.map_or(Decode::Any, |kind| Decode::Type(schemas, kind));
        let decoded = match negotiate::content(ask.content_type)? {
            plan::Format::Json => objects::decode::json(body, target, context.validation),
            plan::Format::Yaml => objects::decode::yaml(body, target, context.validation),
        };
        value = decoded
            .map_err(|error| Status::bad_request(error.to_string()))?
            .value;
    }
    // In the query, too, and there it counts for less.
    if let Value::Object(fields) = &mut value {
        if let Some(policy) = ask.query.get("propagationPolicy") {
            fields
                .entry("propagationPolicy")
                .or_insert_with(|| policy.into());
        }
        if let Some(seconds) = ask
            .query
            .get("gracePeriodSeconds")
            .and_then(|text| text.parse::<i64>().ok())
        {
            fields
                .entry("gracePeriodSeconds")
                .or_insert_with(|| seconds.into());
        }
        if ask.query.has("orphanDependents") {
            let orphan = ask.query.flag("orphanDependents");
            fields
                .entry("orphanDependents")
                .or_insert_with(|| orphan.into());
        }
    }
    DeleteOptions::read(&value)
}

fn validation(query: &Query) -> Result<FieldValidation, Status> {
    match query.get("fieldValidation") {
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some(other) => {
            let mut errors = objects::field::ErrorList::default();
            let path = objects::field::Path::new("fieldValidation");
            errors.push(objects::field::FieldError::not_supported(
                &path,
                other,
                &["", "Ignore", "Strict", "Warn"],
            ));
            Err(Status::invalid(
                Qualified::new("meta.k8s.io", "CreateOptions"),
                "",
                &errors,
            ))
        }
    }
}

fn dry_run(query: &Query) -> Result<bool, Status> {
    let mut any = false;
    for stage in query.all("dryRun").filter(|stage| !stage.is_empty()) {
        if stage != "All" {
            let mut errors = objects::field::ErrorList::default();
            let path = objects::field::Path::new("dryRun");
            errors.push(objects::field::FieldError::not_supported(
                &path,
                stage,
                &["All"],
            ));
            return Err(Status::invalid(
                Qualified::new("meta.k8s.io", "CreateOptions"),
                "",
                &errors,
            ));
        }
        any = true;
    }
    Ok(any)
}

/// What a request is about. What is not served has no names of its own: clients could make as many as they like.
fn labels(request: &Request<Incoming>) -> Labels {
    let query = Query::parse(request.uri().query());
    let asked = method(request.method())
        .map(|method| route(method, request.uri().path(), query.flag("watch")));
    let Ok(Route::Resource(asked)) = asked else {
        return Labels {
            verb: "GET",
            ..Labels::default()
        };
    };
    let verb = match asked.verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
    };
    let scope = match (&asked.name, &asked.namespace) {
        (Some(_), _) => "resource",
        (None, Some(_)) => "namespace",
        (None, None) => "cluster",
    };
    let known = kinds::resources::RESOURCES.iter().find(|known| {
        (known.group, known.version, known.name)
            == (
                asked.group.as_str(),
                asked.version.as_str(),
                asked.resource.as_str(),
            )
    });
    let Some(known) = known else {
        return Labels {
            verb,
            scope,
            ..Labels::default()
        };
    };
    let subresource = asked.subresource.as_deref().unwrap_or_default();
    let subresource = known
        .subresources
        .iter()
        .find(|part| part.name == subresource);
    let status = asked.subresource.as_deref() == Some("status");
    Labels {
        verb,
        group: known.group.to_owned(),
        version: known.version.to_owned(),
        resource: known.name.to_owned(),
        subresource: match subresource {
            Some(part) => part.name.to_owned(),
            None if status => "status".to_owned(),
            None => String::new(),
        },
        scope,
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

fn ok(code: StatusCode, form: Form, body: Body, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(
        "cache-control",
        HeaderValue::from_static("no-cache, private"),
    );
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(warning))) {
            headers.append("warning", value);
        }
    }
    response
}

/// As the text of a warning: without what would end it, or the line.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push(' '),
            _ => quoted.push(character),
        }
    }
    quoted
}

/// That something was done.
fn told(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::OK);
    ok(code, Form::JSON, status.to_value().to_string().into(), &[])
}

fn failed(status: &Status, form: Form) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let value = status.to_value();
    let yaml = (form.format == plan::Format::Yaml)
        .then(|| crate::planner::yaml::write(&value).ok())
        .flatten();
    let form = if yaml.is_some() { form } else { Form::JSON };
    let body = yaml.unwrap_or_else(|| value.to_string());
    let mut response = ok(code, form, body.into(), &[]);
    let retry = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response
            .headers_mut()
            .insert("retry-after", HeaderValue::from(retry));
    }
    response
}
