//! Paths and what can be done at each, before they are written in either version of OpenAPI.

use super::{
    names::{self, OperationName},
    parameter::{self, Parameter},
};
use crate::{
    discovery::group_version,
    entry::{Entry, Subresource},
    resources::Kind,
    verb::Verb,
};
use objects::{
    openapi::Definitions,
    schema::{Schemas, TypeId},
};

/// One URL.
#[derive(Debug)]
pub(super) struct Path<'a> {
    pub(super) url: String,
    /// Of all operations.
    pub(super) parameters: Vec<&'static Parameter>,
    pub(super) operations: Vec<Operation<'a>>,
}

/// What can be done at an URL by one method.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: String,
    /// `x-kubernetes-action`, and of what kind of object; none at the documents of discovery.
    pub(super) action: Option<(&'static str, Kind<'a>)>,
    pub(super) parameters: &'static [&'static Parameter],
    pub(super) body: Option<Body>,
    pub(super) produces: &'static [&'static str],
    /// Type of the answer, where one has a name.
    pub(super) answer: Option<String>,
    /// With which codes the answer comes.
    pub(super) codes: &'static [Code],
}

/// A body of a request.
#[derive(Debug)]
pub(super) struct Body {
    /// Its type, where one has a name.
    pub(super) type_name: Option<String>,
    pub(super) consumes: &'static [&'static str],
    pub(super) required: bool,
}

/// A code of HTTP, and what it says.
pub(super) type Code = (u16, &'static str);

const OK: Code = (200, "OK");
const CREATED: Code = (201, "Created");
const ACCEPTED: Code = (202, "Accepted");

/// What the server writes. Protobuf joins these lists when it is served.
const PRODUCES: &[&str] = &["application/json", "application/yaml"];
/// The same of lists, which may be watches.
const PRODUCES_WATCH: &[&str] = &[
    "application/json",
    "application/json;stream=watch",
    "application/yaml",
];
/// What the server reads, but for patches.
const CONSUMES: &[&str] = &["*/*"];
/// Patches of built-in types. `kubectl apply` makes a strategic merge patch only where it finds that form here.
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
/// Patches of custom resources.
const PATCHES_CUSTOM: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
];

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Collects the paths of a document, and the types that they need.
#[derive(Debug)]
pub(super) struct Paths<'a> {
    pub(super) paths: Vec<Path<'a>>,
    pub(super) definitions: Definitions<'a>,
}

impl<'a> Paths<'a> {
    pub(super) const fn new(definitions: Definitions<'a>) -> Self {
        Self {
            paths: Vec::new(),
            definitions,
        }
    }

    /// A document of discovery, or another that is only read.
    pub(super) fn document(&mut self, url: String, id: String, tag: String, type_name: &str) {
        let answer = self.builtin(type_name);
        self.paths.push(Path {
            url,
            parameters: Vec::new(),
            operations: vec![Operation {
                method: "get",
                id,
                description: "what is served here".to_owned(),
                tag,
                action: None,
                parameters: &[],
                body: None,
                produces: PRODUCES,
                answer,
                codes: &[OK],
            }],
        });
    }

    /// The list of resources of a group and version.
    pub(super) fn resource_list(&mut self, group: &str, version: &str) {
        self.document(
            format!("{}/", root(group, version)),
            format!("get{}APIResources", names::group_version(group, version)),
            names::tag(group, version),
            &format!("{META}.APIResourceList"),
        );
    }

    /// All of a resource.
    pub(super) fn entry(&mut self, entry: &Entry<'a>) {
        let Kind { group, version, .. } = entry.kind();
        let root = root(group, version);
        let plural = &entry.resource.plural;
        let (spaced, space) = match entry.resource.namespaced {
            true => (
                format!("namespaces/{{namespace}}/{plural}"),
                &[&parameter::NAMESPACE][..],
            ),
            false => (plural.to_string(), &[][..]),
        };
        let one = [&[&parameter::NAME][..], space].concat();
        let scope = Scope {
            entry,
            object: self.type_of(entry.schemas, entry.resource.type_id),
            list: self.list_of(entry),
        };

        let many = &[Verb::DeleteCollection, Verb::List, Verb::Create];
        self.add(&scope, format!("{root}/{spaced}"), space, many, None);
        let single = &[Verb::Delete, Verb::Get, Verb::Patch, Verb::Update];
        self.add(
            &scope,
            format!("{root}/{spaced}/{{name}}"),
            &one,
            single,
            None,
        );
        for part in &entry.subresources {
            let url = format!("{root}/{spaced}/{{name}}/{}", part.name);
            let all = &[Verb::Get, Verb::Patch, Verb::Create, Verb::Update];
            self.add(&scope, url, &one, all, Some(part));
        }
        let across = entry.resource.namespaced;
        if across && entry.verbs.contains(&Verb::List) {
            let id = scope.name("list", None, "ForAllNamespaces");
            let list = self.list(&scope, id);
            self.push(format!("{root}/{plural}"), &[], vec![list]);
        }
        if entry.verbs.contains(&Verb::Watch) {
            let mut add = |url: String, parameters: &[_], suffix: &str, action| {
                let watch = self.watch(&scope, scope.name("watch", None, suffix), action);
                self.push(url, parameters, vec![watch]);
            };
            add(format!("{root}/watch/{spaced}"), space, "List", "watchlist");
            add(format!("{root}/watch/{spaced}/{{name}}"), &one, "", "watch");
            if across {
                let suffix = "ListForAllNamespaces";
                add(format!("{root}/watch/{plural}"), &[], suffix, "watchlist");
            }
        }
    }

    /// Those of these verbs that the resource or its part has.
    fn add(
        &mut self,
        scope: &Scope<'_, 'a>,
        url: String,
        parameters: &[&'static Parameter],
        verbs: &[Verb],
        part: Option<&Subresource<'a>>,
    ) {
        let allowed = part.map_or(scope.entry.verbs, |part| part.verbs);
        let operations: Vec<_> = verbs
            .iter()
            .filter(|verb| allowed.contains(verb))
            .filter_map(|verb| self.operation(scope, *verb, part))
            .collect();
        if !operations.is_empty() {
            self.push(url, parameters, operations);
        }
    }

    fn push(
        &mut self,
        url: String,
        parameters: &[&'static Parameter],
        operations: Vec<Operation<'a>>,
    ) {
        self.paths.push(Path {
            url,
            parameters: [parameters, &[&parameter::PRETTY]].concat(),
            operations,
        });
    }

    fn operation(
        &mut self,
        scope: &Scope<'_, 'a>,
        verb: Verb,
        part: Option<&Subresource<'a>>,
    ) -> Option<Operation<'a>> {
        let entry = scope.entry;
        let own = entry.kind();
        let kind = part.map_or(own, |part| part.kind);
        let object = match part {
            Some(part) if part.kind != own => self.type_of_kind(entry.schemas, part.kind),
            _ => scope.object.clone(),
        };
        let body = |type_name, consumes, required| {
            Some(Body {
                type_name,
                consumes,
                required,
            })
        };
        let name = |verb| scope.name(verb, part, "");
        let of = part.map_or(String::new(), |part| format!("{} of ", part.name));
        let (method, action, id, says, parameters, body, codes): (_, _, _, _, &[_], _, &[_]) =
            match verb {
                Verb::Get => ("get", "get", name("read"), "read", &[], None, &[OK]),
                Verb::Create => {
                    let body = body(object.clone(), CONSUMES, true);
                    let codes = &[OK, CREATED, ACCEPTED];
                    (
                        "post",
                        "post",
                        name("create"),
                        "create",
                        &parameter::WRITE,
                        body,
                        codes,
                    )
                }
                Verb::Update => {
                    let body = body(object.clone(), CONSUMES, true);
                    let id = name("replace");
                    (
                        "put",
                        "put",
                        id,
                        "replace",
                        &parameter::WRITE,
                        body,
                        &[OK, CREATED],
                    )
                }
                Verb::Patch => {
                    let forms = match entry.strategic_merge {
                        true => PATCHES,
                        false => PATCHES_CUSTOM,
                    };
                    let body = body(self.meta("Patch"), forms, true);
                    let id = name("patch");
                    (
                        "patch",
                        "patch",
                        id,
                        "change",
                        &parameter::PATCH,
                        body,
                        &[OK, CREATED],
                    )
                }
                Verb::Delete => {
                    let body = body(self.meta("DeleteOptions"), CONSUMES, false);
                    let id = name("delete");
                    (
                        "delete",
                        "delete",
                        id,
                        "delete",
                        &parameter::DELETE,
                        body,
                        &[OK, ACCEPTED],
                    )
                }
                Verb::DeleteCollection => {
                    let body = body(self.meta("DeleteOptions"), CONSUMES, false);
                    let id = scope.collection_name();
                    let parameters = &parameter::DELETE_COLLECTION;
                    (
                        "delete",
                        "deletecollection",
                        id,
                        "delete many of",
                        parameters,
                        body,
                        &[OK],
                    )
                }
                Verb::List => return Some(self.list(scope, scope.name("list", None, ""))),
                Verb::Watch => return None,
            };
        let answer = match verb {
            Verb::Delete | Verb::DeleteCollection => self.meta("Status"),
            _ => object,
        };
        Some(Operation {
            method,
            id,
            description: format!("{says} {of}{}", own.kind),
            tag: names::tag(own.group, own.version),
            action: Some((action, kind)),
            parameters,
            body,
            produces: PRODUCES,
            answer,
            codes,
        })
    }

    fn list(&mut self, scope: &Scope<'_, 'a>, id: String) -> Operation<'a> {
        let kind = scope.entry.kind();
        Operation {
            method: "get",
            id,
            description: format!("list or watch objects of kind {}", kind.kind),
            tag: names::tag(kind.group, kind.version),
            action: Some(("list", kind)),
            parameters: &parameter::LIST,
            body: None,
            produces: PRODUCES_WATCH,
            answer: scope.list.clone(),
            codes: &[OK],
        }
    }

    /// The old form of a watch.
    fn watch(&mut self, scope: &Scope<'_, 'a>, id: String, action: &'static str) -> Operation<'a> {
        let kind = scope.entry.kind();
        Operation {
            description: format!(
                "watch objects of kind {}; deprecated: use the `watch` parameter of a list",
                kind.kind
            ),
            action: Some((action, kind)),
            answer: self.meta("WatchEvent"),
            ..self.list(scope, id)
        }
    }

    /// The name of a type, which the document then has.
    fn type_of(&mut self, schemas: &'a Schemas, id: TypeId) -> Option<String> {
        self.definitions.add(schemas, id);
        schemas.get(id).map(|named| named.name.to_string())
    }

    fn type_of_kind(&mut self, schemas: &'a Schemas, kind: Kind<'_>) -> Option<String> {
        // A custom resource's scale is a built-in type.
        [schemas, Schemas::builtin()].into_iter().find_map(|found| {
            let id = found.find_kind(kind.group, kind.version, kind.kind)?;
            self.type_of(found, id)
        })
    }

    fn list_of(&mut self, entry: &Entry<'a>) -> Option<String> {
        let list = entry.resource.list_kind.as_deref()?;
        let kind = Kind {
            kind: list,
            ..entry.kind()
        };
        self.type_of_kind(entry.schemas, kind)
    }

    fn meta(&mut self, name: &str) -> Option<String> {
        self.builtin(&format!("{META}.{name}"))
    }

    fn builtin(&mut self, name: &str) -> Option<String> {
        let found = self.definitions.add_named(Schemas::builtin(), name);
        found.then(|| name.to_owned())
    }
}

/// A resource whose paths are being made.
struct Scope<'e, 'a> {
    entry: &'e Entry<'a>,
    /// Type of its objects.
    object: Option<String>,
    /// Type of its lists.
    list: Option<String>,
}

impl Scope<'_, '_> {
    fn name(&self, verb: &str, part: Option<&Subresource<'_>>, suffix: &str) -> String {
        OperationName {
            verb,
            kind: self.entry.kind(),
            collection: false,
            namespaced: self.entry.resource.namespaced && !suffix.ends_with("ForAllNamespaces"),
            part: part.map_or("", |part| part.name),
            suffix,
        }
        .text()
    }

    fn collection_name(&self) -> String {
        OperationName {
            verb: "delete",
            kind: self.entry.kind(),
            collection: true,
            namespaced: self.entry.resource.namespaced,
            part: "",
            suffix: "",
        }
        .text()
    }
}

/// `/api/v1`, `/apis/apps/v1`.
pub(super) fn root(group: &str, version: &str) -> String {
    let start = if group.is_empty() { "/api" } else { "/apis" };
    format!("{start}/{}", group_version(group, version))
}
