//! Where every call passes: who calls, whether the table lets them, bounds on body and time.
//!
//! Invariant: nothing of a request's body is looked at before the table has said yes.

use super::{credentials::Settings, machine::Api, metrics::Metrics};
use crate::planner::access::{Access, allowed};
use http_body_util::{BodyExt as _, Limited};
use hyper::{Request, Response, body::Incoming};
use machine_proto::{MESSAGE_MAX, Rpc, v1alpha1::machine_server::MachineServer};
use pki::{Identity, Roles};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::watch;
use tonic::{Status, body::Body, codegen::Service as _};

/// Longest time from a request's headers to its answer's. Stopping a service may take a minute.
pub const CALL_MAX: Duration = Duration::from_secs(90);
/// Bytes of a request that carries no config: a signing request is the largest.
pub const REQUEST_MAX: usize = 128 * 1024;
/// gRPC's prefix of a message, and room for HTTP/2's padding.
const ENVELOPE: usize = 1024;

/// Who is on the other end of a connection.
#[derive(Debug, Clone)]
pub struct Caller {
    /// From the client certificate; None in maintenance mode.
    pub identity: Option<Identity>,
    /// When that certificate ends.
    pub expires_at: Option<SystemTime>,
    /// Trust of the settings that let it in.
    pub trust: u64,
    /// Where from.
    pub address: IpAddr,
    /// Calls under way on the connection.
    pub calls: Arc<AtomicUsize>,
}

impl Caller {
    /// Its roles; none in maintenance mode.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.identity
            .as_ref()
            .map_or(Roles::NONE, |identity| identity.roles)
    }

    /// Its name for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        self.identity
            .as_ref()
            .map_or("anyone (maintenance mode)", |identity| {
                &identity.common_name
            })
    }

    /// Refuses a caller whose roles do not reach.
    ///
    /// # Errors
    /// PERMISSION_DENIED with the roles that would do.
    pub fn require(&self, access: Access, what: &str) -> Result<(), Status> {
        if access.permits(self.roles()) {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "{what} needs the role {}; the certificate of {:?} has {}",
            access.in_words(),
            self.name(),
            self.roles()
        )))
    }
}

/// Everything that a connection needs to serve calls.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The settings of the moment.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// What answers.
    pub server: MachineServer<Api>,
    /// Counts.
    pub metrics: Metrics,
}

/// Counts a call from its beginning to the end of its answer.
struct Underway(Arc<AtomicUsize>);

impl Underway {
    fn begin(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// Answers one request.
    pub async fn answer(&self, caller: &Arc<Caller>, request: Request<Incoming>) -> Response<Body> {
        let underway = Underway::begin(&caller.calls);
        let rpc = match self.admit(caller, request.uri().path()) {
            Ok(rpc) => rpc,
            Err(status) => return status.into_http(),
        };
        let bytes_max = ENVELOPE
            + match rpc {
                Rpc::ConfigApply => MESSAGE_MAX,
                _ => REQUEST_MAX,
            };
        let mut request = request.map(|body| Limited::new(body, bytes_max));
        request.extensions_mut().insert(Arc::clone(caller));
        let mut server = self.server.clone();
        match tokio::time::timeout(CALL_MAX, server.call(request)).await {
            Ok(Ok(response)) => response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    // Held until the body is dropped: the answer's end.
                    let _ = &underway;
                    frame
                }))
            }),
            Ok(Err(never)) => match never {},
            Err(_) => {
                Status::deadline_exceeded(format!("{} did not end within {CALL_MAX:?}", rpc.name()))
                    .into_http()
            }
        }
    }

    fn admit(&self, caller: &Caller, path: &str) -> Result<Rpc, Status> {
        let rpc = Rpc::from_path(path).ok_or_else(|| {
            Status::unimplemented(format!("this node's machine API has no {path:?}"))
        })?;
        let settings = Arc::clone(&self.settings.borrow());
        let verdict = check(&settings, caller, rpc, SystemTime::now());
        match &verdict {
            Ok(()) => self.metrics.called(rpc.name()),
            Err(status) => {
                self.metrics.denied(rpc.name());
                tracing::info!(
                    rpc = rpc.name(),
                    caller = caller.name(),
                    address = %caller.address,
                    reason = status.message(),
                    "call refused"
                );
            }
        }
        verdict.map(|()| rpc)
    }
}

fn check(settings: &Settings, caller: &Caller, rpc: Rpc, now: SystemTime) -> Result<(), Status> {
    if caller.trust != settings.trust {
        return Err(Status::unavailable(
            "the node's config has changed since this connection was made; connect again",
        ));
    }
    let access = allowed(rpc);
    if settings.open() {
        return match rpc {
            Rpc::ConfigApply if settings.closed => Err(closed(settings)),
            _ if access.maintenance => Ok(()),
            _ => Err(maintenance(settings, rpc.name())),
        };
    }
    if caller.expires_at.is_some_and(|end| end <= now) {
        return Err(Status::unauthenticated(
            "the client certificate has expired since this connection was made; get a new one",
        ));
    }
    caller.require(access, rpc.name())
}

/// The refusal of a node that may belong to somebody, and cannot say to whom.
fn closed(settings: &Settings) -> Status {
    Status::failed_precondition(format!(
        "this node takes no config over the network: {}",
        reason(settings).unwrap_or("it has one, which could not be read")
    ))
}

fn reason(settings: &Settings) -> Option<&str> {
    settings.part.maintenance_reason.as_deref()
}

/// The refusal of a node in maintenance mode.
#[must_use]
pub fn maintenance(settings: &Settings, what: &str) -> Status {
    let reason = reason(settings).unwrap_or("it has no config");
    Status::failed_precondition(format!(
        "{what} is not served in maintenance mode ({reason}); apply a config first: orlopctl apply-config FILE --insecure --fingerprint FINGERPRINT"
    ))
}
