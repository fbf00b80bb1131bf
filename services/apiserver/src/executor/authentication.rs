//! Who sends a request: from its connection's certificate, its token, or nothing.
//!
//! Tokens that were found good are known for ten seconds, as upstream's are: a client sends the same one with each request, and
//! a signature costs a tenth of a millisecond. Until then, a token whose pod has gone is good.

use super::{cache::Cache, clock};
use crate::planner::{
    authentication::{bearer, certificate, impersonation, impersonation::Impersonation},
    reviews::authentication::Authenticated,
    tokens::{Found, Identity, Lookup, TokenError, Verifier, alive},
    user::User,
};
use aws_lc_rs::digest::{SHA256, digest};
use http_server::Peer;
use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use kinds::resources::RESOURCES;
use objects::status::Status;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a token that was found good is not looked at again.
pub const KNOWN_FOR: Duration = Duration::from_secs(10);
/// Tokens that are known. Beyond, all are looked at again: 4 MiB, and more pods than a cluster's API hears in ten seconds.
pub const KNOWN_MAX: usize = 8_192;

/// Finds out who it is. Clones are the same.
#[derive(Debug, Clone)]
pub struct Authenticator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cache: Cache,
    verifier: Option<Verifier>,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

#[derive(Debug)]
struct Known {
    until: Instant,
    /// When the token itself ends.
    ends: Option<i64>,
    user: Arc<User>,
}

impl Authenticator {
    /// Of service accounts in this cache; without a verifier, no token is good.
    #[must_use]
    pub fn new(cache: Cache, verifier: Option<Verifier>) -> Self {
        Self(Arc::new(Shared {
            cache,
            verifier,
            known: Mutex::default(),
        }))
    }

    /// The user of a connection's certificate; None: it has shown none, or one that names nobody. Asked once for each connection.
    #[must_use]
    pub fn of_peer(&self, peer: &Peer) -> Option<Arc<User>> {
        let der = peer.certificates.first()?;
        match certificate::user(der) {
            Ok(user) => user.map(Arc::new),
            Err(error) => {
                tracing::info!(%error, "a certificate names nobody");
                None
            }
        }
    }

    /// Who sends a request on a connection whose certificate names this user.
    ///
    /// # Errors
    /// 401: the token that it carries is not good.
    pub fn of_request(
        &self,
        peer: Option<&Arc<User>>,
        headers: &HeaderMap,
    ) -> Result<Arc<User>, Status> {
        if let Some(user) = peer {
            return Ok(Arc::clone(user));
        }
        let value = headers.get(AUTHORIZATION);
        if let Some(token) = value.and_then(|value| bearer::of_header(value.as_bytes())) {
            return self.of_token(token);
        }
        let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL);
        let protocols = protocols.and_then(|value| value.to_str().ok());
        if let Some((token, _)) = protocols.and_then(bearer::of_protocols) {
            return self.of_token(&token);
        }
        Ok(Arc::new(User::anonymous()))
    }

    /// Whom a request wants to be taken for. Each of its [`Impersonation::required`] is to be allowed first.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>, Status> {
        let headers = headers.iter();
        impersonation::read(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    /// Whose token it is, for one of these audiences; none: for the API. What a `TokenReview` asks: it is looked at anew.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn review(&self, token: &str, audiences: &[String]) -> Authenticated {
        let now = clock::now();
        let verifier = self.0.verifier.as_ref().ok_or(TokenError::Unknown)?;
        let verified = verifier.verify(token, audiences, now)?;
        let found = self.look_up(&Lookup::of(&verified.claims.kubernetes));
        let user = alive(&verified, &found, now)?;
        Ok((user, verified.audiences))
    }

    fn of_token(&self, token: &str) -> Result<Arc<User>, Status> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let now = Instant::now();
        let seconds = clock::now();
        if let Some(known) = self.known().get(&key)
            && known.until > now
            && known.ends.is_none_or(|ends| ends > seconds)
        {
            return Ok(Arc::clone(&known.user));
        }
        let found = self.0.verifier.as_ref().ok_or(TokenError::Unknown);
        let found = found.and_then(|verifier| {
            let verified = verifier.verify(token, &[], seconds)?;
            let found = self.look_up(&Lookup::of(&verified.claims.kubernetes));
            let user = alive(&verified, &found, seconds)?;
            Ok((Arc::new(user), verified.claims.exp))
        });
        match found {
            Ok((user, ends)) => {
                let mut all = self.known();
                if all.len() >= KNOWN_MAX {
                    all.retain(|_, known| known.until > now);
                }
                if all.len() >= KNOWN_MAX {
                    all.clear();
                }
                let until = now + KNOWN_FOR;
                let known = Known {
                    until,
                    ends,
                    user: Arc::clone(&user),
                };
                all.insert(key, known);
                Ok(user)
            }
            Err(error) => {
                tracing::info!(%error, "a token is not good");
                Err(Status::unauthorized())
            }
        }
    }

    fn look_up(&self, lookup: &Lookup) -> Found {
        let find = |resource: &str, key: &Option<String>| {
            let key = key.as_ref()?;
            let mut resources = RESOURCES.iter();
            let resource =
                resources.find(|known| known.group.is_empty() && known.name == resource)?;
            let place = self.0.cache.place(resource)?;
            let entry = self.0.cache.read(place).0.get(key).cloned()?;
            Identity::read(entry.bytes())
        };
        Found {
            service_account: find("serviceaccounts", &Some(lookup.service_account.clone())),
            secret: find("secrets", &lookup.secret),
            pod: find("pods", &lookup.pod),
            node: find("nodes", &lookup.node),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
