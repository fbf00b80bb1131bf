//! Patterns that select disks and links: `*` is any run of characters, `?` any one character.

use super::string_type;

/// Longest pattern, in characters.
const PATTERN_MAX: usize = 128;

string_type!(
    /// A shell-like pattern over a whole name; letters match without regard to case, since
    /// hardware addresses and serial numbers are written both ways.
    Glob,
    "glob",
    "a name, or a pattern with * (any run) and ? (any one character), such as eth*",
    |text| {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().count() > PATTERN_MAX {
            return Err(format!("is longer than {PATTERN_MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        Ok(())
    }
);

impl Glob {
    /// Whether the pattern matches the whole of `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        fits(self.as_str(), name)
    }

    /// Whether it has no wildcard and so names one thing.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.as_str().contains(['*', '?'])
    }
}

/// Lengths of hardware addresses in bytes: Ethernet and Wi-Fi, EUI-64, IP over InfiniBand.
const MAC_LENGTHS: [usize; 3] = [6, 8, 20];

string_type!(
    /// A hardware address in pairs of hex digits joined by colons, or a pattern of one.
    MacGlob,
    "mac-pattern",
    "a hardware address such as 52:54:00:12:34:56, or a pattern with * and ? such as 52:54:*",
    |text| {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.len() > PATTERN_MAX {
            return Err(format!("is longer than {PATTERN_MAX} characters"));
        }
        if text.contains('-') {
            return Err("is joined by '-' instead of ':'".to_owned());
        }
        let known = |c: char| c.is_ascii_hexdigit() || ":*?".contains(c);
        if !text.chars().all(known) {
            return Err("holds a character that no hardware address has".to_owned());
        }
        let groups: Vec<&str> = text.split(':').collect();
        let literal = !text.contains(['*', '?']);
        let whole = MAC_LENGTHS.contains(&groups.len()) && groups.iter().all(|group| group.len() == 2);
        if literal && !whole {
            return Err("is no whole hardware address".to_owned());
        }
        Ok(())
    }
);

impl MacGlob {
    /// Whether the pattern matches the whole of `address`, pairs of hex digits joined by colons.
    #[must_use]
    pub fn matches(&self, address: &str) -> bool {
        fits(self.as_str(), address)
    }
}

/// Whether the pattern fits the whole name. Time is at most the product of the two lengths: a
/// mismatch goes back to the last `*` only.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                last_star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || c.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match last_star {
                Some((star, taken)) => {
                    last_star = Some((star, taken + 1));
                    p = star + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    fn check(pattern: &str, name: &str, expect: bool) {
        let glob: super::Glob = pattern.parse().unwrap();
        assert_eq!(glob.matches(name), expect, "{pattern} against {name}");
    }

    #[test]
    fn mac_patterns() {
        use super::MacGlob;
        let good = [
            "52:54:00:12:34:56",
            "52:54:*",
            "*",
            "AA:BB:CC:DD:EE:F?",
            "02:00:5e:10:00:00:00:01",
        ];
        for text in good {
            assert!(text.parse::<MacGlob>().is_ok(), "{text}");
        }
        for text in [
            "",
            "eth0",
            "52:54:00:12:34",
            "52-54-00-12-34-56",
            "52:54:00:12:34:5",
            "5:*x",
        ] {
            assert!(text.parse::<MacGlob>().is_err(), "{text}");
        }
        let pattern: MacGlob = "52:54:*:0A".parse().unwrap();
        assert!(pattern.matches("52:54:00:12:34:0a"));
        assert!(!pattern.matches("52:54:00:12:34:0b"));
    }

    #[test]
    fn patterns_match_whole_names() {
        check("eth0", "eth0", true);
        check("eth0", "eth01", false);
        check("eth?", "eth0", true);
        check("eth?", "eth", false);
        check("*", "", true);
        check("52:54:*", "52:54:00:AB:cd:01", true);
        check("AA:*:01", "aa:bb:cc:01", true);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check(&"a*".repeat(60), &"a".repeat(59), false);
    }
}
