//! Names of a server in its certificate.

use std::net::IpAddr;

use rcgen::SanType;
use rcgen::string::Ia5String;

use crate::PkiError;

/// DNS names and IP addresses of a server, without duplicates, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

/// Longest DNS name in text form (RFC 1035, section 2.3.4).
const DNS_NAME_MAX: usize = 253;

impl Names {
    /// Sorts texts into names and addresses. IPv6 without brackets.
    ///
    /// # Errors
    /// [`PkiError::Name`] for a text that is neither.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, PkiError> {
        let mut names = Self::default();
        for text in texts {
            match text.parse() {
                Ok(address) => names.add_address(address),
                Err(_) if is_dns_name(text) => names.add_dns(text),
                Err(_) => {
                    return Err(PkiError::Name {
                        name: text.chars().take(DNS_NAME_MAX).collect(),
                    });
                }
            }
        }
        Ok(names)
    }

    /// Adds an address unless it is there.
    pub fn add_address(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    /// Adds a DNS name unless it is there. A name that is no DNS name makes issuing fail.
    pub fn add_dns(&mut self, name: &str) {
        if !self.dns.iter().any(|known| known == name) {
            self.dns.push(name.to_owned());
        }
    }

    /// Whether every name of `other` is among these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.dns.iter().all(|name| self.dns.contains(name))
            && other
                .addresses
                .iter()
                .all(|address| self.addresses.contains(address))
    }

    pub(crate) fn to_sans(&self) -> Result<Vec<SanType>, PkiError> {
        let dns = self.dns.iter().map(|name| {
            let bad = || PkiError::Name { name: name.clone() };
            if !is_dns_name(name) {
                return Err(bad());
            }
            Ia5String::try_from(name.as_str())
                .map(SanType::DnsName)
                .map_err(|_| bad())
        });
        let addresses = self
            .addresses
            .iter()
            .map(|address| Ok(SanType::IpAddress(*address)));
        dns.chain(addresses).collect()
    }
}

/// Labels of letters, digits and '-', joined by dots; one leading `*.` as in wildcard certificates.
fn is_dns_name(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = rest
        .rsplit('.')
        .next()
        .is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    text.len() <= DNS_NAME_MAX && rest.split('.').all(label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let names =
            Names::parse(["a.b", "10.0.0.1", "fd00::1", "*.x.y", "a.b", "10.0.0.1"]).unwrap();
        assert_eq!(names.dns, ["a.b", "*.x.y"]);
        assert_eq!(names.addresses.len(), 2);
        for bad in [
            "",
            "a b",
            "[::1]",
            "10.0.0.1:80",
            "a..b",
            "10.0.0",
            "-a",
            "ä.de",
        ] {
            assert!(Names::parse([bad]).is_err(), "{bad}");
        }
    }
}
