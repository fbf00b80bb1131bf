//! What is asked: who wants to do what with which.

use super::{super::user::User, Decision};
use crate::planner::route::Target;
use objects::{
    go::quote,
    status::{Qualified, Status},
};
use std::fmt;

/// Who wants to do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// What.
    pub action: Action<'a>,
}

/// What is to be done. Empty texts are what is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Something with a resource.
    Resource {
        /// `list`, `impersonate`.
        verb: &'a str,
        /// Empty for the core group.
        group: &'a str,
        /// The plural name.
        resource: &'a str,
        /// Such as `status`.
        subresource: &'a str,
        /// Of one object.
        name: &'a str,
        /// Empty: over all of them, or of what has none.
        namespace: &'a str,
    },
    /// Something with a path of its own.
    Path {
        /// The method in small letters.
        verb: &'a str,
        /// From the slash on, without the query.
        path: &'a str,
    },
}

impl<'a> Action<'a> {
    /// What a request asks for.
    #[must_use]
    pub fn of_target(target: &'a Target) -> Self {
        Self::Resource {
            verb: target.verb.as_str(),
            group: &target.group,
            resource: &target.resource,
            subresource: target.subresource.as_deref().unwrap_or_default(),
            name: target.name.as_deref().unwrap_or_default(),
            namespace: target.namespace.as_deref().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Attributes<'_> {
    /// Why not, in upstream's words: `User "x" cannot list resource "pods" in API group "" in the namespace "y"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = quote(&self.user.name);
        match self.action {
            Action::Path { verb, path } => {
                write!(f, "User {user} cannot {verb} path {}", quote(path))
            }
            Action::Resource {
                verb,
                group,
                resource,
                subresource,
                namespace,
                ..
            } => {
                let resource = match subresource {
                    "" => quote(resource),
                    part => quote(&format!("{resource}/{part}")),
                };
                let group = quote(group);
                write!(
                    f,
                    "User {user} cannot {verb} resource {resource} in API group {group} "
                )?;
                match namespace {
                    "" => f.write_str("at the cluster scope"),
                    namespace => write!(f, "in the namespace {}", quote(namespace)),
                }
            }
        }
    }
}

impl Attributes<'_> {
    /// The answer to who may not.
    #[must_use]
    pub fn forbidden(&self, reason: &str) -> Status {
        let why = match reason {
            "" => self.to_string(),
            reason => format!("{self}: {reason}"),
        };
        match self.action {
            Action::Path { .. } => Status::forbidden_path(&why),
            Action::Resource {
                group,
                resource,
                name,
                ..
            } => Status::forbidden(Qualified::new(group, resource), name, &why),
        }
    }

    /// What a decision means for the request.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn require(&self, decision: Decision) -> Result<(), Status> {
        match decision {
            Decision::Allowed(_) => Ok(()),
            Decision::NoOpinion { reason } => Err(self.forbidden(&reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::route::{Method, Route, route};

    #[test]
    fn who_may_not_is_told_as_upstream_tells() {
        let user = User {
            name: "x".to_owned(),
            ..User::default()
        };
        let check = |path: &str, expect: &str| {
            let routed = route(Method::Get, path, false);
            let action = match &routed {
                Route::Resource(target) => Action::of_target(target),
                Route::Other => Action::Path { verb: "get", path },
            };
            let attributes = Attributes {
                user: &user,
                action,
            };
            let status = attributes.forbidden("");
            assert_eq!((status.code, status.message.as_str()), (403, expect));
        };
        check(
            "/api/v1/namespaces/y/pods",
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y""#,
        );
        check(
            "/apis/apps/v1/namespaces/y/deployments/z/scale",
            r#"deployments.apps "z" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" in the namespace "y""#,
        );
        check(
            "/api/v1/nodes",
            r#"nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope"#,
        );
        check("/y", r#"forbidden: User "x" cannot get path "/y""#);
        let attributes = Attributes {
            user: &user,
            action: Action::Path {
                verb: "get",
                path: "/",
            },
        };
        let status = attributes.forbidden("RBAC: why");
        assert_eq!(
            status.message,
            r#"forbidden: User "x" cannot get path "/": RBAC: why"#
        );
    }
}
