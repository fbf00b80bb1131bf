//! Reads `image/packages`: sets of package names. One name per line below a `[set]` line; `#` begins a
//! comment.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// A named list of packages, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What stands between the brackets.
    pub name: String,
    /// Package names or apt patterns such as `?essential`, in the order of the file.
    pub packages: Vec<String>,
}

impl Set {
    /// Whether dependencies are locked too. Sets that enter a release list every package by hand.
    #[must_use]
    pub fn with_dependencies(&self) -> bool {
        self.name == "tools"
    }
}

/// Reads the sets of the file at `path`.
///
/// # Errors
/// The file cannot be read, or is not as described above; the error names the line.
pub fn read(path: &Path) -> Result<Vec<Set>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

/// The pure half of [`read`].
fn parse(text: &str) -> Result<Vec<Set>> {
    let mut sets: Vec<Set> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            if sets.iter().any(|set| set.name == name) {
                bail!("line {}: the set `{name}` is there twice", index + 1);
            }
            sets.push(Set {
                name: name.to_string(),
                packages: Vec::new(),
            });
        } else if line.contains(char::is_whitespace) {
            bail!(
                "line {}: one package name per line, not `{line}`",
                index + 1
            );
        } else if let Some(set) = sets.last_mut() {
            set.packages.push(line.to_string());
        } else {
            bail!("line {}: `{line}` stands before the first [set]", index + 1);
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_keep_their_order() {
        let sets = parse("# top\n[b]\nx # why\n\n[a]\ny\nz\n").expect("valid");
        assert_eq!(sets.len(), 2);
        assert_eq!(sets[0].name, "b");
        assert_eq!(sets[1].packages, ["y", "z"]);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, expect) in [
            ("x\n", "line 1: `x` stands before"),
            ("[a]\nx y\n", "line 2: one package name"),
            ("[a]\n[a]\n", "line 2: the set `a` is there twice"),
        ] {
            let error = parse(text).expect_err("invalid").to_string();
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
