//! A registry and its mirrors, asked for one image (OCI distribution spec 1.1): challenges, tokens, redirects, attempts.
//!
//! ```text
//!   endpoint 1 ──attempts──> endpoint 2 ──attempts──> ..        who gave the manifest is asked for the rest first
//!   layer: bytes ──cut off──> Range: bytes=N- ──> the rest      the digest goes on where it was
//! ```

use super::http::{Answer, Ask, Http, HttpError, Timeouts, within};
use crate::planner::images::{
    challenge::{self, Challenge, ChallengeError, Credentials, TOKEN_MAX},
    digest::Digest,
    manifest::{ACCEPT, DOCUMENT_MAX, Descriptor},
    mirrors::Endpoint,
    reference::Reference,
};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use service::backoff::Backoff;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::{Mutex, mpsc};
use url::Url;

/// Most redirects of one request.
const REDIRECTS_MAX: u32 = 5;
/// Most bytes that are looked at of an answer that is an error.
const ERROR_MAX: u64 = 16 * 1024;
/// A layer that got so much further is not counted as an attempt.
const PROGRESS: u64 = 1024 * 1024;

/// Why a registry does not give what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no answer.
    #[error("ask {url}")]
    Http {
        /// For what.
        url: String,
        /// Why.
        #[source]
        source: Box<HttpError>,
    },
    /// The answer is an error.
    #[error("{url} answers {status}{said}")]
    Status {
        /// For what.
        url: String,
        /// The answer.
        status: StatusCode,
        /// The registry's words.
        said: String,
        /// How long it asks to be left alone.
        wait: Option<Duration>,
    },
    /// [`REDIRECTS_MAX`].
    #[error("{0} is redirected more than {REDIRECTS_MAX} times")]
    Redirects(String),
    /// A redirect to where nobody should follow.
    #[error("{url} is redirected to {to:?}, which is not followed")]
    Redirect {
        /// From where.
        url: String,
        /// Where to.
        to: String,
    },
    /// Its challenge.
    #[error("{url} asks for credentials")]
    Challenge {
        /// For what.
        url: String,
        /// Why there are none.
        #[source]
        source: ChallengeError,
    },
    /// The realm's answer.
    #[error("the answer of {url} is no token: {reason}")]
    Token {
        /// The realm.
        url: String,
        /// Why.
        reason: &'static str,
    },
    /// Another document than the one asked for.
    #[error("{url} answers with something else: it has not the digest {digest}")]
    Digest {
        /// For what.
        url: String,
        /// What was expected.
        digest: Digest,
    },
    /// The layer has not the length that the manifest says.
    #[error("{url} has more than {size} bytes, or other parts than were asked for")]
    Length {
        /// For what.
        url: String,
        /// What the manifest says.
        size: u64,
    },
    /// The layer ended too early.
    #[error("{url} broke off after {got} of {size} bytes")]
    Cut {
        /// For what.
        url: String,
        /// Bytes so far.
        got: u64,
        /// What the manifest says.
        size: u64,
    },
    /// Nobody takes its bytes any more.
    #[error("the layer is not wanted any more")]
    Unwanted,
}

impl RegistryError {
    /// Whether it may go better the next time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_passing(),
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            Self::Cut { .. } => true,
            _ => false,
        }
    }
}

/// Asks for one image.
#[derive(Debug)]
pub(super) struct Session {
    http: Http,
    timeouts: Timeouts,
    endpoints: Vec<Endpoint>,
    /// Who gave the manifest.
    good: AtomicUsize,
    repository: String,
    /// `Authorization` by endpoint, as soon as it is known.
    authorization: Mutex<HashMap<usize, HeaderValue>>,
}

/// A document as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Option<String>,
}

impl Session {
    /// The credentials are the pull's own: they go to the registry itself, and to no mirror.
    pub(super) fn new(
        http: Http,
        timeouts: Timeouts,
        mut endpoints: Vec<Endpoint>,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Self {
        for endpoint in &mut endpoints {
            if endpoint.mirror_of.is_none() && *credentials != Credentials::None {
                endpoint.credentials = credentials.clone();
            }
        }
        Self {
            http,
            timeouts,
            endpoints,
            good: AtomicUsize::new(0),
            repository: reference.repository().to_owned(),
            authorization: Mutex::default(),
        }
    }

    /// An index or manifest, by tag or digest.
    pub(super) async fn manifest(&self, wanted: &str) -> Result<Sent, RegistryError> {
        self.document("manifests", wanted, DOCUMENT_MAX).await
    }

    /// A blob that is a document.
    pub(super) async fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let wanted = descriptor.digest.as_str();
        let sent = self.document("blobs", wanted, descriptor.size).await?;
        Ok(sent.bytes)
    }

    async fn document(&self, kind: &str, wanted: &str, most: u64) -> Result<Sent, RegistryError> {
        let mut first = None;
        for at in self.order() {
            let url = self.endpoints[at].target(&self.repository, kind, wanted);
            let mut retry = Retry::new(&self.timeouts);
            let failed = loop {
                let asking = within(
                    "the whole answer",
                    self.timeouts.document,
                    self.document_once(at, &url, wanted, most),
                );
                let answer = asking
                    .await
                    .unwrap_or_else(|source| Err(broken(&url, source)));
                match answer {
                    Ok(sent) => {
                        self.good.store(at, Ordering::Relaxed);
                        return Ok(sent);
                    }
                    Err(error) => match retry.wait(error).await {
                        Ok(()) => {}
                        Err(error) => break error,
                    },
                }
            };
            tracing::debug!(error = %service::chain(&failed), "endpoint has no answer");
            // The registry's own answer says more than a mirror's that has no such image.
            first = Some(failed);
        }
        Err(first.expect("there is an endpoint"))
    }

    async fn document_once(
        &self,
        at: usize,
        url: &Url,
        wanted: &str,
        most: u64,
    ) -> Result<Sent, RegistryError> {
        let answer = self.send(at, url, &[(header::ACCEPT, ACCEPT)]).await?;
        let kind = text_of(&answer.headers, &header::CONTENT_TYPE);
        let body = answer.body.all(most).await;
        let bytes = body.map_err(|source| broken(url, source))?;
        if let Ok(digest) = Digest::parse(wanted)
            && !digest.fits(&bytes)
        {
            return Err(RegistryError::Digest {
                url: shown(url),
                digest,
            });
        }
        Ok(Sent { bytes, kind })
    }

    /// Sends the bytes of a layer, all and no others.
    pub(super) async fn layer(
        &self,
        descriptor: &Descriptor,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let mut got = 0;
        let mut last = None;
        for at in self.order() {
            let mut retry = Retry::new(&self.timeouts);
            loop {
                let before = got;
                match self.layer_once(at, descriptor, &mut got, to).await {
                    Ok(()) => return Ok(()),
                    Err(error @ RegistryError::Unwanted) => return Err(error),
                    Err(error) => {
                        if got - before >= PROGRESS {
                            retry = Retry::new(&self.timeouts);
                        }
                        tracing::debug!(error = %service::chain(&error), got, "layer broke off");
                        match retry.wait(error).await {
                            Ok(()) => {}
                            Err(error) => {
                                last = Some(error);
                                break;
                            }
                        }
                    }
                }
            }
        }
        Err(last.expect("there is an endpoint"))
    }

    async fn layer_once(
        &self,
        at: usize,
        descriptor: &Descriptor,
        got: &mut u64,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let size = descriptor.size;
        let digest = descriptor.digest.as_str();
        let url = self.endpoints[at].target(&self.repository, "blobs", digest);
        let wrong = || RegistryError::Length {
            url: shown(&url),
            size,
        };
        let range = format!("bytes={got}-");
        let mut wanted = vec![(header::ACCEPT, "*/*")];
        if *got > 0 {
            wanted.push((header::RANGE, &range));
        }
        let mut answer = self.send(at, &url, &wanted).await?;
        // A server that knows no ranges sends all of it: what is here already is passed over.
        let mut skip = match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let said = text_of(&answer.headers, &header::CONTENT_RANGE).unwrap_or_default();
                if !said.starts_with(&format!("bytes {got}-")) {
                    return Err(wrong());
                }
                0
            }
            _ => *got,
        };
        loop {
            // A body that is cut is an error of its own only where its length was said.
            let cut = RegistryError::Cut {
                url: shown(&url),
                got: *got,
                size,
            };
            let chunk = answer.body.chunk().await;
            let Some(mut chunk) = chunk.map_err(|source| broken(&url, source))? else {
                return if *got == size { Ok(()) } else { Err(cut) };
            };
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let passed = skip.min(length);
            skip -= passed;
            let _ = chunk.split_to(usize::try_from(passed).expect("at most a chunk"));
            *got += length - passed;
            if *got > size {
                return Err(wrong());
            }
            if !chunk.is_empty() {
                to.send(chunk).await.map_err(|_| RegistryError::Unwanted)?;
            }
        }
    }

    /// Endpoints in order, who was good before first.
    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let good = self.good.load(Ordering::Relaxed);
        std::iter::once(good).chain((0..self.endpoints.len()).filter(move |at| *at != good))
    }

    /// Asks an endpoint, with what it wants to know, and follows where it leads.
    async fn send(
        &self,
        at: usize,
        url: &Url,
        wanted: &[(HeaderName, &str)],
    ) -> Result<Answer, RegistryError> {
        let endpoint = &self.endpoints[at];
        let mut target = url.clone();
        let (mut redirects, mut challenged) = (0, false);
        loop {
            let home = challenge::same_origin(&target, &endpoint.url);
            let mut headers = HeaderMap::new();
            for (name, value) in wanted {
                headers.insert(name, value_of(value, url)?);
            }
            if home && let Some(value) = self.authorization(at, url).await? {
                headers.insert(header::AUTHORIZATION, value);
            }
            let ask = Ask {
                url: &target,
                ca_file: endpoint.ca_file.as_deref(),
                headers,
                form: None,
            };
            let answer = self
                .http
                .ask(&ask)
                .await
                .map_err(|source| broken(&target, source))?;
            match answer.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(answer),
                StatusCode::UNAUTHORIZED if home && !challenged => {
                    challenged = true;
                    self.authenticate(at, url, answer).await?;
                }
                status if status.is_redirection() => {
                    redirects += 1;
                    if redirects > REDIRECTS_MAX {
                        return Err(RegistryError::Redirects(shown(url)));
                    }
                    target = redirected(&target, &answer.headers)?;
                }
                _ => return Err(refused(&target, answer).await),
            }
        }
    }

    async fn authorization(
        &self,
        at: usize,
        url: &Url,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        if let Some(value) = self.authorization.lock().await.get(&at) {
            return Ok(Some(value.clone()));
        }
        match &self.endpoints[at].credentials {
            Credentials::Registry(token) => secret(&format!("Bearer {token}"), url).map(Some),
            _ => Ok(None),
        }
    }

    /// Answers a challenge. Layers that are asked for at once may each do it: the last token counts.
    async fn authenticate(
        &self,
        at: usize,
        url: &Url,
        answer: Answer,
    ) -> Result<(), RegistryError> {
        let endpoint = &self.endpoints[at];
        let values = answer.headers.get_all(header::WWW_AUTHENTICATE);
        let values: Vec<&str> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let found = challenge::challenge(&values, &endpoint.url);
        let found = found.map_err(|source| RegistryError::Challenge {
            url: shown(url),
            source,
        })?;
        let value = match found {
            Challenge::Basic => match endpoint.credentials.basic() {
                Some(value) => value,
                None => return Err(refused(url, answer).await),
            },
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let scope = scope.unwrap_or_else(|| challenge::pull_scope(&self.repository));
                self.token(endpoint, &realm, service.as_deref(), &scope)
                    .await?
            }
        };
        let value = secret(&value, url)?;
        self.authorization.lock().await.insert(at, value);
        Ok(())
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        realm: &Url,
        service: Option<&str>,
        scope: &str,
    ) -> Result<String, RegistryError> {
        let request = challenge::token_request(realm, service, scope, &endpoint.credentials);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &request.authorization {
            headers.insert(header::AUTHORIZATION, secret(authorization, realm)?);
        }
        let ask = Ask {
            url: &request.url,
            ca_file: endpoint.ca_file.as_deref(),
            headers,
            form: request.form,
        };
        let whole = within("the whole token", self.timeouts.document, async {
            let answer = self.http.ask(&ask).await?;
            if answer.status != StatusCode::OK {
                return Ok(Err(refused(realm, answer).await));
            }
            let most = u64::try_from(TOKEN_MAX).expect("64 KiB");
            answer.body.all(most).await.map(Ok)
        });
        let whole = whole.await.and_then(|answer| answer);
        let bytes = whole.map_err(|source| broken(realm, source))??;
        challenge::token(&bytes).map_err(|reason| RegistryError::Token {
            url: shown(realm),
            reason,
        })
    }
}

/// Counts attempts, and waits between them.
struct Retry {
    left: u32,
    longest: Duration,
    backoff: Backoff,
}

impl Retry {
    fn new(timeouts: &Timeouts) -> Self {
        Self {
            left: timeouts.attempts.saturating_sub(1),
            longest: timeouts.wait_max,
            backoff: Backoff::new(timeouts.wait, timeouts.wait_max),
        }
    }

    /// Gives the error back where there is nothing more to try.
    async fn wait(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if self.left == 0 || !error.is_passing() {
            return Err(error);
        }
        self.left -= 1;
        let mut random = [0; 4];
        // Without random numbers all wait alike, which is no reason to fail.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let mut wait = self.backoff.next(u32::from_ne_bytes(random));
        if let RegistryError::Status {
            wait: Some(asked), ..
        } = &error
        {
            wait = wait.max((*asked).min(self.longest));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let to = text_of(headers, &header::LOCATION).unwrap_or_default();
    let refused = || RegistryError::Redirect {
        url: shown(from),
        to: to.chars().take(200).collect(),
    };
    let target = from.join(&to).map_err(|_| refused())?;
    match (from.scheme(), target.scheme(), target.host()) {
        ("https", "https", Some(_)) | ("http", "http" | "https", Some(_)) if !to.is_empty() => {
            Ok(target)
        }
        _ => Err(refused()),
    }
}

/// An answer that is an error, with the registry's own words.
async fn refused(url: &Url, answer: Answer) -> RegistryError {
    #[derive(serde::Deserialize)]
    struct Said {
        errors: Vec<SaidError>,
    }
    #[derive(serde::Deserialize)]
    struct SaidError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let status = answer.status;
    let wait = text_of(&answer.headers, &header::RETRY_AFTER);
    let wait = wait
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let body = answer.body.all(ERROR_MAX).await.unwrap_or_default();
    let said = serde_json::from_slice::<Said>(&body).ok();
    let said = said.and_then(|said| said.errors.into_iter().next());
    let said = said.map(|error| {
        let text = format!(": {} {}", error.code, error.message);
        text.chars().filter(|c| !c.is_control()).take(300).collect()
    });
    RegistryError::Status {
        url: shown(url),
        status,
        said: said.unwrap_or_default(),
        wait,
    }
}

fn broken(url: &Url, source: HttpError) -> RegistryError {
    RegistryError::Http {
        url: shown(url),
        source: Box::new(source),
    }
}

/// Without the query: where a blob is redirected to, that is as good as a password.
fn shown(url: &Url) -> String {
    url[..url::Position::AfterPath].chars().take(400).collect()
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn value_of(text: &str, url: &Url) -> Result<HeaderValue, RegistryError> {
    HeaderValue::from_str(text).map_err(|error| broken(url, hyper::http::Error::from(error).into()))
}

fn secret(text: &str, url: &Url) -> Result<HeaderValue, RegistryError> {
    let mut value = value_of(text, url)?;
    value.set_sensitive(true);
    Ok(value)
}
