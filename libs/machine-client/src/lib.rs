//! How a program reaches a node's machine API.
//!
//! ```text
//!   Target + Trust + Identity ──connect──> TCP ──> TLS 1.3 (trust.rs) ──> HTTP/2 ──> Client
//! ```
//!
//! One [`Connection`] carries all calls of one [`Client`]; clones share it. It is not made again when
//! it breaks: a caller that wants to go on connects anew and decides what to repeat.
//!
//! This crate resolves no names and reads no files.

mod connection;
mod trust;

pub use connection::{Connection, TransportError};
pub use trust::{Fingerprint, FingerprintError, Identity, Trust};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use machine_proto::v1alpha1::machine_client::MachineClient;
use rustls::{
    AlertDescription,
    pki_types::{InvalidDnsNameError, ServerName},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncBufReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

/// The generated client over our connection.
pub type Client = MachineClient<Connection>;

/// Longest time for TCP, TLS and HTTP/2 together, where the caller has no wish of its own.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// Name or address that the node's certificate must carry.
    pub server_name: String,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            server_name: address.ip().to_string(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("connect to {address}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The node did not answer in time.
    #[error("{address} did not answer within {after:?}")]
    Timeout {
        /// Where.
        address: SocketAddr,
        /// The bound.
        after: Duration,
    },
    /// The certificate is not the pinned one.
    #[error("the node's certificate has the fingerprint {seen}, not {wanted}")]
    Fingerprint {
        /// Of the certificate that the node sent.
        seen: Fingerprint,
        /// The pin.
        wanted: Fingerprint,
    },
    /// The certificate is not trusted.
    #[error("the node's certificate is not trusted")]
    Untrusted {
        /// Of the certificate that the node sent.
        seen: Fingerprint,
        /// What the check said.
        #[source]
        source: rustls::Error,
    },
    /// The node refused the client's certificate, or wants one.
    #[error("the node refused this client with the TLS alert {alert:?}")]
    Refused {
        /// What it said.
        alert: AlertDescription,
    },
    /// TLS failed otherwise; not a machine API, perhaps.
    #[error("TLS with {address}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 failed.
    #[error("HTTP/2 with {address}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: hyper::Error,
    },
    /// The given certificates or keys cannot be used.
    #[error("{what} cannot be used")]
    Credentials {
        /// Which one.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The name is neither an address nor a DNS name.
    #[error("{name:?} is neither an address nor a DNS name")]
    ServerName {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: InvalidDnsNameError,
    },
}

/// Connects to a node. Messages up to [`machine_proto::MESSAGE_MAX`] are taken.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    target: &Target,
    trust: &Trust,
    identity: Option<&Identity>,
    timeout: Duration,
) -> Result<Client, ConnectError> {
    let address = target.address;
    let name = ServerName::try_from(target.server_name.clone()).map_err(|source| {
        ConnectError::ServerName {
            name: target.server_name.clone(),
            source,
        }
    })?;
    let (config, seen) = trust::client_config(trust, identity)?;
    let connecting = async {
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|source| ConnectError::Tcp { address, source })?;
        // Calls are small and people wait for them.
        tcp.set_nodelay(true)
            .map_err(|source| ConnectError::Tcp { address, source })?;
        let mut tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .map_err(|source| seen.explain(trust, address, source))?;
        // TLS 1.3: the node looks at the client's certificate when the client's handshake is over. Its
        // HTTP/2 settings come unasked, or its alert, which a write now could make us miss.
        match tls.fill_buf().await {
            Ok([]) => {
                let source = io::ErrorKind::UnexpectedEof.into();
                return Err(ConnectError::Tls { address, source });
            }
            Ok(_) => {}
            Err(source) => {
                return Err(match connection::alert(&source) {
                    Some(alert) => ConnectError::Refused { alert },
                    None => ConnectError::Tls { address, source },
                });
            }
        }
        hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|source| ConnectError::Http { address, source })
    };
    let (sender, driver) = tokio::time::timeout(timeout, connecting)
        .await
        .map_err(|_| ConnectError::Timeout {
            address,
            after: timeout,
        })??;
    let origin = hyper::Uri::builder()
        .scheme("https")
        .authority(address.to_string())
        .path_and_query("/")
        .build()
        .expect("a socket address is a URI authority");
    Ok(
        MachineClient::with_origin(Connection::start(sender, driver), origin)
            .max_decoding_message_size(machine_proto::MESSAGE_MAX)
            .max_encoding_message_size(machine_proto::MESSAGE_MAX),
    )
}
