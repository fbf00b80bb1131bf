//! The grammars of names: each check returns what is wrong, and nothing (without an allocation) when all is right.
//!
//! The messages quote the regular expressions of upstream, which clients print
//! (`k8s.io/apimachinery/pkg/util/validation`, `.../api/validate/content`); what matches is found by scanners over bytes.
//!
//! ```
//! use orlop_objects::names;
//!
//! assert!(names::dns1123_label("web-1").is_empty());
//! assert_eq!(names::dns1123_label("a.b"), ["must not contain dots"]);
//! ```

mod address;
#[cfg(test)]
mod tests;

pub use address::{
    cidr, cidr_warnings, interface_address, ip, ip_warnings, ipv4, ipv6, parse_cidr, parse_ip,
    special_ip,
};

/// Most bytes of a DNS label (RFC 1123), of a label's value, and of the part of a label's key after the slash.
pub const LABEL_MAX: usize = 63;
/// Most bytes of a DNS subdomain (RFC 1123), and of a key in a ConfigMap.
pub const SUBDOMAIN_MAX: usize = 253;
/// Most bytes of a port's name (RFC 6335).
pub const PORT_NAME_MAX: usize = 15;

const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE: &str =
    r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";

/// A DNS label (RFC 1123): what most names in a namespace are not longer than.
#[must_use]
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, LABEL_MAX);
    if !is_label(value) {
        if is_subdomain(value) {
            wrong.push("must not contain dots".to_owned());
        } else {
            wrong.push(regex_message(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
                &["my-name", "123-abc"],
            ));
        }
    }
    wrong
}

/// A DNS subdomain (RFC 1123): labels with dots between them, each of any length.
#[must_use]
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, SUBDOMAIN_MAX);
    if !is_subdomain(value) {
        wrong.push(regex_message(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    wrong
}

/// A DNS subdomain with underscores, as search domains of pods may have.
#[must_use]
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, SUBDOMAIN_MAX);
    let label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label).as_bytes();
        is_framed(label, is_lower_alphanumeric, |b| {
            is_lower_alphanumeric(b) || b == b'-' || b == b'_'
        })
    };
    if !value.split('.').all(label) {
        wrong.push(regex_message(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_UNDERSCORE,
            &["example.com"],
        ));
    }
    wrong
}

/// A DNS subdomain whose first label is an asterisk (RFC 1034 section 4.3.3).
#[must_use]
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(regex_message(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    wrong
}

/// A DNS label (RFC 1035): a Service's name, which becomes a host's name and the name of a variable.
#[must_use]
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, LABEL_MAX);
    if !(is_label(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        wrong.push(regex_message(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// A qualified name, the form of a label's key: `[DNS subdomain/]name`.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    let message = || {
        regex_message(
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            QUALIFIED,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut wrong = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, rest)) if rest.contains('/') => {
            wrong.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                message()
            ));
            return wrong;
        }
        Some(("", name)) => {
            wrong.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            let messages = dns1123_subdomain(prefix).into_iter();
            wrong.extend(messages.map(|message| format!("prefix part {message}")));
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_qualified_part(name) {
        wrong.push(format!("name part {}", message()));
    }
    wrong
}

/// A label's value, which may be empty.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > LABEL_MAX {
        wrong.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !(value.is_empty() || is_qualified_part(value)) {
        wrong.push(regex_message(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A key of a ConfigMap or a Secret, which becomes a file's name.
#[must_use]
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, SUBDOMAIN_MAX);
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !consists_of(value, inner) {
        wrong.push(regex_message(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    wrong.extend(parent_directory(value));
    wrong
}

/// The name of an environment variable in the older, stricter form.
#[must_use]
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let digit_first = value.starts_with(|c: char| c.is_ascii_digit());
    if digit_first || !consists_of(value, inner) {
        wrong.push(regex_message(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    wrong.extend(parent_directory(value));
    wrong
}

/// The name of an environment variable in a pod since 1.34: all of printable ASCII but the equals sign (KEP-4369).
#[must_use]
pub fn relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if !value
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
    {
        wrong.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    wrong
}

/// A port's name, an IANA service name (RFC 6335) in lower case.
#[must_use]
pub fn port_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_length(&mut wrong, value, PORT_NAME_MAX);
    if !consists_of(value, |b| is_lower_alphanumeric(b) || b == b'-') {
        wrong.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// A port's number.
#[must_use]
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65_535)
}

/// A number between two others, both of which are allowed.
#[must_use]
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {min} and {max}, inclusive")]
}

/// A percentage: digits and a percent sign.
#[must_use]
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%');
    if digits.is_some_and(|digits| consists_of(digits, |b| b.is_ascii_digit())) {
        return Vec::new();
    }
    vec![regex_message(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// An identifier as in C.
#[must_use]
pub fn c_identifier(value: &str) -> Vec<String> {
    let digit_first = value.starts_with(|c: char| c.is_ascii_digit());
    if !digit_first && consists_of(value, |b| b.is_ascii_alphanumeric() || b == b'_') {
        return Vec::new();
    }
    vec![regex_message(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The name of an HTTP header, narrower than RFC 7230's.
#[must_use]
pub fn http_header_name(value: &str) -> Vec<String> {
    if consists_of(value, |b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_message(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// The reason of a condition (`metav1.Condition`); its length is not looked at.
#[must_use]
pub fn condition_reason(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_,:".contains(&b);
    let ends = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return vec![condition_message()];
    };
    if first.is_ascii_alphabetic() && ends(last) && bytes.iter().copied().all(inner) {
        return Vec::new();
    }
    vec![condition_message()]
}

fn condition_message() -> String {
    regex_message(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &[
            "my_name",
            "MY_NAME",
            "MyName",
            "ReasonA,ReasonB",
            "ReasonA:ReasonB",
        ],
    )
}

/// The name of an object that is a segment of a path, which RBAC's objects have.
#[must_use]
pub fn path_segment_name(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    path_segment_prefix(value)
}

/// The beginning of such a name.
#[must_use]
pub fn path_segment_prefix(value: &str) -> Vec<String> {
    let found = ["/", "%"].into_iter().filter(|part| value.contains(part));
    found
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// The message of a value that does not match: what is asked for, examples, and the regular expression.
#[must_use]
pub fn regex_message(what: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    let before = if examples.is_empty() { "" } else { "e.g. " };
    format!(
        "{what} ({before}{}regex used for validation is '{regex}')",
        examples.join("or ")
    )
}

fn check_length(wrong: &mut Vec<String>, value: &str, max: usize) {
    if value.len() > max {
        wrong.push(format!("must be no more than {max} characters"));
    }
}

/// Names that would lead out of a directory.
fn parent_directory(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn is_lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// Not empty, and nothing else in it.
fn consists_of(value: &str, inner: impl Fn(u8) -> bool) -> bool {
    !value.is_empty() && value.bytes().all(inner)
}

/// Not empty, with bytes of one sort at both ends and of a wider one between.
fn is_framed(value: &[u8], ends: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match (value.first(), value.last()) {
        (Some(&first), Some(&last)) => {
            ends(first) && ends(last) && value.iter().copied().all(inner)
        }
        _ => false,
    }
}

fn is_label(value: &str) -> bool {
    is_framed(value.as_bytes(), is_lower_alphanumeric, |b| {
        is_lower_alphanumeric(b) || b == b'-'
    })
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_qualified_part(value: &str) -> bool {
    is_framed(
        value.as_bytes(),
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b),
    )
}
