//! Files: the last time that was right, time servers from DHCP.

use crate::planner::{Nanos, SECOND};
use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Name of the file in the state directory: seconds since 1970 in decimal, and a newline.
const SAVED: &str = "last-synchronised";
/// Largest file that is read.
const FILE_MAX: u64 = 64 * 1024;
/// Time servers that are taken from a file.
const ENTRIES_MAX: usize = 8;

/// The last saved time.
#[must_use]
pub fn load(state: &Path) -> Option<Nanos> {
    let seconds: i64 = read_bounded(&state.join(SAVED))?.trim().parse().ok()?;
    seconds.checked_mul(SECOND)
}

/// Saves a time, whole or not at all.
///
/// # Errors
/// The system's, with the file's path.
pub fn save(state: &Path, now: Nanos) -> io::Result<()> {
    let path = state.join(SAVED);
    let fresh = path.with_extension("new");
    let write = |fresh: &PathBuf| {
        let mut file = fs::File::create(fresh)?;
        writeln!(file, "{}", now / SECOND)?;
        file.sync_data()?;
        fs::rename(fresh, &path)
    };
    write(&fresh)
        .map_err(|error| io::Error::new(error.kind(), format!("write {}: {error}", path.display())))
}

/// When the release was built: `ORLOP_BUILD_TIME` of os-release(5), in seconds since 1970.
#[must_use]
pub fn build_time(os_release: &Path) -> Option<Nanos> {
    let text = read_bounded(os_release)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("ORLOP_BUILD_TIME="))?;
    let seconds: i64 = value.trim_matches('"').parse().ok()?;
    seconds.checked_mul(SECOND)
}

/// Time servers that DHCP gave.
#[must_use]
pub fn time_servers(path: &Path) -> Vec<IpAddr> {
    let text = read_bounded(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .take(ENTRIES_MAX)
        .collect()
}

fn read_bounded(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(FILE_MAX)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_time_comes_back() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load(state.path()), None);
        save(state.path(), 1_800_000_000 * SECOND + 5).unwrap();
        assert_eq!(load(state.path()), Some(1_800_000_000 * SECOND));
        for broken in ["", "soon", "99999999999999999999", "9999999999999999"] {
            fs::write(state.path().join(SAVED), broken).unwrap();
            assert_eq!(load(state.path()), None, "{broken}");
        }
    }

    #[test]
    fn a_release_knows_when_it_was_built() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("os-release");
        assert_eq!(build_time(&path), None);
        fs::write(&path, "ID=orlop\nORLOP_BUILD_TIME=1800000000\n").unwrap();
        assert_eq!(build_time(&path), Some(1_800_000_000 * SECOND));
        fs::write(&path, "ORLOP_BUILD_TIME=later\n").unwrap();
        assert_eq!(build_time(&path), None);
    }

    #[test]
    fn addresses_are_read_and_others_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "10.0.0.9\n\nname\n").unwrap();
        assert_eq!(time_servers(&path), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    }
}
