//! `image/packages.lock`: one line per package, sorted by name, so that a change is a small diff.
//!
//! ```text
//! NAME VERSION ARCHITECTURE SIZE SHA256 SUITE SET[,SET...]
//! ```
//! SIZE is in bytes, SHA256 is of the .deb file.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// What the file says before its first entry.
const HEADER: &str = "\
# Made by `cargo xtask image --update-lock` from image/packages. Do not edit.
# name version architecture size sha256 suite sets
";

/// One locked package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Package name.
    pub name: String,
    /// Debian version, epoch included.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Bytes of the .deb.
    pub size: u64,
    /// SHA-256 of the .deb in lowercase hex.
    pub sha256: String,
    /// Suite it was resolved from.
    pub suite: String,
    /// Sets of `image/packages` that use it, sorted.
    pub sets: Vec<String>,
}

impl Locked {
    /// The name under which apt stores the .deb.
    #[must_use]
    pub fn file_name(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }
}

/// The packages of `set`, sorted by name.
#[must_use]
pub fn of_set<'a>(lock: &'a [Locked], set: &str) -> Vec<&'a Locked> {
    lock.iter()
        .filter(|locked| locked.sets.iter().any(|name| name == set))
        .collect()
}

/// Reads the lock at `path`.
///
/// # Errors
/// The file is missing or one of its lines is not as described above.
pub fn read(path: &Path) -> Result<Vec<Locked>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "read {}; make it with `cargo xtask image --update-lock`",
            path.display()
        )
    })?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

/// The text of a lock. `packages` are written sorted by name.
#[must_use]
pub fn format(packages: &[Locked]) -> String {
    let mut sorted: Vec<&Locked> = packages.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = String::from(HEADER);
    for locked in sorted {
        text.push_str(&format!(
            "{} {} {} {} {} {} {}\n",
            locked.name,
            locked.version,
            locked.architecture,
            locked.size,
            locked.sha256,
            locked.suite,
            locked.sets.join(",")
        ));
    }
    text
}

/// The pure half of [`read`].
fn parse(text: &str) -> Result<Vec<Locked>> {
    let mut packages = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, version, architecture, size, sha256, suite, sets] = fields[..] else {
            bail!("line {}: {} fields instead of 7", index + 1, fields.len());
        };
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("line {}: `{sha256}` is not a SHA-256", index + 1);
        }
        packages.push(Locked {
            name: name.to_string(),
            version: version.to_string(),
            architecture: architecture.to_string(),
            size: size
                .parse()
                .with_context(|| format!("line {}: `{size}` is not a size", index + 1))?,
            sha256: sha256.to_string(),
            suite: suite.to_string(),
            sets: sets.split(',').map(str::to_string).collect(),
        });
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Locked {
        Locked {
            name: "libacl1".into(),
            version: "1:2.3".into(),
            architecture: "amd64".into(),
            size: 7,
            sha256: "ab".repeat(32),
            suite: "trixie".into(),
            sets: vec!["root".into(), "tools".into()],
        }
    }

    #[test]
    fn a_lock_survives_writing_and_reading() {
        assert_eq!(parse(&format(&[example()])).expect("valid"), [example()]);
    }

    #[test]
    fn the_epoch_is_escaped_in_the_file_name() {
        assert_eq!(example().file_name(), "libacl1_1%3a2.3_amd64.deb");
    }

    #[test]
    fn a_torn_line_is_refused() {
        let text = format(&[example()]).replace(" trixie root,tools", "");
        let error = parse(&text).expect_err("torn").to_string();
        assert_eq!(error, "line 3: 5 fields instead of 7");
    }
}
