//! How tools reach a running member: etcdctl's flags.

use etcd_client::{Dialer, MemberUrl, Route};
use http_server::tls::{Files, TlsError};
use std::{path::PathBuf, sync::Arc};
use tonic::transport::Channel;

/// Where resolvers are listed.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Certificates for https.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Certificates {
    /// The CA of members' certificates (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub cacert: Option<PathBuf>,
    /// Our certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "cacert")]
    pub key: Option<PathBuf>,
}

/// Why a member cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL.
    #[error("{0}")]
    Url(String),
    /// The certificates.
    #[error("set up TLS")]
    Tls(#[from] TlsError),
}

impl Certificates {
    /// A channel to the member at this URL, which connects when it is first used.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub(super) fn channel(&self, url: &str) -> Result<Channel, EndpointError> {
        let files = match (&self.cert, &self.key, &self.cacert) {
            (Some(certificate), Some(key), Some(trusted)) => Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                trusted: trusted.clone(),
            }),
            _ => None,
        };
        let dialer = Arc::new(Dialer::new(files, PathBuf::from(RESOLV_CONF))?);
        let route =
            Route::new(dialer, &[url.to_owned()], MemberUrl::parse).map_err(EndpointError::Url)?;
        Ok(route.channel())
    }
}
