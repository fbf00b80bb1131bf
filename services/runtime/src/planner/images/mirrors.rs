//! Whom to ask for an image: the file of registries (`--registries`), as JSON.
//!
//! ```json
//! {"registries": {
//!   "docker.io":       {"mirrors": [{"url": "https://mirror.example:5000", "ca_file": "/etc/orlop/mirror.pem"}]},
//!   "registry.local":  {"url": "http://10.0.0.9:5000", "auth": {"username": "node", "password": "..."}},
//!   "*":               {"mirrors": [{"url": "https://cache.example/v2/proxy"}]}
//! }}
//! ```
//!
//! Mirrors are asked in order, then the registry itself, unless `mirrors_only` is set. A mirror is told by the query `ns=` whose
//! images it is asked for, as containerd does. Plain http must be written down; only registries on this machine have it
//! without. No server is believed without a certificate.

use super::{
    challenge::{AuthConfig, AuthError, Credentials},
    reference::Reference,
};
use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};
use url::{Host, Url};

/// Most mirrors of a registry.
pub const MIRRORS_MAX: usize = 16;
/// The registry that stands for all others.
const ANY: &str = "*";

/// Why a file of registries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// Not JSON, or with words that are not known.
    #[error("the file of registries cannot be read")]
    Json(#[from] serde_json::Error),
    /// A URL.
    #[error(
        "registry {registry}: {url:?} is no http or https URL without user, query and fragment"
    )]
    Url {
        /// Which registry.
        registry: String,
        /// The URL.
        url: String,
    },
    /// [`MIRRORS_MAX`].
    #[error("registry {0}: more than {MIRRORS_MAX} mirrors")]
    Mirrors(String),
    /// Credentials.
    #[error("registry {registry}")]
    Auth {
        /// Which registry.
        registry: String,
        /// Why.
        #[source]
        source: AuthError,
    },
}

/// All registries that are configured.
#[derive(Debug, Clone, Default)]
pub struct Registries(BTreeMap<String, Registry>);

#[derive(Debug, Clone)]
struct Registry {
    own: Option<Server>,
    mirrors: Vec<Server>,
    mirrors_only: bool,
}

#[derive(Debug, Clone)]
struct Server {
    url: Url,
    ca_file: Option<PathBuf>,
    credentials: Credentials,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host, port, and the path before `/v2/`.
    pub url: Url,
    /// Authorities of this one server, beside those of all.
    pub ca_file: Option<PathBuf>,
    /// What the file says of it; those of a pull go to the registry itself only.
    pub credentials: Credentials,
    /// The registry for which a mirror stands.
    pub mirror_of: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    #[serde(default)]
    registries: BTreeMap<String, WireRegistry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRegistry {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    auth: Option<AuthConfig>,
    #[serde(default)]
    mirrors: Vec<WireMirror>,
    #[serde(default)]
    mirrors_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMirror {
    url: String,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    auth: Option<AuthConfig>,
}

impl Registries {
    /// Reads the file.
    ///
    /// # Errors
    /// [`RegistriesError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RegistriesError> {
        let file: WireFile = serde_json::from_slice(bytes)?;
        let mut registries = BTreeMap::new();
        for (name, wire) in file.registries {
            if wire.mirrors.len() > MIRRORS_MAX {
                return Err(RegistriesError::Mirrors(name));
            }
            let mirror =
                |mirror: WireMirror| server(&name, &mirror.url, mirror.ca_file, mirror.auth);
            let mirrors = wire
                .mirrors
                .into_iter()
                .map(mirror)
                .collect::<Result<_, _>>()?;
            let own = match (&wire.url, name.as_str()) {
                (None, ANY) => None,
                (None, _) if wire.ca_file.is_none() && wire.auth.is_none() => None,
                (url, _) => {
                    let url = url
                        .clone()
                        .unwrap_or_else(|| default_url(endpoint_host(&name)));
                    Some(server(&name, &url, wire.ca_file, wire.auth)?)
                }
            };
            let registry = Registry {
                own,
                mirrors,
                mirrors_only: wire.mirrors_only,
            };
            registries.insert(name, registry);
        }
        Ok(Self(registries))
    }

    /// Whom to ask for this image, in order.
    ///
    /// # Errors
    /// [`RegistriesError::Url`]: the reference's host is none.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, RegistriesError> {
        let host = reference.host();
        let registry = self.0.get(host).or_else(|| self.0.get(ANY));
        let endpoint = |server: &Server, mirror_of: Option<&str>| Endpoint {
            url: server.url.clone(),
            ca_file: server.ca_file.clone(),
            credentials: server.credentials.clone(),
            mirror_of: mirror_of.map(str::to_owned),
        };
        let mirrors = registry
            .map(|registry| registry.mirrors.as_slice())
            .unwrap_or_default();
        let mut endpoints: Vec<_> = mirrors
            .iter()
            .map(|mirror| endpoint(mirror, Some(host)))
            .collect();
        if registry.is_some_and(|registry| registry.mirrors_only && !endpoints.is_empty()) {
            return Ok(endpoints);
        }
        let own = match registry.and_then(|registry| registry.own.as_ref()) {
            Some(own) => endpoint(own, None),
            None => {
                let default = default_url(reference.endpoint_host());
                endpoint(&server(host, &default, None, None)?, None)
            }
        };
        endpoints.push(own);
        Ok(endpoints)
    }
}

fn endpoint_host(registry: &str) -> &str {
    match registry {
        "docker.io" => "registry-1.docker.io",
        other => other,
    }
}

/// https, but for this machine itself, where nobody listens on the way.
fn default_url(host: &str) -> String {
    let https = format!("https://{host}");
    match Url::parse(&https) {
        Ok(url) if is_loopback(&url) && url.port().is_some() => format!("http://{host}"),
        _ => https,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

fn server(
    registry: &str,
    text: &str,
    ca_file: Option<PathBuf>,
    auth: Option<AuthConfig>,
) -> Result<Server, RegistriesError> {
    let wrong = || RegistriesError::Url {
        registry: registry.to_owned(),
        url: text.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(wrong());
    }
    let credentials = match auth {
        None => Credentials::None,
        Some(auth) => Credentials::of(&auth).map_err(|source| RegistriesError::Auth {
            registry: registry.to_owned(),
            source,
        })?,
    };
    Ok(Server {
        url,
        ca_file,
        credentials,
    })
}

impl Endpoint {
    /// The URL of a manifest or blob: `kind` is `manifests` or `blobs`.
    #[must_use]
    pub fn target(&self, repository: &str, kind: &str, what: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/');
        let base = base.strip_suffix("/v2").unwrap_or(base).to_owned();
        // A base that names a path below /v2, as proxies of several registries have it, is taken as it is.
        let path = match base.contains("/v2/") {
            true => format!("{base}/{repository}/{kind}/{what}"),
            false => format!("{base}/v2/{repository}/{kind}/{what}"),
        };
        url.set_path(&path);
        if let Some(registry) = &self.mirror_of {
            url.query_pairs_mut().append_pair("ns", registry);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(file: &str, reference: &str) -> Vec<String> {
        let registries = Registries::read(file.as_bytes()).unwrap();
        let reference = Reference::parse(reference).unwrap();
        let endpoints = registries.endpoints(&reference).unwrap();
        let target =
            |endpoint: &Endpoint| endpoint.target(reference.repository(), "manifests", "1");
        endpoints
            .iter()
            .map(|endpoint| target(endpoint).to_string())
            .collect()
    }

    #[test]
    fn mirrors_come_first_and_know_for_whom_they_stand() {
        let file = r#"{"registries": {
            "docker.io": {"mirrors": [{"url": "https://m.example:5000"}, {"url": "http://n.example/v2/hub/"}]},
            "only.example": {"mirrors": [{"url": "https://m.example"}], "mirrors_only": true},
            "own.example": {"url": "https://10.0.0.1/base/v2/", "auth": {"auth": "dTpw"}},
            "*": {"mirrors": [{"url": "https://any.example"}]}}}"#;
        assert_eq!(
            asked(file, "a:1"),
            [
                "https://m.example:5000/v2/library/a/manifests/1?ns=docker.io",
                "http://n.example/v2/hub/library/a/manifests/1?ns=docker.io",
                "https://registry-1.docker.io/v2/library/a/manifests/1",
            ]
        );
        assert_eq!(
            asked(file, "only.example/a:1"),
            ["https://m.example/v2/a/manifests/1?ns=only.example"]
        );
        assert_eq!(
            asked(file, "own.example/a:1"),
            ["https://10.0.0.1/base/v2/a/manifests/1"]
        );
        assert_eq!(
            asked(file, "x.example/a:1"),
            [
                "https://any.example/v2/a/manifests/1?ns=x.example",
                "https://x.example/v2/a/manifests/1",
            ]
        );
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        let own = |reference| asked("{}", reference).remove(0);
        assert!(own("localhost:5000/a").starts_with("http://localhost:5000/"));
        assert!(own("127.0.0.1:5000/a").starts_with("http://"));
        assert!(own("[::1]:5000/a").starts_with("http://"));
        assert!(own("localhost/a").starts_with("https://"));
        assert!(own("10.0.0.1:5000/a").starts_with("https://"));
        let file = r#"{"registries": {"localhost:5000": {"url": "https://localhost:5000", "ca_file": "/x"}}}"#;
        assert!(
            asked(file, "localhost:5000/a")
                .remove(0)
                .starts_with("https://")
        );
    }

    #[test]
    fn files_that_are_refused() {
        let refused = |text: &str| service::chain(&Registries::read(text.as_bytes()).unwrap_err());
        assert!(
            refused(r#"{"registries": {"a": {"skip_verify": true}}}"#).contains("unknown field")
        );
        for url in ["ftp://a", "https://u:p@a", "https://a?x", "a"] {
            let text = format!(r#"{{"registries": {{"a": {{"url": "{url}"}}}}}}"#);
            assert!(refused(&text).contains("registry a"), "{url}");
        }
        let mirrors = vec![r#"{"url": "https://a"}"#; 17].join(",");
        assert!(
            refused(&format!(
                r#"{{"registries": {{"a": {{"mirrors": [{mirrors}]}}}}}}"#
            ))
            .contains("more than 16")
        );
    }
}
