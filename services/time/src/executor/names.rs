//! Names of time servers to addresses.

use super::files;
use hickory_resolver::{
    Resolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

/// Addresses taken per name.
pub const ADDRESSES_MAX: usize = 4;
/// Longest wait for all names together.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses of `hosts` (names or addresses) with `port`, names looked up at the nameservers of
/// `resolv_conf`. A name that cannot be looked up gives none, and a line in the log.
pub async fn resolve(hosts: &[String], resolv_conf: &Path, port: u16) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let mut names = Vec::new();
    for host in hosts {
        match host.parse::<IpAddr>() {
            Ok(address) => found.push(SocketAddr::new(address, port)),
            Err(_) => names.push(host),
        }
    }
    if names.is_empty() {
        return found;
    }
    let servers = files::nameservers(resolv_conf);
    if servers.is_empty() {
        tracing::debug!("no nameservers yet; names of time servers wait");
        return found;
    }
    let servers = servers
        .into_iter()
        .map(NameServerConfig::udp_and_tcp)
        .collect();
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = ANSWER_TIMEOUT;
    let Ok(resolver) = builder.build() else {
        return found;
    };
    let look_up = async {
        for name in names {
            // The dot ends the name: search domains are for people.
            let answer = resolver
                .lookup_ip(format!("{}.", name.trim_end_matches('.')))
                .await;
            match answer {
                Ok(addresses) => {
                    let addresses = addresses.iter().take(ADDRESSES_MAX);
                    found.extend(addresses.map(|address| SocketAddr::new(address, port)));
                }
                Err(error) => tracing::info!(name, %error, "time server not looked up"),
            }
        }
    };
    if tokio::time::timeout(RESOLVE_TIMEOUT, look_up)
        .await
        .is_err()
    {
        tracing::info!("looking up time servers takes too long");
    }
    found
}
