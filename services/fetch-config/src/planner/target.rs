//! A URL that is asked: parsed once, shown without its secrets, redirected by rules.

use base64::Engine as _;
use std::fmt;
use url::{Host, Url};

/// Longest URL, variables replaced; what common servers take.
pub const URL_MAX: usize = 2048;

/// An `http://` or `https://` URL with a host. Its `Debug` and `Display` leave out user information, query
/// and fragment: they may hold a password or a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

/// Why a text is no target. Never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Over [`URL_MAX`].
    #[error("the URL has more than {URL_MAX} characters")]
    TooLong,
    /// Not a URL.
    #[error("not a URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// Another scheme.
    #[error("neither an http:// nor an https:// URL")]
    Scheme,
    /// A redirect that would give up TLS.
    #[error("from https to http, which anybody could answer")]
    Downgrade,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        bounded(text)?;
        Self::checked(Url::parse(text)?)
    }

    /// Where a `Location` header leads from here. User name and password stay within their own origin.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn redirected(&self, location: &str) -> Result<Self, TargetError> {
        bounded(location)?;
        let mut url = self.0.join(location)?;
        if url.origin() == self.0.origin() && url.username().is_empty() {
            // Both are refused for URLs without a host only.
            let _ = url.set_username(self.0.username());
            let _ = url.set_password(self.0.password());
        }
        let target = Self::checked(url)?;
        if self.https() && !target.https() {
            return Err(TargetError::Downgrade);
        }
        Ok(target)
    }

    fn checked(url: Url) -> Result<Self, TargetError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme);
        }
        // Of these schemes a URL has a host (WHATWG URL, "special scheme").
        Ok(Self(url))
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Name or address of the host, without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let scheme = if self.https() { 443 } else { 80 };
        self.0.port().unwrap_or(scheme)
    }

    /// The `Host` header.
    #[must_use]
    pub fn host_header(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// What is asked for: path and query.
    #[must_use]
    pub fn request_target(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    /// The `Authorization` header for user name and password, RFC 7617.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        if self.0.username().is_empty() && self.0.password().is_none() {
            return None;
        }
        let mut pair = decoded(self.0.username());
        pair.push(b':');
        pair.extend(decoded(self.0.password().unwrap_or_default()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(format!("Basic {encoded}"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, path) = (self.0.scheme(), self.host_header(), self.0.path());
        write!(f, "{scheme}://{host}{path}")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn bounded(text: &str) -> Result<(), TargetError> {
    if text.len() > URL_MAX {
        return Err(TargetError::TooLong);
    }
    Ok(())
}

/// Percent-encoding undone, RFC 3986 section 2.1; a `%` without two digits stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("https://us%40er:p%3aw@[fd00::1]:8443/a%20b?q=1#f").unwrap();
        assert_eq!(target.host(), "fd00::1");
        assert_eq!(target.port(), 8443);
        assert_eq!(target.host_header(), "[fd00::1]:8443");
        assert_eq!(target.request_target(), "/a%20b?q=1");
        assert_eq!(target.to_string(), "https://[fd00::1]:8443/a%20b");
        // "us@er:p:w"
        assert_eq!(target.authorization().unwrap(), "Basic dXNAZXI6cDp3");
        let plain = Target::parse("http://config.example").unwrap();
        assert_eq!((plain.port(), plain.request_target()), (80, "/".to_owned()));
        assert_eq!(plain.authorization(), None);
    }

    #[test]
    fn what_is_no_target_is_said_without_it() {
        for bad in [
            "hush",
            "ftp://hush/",
            "http://",
            "http://hush:x/",
            "file:///hush",
        ] {
            let error = Target::parse(bad).unwrap_err();
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        let long = format!("http://host/{}", "x".repeat(URL_MAX));
        assert_eq!(Target::parse(&long), Err(TargetError::TooLong));
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = Target::parse("https://user:pw@one/x").unwrap();
        for (location, expect) in [
            ("y", true),
            ("https://one/z", true),
            ("https://two/z", false),
            ("https://one:444/z", false),
            ("//two/z", false),
        ] {
            let to = from.redirected(location).unwrap();
            assert_eq!(to.authorization().is_some(), expect, "{location}");
        }
        assert_eq!(from.redirected("http://one/x"), Err(TargetError::Downgrade));
        assert_eq!(from.redirected("ftp://one/x"), Err(TargetError::Scheme));
    }

    proptest! {
        #[test]
        fn any_location_is_an_answer(location in ".{0,60}") {
            let from = Target::parse("https://user:pw@one/x").unwrap();
            if let Ok(target) = from.redirected(&location) {
                prop_assert!(target.https());
                prop_assert!(!target.host().is_empty());
            }
        }
    }
}
