//! IP addresses and prefixes in fields of the API.
//!
//! Two forms are read. The lenient one is that of older Go (`ParseIPSloppy`): an octet may have leading zeros, which
//! are decimal, and an IPv4 address may come in IPv6's clothes (`::ffff:1.2.3.4`). Fields that exist since before
//! 1.33 keep it, with a warning; newer fields take the canonical form alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::{FieldError, Path};
use crate::go::quote;

/// An address in the lenient form. An IPv4 address in IPv6's clothes is an IPv4 address, as in Go.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if !text.contains(':') {
        return parse_ipv4(text).map(IpAddr::V4);
    }
    // Only the last part of an IPv6 address may be in IPv4's form, and there the leading zeros count too.
    let address = match text.rfind(':') {
        Some(colon) if text.contains('.') => {
            let (head, tail) = text.split_at(colon + 1);
            let tail = parse_ipv4(tail)?;
            format!("{head}{tail}").parse::<Ipv6Addr>().ok()?
        }
        _ => text.parse::<Ipv6Addr>().ok()?,
    };
    match address.to_ipv4_mapped() {
        Some(address) => Some(IpAddr::V4(address)),
        None => Some(IpAddr::V6(address)),
    }
}

/// A prefix in the lenient form: the address as written (with bits beyond the prefix), and the prefix's length in
/// bits of the family that the address has.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let digits = bits.bytes().all(|b| b.is_ascii_digit());
    // Longer numbers are beyond any prefix, whatever zeros lead them.
    if bits.is_empty() || bits.len() > 7 || !digits {
        return None;
    }
    let bits: u32 = bits.parse().ok()?;
    let written_as_v6 = address.contains(':');
    if bits > if written_as_v6 { 128 } else { 32 } {
        return None;
    }
    let address = parse_ip(address)?;
    let bits = match address {
        // A shorter prefix would be of IPv6 addresses, most of which are no IPv4 addresses at all.
        IpAddr::V4(_) if written_as_v6 => bits.checked_sub(96)?,
        _ => bits,
    };
    Some((address, u8::try_from(bits).ok()?))
}

/// An IP address of either family, in the lenient form.
#[must_use]
pub fn ip(path: &Path<'_>, value: &str) -> Option<FieldError> {
    if parse_ip(value).is_some() {
        return None;
    }
    let message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    Some(FieldError::invalid(path, value, message))
}

/// An IPv4 address, in the lenient form.
#[must_use]
pub fn ipv4(path: &Path<'_>, value: &str) -> Option<FieldError> {
    let wrong = !matches!(parse_ip(value), Some(IpAddr::V4(_)));
    wrong.then(|| FieldError::invalid(path, value, "must be a valid IPv4 address"))
}

/// An IPv6 address.
#[must_use]
pub fn ipv6(path: &Path<'_>, value: &str) -> Option<FieldError> {
    let wrong = !matches!(parse_ip(value), Some(IpAddr::V6(_)));
    wrong.then(|| FieldError::invalid(path, value, "must be a valid IPv6 address"))
}

/// A prefix of either family, in the lenient form.
#[must_use]
pub fn cidr(path: &Path<'_>, value: &str) -> Option<FieldError> {
    parse_cidr(value)
        .is_none()
        .then(|| invalid_cidr(path, value))
}

/// The address of an interface with its prefix, in canonical form alone: `192.168.1.5/24`.
#[must_use]
pub fn interface_address(path: &Path<'_>, value: &str) -> Option<FieldError> {
    let Some((address, bits)) = parse_cidr(value) else {
        return Some(invalid_cidr(path, value));
    };
    let canonical = format!("{address}/{bits}");
    let message = || format!("must be in canonical form ({})", quote(&canonical));
    (value != canonical).then(|| FieldError::invalid(path, value, message()))
}

/// An address that no endpoint may have: unspecified, loopback, link-local.
#[must_use]
pub fn special_ip(path: &Path<'_>, value: &str) -> Vec<FieldError> {
    let Some(address) = parse_ip(value) else {
        return ip(path, value).into_iter().collect();
    };
    let (loopback, link_local, multicast) = match address {
        IpAddr::V4(a) => (
            a.is_loopback(),
            a.is_link_local(),
            a.octets()[..3] == [224, 0, 0],
        ),
        IpAddr::V6(a) => (
            a.is_loopback(),
            a.segments()[0] & 0xffc0 == 0xfe80,
            a.segments()[0] & 0xff0f == 0xff02,
        ),
    };
    let rules = [
        (
            address.is_unspecified(),
            "may not be unspecified (0.0.0.0 or ::)",
        ),
        (
            loopback,
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            link_local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
        (
            multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    broken
        .map(|(_, message)| FieldError::invalid(path, value, message))
        .collect()
}

/// What to warn of in an address that [`ip`] takes.
#[must_use]
pub fn ip_warnings(path: &Path<'_>, value: &str) -> Option<String> {
    let address = parse_ip(value)?;
    let written = quote(value);
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(strict)) if strict.to_ipv4_mapped().is_none() => {
            let canonical = strict.to_string();
            (canonical != value).then(|| {
                format!(
                    "{path}: IPv6 address {written} should be in RFC 5952 canonical format ({})",
                    quote(&canonical)
                )
            })
        }
        Ok(IpAddr::V4(_)) => None,
        _ => Some(format!(
            "{path}: non-standard IP address {written} will be considered invalid in a future Kubernetes release: use {}",
            quote(&address.to_string())
        )),
    }
}

/// What to warn of in a prefix that [`cidr`] takes.
#[must_use]
pub fn cidr_warnings(path: &Path<'_>, value: &str) -> Vec<String> {
    let Some((address, bits)) = parse_cidr(value) else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let written = quote(value);
    let network = masked(address, bits);
    let canonical = format!("{network}/{bits}");
    if network != address {
        let all = if address.is_ipv4() { 32 } else { 128 };
        let single = quote(&format!("{address}/{all}"));
        let range = quote(&canonical);
        warnings.push(format!(
            "{path}: CIDR value {written} is ambiguous in this context (should be {range} or {single}?)"
        ));
    }
    // What a strict reader takes: no leading zeros anywhere, no IPv4 in IPv6's clothes.
    let strict = value.split_once('/').and_then(|(address, bits)| {
        let plain = bits == "0" || !bits.starts_with('0');
        let address = address.parse::<IpAddr>().ok().filter(|_| plain)?;
        let mapped = matches!(address, IpAddr::V6(a) if a.to_ipv4_mapped().is_some());
        (!mapped).then_some(address)
    });
    match strict {
        None => warnings.push(format!(
            "{path}: non-standard CIDR value {written} will be considered invalid in a future Kubernetes release: use {}",
            quote(&canonical)
        )),
        Some(IpAddr::V6(strict)) if warnings.is_empty() => {
            let canonical = format!("{strict}/{bits}");
            if canonical != value {
                warnings.push(format!(
                    "{path}: IPv6 CIDR value {written} should be in RFC 5952 canonical format ({})",
                    quote(&canonical)
                ));
            }
        }
        Some(_) => {}
    }
    warnings
}

fn invalid_cidr(path: &Path<'_>, value: &str) -> FieldError {
    let message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    FieldError::invalid(path, value, message)
}

/// Four decimal octets, with leading zeros or without.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// The address with the bits beyond the prefix cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(a) & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(a) & mask))
        }
    }
}
