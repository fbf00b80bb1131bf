//! A service's log lines on DATA: `<service>.log` and its older siblings `.log.1` (newest) to `.log.3`.
//!
//! Bounds: four files of one MiB each per service. A full or failing disk loses lines, which are counted
//! and reported in the file when it can be written again; it never stops anything.

use super::time::rfc3339;
use init_proto::control::LogLine;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Size at which a file is rotated.
const FILE_BYTES: u64 = 1024 * 1024;
/// Older files kept.
const OLDER: usize = 3;

/// The files of one service.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    dropped: u64,
}

impl LogFile {
    /// For this service, in this directory.
    pub(crate) fn new(directory: &Path, service: &str) -> Self {
        Self {
            path: directory.join(format!("{service}.log")),
            file: None,
            size: 0,
            dropped: 0,
        }
    }

    /// Appends lines in one write.
    pub(crate) fn append<'a>(&mut self, lines: impl Iterator<Item = &'a LogLine>) {
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            let time = rfc3339(line.time_ms);
            text.push_str(&format!("{time} {} {}\n", line.level, line.text));
            count += 1;
        }
        if count == 0 {
            return;
        }
        if self.dropped > 0 {
            text.insert_str(
                0,
                &format!("({} lines could not be written)\n", self.dropped),
            );
        }
        if self.write(text.as_bytes()) {
            self.dropped = 0;
        } else {
            self.dropped += count;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        if self.file.is_none() && !self.open() {
            return false;
        }
        if self.size >= FILE_BYTES {
            self.rotate();
        }
        let Some(file) = &mut self.file else {
            return false;
        };
        let ok = file.write_all(bytes).is_ok();
        self.size += u64::try_from(bytes.len()).unwrap_or(0);
        if !ok {
            // Look at the real file again next time; it may be gone with its disk.
            self.file = None;
        }
        ok
    }

    fn open(&mut self) -> bool {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.path);
        self.size = file
            .as_ref()
            .ok()
            .and_then(|file| file.metadata().ok())
            .map_or(0, |metadata| metadata.len());
        self.file = file.ok();
        self.file.is_some()
    }

    fn rotate(&mut self) {
        let name = |number: usize| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        for number in (1..OLDER).rev() {
            let _ = fs::rename(name(number), name(number + 1));
        }
        if fs::rename(&self.path, name(1)).is_err() {
            // Without a rename the bound is kept by starting the file over.
            let _ = fs::remove_file(&self.path);
        }
        self.open();
    }

    /// Forgets the open file, so that its file system can be unmounted.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            time_ms: 0,
            level: 6,
            text: text.into(),
        }
    }

    #[test]
    fn the_disk_use_is_bounded_and_the_newest_lines_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(directory.path(), "a");
        let long = "x".repeat(8000);
        for _ in 0..1000 {
            log.append([line(&long)].iter());
        }
        log.append([line("last")].iter());
        let mut total = 0;
        for entry in fs::read_dir(directory.path()).unwrap() {
            total += entry.unwrap().metadata().unwrap().len();
        }
        assert!(total <= 4 * (FILE_BYTES + 9000), "{total}");
        let newest = fs::read_to_string(directory.path().join("a.log")).unwrap();
        assert!(newest.ends_with("1970-01-01T00:00:00.000Z 6 last\n"));
        assert!(directory.path().join("a.log.3").exists());
        assert!(!directory.path().join("a.log.4").exists());
    }

    #[test]
    fn lost_lines_are_counted_and_reported_later() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("later");
        let mut log = LogFile::new(&inside, "a");
        log.append([line("lost"), line("too")].iter());
        fs::create_dir(&inside).unwrap();
        log.append([line("kept")].iter());
        let text = fs::read_to_string(inside.join("a.log")).unwrap();
        assert!(
            text.starts_with("(2 lines could not be written)\n"),
            "{text}"
        );
        assert!(text.ends_with("kept\n"));
    }
}
