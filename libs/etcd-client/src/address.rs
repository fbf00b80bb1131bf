//! Where a member is reached: a URL, checked.
//!
//! Plain HTTP is for loopback only. A name other than localhost might mean any address, so it needs https, too.

use rustls::pki_types::ServerName;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};
use url::Url;

/// A URL of a member's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberUrl {
    text: String,
    host: Host,
    port: u16,
    /// The name that the certificate must be for; None: plain HTTP.
    certified: Option<ServerName<'static>>,
}

/// Who is meant by a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Known without asking anybody: tried in this order.
    Addresses(Vec<IpAddr>),
    /// To be looked up.
    Name(String),
    /// A socket's file on this machine.
    Socket(PathBuf),
}

impl MemberUrl {
    /// Parses a URL for clients: one for members, or `unix:///PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_for_clients(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix://") else {
            return Self::parse(text);
        };
        if !path.starts_with('/') {
            return Err(format!("{text}: the path must begin with a slash"));
        }
        Ok(Self {
            text: text.to_owned(),
            host: Host::Socket(path.into()),
            port: 0,
            certified: None,
        })
    }

    /// Parses a URL for members.
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
            Some(url::Host::Ipv4(address)) => {
                (address.to_string(), Host::Addresses(vec![address.into()]))
            }
            Some(url::Host::Ipv6(address)) => {
                (address.to_string(), Host::Addresses(vec![address.into()]))
            }
            // It means loopback everywhere (RFC 6761), and no nameserver need be asked.
            Some(url::Host::Domain("localhost")) => (
                "localhost".to_owned(),
                Host::Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            ),
            Some(url::Host::Domain(name)) => (name.to_owned(), Host::Name(name.to_owned())),
            None => return Err(fault("the host is missing")),
        };
        let loopback = match &host {
            Host::Addresses(addresses) => addresses.iter().all(IpAddr::is_loopback),
            Host::Name(_) | Host::Socket(_) => false,
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
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where he listens; 0 for a socket's file.
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

impl fmt::Display for MemberUrl {
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
            let url = MemberUrl::parse(text).expect(text);
            let expect: Vec<IpAddr> = host.iter().filter_map(|host| host.parse().ok()).collect();
            let expect = match host {
                [name] if expect.is_empty() => Host::Name((*name).to_owned()),
                _ => Host::Addresses(expect),
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
    fn clients_may_use_a_socket() {
        let url = MemberUrl::parse_for_clients("unix:///run/store.sock").expect("good");
        assert_eq!(url.host(), &Host::Socket("/run/store.sock".into()));
        assert!(MemberUrl::parse_for_clients("unix://store.sock").is_err());
        assert!(MemberUrl::parse_for_clients("http://127.0.0.1:1").is_ok());
    }

    #[test]
    fn others_are_refused() {
        let check = |text: &str, expect: &str| {
            let fault = MemberUrl::parse(text).expect_err(text);
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
