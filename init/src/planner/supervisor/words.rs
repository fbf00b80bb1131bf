//! Words for people: ends of processes and spans of time.

use super::interface::ExitStatus;
use std::time::Duration;

/// "exit code 1", "signal 9 (killed)".
pub(super) fn exit(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
    }
}

/// "60 s", "250 ms".
pub(super) fn span(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// At most `max` bytes of `text`, cut between characters.
pub(super) fn cut(mut text: String, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// signal(7), the ones that end a process.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace trap",
        6 => "aborted",
        7 => "bus error",
        8 => "arithmetic error",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm",
        15 => "terminated",
        24 => "CPU time limit",
        25 => "file size limit",
        31 => "bad system call",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(exit(ExitStatus::Code(1)), "exit code 1");
        assert_eq!(exit(ExitStatus::Signal(9)), "signal 9 (killed)");
        assert_eq!(exit(ExitStatus::Signal(40)), "signal 40");
        assert_eq!(span(Duration::from_secs(60)), "60 s");
        assert_eq!(span(Duration::from_millis(1250)), "1250 ms");
        assert_eq!(cut("aé".into(), 2), "a");
    }
}
