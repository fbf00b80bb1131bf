//! Writes: of objects, of their parts, of many at once.

use super::super::{
    body::Body,
    cache::Place,
    parts,
    read::{Where, unavailable},
    write::{self, Target, Written},
};
use super::{
    Api,
    answers::{ok, told},
    ask::{Ask, delete_options, dry_run, validation},
};
use crate::planner::{
    authorization::{GROUP, escalation::Write as RoleWrite},
    negotiate::{self, Form},
    options::ListOptions,
    served::{Part, Served},
    write::{self as plan, Body as Given, Hooks, Planned, Scope, name_requester},
};
use bytes::Bytes;
use hyper::{Response, StatusCode};
use kinds::Verb;
use objects::{
    metadata::Metadata,
    status::{Reason, Status},
};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names that are made up for one object; upstream's.
const NAMES_MAX: usize = 8;

impl Api {
    pub(super) async fn write(
        &self,
        ask: &Ask<'_>,
        body: &Bytes,
    ) -> Result<Response<Body>, Status> {
        let context = write::context(validation(ask.query)?);
        let dry_run = dry_run(ask.query)?;
        if ask.served.resource.name == "bindings" {
            return self.bind(ask, body, &context, dry_run).await;
        }
        if ask.served.resource.key.is_empty() {
            return self.review(ask, body, &context).await;
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
            admission: Some(ask.asking(&self.inner.admission, &context)),
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
                let generated = AtomicBool::new(false);
                let create = async |context: &plan::Context| {
                    let plan = |hooks: Hooks<'_>| {
                        let mut planned =
                            plan::create(ask.served, ask.namespace(), &given, context, hooks)?;
                        if let Planned::Write { object, .. } = &mut planned {
                            let named = Metadata::of(object).generate_name().is_empty();
                            generated.store(!named, Ordering::Relaxed);
                            name_requester(ask.served, ask.user, object);
                        }
                        self.not_escalating(ask, planned, None)
                    };
                    target(&name).create(plan).await
                };
                let mut written = create(&context).await;
                for _ in 1..NAMES_MAX {
                    match &written {
                        // Another has the name that was made up.
                        Err(status)
                            if status.reason == Reason::AlreadyExists
                                && generated.load(Ordering::Relaxed) =>
                        {
                            written = create(&write::context(context.validation)).await;
                        }
                        _ => break,
                    }
                }
                let written = written?;
                if is_namespace(ask.served) {
                    // As with its end: one of its name may have gone just now.
                    self.inner.cache.reach(written.revision).await;
                }
                self.written(ask, written, StatusCode::CREATED)
            }
            Verb::Update => {
                let given = ask.given(body)?;
                let target = target(&name);
                let plan = |old: &Value, hooks: Hooks<'_>| {
                    let planned =
                        plan::update(ask.served, scope, &name, &given, old, &context, hooks)?;
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
                let plan = |old: &Value, hooks: Hooks<'_>| {
                    let planned =
                        plan::patch(ask.served, scope, kind, &given, old, &context, hooks)?;
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
                let plan = |old: &Value, hooks: Hooks<'_>| {
                    plan::delete(ask.served, &options, old, &context, hooks)
                };
                let written = target.change(plan).await?;
                if is_namespace(ask.served) {
                    // Who was told that it goes makes nothing in it any more: admission reads the cache. If that lags longer, the
                    // answer is as good as any that comes a moment later.
                    self.inner.cache.reach(written.revision).await;
                }
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
            admission: Some(ask.asking(&self.inner.admission, context)),
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
            .map_err(|error| unavailable(&error))?;
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
                admission: Some(ask.asking(&self.inner.admission, context)),
            };
            let plan = |old: &Value, hooks: Hooks<'_>| {
                plan::delete(ask.served, &options, old, context, hooks)
            };
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
}

fn is_namespace(served: &Served) -> bool {
    served.stored.group.is_empty() && served.stored.name == "namespaces"
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
