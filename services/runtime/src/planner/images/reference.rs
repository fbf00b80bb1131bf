//! References to images, in the form that Docker and containerd give them (distribution/reference).
//!
//! ```text
//!   busybox                      docker.io/library/busybox:latest
//!   team/app:1                   docker.io/team/app:1
//!   localhost/app                localhost/app:latest
//!   host:5000/app@sha256:..      host:5000/app@sha256:..
//!   host/app:1@sha256:..         host/app:1@sha256:..      the digest is what counts
//! ```

use super::digest::Digest;
use std::fmt;

/// Longest name, host included.
pub const NAME_MAX: usize = 255;
/// Longest tag.
pub const TAG_MAX: usize = 128;
/// Where names without a host are.
const DEFAULT_HOST: &str = "docker.io";
/// Where its images are in truth.
const DEFAULT_ENDPOINT: &str = "registry-1.docker.io";

/// A whole reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference. The texts are those that users know from containerd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// The repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Lowercase(String),
    /// [`NAME_MAX`].
    #[error("repository name must not be more than {NAME_MAX} characters")]
    Long,
    /// It could be an image's ID just as well.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
}

impl Reference {
    /// Reads one, as a person or a pod's spec writes it.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let format = || ReferenceError::Format(text.chars().take(NAME_MAX).collect());
        if text.len() == 64
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|_| format())?)),
        };
        // A colon behind the last slash begins a tag, others a port.
        let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_end..].split_once(':') {
            None => (rest, None),
            Some((last, tag)) => (&rest[..name_end + last.len()], Some(tag)),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(format());
        }
        let (host, repository) = split(name);
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::Lowercase(repository));
        }
        if !is_host(&host) || !is_repository(&repository) {
            return Err(format());
        }
        if host.len() + 1 + repository.len() > NAME_MAX {
            return Err(ReferenceError::Long);
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self {
            host,
            repository,
            tag,
            digest,
        })
    }

    /// The registry, as it is written: `docker.io`, `host:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The registry to ask, where no mirror is.
    #[must_use]
    pub fn endpoint_host(&self) -> &str {
        match self.host.as_str() {
            DEFAULT_HOST => DEFAULT_ENDPOINT,
            host => host,
        }
    }

    /// The repository within the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Host and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The tag, also where a digest is.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask a registry for: the digest, or else the tag.
    #[must_use]
    pub fn wanted(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// As CRI's `repo_tags` has it; none where the digest is what was asked for.
    #[must_use]
    pub fn repo_tag(&self) -> Option<String> {
        match (&self.tag, &self.digest) {
            (Some(tag), None) => Some(format!("{}:{tag}", self.name())),
            _ => None,
        }
    }

    /// As CRI's `repo_digests` has it, for what the reference was found to be.
    #[must_use]
    pub fn repo_digest(&self, found: &Digest) -> String {
        format!("{}@{found}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Host and repository of a name.
fn split(name: &str) -> (String, String) {
    let (host, repository) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_HOST, name),
    };
    let host = if host == "index.docker.io" {
        DEFAULT_HOST
    } else {
        host
    };
    if host == DEFAULT_HOST && !repository.contains('/') {
        return (host.to_owned(), format!("library/{repository}"));
    }
    (host.to_owned(), repository.to_owned())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// A name by labels or an address, and perhaps a port.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+')) {
        return false;
    }
    if let Some(address) = name.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    name.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn is_repository(path: &str) -> bool {
    path.split('/').all(is_component)
}

/// Letters and digits, parted by one dot, one or two underscores, or dashes.
fn is_component(component: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let mut separators = component.split(|c: char| c.is_ascii() && plain(c as u8));
    let ends = |byte: Option<u8>| byte.is_some_and(plain);
    ends(component.bytes().next())
        && ends(component.bytes().last())
        && separators.all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, expect: &str) {
        assert_eq!(
            Reference::parse(text).unwrap().to_string(),
            expect,
            "{text}"
        );
    }

    fn check_error(text: &str, expect: &str) {
        let error = Reference::parse(text).expect_err(text).to_string();
        assert!(error.contains(expect), "{text}: {error}");
    }

    #[test]
    fn names_become_whole() {
        check("busybox", "docker.io/library/busybox:latest");
        check("docker.io/busybox:1", "docker.io/library/busybox:1");
        check("index.docker.io/a/b", "docker.io/a/b:latest");
        check("team/app:1.2_x-y", "docker.io/team/app:1.2_x-y");
        check("localhost/app", "localhost/app:latest");
        check("localhost:5000/app:2", "localhost:5000/app:2");
        check("r.example/a__b/c-----d.e:A", "r.example/a__b/c-----d.e:A");
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check("UPPER.example/a", "UPPER.example/a:latest");
        check(
            &format!("a@{DIGEST}"),
            &format!("docker.io/library/a@{DIGEST}"),
        );
        check(
            &format!("r.example/a:1@{DIGEST}"),
            &format!("r.example/a:1@{DIGEST}"),
        );
    }

    #[test]
    fn what_is_asked_for_and_what_is_recorded() {
        let both = Reference::parse(&format!("r.example/a:1@{DIGEST}")).unwrap();
        assert_eq!(both.wanted(), DIGEST);
        assert_eq!(both.repo_tag(), None);
        let tag = Reference::parse("a").unwrap();
        assert_eq!(tag.wanted(), "latest");
        assert_eq!(tag.endpoint_host(), "registry-1.docker.io");
        assert_eq!(tag.repo_tag().unwrap(), "docker.io/library/a:latest");
        assert_eq!(
            both.repo_digest(&Digest::of(b"")),
            format!("r.example/a@{DIGEST}")
        );
    }

    #[test]
    fn what_is_no_reference() {
        check_error("", "invalid reference format");
        check_error("a b", "invalid reference format");
        check_error("a//b", "invalid reference format");
        check_error("a/../b", "invalid reference format");
        check_error("-a", "invalid reference format");
        check_error("a_-b", "invalid reference format");
        check_error("a:", "invalid reference format");
        check_error("a:-x", "invalid reference format");
        check_error(
            &format!("a:{}", "x".repeat(129)),
            "invalid reference format",
        );
        check_error("a@sha256:1", "invalid reference format");
        check_error("host:99999/a", "invalid reference format");
        check_error("host.:1/a", "invalid reference format");
        check_error("é/a", "invalid reference format");
        check_error("Busybox", "must be lowercase");
        check_error(&"0".repeat(64), "64-byte hexadecimal");
        check_error(&format!("r.example/{}", "a".repeat(250)), "more than 255");
    }

    proptest::proptest! {
        #[test]
        fn a_reference_stays_what_it_is(text in "[a-zA-Z0-9./:@_-]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                let whole = reference.to_string();
                proptest::prop_assert_eq!(Reference::parse(&whole).unwrap(), reference);
            }
        }
    }
}
