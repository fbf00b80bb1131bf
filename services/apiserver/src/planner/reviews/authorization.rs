//! May they, may I, what may I (`authorization.k8s.io/v1`).

use super::{check_metadata, text, texts, with_status};
use crate::planner::{
    authorization::{Action, Attributes, Decision, Rules},
    user::User,
};
use objects::{
    field::{ErrorList, FieldError, Path},
    metadata::Metadata,
    status::{Qualified, Status},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review<'a> {
    /// `SubjectAccessReview`: may somebody?
    Subject,
    /// `LocalSubjectAccessReview`: may somebody in this namespace?
    Local(&'a str),
    /// `SelfSubjectAccessReview`: may I, who am this?
    Own(&'a User),
}

/// May this user do this?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    user: User,
    asked: Asked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Resource {
        verb: String,
        group: String,
        resource: String,
        subresource: String,
        name: String,
        namespace: String,
    },
    Path {
        verb: String,
        path: String,
    },
}

impl Question {
    /// Reads and checks a review.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn read(review: &Value, kind: Review<'_>) -> Result<Self, Status> {
        let spec = review.get("spec").unwrap_or(&Value::Null);
        let set = |name: &str| spec.get(name).filter(|value| !value.is_null());
        let (resource, path) = (set("resourceAttributes"), set("nonResourceAttributes"));
        check(review, spec, kind)?;
        let asked = match (resource, path) {
            (Some(asked), _) => {
                let text = |name| text(asked, name).to_owned();
                Asked::Resource {
                    verb: text("verb"),
                    group: text("group"),
                    resource: text("resource"),
                    subresource: text("subresource"),
                    name: text("name"),
                    namespace: text("namespace"),
                }
            }
            (None, asked) => {
                let asked = asked.unwrap_or(&Value::Null);
                Asked::Path {
                    verb: text(asked, "verb").to_owned(),
                    path: text(asked, "path").to_owned(),
                }
            }
        };
        let user = match kind {
            Review::Own(user) => user.clone(),
            Review::Subject | Review::Local(_) => User {
                name: text(spec, "user").to_owned(),
                uid: text(spec, "uid").to_owned(),
                groups: texts(spec.get("groups")),
                extra: extra(spec),
            },
        };
        Ok(Self { user, asked })
    }

    /// What is to be decided.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        let action = match &self.asked {
            Asked::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                namespace,
            } => Action::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                namespace,
            },
            Asked::Path { verb, path } => Action::Path { verb, path },
        };
        Attributes {
            user: &self.user,
            action,
        }
    }
}

fn extra(spec: &Value) -> BTreeMap<String, Vec<String>> {
    let extra = spec.get("extra").and_then(Value::as_object);
    let extra = extra.into_iter().flatten();
    extra
        .map(|(key, values)| (key.to_ascii_lowercase(), texts(Some(values))))
        .collect()
}

fn check(review: &Value, spec: &Value, kind: Review<'_>) -> Result<(), Status> {
    let namespace = Metadata::of(review).namespace();
    if let Review::Local(path) = kind
        && namespace != path
        && !namespace.is_empty()
    {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let set = |name: &str| spec.get(name).filter(|value| !value.is_null());
    let mut errors = ErrorList::default();
    let root = Path::new("spec");
    let resource = root.child("resourceAttributes");
    match (set("resourceAttributes"), set("nonResourceAttributes")) {
        (Some(_), Some(path)) => errors.push(FieldError::invalid(
            &root.child("nonResourceAttributes"),
            path.clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (None, None) => errors.push(FieldError::invalid(
            &resource,
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    if !matches!(kind, Review::Own(_))
        && text(spec, "user").is_empty()
        && texts(spec.get("groups")).is_empty()
    {
        errors.push(FieldError::invalid(
            &root.child("user"),
            "",
            "at least one of user or group must be specified",
        ));
    }
    if let Review::Local(path) = kind {
        if let Some(asked) = set("resourceAttributes") {
            let found = text(asked, "namespace");
            if found != path {
                let why = "must match metadata.namespace";
                errors.push(FieldError::invalid(
                    &resource.child("namespace"),
                    found,
                    why,
                ));
            }
        }
        if let Some(asked) = set("nonResourceAttributes") {
            errors.push(FieldError::invalid(
                &root.child("nonResourceAttributes"),
                asked.clone(),
                "disallowed on this kind of request",
            ));
        }
    }
    check_metadata(review, matches!(kind, Review::Local(_)), &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    let name = match kind {
        Review::Subject => "SubjectAccessReview",
        Review::Local(_) => "LocalSubjectAccessReview",
        Review::Own(_) => "SelfSubjectAccessReview",
    };
    let kind = Qualified::new("authorization.k8s.io", name);
    Err(Status::invalid(kind, "", &errors))
}

/// The review with its answer.
#[must_use]
pub fn answer(review: Value, decision: &Decision) -> Value {
    let mut status = Map::new();
    status.insert("allowed".to_owned(), decision.is_allowed().into());
    let reason = decision.reason();
    if !reason.is_empty() {
        status.insert("reason".to_owned(), reason.into());
    }
    with_status(review, status)
}

/// The namespace that a `SelfSubjectRulesReview` asks about.
///
/// # Errors
/// The answer to the client: there is none.
pub fn rules_namespace(review: &Value) -> Result<&str, Status> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    match text(spec, "namespace") {
        "" => Err(Status::bad_request("no namespace on request")),
        namespace => Ok(namespace),
    }
}

/// A `SelfSubjectRulesReview` with its answer.
#[must_use]
pub fn rules_review(review: Value, rules: &Rules) -> Value {
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    for rule in &rules.rules {
        if !rule.resources.is_empty() {
            let mut told = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                told["resourceNames"] = json!(rule.resource_names);
            }
            resources.push(told);
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    let mut status = Map::new();
    status.insert("resourceRules".to_owned(), resources.into());
    status.insert("nonResourceRules".to_owned(), paths.into());
    // All that roles say is there; roles that are bound and missing say nothing.
    status.insert("incomplete".to_owned(), false.into());
    if !rules.errors.is_empty() {
        status.insert("evaluationError".to_owned(), rules.errors.join(", ").into());
    }
    with_status(review, status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::authorization::Rule;

    fn jane() -> User {
        User {
            name: "jane".to_owned(),
            ..User::default()
        }
    }

    #[track_caller]
    fn check(review: Value, kind: Review<'_>, expect: &str) {
        let told = match Question::read(&review, kind) {
            Ok(question) => question.attributes().to_string(),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        assert_eq!(told, expect);
    }

    #[test]
    fn questions() {
        let pods = json!({"verb": "list", "resource": "pods", "namespace": "n"});
        check(
            json!({"spec": {"user": "joe", "resourceAttributes": pods}}),
            Review::Subject,
            r#"User "joe" cannot list resource "pods" in API group "" in the namespace "n""#,
        );
        check(
            json!({"metadata": {"creationTimestamp": null}, "spec": {"resourceAttributes": pods}}),
            Review::Own(&jane()),
            r#"User "jane" cannot list resource "pods" in API group "" in the namespace "n""#,
        );
        check(
            json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/a"}}}),
            Review::Own(&jane()),
            r#"User "jane" cannot get path "/a""#,
        );
        check(
            json!({"metadata": {"namespace": "n"}, "spec": {"groups": ["g"], "resourceAttributes": pods}}),
            Review::Local("n"),
            r#"User "" cannot list resource "pods" in API group "" in the namespace "n""#,
        );
    }

    #[test]
    fn what_is_no_question() {
        let pods = json!({"verb": "list", "resource": "pods", "namespace": "n"});
        let invalid = |kind: &str, why: &str| {
            format!("422 {kind}.authorization.k8s.io \"\" is invalid: {why}")
        };
        check(
            json!({"spec": {"user": "joe"}}),
            Review::Subject,
            &invalid(
                "SubjectAccessReview",
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
        );
        check(
            json!({"spec": {"resourceAttributes": pods}}),
            Review::Subject,
            &invalid(
                "SubjectAccessReview",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
        );
        check(
            json!({"metadata": {"name": "x"}, "spec": {"resourceAttributes": pods}}),
            Review::Own(&jane()),
            &invalid(
                "SelfSubjectAccessReview",
                "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
            ),
        );
        check(
            json!({"spec": {"user": "joe", "resourceAttributes": pods}}),
            Review::Local("m"),
            &invalid(
                "LocalSubjectAccessReview",
                "spec.resourceAttributes.namespace: Invalid value: \"n\": must match metadata.namespace",
            ),
        );
        check(
            json!({"spec": {"user": "joe", "nonResourceAttributes": {"path": "/"}}}),
            Review::Local("m"),
            &invalid(
                "LocalSubjectAccessReview",
                "spec.nonResourceAttributes: Invalid value: {\"path\":\"/\"}: disallowed on this kind of request",
            ),
        );
        check(
            json!({"metadata": {"namespace": "n"}}),
            Review::Local("m"),
            "400 the namespace of the provided object does not match the namespace sent on the request",
        );
    }

    #[test]
    fn answers() {
        let review = json!({"kind": "SubjectAccessReview"});
        let decision = Decision::NoOpinion {
            reason: String::new(),
        };
        assert_eq!(
            answer(review.clone(), &decision),
            json!({"kind": "SubjectAccessReview", "status": {"allowed": false}})
        );
        let decision = Decision::NoOpinion {
            reason: "RBAC: why".to_owned(),
        };
        assert_eq!(
            answer(review, &decision)["status"],
            json!({"allowed": false, "reason": "RBAC: why"})
        );
    }

    #[test]
    fn rules() {
        let rule: Rule = serde_json::from_value(
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
        )
        .expect("a rule");
        let path: Rule =
            serde_json::from_value(json!({"verbs": ["get"], "nonResourceURLs": ["/"]}))
                .expect("a rule");
        let rules = Rules {
            rules: vec![rule, path],
            errors: vec!["x".to_owned()],
        };
        let review = json!({"spec": {"namespace": "n"}});
        assert_eq!(rules_namespace(&review), Ok("n"));
        assert_eq!(
            rules_review(review, &rules)["status"],
            json!({
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/"]}],
                "incomplete": false,
                "evaluationError": "x",
            })
        );
        let empty = rules_review(json!({}), &Rules::default());
        assert_eq!(
            empty["status"],
            json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false})
        );
        assert_eq!(
            rules_namespace(&json!({})).map_err(|status| status.code),
            Err(400)
        );
    }
}
