//! Tokens of service accounts: keys from files, and tokens made with them.

use super::{clock, random};
use crate::planner::tokens::{
    KeyError, PrivateKey, PublicKey, Verifier, public_keys,
    request::{Found, Planned, Terms, plan},
};
use aws_lc_rs::rand::SystemRandom;
use objects::status::Status;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file holds no key.
    #[error("read a key in {path}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
}

/// Makes tokens.
#[derive(Debug)]
pub struct Tokens {
    /// None: no key was given that signs.
    key: Option<PrivateKey>,
    terms: Terms,
    verifier: Verifier,
}

impl Tokens {
    /// With keys from files. The first of `issuers` is ours.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn read(
        issuers: &[String],
        verifying: &[PathBuf],
        signing: Option<&Path>,
    ) -> Result<Self, TokensError> {
        let key = match signing {
            None => None,
            Some(path) => {
                Some(
                    PrivateKey::from_pem(&read(path)?).map_err(|source| TokensError::Key {
                        path: path.to_owned(),
                        source,
                    })?,
                )
            }
        };
        let mut keys: Vec<PublicKey> = key.iter().map(|key| key.public().clone()).collect();
        for path in verifying {
            let found = public_keys(&read(path)?);
            keys.extend(found.map_err(|source| TokensError::Key {
                path: path.clone(),
                source,
            })?);
        }
        let issuer = issuers.first().cloned().unwrap_or_default();
        // Who the API is, is who makes its tokens, as long as nothing else is said.
        let audiences = vec![issuer.clone()];
        Ok(Self {
            key,
            terms: Terms {
                issuer,
                audiences: audiences.clone(),
                expiration_max_seconds: 0,
                extend: true,
            },
            verifier: Verifier {
                issuers: issuers.to_vec(),
                keys,
                audiences,
            },
        })
    }

    /// Who believes them.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Who makes them.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.terms.issuer
    }

    /// Answers a `TokenRequest`; what was found is what it is about. Also what clients are told besides.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn make(&self, request: &Value, found: Found<'_>) -> Result<(Value, Vec<String>), Status> {
        let key = self.key.as_ref().ok_or_else(Status::resource_not_found)?;
        let random = random::uuid();
        let planned: Planned = plan(&self.terms, request, found, &random, clock::now())?;
        let signed = planned.claims.sign(key, &SystemRandom::new());
        let token = signed.map_err(|error| Status::internal(error.to_string()))?;
        let warnings = planned.warnings.clone();
        Ok((planned.answer(&token), warnings))
    }
}

fn read(path: &Path) -> Result<String, TokensError> {
    fs::read_to_string(path).map_err(|source| TokensError::Read {
        path: path.to_owned(),
        source,
    })
}
