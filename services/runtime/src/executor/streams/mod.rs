//! Exec, attach and port-forward: a URL for each call, and the server that is behind it.
//!
//! ```text
//!   CRI call ──> checked, kept under a token ──> http://ADDRESS:PORT/exec/TOKEN
//!   who comes there ──> server ──> handshake ──> spdy or socket ──> Streams ──> exec, attach
//!                                                     └──────────> pairs ────> port_forward
//! ```
//!
//! One task reads a connection and one writes it; between them and the processes are bounded queues, so that who is slow at one
//! end is waited for at the other.

mod attach;
mod connection;
mod descriptor;
mod exec;
mod handshake;
mod namespace;
mod port_forward;
mod server;
mod socket;
mod spdy;
mod transport;

use super::pods::{Pods, PodsError};
use crate::planner::{
    records::SandboxState,
    streams::{protocol::Wanted, tokens::Tokens},
};
use cri_proto::runtime::{AttachRequest, ExecRequest, PortForwardRequest};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections at once, from the first byte to the last: more than processes of exec.
const CONNECTIONS_MAX: usize = 1024;
/// A connection on which nothing goes either way; kubelets' default.
const IDLE_MAX: Duration = Duration::from_secs(4 * 3600);
/// From the upgrade until all of a call's streams are there; kubelets' default.
const CREATION_MAX: Duration = Duration::from_secs(30);
/// Words of a command together: what Linux takes at an execve(2) with the usual stack.
const COMMAND_MAX: usize = 2 * 1024 * 1024;
/// Ports of one port-forward over channels, of which there are 255.
const PORTS_MAX: usize = 64;

/// A call that waits for who comes.
#[derive(Debug, Clone)]
enum Call {
    Exec {
        container: String,
        command: Vec<String>,
        wanted: Wanted,
    },
    Attach {
        container: String,
        wanted: Wanted,
    },
    PortForward {
        sandbox: String,
        ports: Vec<u16>,
    },
}

impl Call {
    /// As the URL has it.
    const fn path(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Attach { .. } => "attach",
            Self::PortForward { .. } => "portforward",
        }
    }
}

/// The calls. Clones are the same.
#[derive(Debug, Clone)]
pub struct Streaming(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pods: Pods,
    address: SocketAddr,
    begun: Instant,
    tokens: Mutex<Tokens<Call>>,
    connections: Arc<Semaphore>,
}

impl Streaming {
    /// Listens there; nobody is served before [`Self::serve`].
    ///
    /// # Errors
    /// The system's.
    pub async fn listen(pods: Pods, address: IpAddr, port: u16) -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind((address, port)).await?;
        let inner = Inner {
            pods,
            address: listener.local_addr()?,
            begun: Instant::now(),
            tokens: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        };
        Ok((Self(Arc::new(inner)), listener))
    }

    /// Serves those who come, for ever.
    pub async fn serve(self, listener: TcpListener) {
        server::serve(self, listener).await;
    }

    /// Where a command's streams are.
    ///
    /// # Errors
    /// [`PodsError`].
    pub fn exec(&self, request: ExecRequest) -> Result<String, PodsError> {
        let wanted = wanted(
            &request.container_id,
            request.stdin,
            request.stdout,
            request.stderr,
            request.tty,
        )?;
        let bytes = request.cmd.iter().map(|word| word.len() + 1).sum();
        if request.cmd.is_empty() {
            return Err(PodsError::InvalidArgument(
                "ExecRequest.cmd is missing".to_owned(),
            ));
        }
        if bytes > COMMAND_MAX || request.cmd.iter().any(|word| word.contains('\0')) {
            return Err(PodsError::InvalidArgument(format!(
                "ExecRequest.cmd: a command has no zero bytes, and no more than {COMMAND_MAX} bytes"
            )));
        }
        let container = self.0.pods.running(&request.container_id)?.id;
        let audit = request.audit_request_id;
        tracing::debug!(container, audit, "a command is to be run");
        let call = Call::Exec {
            container,
            command: request.cmd,
            wanted,
        };
        self.url(call, bytes)
    }

    /// Where a container's streams are.
    ///
    /// # Errors
    /// [`PodsError`].
    pub fn attach(&self, request: &AttachRequest) -> Result<String, PodsError> {
        let wanted = wanted(
            &request.container_id,
            request.stdin,
            request.stdout,
            request.stderr,
            request.tty,
        )?;
        let container = self.0.pods.running(&request.container_id)?.id;
        self.url(Call::Attach { container, wanted }, 0)
    }

    /// Where a sandbox's ports are.
    ///
    /// # Errors
    /// [`PodsError`].
    pub fn port_forward(&self, request: &PortForwardRequest) -> Result<String, PodsError> {
        if request.pod_sandbox_id.is_empty() {
            return Err(PodsError::InvalidArgument(
                "missing required pod_sandbox_id".to_owned(),
            ));
        }
        let record = self.0.pods.sandbox(&request.pod_sandbox_id)?;
        if record.state != SandboxState::Ready {
            return Err(PodsError::FailedPrecondition(
                "sandbox container is not running".to_owned(),
            ));
        }
        if request.port.len() > PORTS_MAX {
            return Err(PodsError::InvalidArgument(format!(
                "PortForwardRequest.port: there are more than {PORTS_MAX}"
            )));
        }
        let port = |port: &i32| {
            u16::try_from(*port)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| {
                    PodsError::InvalidArgument(format!(
                        "PortForwardRequest.port: {port} is no port"
                    ))
                })
        };
        let ports = request.port.iter().map(port).collect::<Result<_, _>>()?;
        let sandbox = record.id;
        self.url(Call::PortForward { sandbox, ports }, 0)
    }

    fn url(&self, call: Call, bytes: usize) -> Result<String, PodsError> {
        let mut token = [0; 16];
        aws_lc_rs::rand::fill(&mut token)
            .map_err(|_| PodsError::Internal("there are no random numbers".to_owned()))?;
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let url = format!("http://{}/{}/{token}", self.0.address, call.path());
        let mut tokens = self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .insert(self.0.begun.elapsed(), token, call, bytes)
            .map_err(|error| PodsError::ResourceExhausted(error.to_string()))?;
        Ok(url)
    }

    fn take(&self, token: &str) -> Option<Call> {
        let mut tokens = self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.take(self.0.begun.elapsed(), token)
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.connections).acquire_owned().await.ok()
    }
}

/// The texts are those of kubelets' package cri/streaming.
fn wanted(
    container: &str,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
) -> Result<Wanted, PodsError> {
    let invalid = |text: &str| Err(PodsError::InvalidArgument(text.to_owned()));
    if container.is_empty() {
        return invalid("missing required container_id");
    }
    if tty && stderr {
        return invalid("tty and stderr cannot both be true");
    }
    if !stdin && !stdout && !stderr {
        return invalid("one of `stdin`, `stdout`, or `stderr` must be set");
    }
    Ok(Wanted {
        stdin,
        stdout,
        stderr,
        tty,
    })
}
