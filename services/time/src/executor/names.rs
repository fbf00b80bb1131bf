//! Names of time servers to addresses.

pub use names::ADDRESSES_MAX;
use names::{NameError, look_up};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

/// Longest wait for all names together.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Addresses of `hosts` (names or addresses) with `port`, names looked up at the nameservers of
/// `resolv_conf`. A name that cannot be looked up gives none, and a line in the log.
pub async fn resolve(hosts: &[String], resolv_conf: &Path, port: u16) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    // Addresses need no answer: a slow name does not take them away.
    let (addresses, names): (Vec<_>, Vec<_>) = hosts
        .iter()
        .partition(|host| host.parse::<IpAddr>().is_ok());
    let all = async {
        for host in addresses.into_iter().chain(names) {
            match look_up(host, resolv_conf).await {
                Ok(addresses) => {
                    found.extend(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)));
                }
                Err(error @ NameError::NoNameservers) => tracing::debug!(host, %error, "waits"),
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::info!(host, error, "time server not looked up");
                }
            }
        }
    };
    if tokio::time::timeout(RESOLVE_TIMEOUT, all).await.is_err() {
        tracing::info!("looking up time servers takes too long");
    }
    found
}
