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
    /// Whether the pattern matches the whole of `name`. Time is at most the product of the two
    /// lengths: a mismatch goes back to the last `*` only.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.as_str().chars().collect();
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

    /// Whether it has no wildcard and so names one thing.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.as_str().contains(['*', '?'])
    }
}

#[cfg(test)]
mod tests {
    fn check(pattern: &str, name: &str, expect: bool) {
        let glob: super::Glob = pattern.parse().unwrap();
        assert_eq!(glob.matches(name), expect, "{pattern} against {name}");
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
