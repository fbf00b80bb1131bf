//! What services write: drained always, kept in bounds, shown where it matters.
//!
//! A pipe is read at most [`DRAIN_MAX`] bytes per turn, so that a flood from one service cannot starve
//! the others, and always read, so that a flood never blocks the service itself. Lines over the bounds of
//! ring, files and console are dropped there and counted.

use super::{Machine, log_line};
use crate::executor::log_files::LogFile;
use crate::executor::poller::{Interest, Source};
use crate::executor::time;
use crate::planner::lines::{INFO, Line, Splitter, WARNING, readable};
use crate::planner::ring::Ring;
use init_proto::frame::FRAME_MAX;
use rustix::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// Bytes taken from one pipe in one turn.
const DRAIN_MAX: usize = 64 * 1024;
/// Lines of one service on the console in [`CONSOLE_WINDOW`].
const CONSOLE_LINES: u32 = 20;
const CONSOLE_WINDOW: Duration = Duration::from_secs(5);

/// One output pipe.
#[derive(Debug)]
pub(super) struct Output {
    pipe: OwnedFd,
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Lines for the log.
    Log(Splitter),
    /// Bytes for the running job.
    Capture,
}

/// The log of one service.
#[derive(Debug, Default)]
pub(super) struct ServiceLog {
    /// Newest lines.
    pub(super) ring: Ring,
    file: Option<LogFile>,
    window: Duration,
    shown: u32,
    hidden: u32,
}

impl ServiceLog {
    /// Whether one more line may go to the console, and how many were hidden before it.
    fn may_show(&mut self, now: Duration) -> Option<u32> {
        if now >= self.window + CONSOLE_WINDOW {
            self.window = now;
            self.shown = 0;
        }
        if self.shown >= CONSOLE_LINES {
            self.hidden += 1;
            return None;
        }
        self.shown += 1;
        Some(std::mem::take(&mut self.hidden))
    }
}

impl Machine {
    /// Watches a service's pipe. Unmarked lines on standard error (a panic's) count as warnings.
    pub(super) fn watch_log(&mut self, name: &str, pipe: OwnedFd, standard_error: bool) {
        let level = if standard_error { WARNING } else { INFO };
        self.watch_output(name, pipe, Kind::Log(Splitter::new(level)));
    }

    /// Watches the pipe that carries the running job's result.
    pub(super) fn watch_capture(&mut self, name: &str, pipe: OwnedFd) {
        self.watch_output(name, pipe, Kind::Capture);
    }

    /// Closes what carried the result of a job that is over.
    pub(super) fn drop_captures(&mut self) {
        self.outputs
            .retain(|_, output| !matches!(output.kind, Kind::Capture));
    }

    fn watch_output(&mut self, name: &str, pipe: OwnedFd, kind: Kind) {
        let number = self.number();
        if let Err(error) = self
            .poller
            .add(Source::Output(number), &pipe, Interest::Read)
        {
            self.say(3, &format!("output of {name} cannot be watched: {error}"));
            return;
        }
        let name = name.to_owned();
        self.outputs.insert(number, Output { pipe, name, kind });
    }

    /// Reads what a pipe has, a bounded amount of it.
    pub(super) fn drain_output(&mut self, number: u32) {
        let Some(output) = self.outputs.get_mut(&number) else {
            return;
        };
        let mut bytes = vec![0_u8; DRAIN_MAX];
        let (length, ended) = match rustix::io::read(&output.pipe, &mut bytes[..]) {
            Ok(0) => (0, true),
            Ok(length) => (length, false),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => (0, false),
            Err(_) => (0, true),
        };
        let bytes = &bytes[..length];
        let name = output.name.clone();
        match &mut output.kind {
            Kind::Log(splitter) => {
                let mut lines = splitter.push(bytes);
                if ended {
                    lines.extend(splitter.finish());
                }
                self.keep(&name, lines, true);
            }
            Kind::Capture => {
                if let Some(job) = &mut self.job {
                    let room = (FRAME_MAX + 4).saturating_sub(job.output.len());
                    job.output.extend_from_slice(&bytes[..length.min(room)]);
                    job.exceeded |= length > room;
                    job.output_ended |= ended;
                }
            }
        }
        if ended {
            self.outputs.remove(&number);
        }
    }

    /// Reads what the pipes of one service still hold; after its end, before its exit is reported.
    pub(super) fn drain_outputs_of(&mut self, name: &str) {
        let numbers: Vec<u32> = self
            .outputs
            .iter()
            .filter(|(_, output)| output.name == name)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.drain_output(number);
        }
    }

    /// Keeps lines of a service; `show` brings warnings and errors to the console.
    pub(super) fn keep(&mut self, name: &str, lines: Vec<Line>, show: bool) {
        if lines.is_empty() {
            return;
        }
        let now = time::monotonic();
        if show {
            for line in lines.iter().filter(|line| line.level <= WARNING) {
                self.show(name, line.level, &readable(&line.text), now);
            }
        }
        let lines: Vec<_> = lines.into_iter().map(log_line).collect();
        let log = self.logs.entry(name.to_owned()).or_default();
        if let Some(file) = &mut log.file {
            file.append(lines.iter());
        }
        for line in lines {
            log.ring.push(line);
        }
    }

    /// Shows a service's line on the console, within its share.
    pub(super) fn show(&mut self, name: &str, level: u8, text: &str, now: Duration) {
        let log = self.logs.entry(name.to_owned()).or_default();
        if let Some(hidden) = log.may_show(now) {
            if hidden > 0 {
                self.console
                    .say(level, &format!("{name}: ({hidden} lines not shown)"));
            }
            self.console.say(level, &format!("{name}: {text}"));
        }
    }

    /// From now on logs go to files as well, beginning with what the rings hold.
    pub(super) fn log_to(&mut self, directory: &Path) {
        for (name, log) in &mut self.logs {
            let mut file = LogFile::new(directory, name);
            file.append(log.ring.iter());
            log.file = Some(file);
        }
        self.log_directory = Some(directory.to_owned());
    }

    /// Makes sure that a service's log has its file, once there is a place for it.
    pub(super) fn open_log(&mut self, name: &str) {
        let log = self.logs.entry(name.to_owned()).or_default();
        if log.file.is_none()
            && let Some(directory) = &self.log_directory
        {
            log.file = Some(LogFile::new(directory, name));
        }
    }

    /// Closes the files, so that DATA can be unmounted.
    pub(super) fn close_logs(&mut self) {
        self.log_directory = None;
        for log in self.logs.values_mut() {
            if let Some(file) = &mut log.file {
                file.close();
            }
            log.file = None;
        }
    }
}
