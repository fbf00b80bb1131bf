//! With what a registry is asked: credentials, its challenge (RFC 9110 section 11), and tokens (distribution's token spec).
//!
//! ```text
//!   GET ──401, Bearer realm, service, scope──> ask the realm, with credentials ──token──> GET with the token
//!       └─401, Basic ────────────────────────> GET with credentials
//! ```
//!
//! Credentials go to the registry that they are for, and to the realm that it names, if that is reached as safely as the
//! registry. They never follow a redirect to another origin.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use std::fmt;
use url::Url;

/// Longest token, and longest answer with one.
pub const TOKEN_MAX: usize = 64 * 1024;

/// Who asks. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// User and password.
    Password(String, String),
    /// An identity token, with which the realm gives others (OAuth 2's refresh token).
    Identity(String),
    /// A token that the registry itself takes.
    Registry(String),
}

/// CRI's `AuthConfig`, and what a file of registries has.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Both with a colon between, in base64.
    pub auth: String,
    /// See [`Credentials::Identity`].
    pub identity_token: String,
    /// See [`Credentials::Registry`].
    pub registry_token: String,
}

/// The credentials cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials' \"auth\" is not user:password in base64")]
pub struct AuthError;

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            _ => "Some(..)",
        })
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthConfig(..)")
    }
}

impl Credentials {
    /// Those that are named, in the order in which containerd looks at them.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn of(auth: &AuthConfig) -> Result<Self, AuthError> {
        if !auth.username.is_empty() {
            return Ok(Self::Password(auth.username.clone(), auth.password.clone()));
        }
        if !auth.identity_token.is_empty() {
            return Ok(Self::Identity(auth.identity_token.clone()));
        }
        if !auth.registry_token.is_empty() {
            return Ok(Self::Registry(auth.registry_token.clone()));
        }
        if auth.auth.is_empty() {
            return Ok(Self::None);
        }
        let bytes = BASE64_STANDARD
            .decode(auth.auth.trim())
            .map_err(|_| AuthError)?;
        let text = String::from_utf8(bytes).map_err(|_| AuthError)?;
        let (user, password) = text.split_once(':').ok_or(AuthError)?;
        // Docker pads passwords with NULs.
        let password = password.trim_end_matches('\0');
        Ok(Self::Password(user.to_owned(), password.to_owned()))
    }

    /// As a header, where they can be one.
    #[must_use]
    pub fn basic(&self) -> Option<String> {
        let Self::Password(user, password) = self else {
            return None;
        };
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Some(format!("Basic {encoded}"))
    }
}

/// What a registry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token.
    Bearer {
        /// Who gives it.
        realm: Url,
        /// What for.
        service: Option<String>,
        /// How much may be done with it.
        scope: Option<String>,
    },
}

/// Why there is no answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Nothing that is known.
    #[error("the registry wants an authentication that is not known: {0:?}")]
    Unknown(String),
    /// No address.
    #[error("the registry's realm {0:?} is no URL of a token service")]
    Realm(String),
    /// Credentials in clear text.
    #[error("the registry's realm {0} is not https, and the registry is")]
    Unsafe(String),
}

/// The best challenge of all `WWW-Authenticate` headers: a token rather than a password with every request.
///
/// # Errors
/// [`ChallengeError`].
pub fn challenge(headers: &[&str], registry: &Url) -> Result<Challenge, ChallengeError> {
    let mut basic = false;
    for header in headers {
        for found in http_auth::parse_challenges(header).unwrap_or_default() {
            if found.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            }
            if found.scheme.eq_ignore_ascii_case("bearer") {
                let parameter = |name: &str| {
                    let of_name = |(key, _): &&(&str, _)| key.eq_ignore_ascii_case(name);
                    found
                        .params
                        .iter()
                        .find(of_name)
                        .map(|(_, value)| value.to_unescaped())
                };
                return Ok(Challenge::Bearer {
                    realm: realm(&parameter("realm").unwrap_or_default(), registry)?,
                    service: parameter("service"),
                    scope: parameter("scope"),
                });
            }
        }
    }
    if basic {
        return Ok(Challenge::Basic);
    }
    let shown = headers.join(", ").chars().take(200).collect();
    Err(ChallengeError::Unknown(shown))
}

fn realm(text: &str, registry: &Url) -> Result<Url, ChallengeError> {
    let unknown = || ChallengeError::Realm(text.chars().take(200).collect());
    let realm = Url::parse(text).map_err(|_| unknown())?;
    match (realm.scheme(), registry.scheme(), realm.host_str()) {
        ("https", _, Some(_)) | ("http", "http", Some(_)) => Ok(realm),
        ("http", "https", Some(_)) => Err(ChallengeError::Unsafe(realm.to_string())),
        _ => Err(unknown()),
    }
}

/// How a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Where.
    pub url: Url,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// A form to post; none: the URL says it all.
    pub form: Option<String>,
}

/// The request to a realm.
#[must_use]
pub fn token_request(
    realm: &Url,
    service: Option<&str>,
    scope: &str,
    credentials: &Credentials,
) -> TokenRequest {
    let mut url = realm.clone();
    if let Credentials::Identity(token) = credentials {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("refresh_token", token);
        form.append_pair("client_id", "orlop");
        form.append_pair("service", service.unwrap_or_default());
        form.append_pair("scope", scope);
        return TokenRequest {
            url,
            authorization: None,
            form: Some(form.finish()),
        };
    }
    let mut query = url.query_pairs_mut();
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", scope);
    drop(query);
    TokenRequest {
        url,
        authorization: credentials.basic(),
        form: None,
    }
}

/// What may be done with a token for pulls.
#[must_use]
pub fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// The token of a realm's answer, as a header.
///
/// # Errors
/// A text of what is wrong with it.
pub fn token(answer: &[u8]) -> Result<String, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| "it is not JSON")?;
    let token = answer
        .token
        .filter(|token| !token.is_empty())
        .or(answer.access_token);
    let token = token
        .filter(|token| !token.is_empty())
        .ok_or("it has no token")?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its token has characters that no token has");
    }
    Ok(format!("Bearer {token}"))
}

/// Whether two URLs are of one origin: what was meant for one may be told the other.
#[must_use]
pub fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_of_each_form() {
        let auth = |change: fn(&mut AuthConfig)| {
            let mut auth = AuthConfig::default();
            change(&mut auth);
            Credentials::of(&auth)
        };
        let password = Credentials::Password("u".to_owned(), "p:q".to_owned());
        assert_eq!(
            auth(|auth| auth.auth = "dTpwOnEA".to_owned()),
            Ok(password.clone())
        );
        assert_eq!(
            auth(|auth| (auth.username, auth.password) = ("u".to_owned(), "p:q".to_owned())),
            Ok(password)
        );
        assert_eq!(
            auth(|auth| auth.identity_token = "t".to_owned()),
            Ok(Credentials::Identity("t".to_owned()))
        );
        assert_eq!(
            auth(|auth| auth.registry_token = "t".to_owned()),
            Ok(Credentials::Registry("t".to_owned()))
        );
        assert_eq!(auth(|_| ()), Ok(Credentials::None));
        assert_eq!(auth(|auth| auth.auth = "%".to_owned()), Err(AuthError));
        let shown = format!(
            "{:?}",
            Credentials::Password("u".to_owned(), "secret".to_owned())
        );
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn challenges_and_the_requests_that_follow() {
        let registry = url("https://r.example");
        let header = r#"Basic realm="x", Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull""#;
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge(&[header], &registry).unwrap()
        else {
            panic!("a token is better than a password");
        };
        let scope = scope.unwrap();
        let password = Credentials::Password("u".to_owned(), "p".to_owned());
        let request = token_request(&realm, service.as_deref(), &scope, &password);
        assert_eq!(
            request.url.as_str(),
            "https://auth.example/token?service=r.example&scope=repository%3Aa%2Fb%3Apull"
        );
        assert_eq!(request.authorization.as_deref(), Some("Basic dTpw"));
        let request = token_request(&realm, None, &scope, &Credentials::Identity("t".to_owned()));
        assert!(
            request.form.unwrap().contains("refresh_token=t&") && request.authorization.is_none()
        );
        assert_eq!(
            challenge(&["basic realm=x"], &registry),
            Ok(Challenge::Basic)
        );
    }

    #[test]
    fn challenges_that_are_not_answered() {
        let refused = |header: &str| {
            challenge(&[header], &url("https://r.example"))
                .unwrap_err()
                .to_string()
        };
        assert!(refused("Negotiate").contains("not known"));
        assert!(refused("").contains("not known"));
        assert!(refused("Bearer realm=\"ftp://x\"").contains("no URL of a token service"));
        assert!(refused("Bearer service=x").contains("no URL of a token service"));
        assert!(refused("Bearer realm=\"http://a.example/\"").contains("not https"));
        let plain = challenge(
            &["Bearer realm=\"http://a.example/\""],
            &url("http://localhost:5000"),
        );
        assert!(plain.is_ok());
    }

    #[test]
    fn tokens() {
        assert_eq!(
            token(br#"{"token":"","access_token":"a"}"#).unwrap(),
            "Bearer a"
        );
        assert!(token(br#"{"token":"a\nb"}"#).is_err());
        assert!(token(b"{}").is_err() && token(b"<html>").is_err());
    }

    #[test]
    fn origins() {
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        for other in ["http://a/", "https://b/", "https://a:444/", "https://a.b/"] {
            assert!(!same_origin(&url("https://a/"), &url(other)), "{other}");
        }
    }
}
