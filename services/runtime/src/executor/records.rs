//! Records of sandboxes and containers on disk: a file each, replaced in one step.
//!
//! They are not flushed: after a power cut there is no container, and a record that is lost or torn is that of rubbish, which is
//! removed.

use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A record's file in its directory.
const RECORD: &str = "record.json";

/// Directories of one kind: `ROOT/sandboxes` or `ROOT/containers`, with one for each.
#[derive(Debug, Clone)]
pub struct Records {
    directory: PathBuf,
}

impl Records {
    /// In this directory, which is made.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// The directory of one.
    #[must_use]
    pub fn of(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    /// Writes one.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, id: &str, record: &impl Serialize) -> io::Result<()> {
        let directory = self.of(id);
        fs::create_dir_all(&directory)?;
        let scratch = directory.join("record.new");
        fs::write(&scratch, serde_json::to_vec(record)?)?;
        fs::rename(scratch, directory.join(RECORD))
    }

    /// All that can be read, and the names of those that cannot.
    ///
    /// # Errors
    /// The file system's.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<(Vec<T>, Vec<String>)> {
        let (mut records, mut rubbish) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let read = fs::read(entry.path().join(RECORD))
                .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            match read {
                Ok(record) => records.push(record),
                // A disk or a limit that is at fault is no reason to remove what is there.
                Err(error) if !is_rubbish(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, name, "a record cannot be read: it is removed");
                    rubbish.push(name);
                }
            }
        }
        Ok((records, rubbish))
    }

    /// Removes one, and all that is in its directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        remove_directory(&self.of(id))
    }
}

/// Torn, empty, or never written: nothing of it was ever answered for.
fn is_rubbish(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Removes a directory that may be gone already.
///
/// # Errors
/// The file system's.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Takes whatever is mounted at a path off it.
///
/// # Errors
/// The kernel's.
pub fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH) {
            // There may be one below.
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
