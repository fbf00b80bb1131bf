//! Cuts a service's output into lines and reads their levels.
//!
//! Bounds: a line is at most [`LINE_MAX`] bytes; a longer one is cut into several. What stands before
//! the cut is never kept longer than until the next newline or [`LINE_MAX`] bytes.

/// Longest line in bytes.
pub(crate) const LINE_MAX: usize = 8 * 1024;
/// syslog severities that this module names.
pub(crate) const ERROR: u8 = 3;
/// Warning.
pub(crate) const WARNING: u8 = 4;
/// Informational.
pub(crate) const INFO: u8 = 6;
const DEBUG: u8 = 7;

/// One line with its severity, 0 (emergency) to 7 (debug).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Severity.
    pub(crate) level: u8,
    /// Text without the newline and without a `<3>` prefix.
    pub(crate) text: String,
}

/// The unfinished line of one pipe.
#[derive(Debug)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
    /// Level of lines that name none.
    default_level: u8,
}

impl Splitter {
    /// For a pipe whose unmarked lines have this level.
    pub(crate) fn new(default_level: u8) -> Self {
        Self {
            partial: Vec::new(),
            default_level,
        }
    }

    /// Takes the next bytes and gives the lines that they finish.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let mut text = text;
            while self.partial.len() + text.len() > LINE_MAX {
                let (fits, rest) = text.split_at(LINE_MAX - self.partial.len());
                self.partial.extend_from_slice(fits);
                lines.extend(self.finish());
                text = rest;
            }
            self.partial.extend_from_slice(text);
            if ended {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// The unfinished line, when the pipe has ended. Empty lines are left out.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.partial);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        if bytes.is_empty() {
            return None;
        }
        let (level, text) = match bytes {
            [b'<', digit @ b'0'..=b'7', b'>', text @ ..] => (digit - b'0', text),
            text => (json_level(text).unwrap_or(self.default_level), text),
        };
        Some(Line {
            level,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

/// Level of a structured line: a JSON object with a member `"level":"ERROR"` (any case). Only the first
/// such member counts; this is a look at the text, not a parser.
fn json_level(text: &[u8]) -> Option<u8> {
    const MEMBER: &[u8] = b"\"level\":";
    if text.first() != Some(&b'{') {
        return None;
    }
    let at = text.windows(MEMBER.len()).position(|part| part == MEMBER)?;
    let value = text[at + MEMBER.len()..].trim_ascii_start();
    let value = value.strip_prefix(b"\"")?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    match value[..end].to_ascii_lowercase().as_slice() {
        b"error" => Some(ERROR),
        b"warn" | b"warning" => Some(WARNING),
        b"info" => Some(INFO),
        b"debug" | b"trace" => Some(DEBUG),
        _ => None,
    }
}

/// The part of a line that a person wants on the console: the `message` of a structured line, else all.
pub(crate) fn readable(text: &str) -> String {
    const MEMBER: &str = "\"message\":\"";
    let Some(at) = text.starts_with('{').then(|| text.find(MEMBER)).flatten() else {
        return text.to_owned();
    };
    let mut message = String::new();
    let mut escaped = false;
    for c in text[at + MEMBER.len()..].chars() {
        match (escaped, c) {
            (false, '"') => break,
            (false, '\\') => escaped = true,
            (true, 'n') => {
                message.push(' ');
                escaped = false;
            }
            (_, c) => {
                message.push(c);
                escaped = false;
            }
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &str, expect: &[(u8, &str)]) {
        let mut splitter = Splitter::new(INFO);
        let mut lines = splitter.push(input.as_bytes());
        lines.extend(splitter.finish());
        let lines: Vec<_> = lines.iter().map(|l| (l.level, l.text.as_str())).collect();
        assert_eq!(lines, expect, "{input:?}");
    }

    #[test]
    fn levels() {
        check("plain\n\n<3>bad\r\n", &[(6, "plain"), (3, "bad")]);
        check(
            "{\"time\":1,\"level\":\"WARN\"}",
            &[(4, "{\"time\":1,\"level\":\"WARN\"}")],
        );
        check("<9>odd", &[(6, "<9>odd")]);
        check(
            "{\"level\": \"nonsense\"}",
            &[(6, "{\"level\": \"nonsense\"}")],
        );
        check(
            "said \"level\":\"ERROR\"",
            &[(6, "said \"level\":\"ERROR\"")],
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut splitter = Splitter::new(INFO);
        let lines = splitter.push(&vec![b'x'; 3 * LINE_MAX + 1]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.text.len() == LINE_MAX));
        assert_eq!(splitter.finish().unwrap().text, "x");
    }

    #[test]
    fn people_see_the_message() {
        let line = r#"{"level":"ERROR","message":"no \"disk\"","path":"/dev"}"#;
        assert_eq!(readable(line), "no \"disk\"");
        assert_eq!(readable("thread panicked"), "thread panicked");
        assert_eq!(readable("{\"a\":1}"), "{\"a\":1}");
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "[a-z<>0-9\n\r]{0,200}", cut in 0_usize..200) {
            let cut = cut.min(text.len());
            let mut whole = Splitter::new(INFO);
            let mut parts = Splitter::new(INFO);
            let mut expect = whole.push(text.as_bytes());
            expect.extend(whole.finish());
            let mut got = parts.push(&text.as_bytes()[..cut]);
            got.extend(parts.push(&text.as_bytes()[cut..]));
            got.extend(parts.finish());
            prop_assert_eq!(got, expect);
        }
    }
}
