//! Parameters of requests: the segments of paths that are names, and what a query may say.

/// A parameter of a request.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// Of OpenAPI.
    pub(super) kind: &'static str,
    pub(super) description: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

const fn query(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        kind,
        description,
    }
}

const fn path(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Path,
        kind: "string",
        description,
    }
}

pub(super) static NAME: Parameter = path("name", "Name of the object.");
pub(super) static NAMESPACE: Parameter = path("namespace", "Namespace that the objects are in.");
pub(super) static PRETTY: Parameter = query(
    "pretty",
    "string",
    "`true`: the answer is written for people, with indentation.",
);
static BOOKMARKS: Parameter = query(
    "allowWatchBookmarks",
    "boolean",
    "A watch also takes events of type BOOKMARK, which carry nothing but the resourceVersion up to which it has come. When \
     they are sent is up to the server.",
);
static CONTINUE: Parameter = query(
    "continue",
    "string",
    "The `continue` of a list that ended at its `limit`; the answer is the next part of the same list, as it was at the same \
     resourceVersion. All other parameters must be those of the first request. Once the server no longer has that state, it \
     answers 410 with a token that goes on in the present state.",
);
static DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "`All`: the request is carried out up to the point of storing anything, and answered as if it had been.",
);
static FIELD_MANAGER: Parameter = query(
    "fieldManager",
    "string",
    "Name of the one who makes the change, for `metadata.managedFields`; at most 128 printable characters.",
);
static FIELD_SELECTOR: Parameter = query(
    "fieldSelector",
    "string",
    "Only objects whose fields are so, such as `metadata.name=a`; which fields it may name depends on the resource.",
);
static FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "What becomes of unknown and repeated fields in the body. `Ignore`: they are dropped in silence. `Warn`: they are dropped, \
     and the answer warns of each. `Strict`: the request is refused. Without it: `Warn`.",
);
static FORCE: Parameter = query(
    "force",
    "boolean",
    "An apply patch takes over fields that another manager owns. Not for other patches.",
);
static GRACE: Parameter = query(
    "gracePeriodSeconds",
    "integer",
    "Seconds that the object has to end; 0: none. Without it, the object's own.",
);
static LABEL_SELECTOR: Parameter = query(
    "labelSelector",
    "string",
    "Only objects whose labels are so, such as `app=web,tier!=test`.",
);
static LIMIT: Parameter = query(
    "limit",
    "integer",
    "At most so many objects in one answer. If there are more, `metadata.continue` of the answer asks for the next. Not for \
     watches.",
);
static ORPHAN: Parameter = query(
    "orphanDependents",
    "boolean",
    "Old form of `propagationPolicy`: true is `Orphan`. Not together with it.",
);
static PROPAGATION: Parameter = query(
    "propagationPolicy",
    "string",
    "What becomes of the objects that the deleted one owns. `Orphan`: they stay, without an owner. `Background`: they are \
     deleted afterwards. `Foreground`: they are deleted first, and the owner is seen until they are gone. Without it, it \
     depends on the resource and on the object's finalizers.",
);
static RESOURCE_VERSION: Parameter = query(
    "resourceVersion",
    "string",
    "Which state is asked for: without it the latest, `0` whatever the server has at hand, and a resourceVersion according to \
     `resourceVersionMatch`. A watch begins behind it.",
);
static RESOURCE_VERSION_MATCH: Parameter = query(
    "resourceVersionMatch",
    "string",
    "How `resourceVersion` is meant: `Exact` or `NotOlderThan`.",
);
static SEND_INITIAL_EVENTS: Parameter = query(
    "sendInitialEvents",
    "boolean",
    "A watch begins with an ADDED event for each object that is there, followed by a bookmark with the annotation \
     `k8s.io/initial-events-end`. Needs `resourceVersionMatch=NotOlderThan`.",
);
static TIMEOUT: Parameter = query(
    "timeoutSeconds",
    "integer",
    "Seconds after which a list or a watch ends, whatever happens.",
);
static WATCH: Parameter = query(
    "watch",
    "boolean",
    "Changes of the objects as they happen, one event a line, in place of a list.",
);

/// Of requests for lists, and of watches.
pub(super) static LIST: [&Parameter; 10] = [
    &BOOKMARKS,
    &CONTINUE,
    &FIELD_SELECTOR,
    &LABEL_SELECTOR,
    &LIMIT,
    &RESOURCE_VERSION,
    &RESOURCE_VERSION_MATCH,
    &SEND_INITIAL_EVENTS,
    &TIMEOUT,
    &WATCH,
];

/// Of requests that create or replace an object.
pub(super) static WRITE: [&Parameter; 3] = [&DRY_RUN, &FIELD_MANAGER, &FIELD_VALIDATION];

/// Of patches.
pub(super) static PATCH: [&Parameter; 4] = [&DRY_RUN, &FIELD_MANAGER, &FIELD_VALIDATION, &FORCE];

/// Of requests that delete an object.
pub(super) static DELETE: [&Parameter; 4] = [&DRY_RUN, &GRACE, &ORPHAN, &PROPAGATION];

/// Of requests that delete many.
pub(super) static DELETE_COLLECTION: [&Parameter; 12] = [
    &CONTINUE,
    &DRY_RUN,
    &FIELD_SELECTOR,
    &GRACE,
    &LABEL_SELECTOR,
    &LIMIT,
    &ORPHAN,
    &PROPAGATION,
    &RESOURCE_VERSION,
    &RESOURCE_VERSION_MATCH,
    &SEND_INITIAL_EVENTS,
    &TIMEOUT,
];

/// All, by name.
pub(super) static ALL: [&Parameter; 20] = [
    &BOOKMARKS,
    &CONTINUE,
    &DRY_RUN,
    &FIELD_MANAGER,
    &FIELD_SELECTOR,
    &FIELD_VALIDATION,
    &FORCE,
    &GRACE,
    &LABEL_SELECTOR,
    &LIMIT,
    &NAME,
    &NAMESPACE,
    &ORPHAN,
    &PRETTY,
    &PROPAGATION,
    &RESOURCE_VERSION,
    &RESOURCE_VERSION_MATCH,
    &SEND_INITIAL_EVENTS,
    &TIMEOUT,
    &WATCH,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_among_all() {
        let lists: [&[&Parameter]; 6] = [
            &LIST,
            &WRITE,
            &PATCH,
            &DELETE,
            &DELETE_COLLECTION,
            &[&NAME, &NAMESPACE, &PRETTY],
        ];
        for parameter in lists.into_iter().flatten() {
            let known = ALL.iter().any(|known| known.name == parameter.name);
            assert!(known, "{}", parameter.name);
        }
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    }
}
