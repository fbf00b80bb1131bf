//! What a token says, and whether it is to be believed.

use super::{KeyError, PrivateKey, PublicKey, jws, jws::Unverified};
use aws_lc_rs::rand::SecureRandom;
use serde::{Deserialize, Deserializer, Serialize};

/// Clocks may differ by this much.
pub const LEEWAY_SECONDS: i64 = 60;

/// Of a token. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    #[serde(
        default,
        deserialize_with = "one_or_more",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub aud: Vec<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Who made it.
    #[serde(default)]
    pub iss: String,
    /// Of this token and no other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// Whose it is, and while what is there.
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Binding,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The service account as a user.
    #[serde(default)]
    pub sub: String,
}

/// What a token is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Of the service account, and of pod and secret.
    #[serde(default)]
    pub namespace: String,
    /// The node, or that of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// A pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// A secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// Whose it is.
    #[serde(default)]
    pub serviceaccount: Reference,
    /// From when on its use should be told: it should have been fetched anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object, and not another of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its identity in time; empty where it was not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// A text alone is a list of one (RFC 7519, section 4.1.3).
fn one_or_more<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        More(Vec<String>),
    }
    Ok(match Either::deserialize(source)? {
        Either::One(one) => vec![one],
        Either::More(more) => more,
    })
}

impl Claims {
    /// The token that says this.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, key: &PrivateKey, random: &dyn SecureRandom) -> Result<String, KeyError> {
        let payload = serde_json::to_vec(self).map_err(|_| KeyError::Sign)?;
        jws::sign(key, &payload, random)
    }
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of ours: somebody else may know it.
    #[error("invalid bearer token")]
    Unknown,
    /// It is, or says so, and does not hold.
    #[error("{0}")]
    Invalid(String),
}

impl TokenError {
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }
}

/// A token that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// For whom it is, of those that were asked for.
    pub audiences: Vec<String>,
}

/// Believes tokens.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Who may have made them.
    pub issuers: Vec<String>,
    /// By whose signatures.
    pub keys: Vec<PublicKey>,
    /// Who the API is.
    pub audiences: Vec<String>,
}

impl Verifier {
    /// Whether a token is to be believed; `wanted`: for one of these, empty: for the API. What it is bound to is not
    /// looked at.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, wanted: &[String], now: i64) -> Result<Verified, TokenError> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let read = Unverified::read(token).ok_or(TokenError::Unknown)?;
        // It is looked at before the signature is: tokens of others are none of our business.
        let Ok(Issuer { iss }) = serde_json::from_slice(&read.payload) else {
            return Err(TokenError::Unknown);
        };
        if !self.issuers.contains(&iss) {
            return Err(TokenError::Unknown);
        }
        if !read.is_signed_by(&self.keys) {
            return Err(TokenError::invalid("invalid signature"));
        }
        let claims: Claims = serde_json::from_slice(&read.payload)
            .map_err(|_| TokenError::invalid("service account token claims cannot be read"))?;
        let wanted = if wanted.is_empty() {
            &self.audiences
        } else {
            wanted
        };
        let held = if claims.aud.is_empty() {
            &self.audiences
        } else {
            &claims.aud
        };
        let audiences: Vec<String> = held
            .iter()
            .filter(|one| wanted.contains(one))
            .cloned()
            .collect();
        if audiences.is_empty() {
            let list = super::super::authorization::quote_list;
            return Err(TokenError::Invalid(format!(
                "token audiences {} is invalid for the target audiences {}",
                list(held),
                list(wanted)
            )));
        }
        check_times(&claims, now)?;
        Ok(Verified { claims, audiences })
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), TokenError> {
    let later =
        |time: Option<i64>| time.is_some_and(|time| time > now.saturating_add(LEEWAY_SECONDS));
    let earlier =
        |time: Option<i64>| time.is_some_and(|time| time < now.saturating_sub(LEEWAY_SECONDS));
    if later(claims.nbf) {
        return Err(TokenError::invalid(
            "service account token is not valid yet",
        ));
    }
    if earlier(claims.exp) {
        return Err(TokenError::invalid("service account token has expired"));
    }
    if later(claims.iat) {
        return Err(TokenError::invalid(
            "service account token claims could not be validated due to unexpected validation error",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::key::tests::elliptic, *};
    use aws_lc_rs::rand::SystemRandom;

    const NOW: i64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            iss: "https://a".to_owned(),
            sub: "system:serviceaccount:n:s".to_owned(),
            aud: vec!["api".to_owned(), "vault".to_owned()],
            exp: Some(NOW + 3_600),
            iat: Some(NOW),
            nbf: Some(NOW),
            jti: "j".to_owned(),
            kubernetes: Binding {
                namespace: "n".to_owned(),
                serviceaccount: Reference {
                    name: "s".to_owned(),
                    uid: "u".to_owned(),
                },
                ..Binding::default()
            },
        }
    }

    fn verifier(key: &PrivateKey) -> Verifier {
        Verifier {
            issuers: vec!["https://a".to_owned(), "https://older".to_owned()],
            keys: vec![key.public().clone()],
            audiences: vec!["api".to_owned()],
        }
    }

    /// `ok AUDIENCES`, or why not.
    fn told(claims: &Claims, wanted: &[&str], now: i64) -> String {
        let key = elliptic();
        let token = claims.sign(&key, &SystemRandom::new()).expect("signed");
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        match verifier(&key).verify(&token, &wanted, now) {
            Ok(verified) => {
                assert_eq!(verified.claims, *claims);
                format!("ok {}", verified.audiences.join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn times() {
        let check = |now, expect: &str| assert_eq!(told(&claims(), &[], now), expect, "{now}");
        check(NOW, "ok api");
        check(NOW - 60, "ok api");
        check(NOW - 61, "service account token is not valid yet");
        check(NOW + 3_660, "ok api");
        check(NOW + 3_661, "service account token has expired");
        let mut made_later = claims();
        made_later.iat = Some(NOW + 100);
        assert!(told(&made_later, &[], NOW).contains("could not be validated"));
        let mut for_ever = claims();
        (for_ever.exp, for_ever.iat, for_ever.nbf) = (None, None, None);
        assert_eq!(told(&for_ever, &[], i64::MAX), "ok api");
        let mut strange = claims();
        (strange.exp, strange.nbf) = (Some(i64::MIN), Some(i64::MIN));
        assert_eq!(
            told(&strange, &[], i64::MIN),
            "service account token claims could not be validated due to unexpected validation error"
        );
    }

    #[test]
    fn audiences() {
        let check = |wanted: &[&str], expect: &str| {
            assert_eq!(told(&claims(), wanted, NOW), expect);
        };
        check(&["vault"], "ok vault");
        check(&["vault", "api", "else"], "ok api vault");
        check(
            &["else"],
            r#"token audiences ["api" "vault"] is invalid for the target audiences ["else"]"#,
        );
        let mut older = claims();
        older.aud = Vec::new();
        assert_eq!(told(&older, &[], NOW), "ok api");
        let mut other = claims();
        other.aud = vec!["vault".to_owned()];
        assert!(told(&other, &[], NOW).contains("is invalid for"));
    }

    #[test]
    fn tokens_of_others() {
        let key = elliptic();
        let check = |token: &str, expect: &str| {
            let error = verifier(&key).verify(token, &[], NOW).expect_err("no");
            assert_eq!(error.to_string(), expect);
        };
        let mut theirs = claims();
        theirs.iss = "https://b".to_owned();
        let token = theirs.sign(&key, &SystemRandom::new()).expect("signed");
        check(&token, "invalid bearer token");
        let token = claims().sign(&elliptic(), &SystemRandom::new());
        check(&token.expect("signed"), "invalid signature");
        check("", "invalid bearer token");
        check("a.b.c", "invalid bearer token");
        check("a.b", "invalid bearer token");
        let token = jws::sign(
            &key,
            br#"{"iss":"https://a","aud":1}"#,
            &SystemRandom::new(),
        );
        check(
            &token.expect("signed"),
            "service account token claims cannot be read",
        );
    }

    #[test]
    fn claims_are_written_as_upstream_writes_them() {
        let mut claims = claims();
        claims.aud = vec!["api".to_owned()];
        claims.kubernetes.pod = Some(Reference {
            name: "p".to_owned(),
            uid: "v".to_owned(),
        });
        claims.kubernetes.warnafter = Some(NOW + 3_607);
        let text = serde_json::to_string(&claims).expect("JSON");
        assert_eq!(
            text,
            r#"{"aud":["api"],"exp":1800003600,"iat":1800000000,"iss":"https://a","jti":"j","kubernetes.io":{"namespace":"n","pod":{"name":"p","uid":"v"},"serviceaccount":{"name":"s","uid":"u"},"warnafter":1800003607},"nbf":1800000000,"sub":"system:serviceaccount:n:s"}"#
        );
        let one: Claims = serde_json::from_str(r#"{"aud":"x"}"#).expect("claims");
        assert_eq!(one.aud, ["x"]);
    }
}
