//! Keys that sign and verify, from PEM.

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    rand::SecureRandom,
    rsa,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, ParsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use x509_parser::{
    pem::Pem, prelude::FromDer, public_key::PublicKey as Parsed, x509::SubjectPublicKeyInfo,
};

/// How signatures are made (RFC 7518): an RSA key always signs with RS256, and an elliptic curve has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// As tokens name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// The curves, in the order in which a key is tried on them.
const CURVES: [&EcdsaSigningAlgorithm; 3] = [
    &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
];

/// A file of keys is none. No message holds key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// PEM cannot be read.
    #[error("not valid PEM")]
    Pem,
    /// There is no key in it.
    #[error(
        "no key that could be used: RSA of 2048 to 8192 bits, or ECDSA on P-256, P-384 or P-521"
    )]
    NoKey,
    /// A key is broken, or of a kind that is not known.
    #[error(
        "a {0} that cannot be read: RSA of 2048 to 8192 bits, or ECDSA on P-256, P-384 or P-521"
    )]
    Key(&'static str),
    /// The library refused to sign.
    #[error("sign a token")]
    Sign,
}

/// A key that verifies.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    id: String,
    key: ParsedPublicKey,
    /// Its numbers as a key set has them.
    numbers: Value,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.as_str(), self.id)
    }
}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo` in DER (RFC 5280).
    ///
    /// # Errors
    /// [`KeyError::Key`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::read(der).ok_or(KeyError::Key("public key"))
    }

    fn read(der: &[u8]) -> Option<Self> {
        // RSA keys are written anew, so that there is one form from which the identifier is made.
        let rewritten = rsa::PublicKey::from_der(der)
            .ok()
            .and_then(|key| key.as_der().ok());
        let der = rewritten.as_ref().map_or(der, |der| der.as_ref());
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let number = |bytes: &[u8]| {
            let first = bytes.iter().position(|byte| *byte != 0);
            URL_SAFE_NO_PAD.encode(&bytes[first.unwrap_or(bytes.len())..])
        };
        let (algorithm, numbers) = match info.parsed().ok()? {
            Parsed::RSA(key) => {
                let numbers =
                    json!({"kty": "RSA", "n": number(key.modulus), "e": number(key.exponent)});
                (Algorithm::Rs256, numbers)
            }
            Parsed::EC(point) => {
                let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
                let (algorithm, name, size) = match curve.to_id_string().as_str() {
                    "1.2.840.10045.3.1.7" => (Algorithm::Es256, "P-256", 32),
                    "1.3.132.0.34" => (Algorithm::Es384, "P-384", 48),
                    "1.3.132.0.35" => (Algorithm::Es512, "P-521", 66),
                    _ => return None,
                };
                // Uncompressed: 4, x, y.
                let point = point.data().strip_prefix(&[4])?;
                let (x, y) = point.split_at_checked(size)?;
                let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
                let numbers = json!({"kty": "EC", "crv": name, "x": text(x), "y": text(y)});
                (algorithm, numbers)
            }
            _ => return None,
        };
        let key = ParsedPublicKey::new(algorithm.verification(), der).ok()?;
        let id = digest::digest(&digest::SHA256, der);
        Some(Self {
            algorithm,
            id: URL_SAFE_NO_PAD.encode(id),
            key,
            numbers,
        })
    }

    /// How it verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// By which tokens name it: from a digest, so that nobody takes it for the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this is its holder's signature.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// In a key set (RFC 7517).
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut key = json!({"use": "sig", "kid": self.id, "alg": self.algorithm.as_str()});
        if let (Value::Object(key), Value::Object(numbers)) = (&mut key, self.numbers.clone()) {
            key.extend(numbers);
        }
        key
    }
}

/// A key that signs.
#[derive(Debug)]
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

#[derive(Debug)]
enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
}

impl PrivateKey {
    /// The first private key of a PEM text: PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        for block in Pem::iter_from_buffer(pem.as_bytes()) {
            let block = block.map_err(|_| KeyError::Pem)?;
            if let Some(pair) = Pair::read(&block) {
                return Self::new(pair?);
            }
        }
        Err(KeyError::NoKey)
    }

    fn new(pair: Pair) -> Result<Self, KeyError> {
        let unreadable = KeyError::Key("private key");
        let der = match &pair {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ec(pair) => pair.public_key().as_der(),
        };
        let public = PublicKey::from_der(der.map_err(|_| unreadable)?.as_ref())?;
        Ok(Self { pair, public })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs. An elliptic curve needs random numbers.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, message: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &signature::RSA_PKCS1_SHA256,
                    random,
                    message,
                    &mut signature,
                )
                .map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
            Pair::Ec(pair) => {
                let signature = pair.sign(random, message).map_err(|_| KeyError::Sign)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl Pair {
    /// None: the block is no private key.
    fn read(block: &Pem) -> Option<Result<Self, KeyError>> {
        let der = &block.contents;
        let elliptic = || {
            let mut tried = CURVES
                .into_iter()
                .map(|curve| EcdsaKeyPair::from_private_key_der(curve, der));
            tried.find_map(Result::ok).map(Self::Ec)
        };
        let found = match block.label.as_str() {
            "RSA PRIVATE KEY" => rsa::KeyPair::from_der(der).ok().map(Self::Rsa),
            "EC PRIVATE KEY" => elliptic(),
            "PRIVATE KEY" => {
                let rsa = rsa::KeyPair::from_pkcs8(der).ok().map(Self::Rsa);
                rsa.or_else(elliptic)
            }
            _ => return None,
        };
        Some(found.ok_or(KeyError::Key("private key")))
    }
}

/// All keys of a PEM text: public keys, those of private keys, and those of certificates. There is at least one.
///
/// # Errors
/// [`KeyError`].
pub fn public_keys(pem: &str) -> Result<Vec<PublicKey>, KeyError> {
    let mut keys = Vec::new();
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|_| KeyError::Pem)?;
        match block.label.as_str() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => keys.push(PublicKey::from_der(&block.contents)?),
            "CERTIFICATE" => {
                let unreadable = KeyError::Key("certificate");
                let certificate = block.parse_x509().map_err(|_| unreadable)?;
                keys.push(PublicKey::from_der(certificate.public_key().raw)?);
            }
            _ => {
                if let Some(pair) = Pair::read(&block) {
                    keys.push(PrivateKey::new(pair?)?.public);
                }
            }
        }
    }
    if keys.is_empty() {
        return Err(KeyError::NoKey);
    }
    Ok(keys)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_lc_rs::{
        encoding::{AsDer, EcPrivateKeyRfc5915Der, PublicKeyX509Der},
        rand::SystemRandom,
        rsa::KeySize,
    };
    use base64::engine::general_purpose::STANDARD;

    fn pem(label: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der)
        )
    }

    /// A new key on P-256.
    pub(in crate::planner::tokens) fn elliptic() -> PrivateKey {
        on(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).1
    }

    fn on(curve: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, PrivateKey) {
        let pair = EcdsaKeyPair::generate(curve).expect("a key");
        let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().expect("DER");
        let key = PrivateKey::from_pem(&pem("EC PRIVATE KEY", der.as_ref()));
        (pair, key.expect("a key"))
    }

    #[track_caller]
    fn check(key: &PrivateKey, algorithm: Algorithm, public: &[u8]) {
        assert_eq!(key.public().algorithm(), algorithm);
        let signature = key.sign(b"message", &SystemRandom::new()).expect("signed");
        let keys = public_keys(&pem("PUBLIC KEY", public)).expect("keys");
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].id(), key.public().id());
        assert!(keys[0].verifies(b"message", &signature));
        assert!(!keys[0].verifies(b"messagf", &signature));
        assert!(!keys[0].verifies(b"message", &signature[1..]));
        assert!(!keys[0].verifies(b"message", b""));
    }

    #[test]
    fn elliptic_keys() {
        let curves = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512];
        for (curve, algorithm) in CURVES.into_iter().zip(curves) {
            let (pair, key) = on(curve);
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
            check(&key, algorithm, public.as_ref());
            let pkcs8 = pair.to_pkcs8v1().expect("PKCS#8");
            let same = PrivateKey::from_pem(&pem("PRIVATE KEY", pkcs8.as_ref()));
            assert_eq!(same.expect("a key").public().id(), key.public().id());
            let text = key.public().to_value();
            assert_eq!(text["kty"], "EC");
            assert_eq!(text["alg"], algorithm.as_str());
        }
    }

    #[test]
    fn rsa_keys() {
        let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("PKCS#8");
        let key = PrivateKey::from_pem(&pem("PRIVATE KEY", pkcs8.as_ref())).expect("a key");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        check(&key, Algorithm::Rs256, public.as_ref());
        // The same key in its older form has the same identifier.
        let older = public_keys(&pem("RSA PUBLIC KEY", pair.public_key().as_ref()));
        assert_eq!(older.expect("keys")[0].id(), key.public().id());
        assert_eq!(key.public().to_value()["e"], "AQAB");
    }

    #[test]
    fn an_identifier_is_the_digest_of_the_public_key() {
        let (_, key) = on(CURVES[0]);
        let public: PublicKeyX509Der<'_> = match &key.pair {
            Pair::Ec(pair) => pair.public_key().as_der().expect("DER"),
            Pair::Rsa(_) => unreachable!("it is elliptic"),
        };
        let digest = digest::digest(&digest::SHA256, public.as_ref());
        assert_eq!(key.public().id(), URL_SAFE_NO_PAD.encode(digest));
        assert_eq!(key.public().id().len(), 43);
    }

    #[test]
    fn what_is_no_key() {
        let check = |text: &str, expect| {
            assert_eq!(public_keys(text).err(), Some(expect), "{text}");
        };
        check("", KeyError::NoKey);
        check("nothing", KeyError::NoKey);
        check(&pem("PUBLIC KEY", b"abc"), KeyError::Key("public key"));
        check(&pem("PRIVATE KEY", b"abc"), KeyError::Key("private key"));
        check(&pem("CERTIFICATE", b"abc"), KeyError::Key("certificate"));
        check(&pem("EC PARAMETERS", b"abc"), KeyError::NoKey);
        let public = elliptic().public().clone();
        assert!(!format!("{public:?}").is_empty());
        assert_eq!(PrivateKey::from_pem("").err(), Some(KeyError::NoKey));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}", der: Vec<u8>) {
            let _ = public_keys(&text);
            let _ = public_keys(&pem("PUBLIC KEY", &der));
            let _ = PublicKey::from_der(&der);
        }
    }
}
