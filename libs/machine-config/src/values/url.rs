//! URLs without credentials, and where the Kubernetes API is reached.

use std::fmt;

use super::names::host;
use super::{TextValue, text_type};

/// Longest URL; what common servers take.
const URL_MAX: usize = 2048;

/// The cluster's Kubernetes API as every node and client reaches it: `https://host:port`, no path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// DNS name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

impl TextValue for Endpoint {
    const FORMAT: &'static str = "endpoint";
    const ABOUT: &'static str = "https://host:port without a path, such as https://10.0.0.10:6443";

    fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("https://") else {
            return Err("does not begin with https://".to_owned());
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (name, number) = authority_parts(authority)?;
        let Some(number) = number else {
            return Err("has no port".to_owned());
        };
        Ok(Self {
            host: name.to_owned(),
            port: number,
        })
    }
}

text_type!(Endpoint);

/// An `http://` or `https://` URL without credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The URL as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for HttpUrl {
    const FORMAT: &'static str = "http-url";
    const ABOUT: &'static str = "an http:// or https:// URL without user name or password";

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_MAX {
            return Err(format!("is longer than {URL_MAX} characters"));
        }
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(|| "does not begin with http:// or https://".to_owned())?;
        if !rest.chars().all(|c| c.is_ascii_graphic())
            || rest.contains(['?', '#', '"', '<', '>', '\\'])
        {
            return Err("holds a character that does not belong into its path".to_owned());
        }
        let authority = rest.split('/').next().unwrap_or(rest);
        authority_parts(authority)?;
        Ok(Self(text.to_owned()))
    }
}

text_type!(HttpUrl);

fn authority_parts(authority: &str) -> Result<(&str, Option<u16>), String> {
    if authority.contains('@') {
        return Err("holds a user name or password, which belongs elsewhere".to_owned());
    }
    if authority.contains(['/', '?', '#']) {
        return Err("has something after host and port".to_owned());
    }
    let (name, number) = split_port(authority)?;
    host(name).map_err(|why| format!("has a host that {why}"))?;
    Ok((name, number.map(port).transpose()?))
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the brackets are taken off.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Err("has an opening bracket without a closing one".to_owned());
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("has something else than an IPv6 address in brackets".to_owned());
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if after.is_empty() => Ok((address, None)),
            None => Err("has something between the bracket and the port".to_owned()),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("has an IPv6 address that is not in brackets".to_owned())
        }
        Some((name, port)) => Ok((name, Some(port))),
        None => Ok((text, None)),
    }
}

/// A TCP port, 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let digits = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(port),
        _ => Err("needs a port of 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for good in [
            "https://10.0.0.10:6443",
            "https://api.example.com:443",
            "https://[fd00::1]:6443",
        ] {
            assert_eq!(Endpoint::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "http://a:1",
            "https://a",
            "https://a:0",
            "https://a:6443/x",
            "https://u:p@a:6443",
            "https://fd00::1:6443",
            "https://[fd00::1:6443",
            "https://:6443",
            "10.0.0.1:6443",
            "https://[a]:6443",
            "https://a:+1",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls() {
        for good in ["https://mirror.example.com", "http://10.0.0.1:5000/v2/x"] {
            assert!(HttpUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "mirror",
            "ftp://a",
            "https://",
            "https://u:p@a/",
            "https://a/?q",
            "https://a/ b",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
