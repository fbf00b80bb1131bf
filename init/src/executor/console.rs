//! What `init` says: to the kernel log (which the kernel shows on the console), or in a sandbox to its
//! standard output, because the kernel log belongs to the host.

use std::fs::{File, OpenOptions};
use std::io::Write;

/// Longest text in one record of the kernel log; the kernel takes at most 1024 bytes with the prefix.
const KMSG_TEXT_MAX: usize = 900;

/// Where `init` speaks.
#[derive(Debug)]
pub(crate) enum Console {
    /// Nothing is open yet (before `/dev` is there).
    Silent,
    /// `/dev/kmsg`.
    Kernel(File),
    /// Standard output.
    Output,
}

impl Console {
    /// Opens the place to speak; silent where it cannot be opened.
    pub(crate) fn open(sandboxed: bool) -> Self {
        if sandboxed {
            return Self::Output;
        }
        OpenOptions::new()
            .write(true)
            .open("/dev/kmsg")
            .map_or(Self::Silent, Self::Kernel)
    }

    /// Says one line at a syslog severity. Nothing can be done about failure.
    pub(crate) fn say(&mut self, level: u8, text: &str) {
        match self {
            Self::Silent => {}
            Self::Kernel(file) => {
                for line in text.lines() {
                    let line = shorten(line);
                    let _ = file.write_all(format!("<{level}>orlop-init: {line}\n").as_bytes());
                }
            }
            Self::Output => {
                let mut out = std::io::stdout().lock();
                for line in text.lines() {
                    let _ = out.write_all(format!("orlop-init: {line}\n").as_bytes());
                }
                let _ = out.flush();
            }
        }
    }
}

fn shorten(line: &str) -> &str {
    let mut end = line.len().min(KMSG_TEXT_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

/// Makes panics of `init` itself visible; the loop catches them and goes on.
pub(crate) fn install_panic_hook(sandboxed: bool) {
    std::panic::set_hook(Box::new(move |info| {
        Console::open(sandboxed).say(2, &format!("bug in init, going on: {info}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "ä".repeat(KMSG_TEXT_MAX);
        assert!(shorten(&line).len() <= KMSG_TEXT_MAX);
        assert_eq!(shorten("short"), "short");
    }
}
