//! The compact form of a signed text (RFC 7515): `header.payload.signature`, each in base64url.

use super::{KeyError, PrivateKey, PublicKey};
use aws_lc_rs::rand::SecureRandom;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Longest token that is looked at. Ours have at most two thousand bytes, with the longest names there can be and 20 audiences.
pub const TOKEN_MAX: usize = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// What a reader must know, and we do not.
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

/// Signs a payload.
///
/// # Errors
/// [`KeyError::Sign`].
pub fn sign(
    key: &PrivateKey,
    payload: &[u8],
    random: &dyn SecureRandom,
) -> Result<String, KeyError> {
    let header = Header {
        alg: key.public().algorithm().as_str().to_owned(),
        kid: key.public().id().to_owned(),
        crit: None,
    };
    let header = serde_json::to_vec(&header).map_err(|_| KeyError::Sign)?;
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = key.sign(message.as_bytes(), random)?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A token that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'a> {
    algorithm: String,
    key_id: String,
    /// What was signed.
    message: &'a str,
    /// What it says. Do not believe it.
    pub payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. None: it is no signed text.
    #[must_use]
    pub fn read(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            algorithm: header.alg,
            key_id: header.kid,
            message,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Whether one of the keys made its signature. The key says how: a token that names another way, or none, is not verified.
    /// A token that names its key is tried with that one only.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let named = |key: &&PublicKey| self.key_id.is_empty() || key.id() == self.key_id;
        keys.iter().filter(named).any(|key| {
            key.algorithm().as_str() == self.algorithm
                && key.verifies(self.message.as_bytes(), &self.signature)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::tests::elliptic, *};
    use aws_lc_rs::rand::SystemRandom;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn what_is_signed_is_verified() {
        let (key, other) = (elliptic(), elliptic());
        let token = sign(&key, b"{}", &SystemRandom::new()).expect("signed");
        let read = Unverified::read(&token).expect("a token");
        assert_eq!(read.payload, b"{}");
        let (ours, theirs) = (key.public().clone(), other.public().clone());
        assert!(read.is_signed_by(&[theirs.clone(), ours.clone()]));
        assert!(!read.is_signed_by(&[theirs]));
        assert!(!read.is_signed_by(&[]));
        let parts: Vec<&str> = token.split('.').collect();
        let check = |header: &str, payload: &str, signature: &str, expect: bool| {
            let token = format!("{header}.{payload}.{signature}");
            let read = Unverified::read(&token);
            let verified = read.is_some_and(|read| read.is_signed_by(std::slice::from_ref(&ours)));
            assert_eq!(verified, expect, "{token}");
        };
        check(parts[0], parts[1], parts[2], true);
        check(parts[0], &encode(r#"{"a":1}"#), parts[2], false);
        check(&encode(r#"{"alg":"none"}"#), parts[1], "", false);
        check(&encode(r#"{"alg":"ES256"}"#), parts[1], parts[2], false);
        check(&encode(r#"{"alg":"HS256"}"#), parts[1], parts[2], false);
        check(
            &encode(r#"{"alg":"ES256","crit":["b64"]}"#),
            parts[1],
            parts[2],
            false,
        );
        check(parts[0], parts[1], "", false);
        check(parts[0], parts[1], &parts[2][1..], false);
        check(&format!("{}=", parts[0]), parts[1], parts[2], false);
    }

    #[test]
    fn a_token_without_the_name_of_its_key_is_tried_with_all() {
        let (key, other) = (elliptic(), elliptic());
        let message = format!("{}.{}", encode(r#"{"alg":"ES256"}"#), encode("{}"));
        let signature = key
            .sign(message.as_bytes(), &SystemRandom::new())
            .expect("signed");
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        let read = Unverified::read(&token).expect("a token");
        assert!(read.is_signed_by(&[other.public().clone(), key.public().clone()]));
    }

    #[test]
    fn a_token_has_a_longest() {
        let header = encode(r#"{"alg":"ES256"}"#);
        let token =
            |length: usize| format!("{header}.{}.AA", "A".repeat(length - header.len() - 4));
        // One character more than a multiple of four is no base64.
        assert!(
            Unverified::read(&token(TOKEN_MAX - 2)).is_some()
                || Unverified::read(&token(TOKEN_MAX - 3)).is_some()
        );
        assert!(Unverified::read(&token(TOKEN_MAX + 1)).is_none());
        assert!(Unverified::read(&token(100 * TOKEN_MAX)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}", header in "\\PC{0,40}", payload: Vec<u8>) {
            let _ = Unverified::read(&text);
            let token = format!("{}.{}.AA", encode(&header), URL_SAFE_NO_PAD.encode(payload));
            if let Some(read) = Unverified::read(&token) {
                proptest::prop_assert!(!read.is_signed_by(&[]));
            }
        }
    }
}
