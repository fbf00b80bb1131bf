//! How others verify our tokens: the issuer's metadata and its keys.
//!
//! Sources: `OpenID` Connect Discovery 1.0, section 3; RFC 7517; the page on managing service accounts ("Service account issuer
//! discovery").

use super::PublicKey;
use serde_json::{Value, json};

/// Where the metadata is.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// The media type of the keys; the metadata is plain JSON.
pub const KEYS_TYPE: &str = "application/jwk-set+json";
/// `Cache-Control` of both.
pub const CACHE_CONTROL: &str = "public, max-age=3600";

/// The keys, as a document.
#[must_use]
pub fn keys(keys: &[PublicKey]) -> Value {
    let keys: Vec<Value> = keys.iter().map(PublicKey::to_value).collect();
    json!({"keys": keys})
}

/// The metadata; `keys_url`: `--service-account-jwks-uri`, or where others reach this server with [`KEYS_PATH`] behind it.
/// None: neither is served, since one of the URLs is not one that others may trust.
#[must_use]
pub fn configuration(issuer: &str, keys_url: &str, keys: &[PublicKey]) -> Option<Value> {
    let secure = |text: &str| {
        url::Url::parse(text)
            .ok()
            .filter(|url| url.scheme() == "https")
    };
    let url = secure(issuer)?;
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    secure(keys_url)?;
    let mut algorithms: Vec<&str> = keys.iter().map(|key| key.algorithm().as_str()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    Some(json!({
        "issuer": issuer,
        "jwks_uri": keys_url,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::key::tests::elliptic, *};

    #[test]
    fn documents() {
        let known = [elliptic().public().clone(), elliptic().public().clone()];
        let document = keys(&known);
        let key = &document["keys"][1];
        assert_eq!(key["kid"], known[1].id());
        assert_eq!(
            (&key["use"], &key["alg"], &key["crv"]),
            (&json!("sig"), &json!("ES256"), &json!("P-256"))
        );
        assert_eq!(key["x"].as_str().map(str::len), Some(43));
        let issuer = "https://kubernetes.default.svc.cluster.local";
        let document = configuration(issuer, "https://1.2.3.4:6443/openid/v1/jwks", &known);
        assert_eq!(
            document,
            Some(json!({
                "issuer": issuer,
                "jwks_uri": "https://1.2.3.4:6443/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }))
        );
        for (issuer, keys_url) in [
            ("http://a", "https://b"),
            ("https://a?b", "https://b"),
            ("https://a#b", "https://b"),
            ("https://a", "http://b"),
            ("a", "https://b"),
        ] {
            assert_eq!(
                configuration(issuer, keys_url, &known),
                None,
                "{issuer} {keys_url}"
            );
        }
    }
}
