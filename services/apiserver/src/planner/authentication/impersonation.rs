//! Who wants to be taken for somebody else.
//!
//! Source: the page on user impersonation.

use crate::planner::{
    authorization::{Action, Attributes},
    user::{
        ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, service_account_groups,
        split_service_account,
    },
};
use objects::status::Status;

/// Groups and extra values together. Each is a decision; a header has no more.
pub const VALUES_MAX: usize = 256;

const PREFIX: &str = "impersonate-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Somebody whom a request wants to be taken for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impersonation {
    /// As headers say.
    said: User,
}

/// Reads the headers, in any order; names in any case. None: nobody is to be impersonated.
///
/// # Errors
/// The answer to the client: they do not make a user.
pub fn read<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Option<Impersonation>, Status> {
    let mut said = User::default();
    let mut values = 0;
    for (name, value) in headers {
        let Some(what) = strip_prefix(name) else {
            continue;
        };
        let value = std::str::from_utf8(value)
            .map_err(|_| Status::bad_request(format!("the header {name} is not UTF-8")))?;
        values += 1;
        if values > VALUES_MAX {
            return Err(Status::bad_request(format!(
                "more than {VALUES_MAX} headers that impersonate"
            )));
        }
        match what.as_str() {
            "user" => value.clone_into(&mut said.name),
            "uid" => value.clone_into(&mut said.uid),
            "group" => said.groups.push(value.to_owned()),
            _ => {
                // Names of headers are in any case, and have few characters: others are written as a URL's.
                if let Some(key) = what.strip_prefix("extra-").filter(|key| !key.is_empty()) {
                    let values = said.extra.entry(unescaped(key)).or_default();
                    values.push(value.to_owned());
                }
            }
        }
    }
    if said == User::default() {
        return Ok(None);
    }
    if said.name.is_empty() {
        return Err(Status::bad_request(
            "groups, a UID or extra fields are to be impersonated without a user: say Impersonate-User",
        ));
    }
    Ok(Some(Impersonation { said }))
}

fn strip_prefix(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_at_checked(PREFIX.len())?;
    prefix
        .eq_ignore_ascii_case(PREFIX)
        .then(|| rest.to_ascii_lowercase())
}

fn unescaped(key: &str) -> String {
    let plus = key.replace('+', "%2B");
    let text = format!("={plus}");
    let pair = url::form_urlencoded::parse(text.as_bytes()).next();
    pair.map_or_else(|| key.to_owned(), |(_, key)| key.into_owned())
}

impl Impersonation {
    /// What `by` must be allowed to do, all of it.
    #[must_use]
    pub fn required<'a>(&'a self, by: &'a User) -> Vec<Attributes<'a>> {
        let said = &self.said;
        let on = |group, resource, subresource, name, namespace| Attributes {
            user: by,
            action: Action::Resource {
                verb: "impersonate",
                group,
                resource,
                subresource,
                name,
                namespace,
            },
        };
        let mut required = vec![match split_service_account(&said.name) {
            Some((namespace, name)) => on("", "serviceaccounts", "", name, namespace),
            None => on("", "users", "", &said.name, ""),
        }];
        let groups = said.groups.iter();
        required.extend(groups.map(|group| on("", "groups", "", group, "")));
        for (key, values) in &said.extra {
            let values = values.iter();
            required.extend(values.map(|value| on(AUTHENTICATION, "userextras", key, value, "")));
        }
        if !said.uid.is_empty() {
            required.push(on(AUTHENTICATION, "uids", "", &said.uid, ""));
        }
        required
    }

    /// The user that the request is from then on.
    #[must_use]
    pub fn user(self) -> User {
        let mut user = self.said;
        if user.groups.is_empty()
            && let Some((namespace, _)) = split_service_account(&user.name)
        {
            user.groups = service_account_groups(namespace).into();
        }
        if user.name == ANONYMOUS {
            if !user.is_in(UNAUTHENTICATED) {
                user.groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impersonation(headers: &[(&str, &str)]) -> Result<Option<Impersonation>, Status> {
        read(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
        )
    }

    /// What is required, and the user's groups.
    #[track_caller]
    fn check(headers: &[(&str, &str)], required: &[&str], groups: &[&str]) {
        let by = User {
            name: "x".to_owned(),
            ..User::default()
        };
        let read = impersonation(headers).expect("good").expect("somebody");
        let told: Vec<String> = read
            .required(&by)
            .iter()
            .map(|attributes| attributes.forbidden("").message)
            .collect();
        let expect: Vec<String> = required
            .iter()
            .map(|text| format!("{text} at the cluster scope"))
            .collect();
        assert_eq!(told, expect);
        assert_eq!(read.user().groups, groups);
    }

    #[test]
    fn users() {
        check(
            &[("Impersonate-User", "jane"), ("Accept", "x")],
            &[
                r#"users "jane" is forbidden: User "x" cannot impersonate resource "users" in API group """#,
            ],
            &[AUTHENTICATED],
        );
        check(
            &[
                ("impersonate-uid", "u"),
                ("impersonate-group", "a"),
                ("impersonate-group", "b"),
                ("impersonate-extra-Acme.com%2fScope", "s"),
                ("impersonate-user", "jane"),
            ],
            &[
                r#"users "jane" is forbidden: User "x" cannot impersonate resource "users" in API group """#,
                r#"groups "a" is forbidden: User "x" cannot impersonate resource "groups" in API group """#,
                r#"groups "b" is forbidden: User "x" cannot impersonate resource "groups" in API group """#,
                r#"userextras.authentication.k8s.io "s" is forbidden: User "x" cannot impersonate resource "userextras/acme.com/scope" in API group "authentication.k8s.io""#,
                r#"uids.authentication.k8s.io "u" is forbidden: User "x" cannot impersonate resource "uids" in API group "authentication.k8s.io""#,
            ],
            &["a", "b", AUTHENTICATED],
        );
        check(
            &[("impersonate-user", ANONYMOUS)],
            &[
                r#"users "system:anonymous" is forbidden: User "x" cannot impersonate resource "users" in API group """#,
            ],
            &[UNAUTHENTICATED],
        );
    }

    #[test]
    fn service_accounts() {
        let read = impersonation(&[("impersonate-user", "system:serviceaccount:n:s")]);
        let read = read.expect("good").expect("somebody");
        let by = User::anonymous();
        let [required] = read.required(&by)[..] else {
            panic!("one");
        };
        assert_eq!(
            required.to_string(),
            r#"User "system:anonymous" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "n""#
        );
        let groups = read.user().groups;
        assert_eq!(
            groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:n",
                AUTHENTICATED
            ]
        );
    }

    #[test]
    fn what_makes_no_user() {
        assert_eq!(impersonation(&[("accept", "x")]), Ok(None));
        let code = |headers: &[(&str, &str)]| impersonation(headers).map_err(|status| status.code);
        assert_eq!(code(&[("impersonate-group", "a")]), Err(400));
        assert_eq!(code(&[("impersonate-extra-a", "a")]), Err(400));
        let many = vec![("impersonate-group", "a"); VALUES_MAX + 1];
        assert_eq!(code(&many), Err(400));
        assert_eq!(
            read([("impersonate-user", &b"\xff"[..])].into_iter()).map_err(|status| status.code),
            Err(400)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_headers_are_read(name in "impersonate-\\PC{0,30}", value: Vec<u8>) {
            let _ = read([(name.as_str(), value.as_slice())].into_iter());
        }
    }
}
