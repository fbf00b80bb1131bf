//! Where a member is reached: a peer URL, checked.
//!
//! Plain HTTP is for loopback only. A name other than localhost might mean any address, so it needs https, too.

use rustls::pki_types::ServerName;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use url::{Host, Url};

/// A peer URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUrl {
    text: String,
    host: PeerHost,
    port: u16,
    /// The name that the certificate must be for; None: plain HTTP.
    certified: Option<ServerName<'static>>,
}

/// The host of a peer URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerHost {
    /// Known without asking anybody: tried in this order.
    Addresses(Vec<IpAddr>),
    /// To be looked up.
    Name(String),
}

impl PeerUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = |what: &str| format!("{text}: {what}");
        let url = Url::parse(text).map_err(|_| format!("{text} is no http or https URL"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(format!("{text} is no http or https URL")),
        };
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(fault("there must be nothing but scheme, host and port"));
        }
        let (name, host) = match url.host() {
            Some(Host::Ipv4(address)) => (
                address.to_string(),
                PeerHost::Addresses(vec![address.into()]),
            ),
            Some(Host::Ipv6(address)) => (
                address.to_string(),
                PeerHost::Addresses(vec![address.into()]),
            ),
            // It means loopback everywhere (RFC 6761), and no nameserver need be asked.
            Some(Host::Domain("localhost")) => (
                "localhost".to_owned(),
                PeerHost::Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            ),
            Some(Host::Domain(name)) => (name.to_owned(), PeerHost::Name(name.to_owned())),
            None => return Err(fault("the host is missing")),
        };
        let loopback = match &host {
            PeerHost::Addresses(addresses) => addresses.iter().all(IpAddr::is_loopback),
            PeerHost::Name(_) => false,
        };
        if !tls && !loopback {
            return Err(fault(
                "plain HTTP between members is for loopback only: use https",
            ));
        }
        let certified = if tls {
            let name = ServerName::try_from(name)
                .map_err(|_| fault("no certificate can be for such a name"))?;
            Some(name)
        } else {
            None
        };
        Ok(Self {
            text: text.to_owned(),
            host,
            port: url
                .port_or_known_default()
                .ok_or_else(|| fault("the port is missing"))?,
            certified,
        })
    }

    /// Who is meant.
    #[must_use]
    pub fn host(&self) -> &PeerHost {
        &self.host
    }

    /// Where he listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the certificate must be for; None: plain HTTP.
    #[must_use]
    pub fn certified(&self) -> Option<&ServerName<'static>> {
        self.certified.as_ref()
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_members_have() {
        let check = |text: &str, host: &[&str], port, certified: Option<&str>| {
            let url = PeerUrl::parse(text).expect(text);
            let expect: Vec<IpAddr> = host.iter().filter_map(|host| host.parse().ok()).collect();
            let expect = match host {
                [name] if expect.is_empty() => PeerHost::Name((*name).to_owned()),
                _ => PeerHost::Addresses(expect),
            };
            assert_eq!((url.host(), url.port()), (&expect, port), "{text}");
            let name = url.certified().map(|name| name.to_str().into_owned());
            assert_eq!(name.as_deref(), certified, "{text}");
            assert_eq!(url.to_string(), text);
        };
        check("http://127.0.0.1:2380", &["127.0.0.1"], 2380, None);
        check("http://[::1]:1", &["::1"], 1, None);
        check("http://localhost:1", &["127.0.0.1", "::1"], 1, None);
        check(
            "https://10.0.0.1:2380",
            &["10.0.0.1"],
            2380,
            Some("10.0.0.1"),
        );
        check(
            "https://[fd00::1]:2380",
            &["fd00::1"],
            2380,
            Some("fd00::1"),
        );
        check("https://a.test:2380/", &["a.test"], 2380, Some("a.test"));
        check("https://a.test", &["a.test"], 443, Some("a.test"));
    }

    #[test]
    fn others_are_refused() {
        let check = |text: &str, expect: &str| {
            let fault = PeerUrl::parse(text).expect_err(text);
            assert!(fault.contains(expect), "{fault}");
        };
        check("a:1", "is no http or https URL");
        check("10.0.0.1:2380", "is no http or https URL");
        check("unix:///run/a", "is no http or https URL");
        check("http://10.0.0.1:2380", "loopback only");
        check("http://0.0.0.0:2380", "loopback only");
        check("http://a.test:2380", "loopback only");
        check("https://a:1/path", "nothing but scheme, host and port");
        check("https://a:1?b", "nothing but scheme, host and port");
        check("https://a:1#b", "nothing but scheme, host and port");
        check("https://b@a:1", "nothing but scheme, host and port");
        check("https://a_!:1", "no certificate can be for such a name");
    }
}
