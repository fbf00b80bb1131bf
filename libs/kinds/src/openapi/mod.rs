//! OpenAPI: what the server serves, in the form that clients and generators of clients read.
//!
//! ```text
//!   entries ──path──> paths and operations ──render──┐
//!      └────> types ──objects::openapi──> definitions ┴──> a document's text, piece by piece
//!                                                              └──protobuf──> version 2 as client-go reads it
//! ```
//!
//! A document is made when it is asked for and is never a tree as a whole: its pieces (a path, a type) are values for a moment.
//! The index costs a pass over all documents, since it tells the hash of each: a caller keeps it until its entries change.
//!
//! Who reads what: `kubectl` reads version 3 (`explain`; `apply`, for merge keys; each write, for whether a PATCH knows
//! `fieldValidation`) and falls back to version 2 in protobuf: `explain -o plaintext-openapiv2`, and `apply` of a custom
//! resource. Argo CD reads version 2 in protobuf, generators of clients in JSON.

mod names;
mod parameter;
mod path;
mod protobuf;
mod render;
#[cfg(test)]
mod tests;

use crate::{
    discovery::{group_version, group_versions},
    entry::Entry,
    hash::Hash,
};
use objects::openapi::{Definitions, Form};
use path::Paths;
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// All documents about some entries.
///
/// ```
/// use orlop_kinds::{Entry, entry, openapi::Documents};
///
/// let entries: Vec<Entry<'_>> = entry::builtin().collect();
/// let documents = Documents::new(&entries, "v1.35.0");
/// assert!(documents.v3("apis/apps/v1").unwrap().contains("patchAppsV1NamespacedDeployment"));
/// assert!(documents.v3("apis/apps/v7").is_none());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Documents<'e, 'a> {
    entries: &'e [Entry<'a>],
    version: &'e str,
}

/// What a document of version 3 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic<'a> {
    Core,
    Groups,
    Group(&'a str),
    Version,
    GroupVersion(&'a str, &'a str),
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

impl<'e, 'a> Documents<'e, 'a> {
    /// `version`: the server's, as in `/version` (`v1.35.0`).
    #[must_use]
    pub const fn new(entries: &'e [Entry<'a>], version: &'e str) -> Self {
        Self { entries, version }
    }

    /// `/openapi/v3`: which documents there are, each with the hash of its contents. With that hash in the URL a document never
    /// changes, and may be cached for ever.
    #[must_use]
    pub fn index(&self) -> String {
        let mut text = String::from(r#"{"paths":"#);
        let paths = self.topics().into_iter().map(|topic| {
            let path = topic.path();
            let hash = Hash::of(self.document(topic).as_bytes()).hexadecimal();
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        });
        // Writing to a text does not fail.
        let _ = object(&mut text, paths);
        text.push('}');
        text
    }

    /// `/openapi/v3/PATH`, such as `apis/apps/v1`; None where there is no such document.
    #[must_use]
    pub fn v3(&self, path: &str) -> Option<String> {
        let topics = self.topics();
        let topic = topics.into_iter().find(|topic| topic.path() == path)?;
        Some(self.document(topic))
    }

    /// The hash of a document of version 3, as the index tells it.
    #[must_use]
    pub fn hash(document: &str) -> String {
        Hash::of(document.as_bytes()).hexadecimal()
    }

    /// `/openapi/v2` in JSON.
    #[must_use]
    pub fn v2(&self) -> String {
        let paths = self.v2_paths();
        let mut text = String::new();
        let _ = self.write_v2(&mut text, &paths);
        text
    }

    /// `/openapi/v2` in protobuf, the message `openapi.v2.Document` of gnostic
    /// (`application/com.github.proto-openapi.spec.v2.v1.0+protobuf`).
    #[must_use]
    pub fn v2_protobuf(&self) -> Vec<u8> {
        let paths = self.v2_paths();
        let mut bytes = Vec::new();
        protobuf::head(&mut bytes, &self.info());
        protobuf::paths(
            &mut bytes,
            paths
                .paths
                .iter()
                .map(|path| (&*path.url, render::path(Form::V2, path))),
        );
        protobuf::definitions(&mut bytes, paths.definitions.iter());
        protobuf::parameters(&mut bytes, &render::shared_parameters());
        protobuf::security(&mut bytes, &security_definitions(), &security());
        bytes
    }

    /// Those that there are documents about, in the order of the index.
    fn topics(&self) -> Vec<Topic<'a>> {
        let mut topics = vec![Topic::Core, Topic::Groups, Topic::Version];
        for (group, version) in group_versions(self.entries) {
            let of_group = Topic::Group(group);
            if !group.is_empty() && !topics.contains(&of_group) {
                topics.push(of_group);
            }
            topics.push(Topic::GroupVersion(group, version));
        }
        topics
    }

    fn document(&self, topic: Topic<'a>) -> String {
        let mut paths = Paths::new(Definitions::new(Form::V3));
        self.collect(&mut paths, topic);
        paths.paths.sort_by(|a, b| a.url.cmp(&b.url));
        let mut text = String::new();
        let _ = self.write_v3(&mut text, &paths);
        text
    }

    fn v2_paths(&self) -> Paths<'a> {
        let mut paths = Paths::new(Definitions::new(Form::V2));
        for topic in self.topics() {
            self.collect(&mut paths, topic);
        }
        paths.paths.sort_by(|a, b| a.url.cmp(&b.url));
        paths
    }

    fn collect(&self, paths: &mut Paths<'a>, topic: Topic<'a>) {
        match topic {
            Topic::Core => paths.document(
                "/api/".into(),
                "getCoreAPIVersions".into(),
                "core".into(),
                &format!("{META}.APIVersions"),
            ),
            Topic::Groups => paths.document(
                "/apis/".into(),
                "getAPIVersions".into(),
                "apis".into(),
                &format!("{META}.APIGroupList"),
            ),
            Topic::Group(group) => paths.document(
                format!("/apis/{group}/"),
                format!("get{}APIGroup", names::group(group)),
                names::tag(group, ""),
                &format!("{META}.APIGroup"),
            ),
            Topic::Version => paths.document(
                "/version/".into(),
                "getCodeVersion".into(),
                "version".into(),
                "io.k8s.apimachinery.pkg.version.Info",
            ),
            Topic::GroupVersion(group, version) => {
                paths.resource_list(group, version);
                for entry in self.entries {
                    let kind = entry.kind();
                    if (kind.group, kind.version) == (group, version) {
                        paths.entry(entry);
                    }
                }
            }
        }
    }

    fn write_v3(&self, text: &mut String, paths: &Paths<'a>) -> fmt::Result {
        write!(
            text,
            r#"{{"openapi":"3.0.0","info":{},"security":{},"components":{{"securitySchemes":{},"schemas":"#,
            self.info(),
            security(),
            security_definitions(),
        )?;
        object(text, paths.definitions.iter())?;
        text.write_str(r#"},"paths":"#)?;
        write_paths(text, Form::V3, paths)?;
        text.write_char('}')
    }

    fn write_v2(&self, text: &mut String, paths: &Paths<'a>) -> fmt::Result {
        write!(
            text,
            r#"{{"swagger":"2.0","info":{},"security":{},"securityDefinitions":{},"parameters":{},"definitions":"#,
            self.info(),
            security(),
            security_definitions(),
            render::shared_parameters(),
        )?;
        object(text, paths.definitions.iter())?;
        text.write_str(r#","paths":"#)?;
        write_paths(text, Form::V2, paths)?;
        text.write_char('}')
    }

    fn info(&self) -> Value {
        json!({"title": "Kubernetes", "version": self.version})
    }
}

impl Topic<'_> {
    /// Below `/openapi/v3/`.
    fn path(self) -> String {
        match self {
            Self::Core => "api".to_owned(),
            Self::Groups => "apis".to_owned(),
            Self::Group(group) => format!("apis/{group}"),
            Self::Version => "version".to_owned(),
            Self::GroupVersion("", version) => format!("api/{version}"),
            Self::GroupVersion(group, version) => {
                format!("apis/{}", group_version(group, version))
            }
        }
    }
}

fn security() -> Value {
    json!([{"BearerToken": []}])
}

fn security_definitions() -> Value {
    json!({
        "BearerToken": {
            "type": "apiKey",
            "name": "authorization",
            "in": "header",
            "description": "`Bearer`, a space, and a token.",
        },
    })
}

fn write_paths(text: &mut String, form: Form, paths: &Paths<'_>) -> fmt::Result {
    let paths = paths.paths.iter();
    object(
        text,
        paths.map(|path| (path.url.as_str(), render::path(form, path))),
    )
}

/// A JSON object whose members are made one by one.
fn object<N: Into<String>>(
    text: &mut String,
    members: impl Iterator<Item = (N, Value)>,
) -> fmt::Result {
    text.write_char('{')?;
    for (place, (name, value)) in members.enumerate() {
        if place > 0 {
            text.write_char(',')?;
        }
        write!(text, "{}:{value}", Value::String(name.into()))?;
    }
    text.write_char('}')
}
