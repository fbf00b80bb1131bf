//! Names of objects: what a kind allows, and those that are made up.

use crate::names;

/// Bytes that are added to a generated name.
pub const SUFFIX_BYTES: usize = 5;

/// Upstream's letters, which make no words and look like no other.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// What an object of a kind may be named.
#[derive(Debug, Clone, Copy)]
pub enum NameRule {
    /// A DNS subdomain: most kinds.
    Subdomain,
    /// A DNS label (RFC 1123): namespaces.
    Label,
    /// A DNS label (RFC 1035): services.
    Label1035,
    /// A segment of a path: kinds of RBAC.
    PathSegment,
    /// A rule of the kind's own; the flag: the text is only the beginning of a name.
    Own(fn(&str, bool) -> Vec<String>),
}

impl NameRule {
    /// What is wrong with a name, or with the beginning of one.
    #[must_use]
    pub fn check(self, name: &str, is_prefix: bool) -> Vec<String> {
        let masked;
        let name = match self {
            // More letters follow the dash.
            NameRule::Subdomain | NameRule::Label | NameRule::Label1035
                if is_prefix && name.len() > 1 && name.ends_with('-') =>
            {
                let kept = name.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
                masked = format!("{}a", &name[..kept]);
                &masked
            }
            _ => name,
        };
        match self {
            NameRule::Subdomain => names::dns1123_subdomain(name),
            NameRule::Label => names::dns1123_label(name),
            NameRule::Label1035 => names::dns1035_label(name),
            NameRule::PathSegment if is_prefix => names::path_segment_prefix(name),
            NameRule::PathSegment => names::path_segment_name(name),
            NameRule::Own(check) => check(name, is_prefix),
        }
    }
}

/// A name that begins with `base`, and ends with letters that a random number chooses. The whole is a DNS label if the base
/// is one: what is too long is cut at 58 bytes.
#[must_use]
pub fn generate_name(base: &str, random: u64) -> String {
    let mut end = base.len().min(names::LABEL_MAX - SUFFIX_BYTES);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let mut rest = random;
    for _ in 0..SUFFIX_BYTES {
        let letter = usize::try_from(rest % 27).expect("less than 27");
        name.push(char::from(LETTERS[letter]));
        rest /= 27;
    }
    name
}
