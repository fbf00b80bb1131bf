//! What a request is counted under.

use super::super::metrics::Labels;
use super::method;
use crate::planner::{
    options::Query,
    route::{Route, route},
};
use hyper::{Request, body::Incoming};
use kinds::Verb;

/// What a request is about. What is not served has no names of its own: clients could make as many as they like.
pub(super) fn labels(request: &Request<Incoming>) -> Labels {
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
