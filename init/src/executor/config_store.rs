//! The two generations of the machine config on STATE.
//!
//! A write goes to a new file beside the older generation, is flushed, renamed over it, and the directory
//! is flushed: at every moment one whole generation lies under one of the two names.

use init_proto::generation::{CONFIG_MAX, Generation, HEADER, newest};
use rustix::fs::{CWD, Mode, OFlags};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longest file that can be a generation.
const FILE_MAX: usize = HEADER + CONFIG_MAX;

/// The directory that holds the two files.
#[derive(Debug)]
pub(crate) struct ConfigStore {
    directory: PathBuf,
}

impl ConfigStore {
    /// In this directory ([`init_proto::paths::STATE`]).
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    fn paths(&self) -> [PathBuf; 2] {
        [
            self.directory.join("config-a"),
            self.directory.join("config-b"),
        ]
    }

    /// The newest whole generation.
    pub(crate) fn read(&self) -> Option<Generation> {
        self.look().0
    }

    fn look(&self) -> (Option<Generation>, usize) {
        let [a, b] = self.paths().map(|path| read_bounded(&path));
        newest(&a, &b)
    }

    /// Stores a config as the next generation and returns its number; storing the newest again changes
    /// nothing.
    pub(crate) fn write(&self, config: &[u8]) -> io::Result<u64> {
        let (newest, slot) = self.look();
        if let Some(newest) = &newest
            && newest.config == config
        {
            return Ok(newest.number);
        }
        let generation = Generation {
            number: newest.map_or(1, |newest| newest.number + 1),
            config: config.to_vec(),
        };
        let path = &self.paths()[slot];
        replace(path, &generation.encode(), 0o600)?;
        Ok(generation.number)
    }
}

fn read_bounded(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let limit = u64::try_from(FILE_MAX).unwrap_or(u64::MAX);
        // A read error leaves a short file, which is not a generation.
        let _ = file.take(limit).read_to_end(&mut bytes);
    }
    bytes
}

/// Replaces a file as a whole, durably: new file, flush, rename, flush of the directory.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(CWD, &temporary, flags, Mode::from_raw_mode(mode))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    let mut file = fs::File::from(file);
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn generations_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let store = ConfigStore::new(directory.path());
        assert_eq!(store.read(), None);
        for number in 1..=4_u64 {
            let config = format!("config {number}");
            assert_eq!(store.write(config.as_bytes()).unwrap(), number);
            assert_eq!(store.write(config.as_bytes()).unwrap(), number);
            assert_eq!(store.read().unwrap().config, config.as_bytes());
        }
        for path in store.paths() {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Losing the newest falls back to the one before it.
        let newest = if store.look().1 == 0 { 1 } else { 0 };
        fs::write(&store.paths()[newest], "torn").unwrap();
        assert_eq!(store.read().unwrap().number, 3);
        assert_eq!(store.write(b"after the loss").unwrap(), 4);
    }
}
