//! Names by example, and against a plain reading of the regular expressions that the messages quote.

use super::*;
use crate::field::Path;
use proptest::prelude::*;

/// Checks that the messages begin with these.
#[track_caller]
fn check(found: Vec<String>, expect: &[&str]) {
    let fits = found.len() == expect.len()
        && found
            .iter()
            .zip(expect)
            .all(|(found, expect)| found.starts_with(expect));
    assert!(fits, "found {found:#?}\nexpected {expect:#?}");
}

#[test]
fn labels_and_subdomains() {
    let long = "a".repeat(64);
    check(dns1123_label("a-1"), &[]);
    check(dns1123_label("a.b"), &["must not contain dots"]);
    check(
        dns1123_label(&long),
        &["must be no more than 63 characters"],
    );
    assert_eq!(
        dns1123_label("A_"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
    check(dns1123_subdomain("a.b-c.1"), &[]);
    check(dns1123_subdomain(""), &["a lowercase RFC 1123 subdomain"]);
    check(
        dns1123_subdomain("a..b"),
        &["a lowercase RFC 1123 subdomain"],
    );
    check(dns1123_subdomain_with_underscore("_a.b_c"), &[]);
    check(dns1123_subdomain_with_underscore("__a"), &["a lowercase"]);
    check(wildcard_dns1123_subdomain("*.a.b"), &[]);
    check(wildcard_dns1123_subdomain("*"), &["a wildcard"]);
    check(dns1035_label("a-1"), &[]);
    check(dns1035_label("1-a"), &["a DNS-1035 label"]);
    check(dns1035_label(""), &["a DNS-1035 label"]);
}

#[test]
fn keys_and_values_of_labels() {
    check(qualified_name("app"), &[]);
    check(qualified_name("example.com/My_app.1"), &[]);
    check(qualified_name("/a"), &["prefix part must be non-empty"]);
    check(
        qualified_name("A/a"),
        &["prefix part a lowercase RFC 1123 subdomain"],
    );
    check(
        qualified_name("a/"),
        &["name part must be non-empty", "name part must consist of"],
    );
    check(
        qualified_name(&"a".repeat(64)),
        &["name part must be no more than 63 bytes"],
    );
    check(
        qualified_name("a/b/c"),
        &["a valid label key must consist of alphanumeric characters"],
    );
    check(label_value(""), &[]);
    check(
        label_value("a b"),
        &["a valid label must be an empty string"],
    );
    check(
        label_value(&"a".repeat(64)),
        &["must be no more than 63 bytes"],
    );
}

#[test]
fn other_names() {
    check(config_map_key("a_B.c"), &[]);
    check(config_map_key(".."), &["must not be '..'"]);
    check(config_map_key("..a"), &["must not start with '..'"]);
    check(config_map_key("a/b"), &["a valid config key"]);
    check(env_var_name("MY.var-1"), &[]);
    check(
        env_var_name("1a"),
        &["a valid environment variable name must consist of"],
    );
    check(relaxed_env_var_name("1 a!"), &[]);
    check(
        relaxed_env_var_name("a=b"),
        &["a valid environment variable name must consist only"],
    );
    check(
        relaxed_env_var_name(""),
        &["environment variable name must be non-empty"],
    );
    check(port_name("http-1"), &[]);
    check(
        port_name("-80--"),
        &[
            "must contain at least one letter (a-z)",
            "must not contain consecutive hyphens",
            "must not begin or end with a hyphen",
        ],
    );
    check(port_number(0), &["must be between 1 and 65535, inclusive"]);
    check(percent("50%"), &[]);
    check(percent("%"), &["a valid percent string"]);
    check(c_identifier("_a1"), &[]);
    check(c_identifier("1a"), &["a valid C identifier"]);
    check(http_header_name("X-A"), &[]);
    check(http_header_name("a_b"), &["a valid HTTP header"]);
    check(condition_reason("MinimumReplicas_"), &[]);
    check(condition_reason("a:"), &["a condition reason"]);
    check(
        path_segment_name("system:a/b%"),
        &["may not contain '/'", "may not contain '%'"],
    );
    check(path_segment_name(".."), &["may not be '..'"]);
}

#[test]
fn addresses() {
    let path = Path::new("x");
    for good in [
        "1.2.3.4",
        "01.002.3.4",
        "::1",
        "::ffff:1.2.3.4",
        "2001:DB8::1",
    ] {
        assert_eq!(ip(&path, good), None, "{good}");
    }
    for bad in [
        "",
        "1.2.3",
        "1.2.3.256",
        "::g",
        "1.2.3.4.5",
        "fe80::1%eth0",
        "1.2.3.-4",
    ] {
        assert!(ip(&path, bad).is_some(), "{bad}");
    }
    let warn = |value: &str| ip_warnings(&path, value);
    assert_eq!(warn("1.2.3.4"), None);
    assert_eq!(
        warn("01.2.3.4").as_deref(),
        Some(
            r#"x: non-standard IP address "01.2.3.4" will be considered invalid in a future Kubernetes release: use "1.2.3.4""#
        )
    );
    assert_eq!(
        warn("2001:DB8::1").as_deref(),
        Some(
            r#"x: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")"#
        )
    );
    assert_eq!(parse_cidr("10.0.0.0/33"), None);
    assert_eq!(parse_cidr("10.0.0.0/+8"), None);
    assert_eq!(parse_cidr("::ffff:10.0.0.0/104"), parse_cidr("10.0.0.0/8"));
    assert_eq!(
        cidr_warnings(&path, "10.1.2.3/8"),
        [
            r#"x: CIDR value "10.1.2.3/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.2.3/32"?)"#
        ]
    );
    assert_eq!(cidr_warnings(&path, "0.0.0.0/0"), [""; 0]);
    assert_eq!(interface_address(&path, "10.1.2.3/8"), None);
    assert!(interface_address(&path, "010.1.2.3/8").is_some());
    assert_eq!(special_ip(&path, "127.0.0.1").len(), 1);
    assert_eq!(special_ip(&path, "10.0.0.1"), []);
}

/// `first rest*`, with alternatives tried in the slowest way: is there a split of the text that fits?
fn matches(text: &[u8], pattern: &[Part]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Part::One(set), rest)) => {
            matches!(text.split_first(), Some((b, tail)) if set.contains(&char::from(*b)) && matches(tail, rest))
        }
        Some((Part::Many(set), rest)) => {
            matches(text, rest)
                || matches!(text.split_first(), Some((b, tail)) if set.contains(&char::from(*b)) && matches(tail, pattern))
        }
        Some((Part::Maybe(inner), rest)) => {
            matches(text, rest) || matches(text, &[inner.as_slice(), rest].concat())
        }
        Some((Part::Repeat(inner), rest)) => {
            let once = [inner.as_slice(), pattern].concat();
            matches(text, rest) || (!text.is_empty() && matches(text, &once))
        }
    }
}

#[derive(Clone)]
enum Part {
    One(Vec<char>),
    Many(Vec<char>),
    Maybe(Vec<Part>),
    Repeat(Vec<Part>),
}

fn set(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?` over the letters that the tests draw from.
fn label_pattern() -> Vec<Part> {
    let end = || Part::One(set("ab01"));
    vec![end(), Part::Maybe(vec![Part::Many(set("-ab01")), end()])]
}

proptest! {
    #[test]
    fn scanners_match_what_the_expressions_match(text in "[ab01A._-]{0,9}") {
        let bytes = text.as_bytes();
        prop_assert_eq!(is_label(&text), matches(bytes, &label_pattern()));
        let mut more = vec![Part::One(set("."))];
        more.extend(label_pattern());
        let mut subdomain = label_pattern();
        subdomain.push(Part::Repeat(more));
        prop_assert_eq!(is_subdomain(&text), matches(bytes, &subdomain));
        let end = || Part::One(set("ab01A"));
        let qualified = vec![Part::Maybe(vec![end(), Part::Many(set("ab01A-_."))]), end()];
        prop_assert_eq!(is_qualified_part(&text), matches(bytes, &qualified));
        let first = vec![Part::One(set("ab")), Part::Maybe(vec![Part::Many(set("-ab01")), Part::One(set("ab01"))])];
        prop_assert_eq!(dns1035_label(&text).is_empty(), matches(bytes, &first));
        let reason = vec![Part::One(set("abA")), Part::Maybe(vec![Part::Many(set("ab01A_,:")), Part::One(set("ab01A_"))])];
        prop_assert_eq!(condition_reason(&text).is_empty(), matches(bytes, &reason));
    }

    #[test]
    fn strict_addresses_are_lenient_ones(address: std::net::IpAddr) {
        let lenient = parse_ip(&address.to_string());
        prop_assert_eq!(lenient, Some(address.to_canonical()));
    }
}
