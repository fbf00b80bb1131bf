//! References to images, as far as their tags matter.
//!
//! ```text
//!   [domain[:port]/] path [:tag] [@digest]
//! ```

/// The policy that an image without one is pulled by: what may change behind its name is pulled each time.
#[must_use]
pub fn default_pull_policy(image: &str) -> &'static str {
    match tag(image) {
        Some("latest") => "Always",
        _ => "IfNotPresent",
    }
}

/// The tag of an image; `latest` where there is neither tag nor digest, None where the reference is malformed.
fn tag(image: &str) -> Option<&str> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let after_domain = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[after_domain..].find(':') {
        Some(colon) => {
            let colon = after_domain + colon;
            (&rest[..colon], Some(&rest[colon + 1..]))
        }
        None => (rest, None),
    };
    let right = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    match (right, tag, digest) {
        (false, ..) => None,
        (true, Some(tag), _) => Some(tag),
        (true, None, Some(_)) => Some(""),
        (true, None, None) => Some("latest"),
    }
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => path,
        Some((domain, path)) if domain.chars().any(|c| c.is_ascii_uppercase()) => path,
        _ => name,
    };
    path.split('/').all(is_component)
}

/// Lower-case letters and digits, with separators between them.
fn is_component(component: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = |c: Option<&u8>| c.is_some_and(|&c| inner(c));
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|&c| inner(c) || b"._-".contains(&c))
        && !component.contains("..")
        && !component.contains("___")
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(word)
        && tag.len() <= 128
        && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && hex.len() >= 32
            && hex.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_is_always_pulled() {
        let check =
            |image: &str, expect: &str| assert_eq!(default_pull_policy(image), expect, "{image}");
        check("nginx", "Always");
        check("nginx:latest", "Always");
        check("nginx:1.25", "IfNotPresent");
        check("localhost:5000/a/b", "Always");
        check("localhost:5000/a/b:v1", "IfNotPresent");
        check(
            "registry.k8s.io/pause@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "IfNotPresent",
        );
        check("Nginx", "IfNotPresent");
        check("", "IfNotPresent");
        check("a:b:c", "IfNotPresent");
        check("nginx@sha256:short", "IfNotPresent");
    }
}
