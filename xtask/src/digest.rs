//! SHA-256 of files and of sets of inputs.

use anyhow::{Context, Result};
use aws_lc_rs::digest;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// SHA-256 of the file at `path` in lowercase hex.
///
/// # Errors
/// The file cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file
            .read(&mut chunk)
            .with_context(|| format!("read {}", path.display()))?;
        if count == 0 {
            return Ok(hex(context.finish().as_ref()));
        }
        context.update(&chunk[..count]);
    }
}

/// SHA-256 of `bytes` in lowercase hex.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lowercase hex of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collects everything that a result depends on into one short name.
#[derive(Debug, Default)]
pub struct Inputs {
    text: String,
}

impl Inputs {
    /// Adds a named value.
    pub fn value(&mut self, name: &str, value: &str) {
        self.text
            .push_str(&format!("{name}={}\n", of_bytes(value.as_bytes())));
    }

    /// Adds the content of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.text.push_str(&format!("{name}={}\n", of_file(path)?));
        Ok(())
    }

    /// Adds all files below `directory`, in the order of their names.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub fn directory(&mut self, directory: &Path) -> Result<()> {
        let mut entries = std::fs::read_dir(directory)
            .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
            .with_context(|| format!("list {}", directory.display()))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.path().is_dir() {
                self.directory(&entry.path())?;
            } else {
                self.file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The name: 16 hex digits.
    #[must_use]
    pub fn name(&self) -> String {
        of_bytes(self.text.as_bytes())[..16].to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            of_bytes(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_changed_input_changes_the_name() {
        let name = |value: &str| {
            let mut inputs = Inputs::default();
            inputs.value("x", value);
            inputs.name()
        };
        assert_ne!(name("1"), name("2"));
        assert_eq!(name("1"), name("1"));
    }
}
