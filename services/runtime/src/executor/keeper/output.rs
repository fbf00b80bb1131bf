//! What a container writes: from its pipes, or its terminal, to its log and to those who look on.

use crate::planner::keeper::log::{Lines, Stream};
use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd as _, OwnedFd},
    fs::OFlags,
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Read at once from one pipe: what a pipe holds, as a rule. Then it is the others' turn.
const CHUNK: usize = 64 * 1024;
/// Those who look on at one container.
const ATTACHED_MAX: usize = 16;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// There may be more.
    More,
    /// Nothing for now.
    Empty,
    /// It has ended.
    Ended,
}

/// The output of one container.
#[derive(Debug)]
pub(super) struct Output {
    path: Option<PathBuf>,
    log: Option<File>,
    out: Lines,
    error: Lines,
    out_ended: bool,
    error_ended: bool,
    attached: Vec<Attached>,
    /// Entries that the log did not take, since that was last said.
    lost: u64,
}

#[derive(Debug)]
struct Attached {
    out: Option<OwnedFd>,
    error: Option<OwnedFd>,
    /// Where he is told that he was too slow.
    lost: Option<OwnedFd>,
}

impl Output {
    /// Into this log, which is begun if it is not there. With a terminal there is no second stream.
    pub(super) fn new(path: Option<PathBuf>, terminal: bool) -> io::Result<Self> {
        let log = path.as_ref().map(open).transpose()?;
        Ok(Self {
            path,
            log,
            out: Lines::new(Stream::Out),
            error: Lines::new(Stream::Error),
            out_ended: false,
            error_ended: terminal,
            attached: Vec::new(),
            lost: 0,
        })
    }

    /// The log was moved away: a new one.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.log = Some(open(path)?);
        }
        Ok(())
    }

    /// Somebody looks on from now on. Who does not take all at once is told so and looks on no longer: no container waits for those who
    /// look, and none of them misses something in the midst.
    pub(super) fn attach(
        &mut self,
        out: OwnedFd,
        error: OwnedFd,
        lost: Option<OwnedFd>,
    ) -> io::Result<()> {
        // Who has gone is missed at the next write, which may be far.
        self.attached.retain(Attached::is_there);
        if self.attached.len() >= ATTACHED_MAX {
            return Err(io::Error::other(format!(
                "{ATTACHED_MAX} are attached already"
            )));
        }
        for descriptor in [&out, &error].into_iter().chain(&lost) {
            rustix::io::ioctl_fionbio(descriptor, true)?;
        }
        let attached = Attached {
            out: Some(out).filter(|_| !self.out_ended),
            error: Some(error).filter(|_| !self.error_ended),
            lost,
        };
        if attached.looks() {
            self.attached.push(attached);
        }
        Ok(())
    }

    /// Takes what there is, up to a bound.
    pub(super) fn read(&mut self, source: &OwnedFd, stream: Stream, buffer: &mut Vec<u8>) -> Flow {
        buffer.resize(CHUNK, 0);
        let count = match rustix::io::read(source.as_fd(), &mut buffer[..]) {
            // A terminal whose other end is closed reads as an error.
            Ok(0) | Err(Errno::IO) => {
                self.end(stream);
                return Flow::Ended;
            }
            Ok(count) => count,
            Err(Errno::AGAIN) => return Flow::Empty,
            Err(Errno::INTR) => return Flow::More,
            Err(error) => {
                tracing::warn!(%error, "the output of a container cannot be read");
                self.end(stream);
                return Flow::Ended;
            }
        };
        let bytes = &buffer[..count];
        self.show(stream, bytes);
        let mut entries = Vec::with_capacity(count + count / 2);
        self.lines(stream)
            .push(bytes, Timestamp::now(), &mut entries);
        self.write(&entries);
        Flow::More
    }

    fn end(&mut self, stream: Stream) {
        let mut entries = Vec::new();
        self.lines(stream).end(Timestamp::now(), &mut entries);
        self.write(&entries);
        match stream {
            Stream::Out => self.out_ended = true,
            Stream::Error => self.error_ended = true,
        }
        self.attached.retain_mut(|attached| {
            *attached.to(stream) = None;
            attached.looks()
        });
    }

    const fn lines(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Error => &mut self.error,
        }
    }

    /// A log that takes nothing (a full disk) costs its entries, and holds up nobody.
    fn write(&mut self, entries: &[u8]) {
        let (Some(log), false) = (&mut self.log, entries.is_empty()) else {
            return;
        };
        match append(log, entries) {
            Ok(()) if self.lost > 0 => {
                tracing::warn!(lost = self.lost, log = ?self.path, "a container's log takes entries again");
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    tracing::warn!(%error, log = ?self.path, "a container's log takes nothing");
                }
                self.lost += 1;
            }
        }
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        self.attached.retain_mut(|attached| {
            let Some(to) = attached.to(stream) else {
                return true;
            };
            match rustix::io::write(&*to, bytes) {
                Ok(count) if count == bytes.len() => true,
                Ok(_) | Err(Errno::AGAIN) => {
                    if let Some(lost) = &attached.lost {
                        let _ = rustix::io::write(lost, &[0]);
                    }
                    false
                }
                // He has gone.
                Err(_) => false,
            }
        });
    }
}

impl Attached {
    const fn looks(&self) -> bool {
        self.out.is_some() || self.error.is_some()
    }

    /// Whether he reads still.
    fn is_there(&self) -> bool {
        [&self.out, &self.error].into_iter().flatten().all(|to| {
            let mut polled = [PollFd::new(to, PollFlags::empty())];
            match poll(&mut polled, Some(&Timespec::default())) {
                Ok(_) => !polled[0].revents().contains(PollFlags::ERR),
                Err(_) => true,
            }
        })
    }

    const fn to(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Error => &mut self.error,
        }
    }
}

/// All of it or nothing: a reader of the log must not meet half an entry.
fn append(log: &mut File, entries: &[u8]) -> io::Result<()> {
    let mut left = entries;
    while !left.is_empty() {
        match log.write(left) {
            Ok(count) => left = &left[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let written = entries.len() - left.len();
                let length = log.metadata()?.len();
                log.set_len(length.saturating_sub(u64::try_from(written).unwrap_or(0)))?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A pod may write where logs are: what is no file, or leads elsewhere, is no log.
fn open(path: &PathBuf) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("the log is no file"));
    }
    Ok(file)
}
