//! From what the user calls a node to where it is. A static libc has no name service: names are looked
//! up in /etc/hosts and at the nameservers of /etc/resolv.conf by our own resolver.

use crate::failure::{Failure, Kind};
use hickory_resolver::TokioResolver;
use machine_client::Target;
use machine_proto::PORT;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A node as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    host: String,
    port: u16,
}

impl Node {
    /// Reads `10.0.0.1`, `10.0.0.1:50000`, `fd00::1`, `[fd00::1]:50000`, `node`, `node:50000`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(Kind::Invalid, format!("{text:?} is no node"))
                .help("write ADDRESS, NAME or [IPV6], each with :PORT if it is not 50000")
        };
        let node = |host: &str, port: &str| {
            let port = port.parse().map_err(|_| wrong())?;
            let host = host.to_owned();
            if host.is_empty() || host.contains(['/', ' ', '[', ']']) {
                return Err(wrong());
            }
            Ok(Self { host, port })
        };
        let usual = PORT.to_string();
        if text.parse::<IpAddr>().is_ok() {
            return node(text, &usual);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<IpAddr>().map_err(|_| wrong())?;
            return match rest.strip_prefix(':') {
                Some(port) => node(host, port),
                None if rest.is_empty() => node(host, &usual),
                None => Err(wrong()),
            };
        }
        match text.split_once(':') {
            Some((host, port)) => node(host, port),
            None => node(text, &usual),
        }
    }

    /// Where it is; a name may have several addresses.
    pub(crate) async fn resolve(&self, timeout: Duration) -> Result<Vec<Target>, Failure> {
        let target = |address: IpAddr| Target {
            address: SocketAddr::new(address, self.port),
            server_name: self.host.clone(),
        };
        if let Ok(address) = self.host.parse() {
            return Ok(vec![target(address)]);
        }
        let failed = |why: String| {
            Failure::new(Kind::Unreachable, format!("look up {}: {why}", self.host))
                .help("check the name, /etc/hosts and /etc/resolv.conf, or give an address")
        };
        let look_up = async {
            let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
            let resolver = resolver.map_err(|error| failed(error.to_string()))?;
            let found = resolver.lookup_ip(self.host.as_str()).await;
            let found = found.map_err(|error| failed(error.to_string()))?;
            Ok(found.iter().map(target).collect::<Vec<_>>())
        };
        let targets = tokio::time::timeout(timeout, look_up)
            .await
            .map_err(|_| failed(format!("no answer within {timeout:?}")))??;
        if targets.is_empty() {
            return Err(failed("it has no address".to_owned()));
        }
        Ok(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(&str, u16)>) {
        let expect = expect.map(|(host, port)| Node {
            host: host.into(),
            port,
        });
        assert_eq!(Node::parse(text).ok(), expect, "{text}");
    }

    #[test]
    fn nodes() {
        check("10.0.0.1", Some(("10.0.0.1", 50_000)));
        check("10.0.0.1:1", Some(("10.0.0.1", 1)));
        check("fd00::1", Some(("fd00::1", 50_000)));
        check("[fd00::1]:7", Some(("fd00::1", 7)));
        check("[fd00::1]", Some(("fd00::1", 50_000)));
        check("node.example:7", Some(("node.example", 7)));
        check("node", Some(("node", 50_000)));
        check("", None);
        check("node:", None);
        check("node:99999", None);
        check("https://node", None);
        check("[node]:1", None);
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        let node = Node::parse("127.0.0.1:9").unwrap();
        let targets = node.resolve(Duration::ZERO).await.unwrap();
        assert_eq!(targets[0].address, "127.0.0.1:9".parse().unwrap());
    }
}
