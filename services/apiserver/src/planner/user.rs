//! Who asks.
//!
//! Sources: the pages on authentication ("Users in Kubernetes") and on service accounts.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The name of who shows no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all who show none.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of all who show some.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Its members may do everything: authorization does not look at roles for them.
pub const MASTERS: &str = "system:masters";
/// The group of all kubelets.
pub const NODES: &str = "system:nodes";
/// The group of all service accounts; `:NAMESPACE` behind it, that of a namespace's.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Who asks, as authentication found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Unique among those who ask.
    pub name: String,
    /// Unique over time, too; empty where nobody says.
    pub uid: String,
    /// In the order in which they were said.
    pub groups: Vec<String>,
    /// What else was said, for those who decide by it.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Who shows no credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// A service account, without the group of all who show credentials.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: service_account_name(namespace, name),
            uid: uid.to_owned(),
            groups: service_account_groups(namespace).into(),
            extra: BTreeMap::new(),
        }
    }

    /// Whether it is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    /// The same in the group of all who show credentials, unless it is said already that it is or is not.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        let said = self.is_in(AUTHENTICATED) || self.is_in(UNAUTHENTICATED);
        if !said && self.name != ANONYMOUS {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    /// As reviews tell it (`authentication.k8s.io/v1` `UserInfo`): what is empty is left out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        for (name, text) in [("username", &self.name), ("uid", &self.uid)] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !self.groups.is_empty() {
            fields.insert("groups".to_owned(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            fields.insert("extra".to_owned(), json!(self.extra));
        }
        fields.into()
    }
}

/// The name of a service account as a user.
#[must_use]
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT}{namespace}:{name}")
}

/// The groups that a service account is in: of all, and of its namespace's.
#[must_use]
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    let of_namespace = format!("{SERVICE_ACCOUNTS}:{namespace}");
    [SERVICE_ACCOUNTS.to_owned(), of_namespace]
}

/// Namespace and name of the service account that a user is; None: it is none.
#[must_use]
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    let known = objects::names::dns1123_label(namespace).is_empty()
        && objects::names::dns1123_subdomain(name).is_empty();
    known.then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_users() {
        let user = User::service_account("a", "b", "u").authenticated();
        assert_eq!(user.name, "system:serviceaccount:a:b");
        let groups = [
            "system:serviceaccounts",
            "system:serviceaccounts:a",
            "system:authenticated",
        ];
        assert_eq!(user.groups, groups);
        let check = |user: &str, expect| assert_eq!(split_service_account(user), expect, "{user}");
        check("system:serviceaccount:a:b.c", Some(("a", "b.c")));
        check("system:serviceaccount:a:b:c", None);
        check("system:serviceaccount:a:", None);
        check("system:serviceaccount:a", None);
        check("jane", None);
    }

    #[test]
    fn all_with_credentials_are_in_one_group() {
        let check = |groups: &[&str], expect: &[&str]| {
            let user = User {
                name: "jane".to_owned(),
                groups: groups.iter().map(ToString::to_string).collect(),
                ..User::default()
            };
            assert_eq!(user.authenticated().groups, expect);
        };
        check(&[], &[AUTHENTICATED]);
        check(&["a"], &["a", AUTHENTICATED]);
        check(&[AUTHENTICATED, "a"], &[AUTHENTICATED, "a"]);
        check(&[UNAUTHENTICATED], &[UNAUTHENTICATED]);
        assert_eq!(User::anonymous().authenticated(), User::anonymous());
        assert_eq!(
            User::anonymous().to_value(),
            json!({"username": ANONYMOUS, "groups": [UNAUTHENTICATED]})
        );
    }
}
