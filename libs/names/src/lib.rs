//! Names of hosts to addresses, by the nameservers that the network service has written down.
//!
//! A static program has no name service of libc's. This one asks the nameservers of a resolv.conf(5) anew
//! for each look-up: they change when a lease does. Search domains are for people and are left alone.
//!
//! Bounds: [`ADDRESSES_MAX`] per name, [`LOOK_UP_TIMEOUT`] per look-up, eight nameservers.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let found = orlop_names::look_up("192.0.2.1", "/run/resolv.conf".as_ref()).await;
//! assert_eq!(found.unwrap(), [std::net::IpAddr::from([192, 0, 2, 1])]);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

use hickory_resolver::{
    Resolver,
    config::{NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use std::{fs, io::Read as _, net::IpAddr, path::Path, time::Duration};

/// Addresses taken per name.
pub const ADDRESSES_MAX: usize = 4;
/// Longest time for one name.
pub const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for one nameserver.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Nameservers that are asked.
const NAMESERVERS_MAX: usize = 8;
/// Largest resolv.conf that is read.
const FILE_MAX: u64 = 64 * 1024;

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Nobody to ask: the network is not up, or brings none.
    #[error("no nameservers are known (yet)")]
    NoNameservers,
    /// No nameserver knows it, or none answers.
    #[error("look up {name}")]
    Failed {
        /// The name.
        name: String,
        /// The resolver's answer.
        #[source]
        source: NetError,
    },
    /// Not within [`LOOK_UP_TIMEOUT`].
    #[error("look up {name}: no answer within {LOOK_UP_TIMEOUT:?}")]
    Timeout {
        /// The name.
        name: String,
    },
}

/// The addresses of `host`, a name or an address, in the order in which they are to be tried; at least one.
///
/// # Errors
/// [`NameError`].
pub async fn look_up(host: &str, resolv_conf: &Path) -> Result<Vec<IpAddr>, NameError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let servers: Vec<_> = nameservers(resolv_conf)
        .into_iter()
        .map(NameServerConfig::udp_and_tcp)
        .collect();
    if servers.is_empty() {
        return Err(NameError::NoNameservers);
    }
    let name = host.to_owned();
    let failed = |source| NameError::Failed {
        name: name.clone(),
        source,
    };
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = ANSWER_TIMEOUT;
    let resolver = builder.build().map_err(failed)?;
    // The dot ends the name: no search domain is tried.
    let look_up = resolver.lookup_ip(format!("{}.", host.trim_end_matches('.')));
    match tokio::time::timeout(LOOK_UP_TIMEOUT, look_up).await {
        Ok(Ok(found)) => Ok(found.iter().take(ADDRESSES_MAX).collect()),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(NameError::Timeout { name }),
    }
}

/// Nameservers of a resolv.conf(5); none where there is no such file.
fn nameservers(resolv_conf: &Path) -> Vec<IpAddr> {
    let mut text = String::new();
    // A file that ends in the middle of a character is not one that the network service has written.
    let _ =
        fs::File::open(resolv_conf).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse().ok();
    text.lines()
        .filter_map(server)
        .take(NAMESERVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_and_others_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        assert_eq!(nameservers(&path), [] as [IpAddr; 0]);
        let text = "# x\nnameserver 10.0.0.1\nsearch a\nnameserver fe80::1%2\nnameserver ::1\n";
        fs::write(&path, text).unwrap();
        let expect: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(nameservers(&path), expect);
    }
}
