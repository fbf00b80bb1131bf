//! Gets, lists and watches.

use super::super::{body::Body, flow::Slot, parts, read::Where};
use super::{
    Api,
    answers::ok,
    ask::{Ask, named},
};
use crate::planner::{
    options::{ListOptions, parse_revision},
    served::Part,
};
use hyper::{Response, StatusCode};
use kinds::Verb;
use objects::status::Status;

impl Api {
    pub(super) async fn read(&self, ask: &Ask<'_>) -> Result<Response<Body>, Status> {
        let at = self.place(ask)?;
        let renderer = ask.renderer()?;
        let body = if ask.asked.verb == Verb::Get {
            let version = ask.query.get("resourceVersion");
            let version = version.map(parse_revision).transpose()?;
            let name = ask.asked.name.as_deref().unwrap_or_default();
            let object = at.get(name, version).await?;
            match ask.part {
                Some(Part::Other(part)) if part.name == "scale" => parts::scale(&object)?.into(),
                _ => renderer.one(&object)?.into(),
            }
        } else {
            let options = ListOptions::parse(ask.query, false)?;
            at.list(&options, &renderer).await?
        };
        Ok(ok(StatusCode::OK, ask.form, body, &[]))
    }

    pub(super) async fn watch(&self, ask: &Ask<'_>, slot: Slot) -> Result<Response<Body>, Status> {
        let at = self.place(ask)?;
        let renderer = ask.renderer()?;
        let query = named(ask.query, ask.asked.name.as_deref());
        let options = ListOptions::parse(&query, true)?;
        let body = at.watch(&options, &query, &renderer, slot).await?;
        Ok(ok(StatusCode::OK, ask.form, body, &[]))
    }

    fn place<'a>(&'a self, ask: &'a Ask<'_>) -> Result<Where<'a>, Status> {
        Ok(Where {
            cache: &self.inner.cache,
            served: ask.served,
            place: ask.place.ok_or_else(Status::method_not_allowed)?,
            namespace: ask.namespace(),
        })
    }
}
