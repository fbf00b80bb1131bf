//! The list of every file inside a release: what a reviewer reads and what two builds compare.
//!
//! ```text
//! MODE SIZE SHA256 PATH
//! MODE - -> TARGET PATH        a link
//! MODE - - PATH/               a directory
//! ```

use crate::digest;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// One file, link or directory of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the tree's root, with a leading `/`.
    pub path: String,
    /// Permission bits, set-user-id and sticky included.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with its size in bytes and SHA-256.
    File {
        /// Bytes.
        size: u64,
        /// Lowercase hex.
        sha256: String,
    },
    /// A symbolic link and its target.
    Link(String),
    /// A directory.
    Directory,
    /// Anything else: a device, a socket, a pipe. None belongs in a release.
    Other,
}

/// Lists the tree at `root`, sorted by path.
///
/// # Errors
/// A directory or file cannot be read.
pub fn walk(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in
            fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?
        {
            let path = entry
                .with_context(|| format!("list {}", directory.display()))?
                .path();
            let metadata = path
                .symlink_metadata()
                .with_context(|| format!("look at {}", path.display()))?;
            let kind = if metadata.is_symlink() {
                let target =
                    fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
                Kind::Link(target.to_string_lossy().into_owned())
            } else if metadata.is_dir() {
                waiting.push(path.clone());
                Kind::Directory
            } else if metadata.is_file() {
                Kind::File {
                    size: metadata.len(),
                    sha256: digest::of_file(&path)?,
                }
            } else {
                Kind::Other
            };
            let inside = path.strip_prefix(root).unwrap_or(&path);
            entries.push(Entry {
                path: format!("/{}", inside.display()),
                mode: metadata.permissions().mode() & 0o7777,
                kind,
            });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The text for `entries` under a heading.
#[must_use]
pub fn format(heading: &str, entries: &[Entry]) -> String {
    let mut text = format!("# {heading}\n");
    for Entry { path, mode, kind } in entries {
        let line = match kind {
            Kind::File { size, sha256 } => format!("{mode:04o} {size} {sha256} {path}\n"),
            Kind::Link(target) => format!("{mode:04o} - -> {target} {path}\n"),
            Kind::Directory => format!("{mode:04o} - - {path}/\n"),
            Kind::Other => format!("{mode:04o} - special {path}\n"),
        };
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_listed_in_order_with_modes_and_links() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir(root.join("b")).expect("a directory");
        fs::write(root.join("b/x"), "abc").expect("a file");
        fs::set_permissions(root.join("b/x"), fs::Permissions::from_mode(0o4755)).expect("a mode");
        fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o755)).expect("a mode");
        std::os::unix::fs::symlink("b", root.join("a")).expect("a link");
        let text = format("root", &walk(root).expect("a listing"));
        assert_eq!(
            text,
            "# root\n0777 - -> b /a\n0755 - - /b/\n4755 3 \
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad /b/x\n"
        );
    }
}
