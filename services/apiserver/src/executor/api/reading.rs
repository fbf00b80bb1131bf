//! Gets, lists and watches.

use super::super::{body::Body, parts, read::Where};
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
}
