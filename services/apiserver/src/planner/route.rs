//! What a method and a path ask for.
//!
//! ```text
//!   /api/v1[/namespaces/NS]/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//!   /apis/GROUP/VERSION[/namespaces/NS]/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//!   anything else: not a resource
//! ```
//!
//! Source: the API concepts page ("Resource URIs"), and the attributes that authorization sees ("Determine the request verb").

use kinds::Verb;
use std::borrow::Cow;

/// An HTTP method of those that the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// And HEAD, whose answer is without a body.
    Get,
    /// Makes.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Something of the table of resources, or what looks like it.
    Resource(Target),
    /// A path of its own: discovery, health, metrics, OpenAPI.
    Other,
}

/// Which resource, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is done.
    pub verb: Verb,
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// None for what has none, and for lists over all of them.
    pub namespace: Option<String>,
    /// The plural name.
    pub resource: String,
    /// None for collections.
    pub name: Option<String>,
    /// Such as `status`.
    pub subresource: Option<String>,
    /// What a `proxy` passes on, without the first slash.
    pub rest: Option<String>,
}

/// Most segments of a path that are looked at; the longest that means something has nine before the rest.
const SEGMENTS_MAX: usize = 12;

/// Reads method and path; `watch`: the query asks for it.
///
/// A path below `/api` or `/apis` that names no resource, such as `/apis/apps/v1`, is [`Route::Other`]: discovery.
#[must_use]
pub fn route(method: Method, path: &str, watch: bool) -> Route {
    parse(method, path, watch).map_or(Route::Other, Route::Resource)
}

fn parse(method: Method, path: &str, watch: bool) -> Option<Target> {
    let mut segments = path
        .trim_start_matches('/')
        .splitn(SEGMENTS_MAX, '/')
        .map(decoded);
    let (group, version) = match segments.next()?.as_ref() {
        "api" => (String::new(), segments.next()?),
        "apis" => (segments.next()?.into_owned(), segments.next()?),
        _ => return None,
    };
    let mut segments = segments.peekable();
    // The old form of a watch.
    let watch_prefix = segments.next_if(|segment| segment == "watch").is_some();
    let first = segments.next().filter(|segment| !segment.is_empty())?;
    let second = segments.next().filter(|segment| !segment.is_empty());
    // A namespace is an object itself, with subresources of its own.
    let own_subresource = |segment: &str| matches!(segment, "status" | "finalize");
    let (namespace, resource, name) = match (first.as_ref(), second) {
        ("namespaces", Some(namespace)) => match segments.peek() {
            Some(third) if !third.is_empty() && !own_subresource(third) => {
                let resource = segments.next()?;
                let name = segments.next().filter(|segment| !segment.is_empty());
                (Some(namespace.into_owned()), resource, name)
            }
            _ => (Some(namespace.to_string()), first, Some(namespace)),
        },
        (_, name) => (None, first, name),
    };
    let subresource = segments.next().filter(|segment| !segment.is_empty());
    let rest = segments.collect::<Vec<_>>().join("/");
    let one = name.is_some();
    let verb = match method {
        Method::Get if watch_prefix || (watch && subresource.is_none()) => Verb::Watch,
        Method::Get if one => Verb::Get,
        Method::Get => Verb::List,
        Method::Post => Verb::Create,
        Method::Put => Verb::Update,
        Method::Patch => Verb::Patch,
        Method::Delete if one => Verb::Delete,
        Method::Delete => Verb::DeleteCollection,
    };
    Some(Target {
        verb,
        group,
        version: version.into_owned(),
        namespace,
        resource: resource.into_owned(),
        name: name.map(Cow::into_owned),
        subresource: subresource.map(Cow::into_owned),
        rest: (!rest.is_empty()).then_some(rest),
    })
}

/// Without percent-encoding. What is not UTF-8 then stays as it was: it is no name of anything.
fn decoded(segment: &str) -> Cow<'_, str> {
    let Some(first) = segment.find('%') else {
        return Cow::Borrowed(segment);
    };
    let (plain, rest) = segment.split_at(first);
    let mut bytes = plain.as_bytes().to_vec();
    let mut rest = rest.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
        match (*byte, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).expect("two digits"));
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verb group/version namespace resource name subresource rest`, with `-` for what is not there.
    fn check(method: Method, path: &str, watch: bool, expect: &str) {
        let told = match route(method, path, watch) {
            Route::Other => "other".to_owned(),
            Route::Resource(target) => {
                let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                format!(
                    "{} {}/{} {} {} {} {} {}",
                    target.verb.as_str(),
                    target.group,
                    target.version,
                    or(&target.namespace),
                    target.resource,
                    or(&target.name),
                    or(&target.subresource),
                    or(&target.rest),
                )
            }
        };
        assert_eq!(told, expect, "{path}");
    }

    #[test]
    fn paths_of_resources() {
        use Method::{Delete, Get, Patch, Post, Put};
        check(Get, "/api/v1/pods", false, "list /v1 - pods - - -");
        check(Get, "/api/v1/pods", true, "watch /v1 - pods - - -");
        check(Get, "/api/v1/watch/pods", false, "watch /v1 - pods - - -");
        check(
            Get,
            "/api/v1/watch/namespaces/a/pods/b",
            false,
            "watch /v1 a pods b - -",
        );
        check(
            Get,
            "/api/v1/namespaces",
            false,
            "list /v1 - namespaces - - -",
        );
        check(
            Get,
            "/api/v1/namespaces/a",
            false,
            "get /v1 a namespaces a - -",
        );
        check(
            Delete,
            "/api/v1/namespaces/a/",
            false,
            "delete /v1 a namespaces a - -",
        );
        check(
            Put,
            "/api/v1/namespaces/a/finalize",
            false,
            "update /v1 a namespaces a finalize -",
        );
        check(
            Post,
            "/apis/apps/v1/namespaces/a/deployments",
            false,
            "create apps/v1 a deployments - - -",
        );
        check(
            Patch,
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            false,
            "patch apps/v1 a deployments b scale -",
        );
        check(
            Delete,
            "/apis/apps/v1/namespaces/a/deployments",
            false,
            "deletecollection apps/v1 a deployments - - -",
        );
        check(
            Get,
            "/api/v1/nodes/n/proxy/a/b",
            true,
            "get /v1 - nodes n proxy a/b",
        );
        check(Get, "/api/v1/nodes/a%2Fb", false, "get /v1 - nodes a/b - -");
        check(
            Get,
            "/api/v1/nodes/%ff%2",
            false,
            "get /v1 - nodes %ff%2 - -",
        );
    }

    #[test]
    fn paths_of_their_own() {
        for path in [
            "/",
            "",
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/apis/apps/v1/",
            "/apis/apps/v1/watch",
            "/healthz",
            "/openapi/v3/apis/apps/v1",
        ] {
            check(Method::Get, path, false, "other");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read(path in "\\PC{0,80}", watch: bool) {
            let _ = route(Method::Get, &path, watch);
            let _ = route(Method::Delete, &format!("/api/v1/{path}"), watch);
        }
    }
}
