//! The token that a request carries.
//!
//! Sources: RFC 6750, section 2.1; the page on authentication ("Putting a bearer token in a request"); for browsers, which cannot
//! set headers of a WebSocket, a protocol's name with the token in it.

use crate::planner::tokens::jws::TOKEN_MAX;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// What the name of the protocol begins with.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of an `Authorization` header. None: there is none, or credentials of another kind, which are those of nobody.
///
/// A token that is longer than any that is looked at is cut, and so is the token of nobody.
#[must_use]
pub fn of_header(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let mut words = value.splitn(3, ' ');
    let (kind, token) = (words.next()?, words.next()?);
    let bearer = kind.eq_ignore_ascii_case("bearer") && !token.is_empty();
    bearer.then(|| {
        let cut = TOKEN_MAX + 1;
        token.get(..cut).unwrap_or(token)
    })
}

/// The token in a `Sec-WebSocket-Protocol` header, and the other protocols, of which there must be one.
#[must_use]
pub fn of_protocols(value: &str) -> Option<(String, Vec<&str>)> {
    let names = value.split(',').map(str::trim);
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        names.partition(|name| name.starts_with(PROTOCOL));
    let [token] = tokens[..] else {
        return None;
    };
    let token = token.strip_prefix(PROTOCOL)?;
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token = String::from_utf8(token).ok()?;
    let usable = !token.is_empty() && token.len() <= TOKEN_MAX && !others.is_empty();
    usable.then_some((token, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check =
            |value: &str, expect| assert_eq!(of_header(value.as_bytes()), expect, "{value}");
        check("Bearer abc", Some("abc"));
        check("  bearer abc  ", Some("abc"));
        check("BEARER abc def", Some("abc"));
        check("Bearer", None);
        check("Bearer ", None);
        check("Bearer  abc", None);
        check("Basic abc", None);
        check("", None);
        assert_eq!(of_header(b"Bearer \xff"), None);
        let long = format!("Bearer {}", "a".repeat(10 * TOKEN_MAX));
        assert_eq!(
            of_header(long.as_bytes()).map(str::len),
            Some(TOKEN_MAX + 1)
        );
    }

    #[test]
    fn protocols() {
        let check = |value: &str, expect: Option<(&str, Vec<&str>)>| {
            let expect = expect.map(|(token, others)| (token.to_owned(), others));
            assert_eq!(of_protocols(value), expect, "{value}");
        };
        check(
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj",
            Some(("abc", vec!["v5.channel.k8s.io"])),
        );
        check("base64url.bearer.authorization.k8s.io.YWJj", None);
        check("v4, base64url.bearer.authorization.k8s.io.", None);
        check("v4, base64url.bearer.authorization.k8s.io.!", None);
        check("v4", None);
        check(
            "v4, base64url.bearer.authorization.k8s.io.YQ, base64url.bearer.authorization.k8s.io.Yg",
            None,
        );
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(value: Vec<u8>, text in "\\PC{0,60}") {
            let _ = of_header(&value);
            let _ = of_protocols(&text);
        }
    }
}
