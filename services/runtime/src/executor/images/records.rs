//! Records of images on the disk: `ROOT/images/<ID's digits>.json`, each written whole or not at all.

use super::error::StoreError;
use crate::planner::images::table::Record;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The form that this release writes, and the only one there has been.
const VERSION: u32 = 1;
const TEMPORARY: &str = "tmp";

/// An image with its documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    version: u32,
    pub(super) record: Record,
    /// As the registry sent it.
    pub(super) manifest: String,
    /// As the registry sent it.
    pub(super) config: String,
}

/// The directory of records.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
}

impl Stored {
    pub(super) fn new(record: Record, manifest: String, config: String) -> Self {
        Self {
            version: VERSION,
            record,
            manifest,
            config,
        }
    }
}

impl Records {
    /// Opens the directory, and reads all that is in it. What cannot be read is no image, and is removed: its layers then are
    /// garbage, and the next pull brings it back. A record of a later release is left alone, and is an error.
    pub(super) fn open(root: &Path) -> Result<(Self, Vec<Record>), StoreError> {
        let path = root.join("images");
        fs::create_dir_all(&path).map_err(StoreError::at("make", &path))?;
        let records = Self { path };
        let mut found = Vec::new();
        for entry in fs::read_dir(&records.path).map_err(StoreError::at("list", &records.path))? {
            let path = entry.map_err(StoreError::at("list", &records.path))?.path();
            let bytes = fs::read(&path).map_err(StoreError::at("read", &path))?;
            let version = serde_json::from_slice::<Version>(&bytes).map(|found| found.version);
            if version.is_ok_and(|version| version > VERSION) {
                let later = io::Error::other("a later release has written it");
                return Err(StoreError::at("read", &path)(later));
            }
            match serde_json::from_slice::<Stored>(&bytes) {
                Ok(stored) if path == records.path_of(&stored.record) => found.push(stored.record),
                _ => {
                    tracing::warn!(path = %path.display(), "this is no record of an image, and is removed");
                    fs::remove_file(&path).map_err(StoreError::at("remove", &path))?;
                }
            }
        }
        Ok((records, found))
    }

    /// The image's documents.
    pub(super) fn read(&self, record: &Record) -> Result<Stored, StoreError> {
        let path = self.path_of(record);
        let bytes = fs::read(&path).map_err(StoreError::at("read", &path))?;
        serde_json::from_slice(&bytes).map_err(StoreError::at("read", &path))
    }

    /// Writes one to the disk.
    pub(super) fn write(&self, stored: &Stored) -> Result<(), StoreError> {
        let path = self.path_of(&stored.record);
        let temporary = path.with_extension(TEMPORARY);
        let text = serde_json::to_vec(stored).expect("texts and numbers are JSON");
        let written = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(StoreError::at("write", path))
    }

    /// Removes one from the disk.
    pub(super) fn remove(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path_of(record);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::at("remove", path)(error));
            }
            _ => {}
        }
        let directory = File::open(&self.path).and_then(|directory| directory.sync_all());
        directory.map_err(StoreError::at("write to the disk", &self.path))
    }

    fn path_of(&self, record: &Record) -> PathBuf {
        self.path.join(record.id.hex()).with_extension("json")
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}
