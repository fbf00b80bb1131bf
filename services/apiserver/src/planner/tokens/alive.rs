//! Whether what a token is bound to is still there.

use super::{Binding, LEEWAY_SECONDS, Reference, TokenError, Verified};
use crate::planner::user::User;
use serde::Deserialize;

/// What is looked up for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The service account: `namespace/name`.
    pub service_account: String,
    /// The secret that it is bound to.
    pub secret: Option<String>,
    /// The pod that it is bound to.
    pub pod: Option<String>,
    /// The node that it is bound to; that of its pod does not matter.
    pub node: Option<String>,
}

impl Lookup {
    /// For a token that says this.
    #[must_use]
    pub fn of(binding: &Binding) -> Self {
        let key = |name: &str| format!("{}/{name}", binding.namespace);
        let bound = |reference: &Option<Reference>| {
            reference.as_ref().map(|reference| key(&reference.name))
        };
        let node = binding.node.as_ref().filter(|_| binding.pod.is_none());
        Self {
            service_account: key(&binding.serviceaccount.name),
            secret: bound(&binding.secret),
            pod: bound(&binding.pod),
            node: node.map(|node| node.name.clone()),
        }
    }
}

/// Of an object that was looked up, what matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Which object it is.
    pub uid: String,
    /// When it is to be gone, in seconds since 1970.
    pub deletion: Option<i64>,
}

impl Identity {
    /// Out of an object's JSON; the rest of it is skipped. None: it is no object.
    #[must_use]
    pub fn read(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            uid: String,
            #[serde(default)]
            deletion_timestamp: Option<String>,
        }
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        let Object { metadata } = serde_json::from_slice(json).ok()?;
        let deletion = metadata.deletion_timestamp;
        // What is no time is in the past: it is being deleted in any case.
        let seconds = |text: String| {
            let time = text.parse::<jiff::Timestamp>();
            time.map_or(0, jiff::Timestamp::as_second)
        };
        Some(Self {
            uid: metadata.uid,
            deletion: deletion.map(seconds),
        })
    }

    fn is_deleted(&self, now: i64) -> bool {
        let gone = now.saturating_sub(LEEWAY_SECONDS);
        self.deletion.is_some_and(|deletion| deletion < gone)
    }
}

/// What was found of a [`Lookup`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The service account.
    pub service_account: Option<Identity>,
    /// The secret.
    pub secret: Option<Identity>,
    /// The pod.
    pub pod: Option<Identity>,
    /// The node.
    pub node: Option<Identity>,
}

/// Whose a token is, if what it is bound to is there: the user, with the group of all who show credentials.
///
/// # Errors
/// [`TokenError::Invalid`].
pub fn alive(verified: &Verified, found: &Found, now: i64) -> Result<User, TokenError> {
    let claims = &verified.claims;
    let binding = &claims.kubernetes;
    let (namespace, account) = (&binding.namespace, &binding.serviceaccount);
    let Some(there) = &found.service_account else {
        return Err(TokenError::Invalid(format!(
            "serviceaccounts \"{}\" not found",
            account.name
        )));
    };
    if there.is_deleted(now) {
        return Err(TokenError::Invalid(format!(
            "service account {namespace}/{} has been deleted",
            account.name
        )));
    }
    if there.uid != account.uid {
        return Err(TokenError::Invalid(format!(
            "service account UID ({}) does not match claim ({})",
            there.uid, account.uid
        )));
    }
    let node = binding.node.as_ref().filter(|_| binding.pod.is_none());
    bound(binding.secret.as_ref(), &found.secret, "secret", now)?;
    bound(binding.pod.as_ref(), &found.pod, "pod", now)?;
    bound(node, &found.node, "node", now)?;
    let mut user = User::service_account(namespace, &account.name, &account.uid);
    if user.name != claims.sub {
        return Err(TokenError::invalid(
            "service account token subject does not match its service account",
        ));
    }
    let mut say = |what: &str, value: &str| {
        if !value.is_empty() {
            let key = format!("authentication.kubernetes.io/{what}");
            user.extra.insert(key, vec![value.to_owned()]);
        }
    };
    if !claims.jti.is_empty() {
        say("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &binding.pod {
        say("pod-name", &pod.name);
        say("pod-uid", &pod.uid);
    }
    if let Some(node) = &binding.node {
        say("node-name", &node.name);
        say("node-uid", &node.uid);
    }
    Ok(user.authenticated())
}

fn bound(
    reference: Option<&Reference>,
    found: &Option<Identity>,
    kind: &str,
    now: i64,
) -> Result<(), TokenError> {
    let Some(reference) = reference else {
        return Ok(());
    };
    let there = found
        .as_ref()
        .filter(|found| !found.is_deleted(now))
        .ok_or_else(|| TokenError::invalid("service account token has been invalidated"))?;
    if there.uid != reference.uid {
        return Err(TokenError::Invalid(format!(
            "{kind} UID ({}) does not match service account {kind} ref claim ({})",
            there.uid, reference.uid
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::Claims, *};

    const NOW: i64 = 1_800_000_000;

    fn reference(name: &str, uid: &str) -> Option<Reference> {
        Some(Reference {
            name: name.to_owned(),
            uid: uid.to_owned(),
        })
    }

    fn identity(uid: &str, deletion: Option<i64>) -> Option<Identity> {
        Some(Identity {
            uid: uid.to_owned(),
            deletion,
        })
    }

    fn token() -> Verified {
        let claims = Claims {
            sub: "system:serviceaccount:n:s".to_owned(),
            jti: "j".to_owned(),
            kubernetes: Binding {
                namespace: "n".to_owned(),
                serviceaccount: reference("s", "u").expect("one"),
                ..Binding::default()
            },
            ..Claims::default()
        };
        Verified {
            claims,
            audiences: Vec::new(),
        }
    }

    #[track_caller]
    fn check(token: &Verified, found: &Found, expect: &str) {
        let told = match alive(token, found, NOW) {
            Ok(user) => user.name,
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expect);
    }

    const USER: &str = "system:serviceaccount:n:s";

    #[test]
    fn a_service_account() {
        let mut found = Found::default();
        check(&token(), &found, "serviceaccounts \"s\" not found");
        found.service_account = identity("u", None);
        check(&token(), &found, USER);
        found.service_account = identity("v", None);
        check(
            &token(),
            &found,
            "service account UID (v) does not match claim (u)",
        );
        found.service_account = identity("u", Some(NOW - 60));
        check(&token(), &found, USER);
        found.service_account = identity("u", Some(NOW - 61));
        check(&token(), &found, "service account n/s has been deleted");
        let mut other = token();
        other.claims.sub = "system:serviceaccount:n:t".to_owned();
        found.service_account = identity("u", None);
        check(
            &other,
            &found,
            "service account token subject does not match its service account",
        );
    }

    #[test]
    fn objects_that_it_is_bound_to() {
        let gone = "service account token has been invalidated";
        let with = |edit: fn(&mut Binding)| {
            let mut token = token();
            edit(&mut token.claims.kubernetes);
            token
        };
        let mut found = Found {
            service_account: identity("u", None),
            ..Found::default()
        };
        let pod = with(|binding| {
            binding.pod = reference("p", "1");
            binding.node = reference("m", "2");
        });
        let secret = with(|binding| binding.secret = reference("x", "1"));
        let node = with(|binding| binding.node = reference("m", "1"));
        for token in [&pod, &secret, &node] {
            check(token, &found, gone);
        }
        found.pod = identity("1", None);
        found.secret = identity("1", None);
        found.node = identity("1", None);
        for token in [&pod, &secret, &node] {
            check(token, &found, USER);
        }
        found.pod = identity("2", None);
        found.secret = identity("1", Some(NOW - 100));
        found.node = identity("2", None);
        check(
            &pod,
            &found,
            "pod UID (2) does not match service account pod ref claim (1)",
        );
        check(&secret, &found, gone);
        check(
            &node,
            &found,
            "node UID (2) does not match service account node ref claim (1)",
        );
        // A pod that has still time to end.
        found.pod = identity("1", Some(NOW + 30));
        let user = alive(&pod, &found, NOW).expect("alive");
        let told: Vec<String> = user
            .extra
            .iter()
            .map(|(key, values)| format!("{key}={}", values.join(",")))
            .collect();
        assert_eq!(
            told,
            [
                "authentication.kubernetes.io/credential-id=JTI=j",
                "authentication.kubernetes.io/node-name=m",
                "authentication.kubernetes.io/node-uid=2",
                "authentication.kubernetes.io/pod-name=p",
                "authentication.kubernetes.io/pod-uid=1",
            ]
        );
        assert!(user.is_in("system:authenticated"));
    }

    #[test]
    fn what_is_looked_up() {
        let mut token = token();
        token.claims.kubernetes.pod = reference("p", "1");
        token.claims.kubernetes.node = reference("m", "2");
        let lookup = Lookup::of(&token.claims.kubernetes);
        let expect = Lookup {
            service_account: "n/s".to_owned(),
            secret: None,
            pod: Some("n/p".to_owned()),
            node: None,
        };
        assert_eq!(lookup, expect);
    }

    #[test]
    fn identities() {
        let check = |json: &str, expect| assert_eq!(Identity::read(json.as_bytes()), expect);
        check(
            r#"{"spec":{"uid":"x"},"metadata":{"name":"a","uid":"1"}}"#,
            identity("1", None),
        );
        check(
            r#"{"metadata":{"uid":"1","deletionTimestamp":"2027-01-15T08:00:00Z"}}"#,
            identity("1", Some(NOW)),
        );
        check(
            r#"{"metadata":{"uid":"1","deletionTimestamp":"soon"}}"#,
            identity("1", Some(0)),
        );
        check(r#"{"metadata":{}}"#, None);
        check("", None);
    }
}
