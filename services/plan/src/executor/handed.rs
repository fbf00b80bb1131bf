//! The descriptors that the supervisor hands over, sd_listen_fds(3): they begin at 3, `LISTEN_FDS` counts
//! them, `LISTEN_FDNAMES` names them with colons between. A block device is `block:<device>`, which
//! takes two of the names; `block:esp` is the ESP.
#![allow(unsafe_code)] // Descriptors that the environment names become files.

use std::{
    env,
    fs::File,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

const FIRST: RawFd = 3;
/// Most descriptors that are taken: the fixed sources and 240 block devices.
pub(crate) const DESCRIPTORS_MAX: usize = 250;
const BLOCK: &str = "block";
const ESP: &str = "esp";

/// The descriptors by name.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    files: Vec<(String, File)>,
}

/// Why the descriptors cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandedError {
    /// `LISTEN_FDS` is not a number within the bound.
    #[error("LISTEN_FDS={0:?} is not a number of at most {DESCRIPTORS_MAX}")]
    Count(String),
    /// Names and descriptors do not match.
    #[error("LISTEN_FDNAMES has {names} names for {count} descriptors")]
    Names {
        /// Names.
        names: usize,
        /// Descriptors.
        count: usize,
    },
    /// A descriptor is not open.
    #[error("descriptor {0} is not open")]
    NotOpen(RawFd),
}

/// Takes the descriptors that the environment names. Without `LISTEN_FDS`, or with another process in
/// `LISTEN_PID`, there are none.
pub(crate) fn handed_over() -> Result<Handed, HandedError> {
    let for_another = env::var("LISTEN_PID").is_ok_and(|pid| pid != std::process::id().to_string());
    let Ok(count) = env::var("LISTEN_FDS") else {
        return Ok(Handed::default());
    };
    if for_another {
        return Ok(Handed::default());
    }
    let count = count
        .parse()
        .ok()
        .filter(|count| *count <= DESCRIPTORS_MAX)
        .ok_or(HandedError::Count(count))?;
    let names = names(&env::var("LISTEN_FDNAMES").unwrap_or_default(), count)?;
    let mut files = Vec::with_capacity(count);
    for (name, number) in names.into_iter().zip(FIRST..) {
        files.push((name, File::from(take(number)?)));
    }
    Ok(Handed { files })
}

impl Handed {
    /// The descriptor of this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<File> {
        let at = self.files.iter().position(|(known, _)| known == name)?;
        Some(self.files.swap_remove(at).1)
    }

    /// All block devices with their names, in the order of their names.
    pub(crate) fn take_blocks(&mut self) -> Vec<(String, File)> {
        let mut blocks = Vec::new();
        for (name, file) in std::mem::take(&mut self.files) {
            match name.strip_prefix("block:") {
                Some(device) => blocks.push((device.to_owned(), file)),
                None => self.files.push((name, file)),
            }
        }
        blocks.sort_by(|one, two| one.0.cmp(&two.0));
        blocks
    }
}

/// One name per descriptor.
fn names(text: &str, count: usize) -> Result<Vec<String>, HandedError> {
    let mut names = Vec::new();
    let mut words = text.split(':').filter(|_| !text.is_empty());
    while let Some(word) = words.next() {
        names.push(match word {
            BLOCK => match words.next().unwrap_or_default() {
                ESP => ESP.to_owned(),
                device => format!("{BLOCK}:{device}"),
            },
            word => word.to_owned(),
        });
    }
    if names.len() == count {
        Ok(names)
    } else {
        Err(HandedError::Names {
            names: names.len(),
            count,
        })
    }
}

fn take(number: RawFd) -> Result<OwnedFd, HandedError> {
    // SAFETY: the borrow lives for this call only, and a number that is not open gives EBADF.
    let probe = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(probe).map_err(|_| HandedError::NotOpen(number))?;
    // SAFETY: the descriptor is open, and by sd_listen_fds(3) it is ours alone: the numbers from 3 on
    // are taken once, at the start, before anything else in this process opens or adopts one.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, count: usize, expect: Result<&[&str], HandedError>) {
        let expect = expect.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(text, count), expect, "{text}");
    }

    #[test]
    fn a_name_per_descriptor() {
        check("", 0, Ok(&[]));
        check("esp:cmdline", 2, Ok(&["esp", "cmdline"]));
        check(
            "fw-cfg:block:esp:block:sr0:smbios",
            4,
            Ok(&["fw-cfg", "esp", "block:sr0", "smbios"]),
        );
        check("esp", 2, Err(HandedError::Names { names: 1, count: 2 }));
    }
}
