//! What is answered and not kept: reviews, tokens.

use super::super::{body::Body, parts, read::Where, reviews, write::Target};
use super::{Api, answers::ok, ask::Ask};
use crate::planner::{
    negotiate::{self, Form},
    tokens::request,
    write as plan,
};
use bytes::Bytes;
use hyper::{Response, StatusCode};
use objects::status::Status;
use serde_json::Value;

impl Api {
    /// A question about users.
    pub(super) async fn review(
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
        let asking = ask.asking(&self.inner.admission, context);
        let value = asking.admit(value).await?;
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
    pub(super) async fn token(
        &self,
        ask: &Ask<'_>,
        target: &Target<'_>,
        body: &Bytes,
        context: &plan::Context,
    ) -> Result<Response<Body>, Status> {
        let request = parts::token_request(body, negotiate::content(ask.content_type)?, context)?;
        let request = target.admitted(request).await?;
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
}
