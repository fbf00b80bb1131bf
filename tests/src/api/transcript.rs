//! Commands and what they show, as one reads them on a terminal: the transcript is the test.
//!
//! ```text
//!   # a remark
//!   $ kubectl create configmap a --from-literal=x=1      run by sh; `kubectl` is the admin's, `$SERVER` the URL, `$CA` its CA
//!                                                        (`orlop-kube-client` is there, too, once it is built)
//!   configmap/a created                                  both outputs; what is other every time stands in <brackets>
//!   $ kubectl apply -f -
//!   < apiVersion: v1                                     lines that begin with `<` and a space are its input
//!   $ false
//!   [1]                                                  the exit code, if it is not 0
//! ```
//!
//! UUIDs are shown as `<uid>`, times as `<time>`, resource versions as `<version>`, ages as `<age>`, and cluster IPs as
//! `<ip>`. With `ORLOP_BLESS` in the environment the file is written anew instead: the difference is then read by a person.

use super::ApiServer;
use crate::store::transcript::finish;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;

/// A command, its input, and what it shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    /// Remarks and empty lines before it.
    before: String,
    command: String,
    input: String,
    output: String,
}

/// Runs the transcript in a file and compares what it shows.
///
/// # Errors
/// Something else is shown, or a command does not end.
pub fn check(server: &ApiServer, file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let (steps, after) = parse(&text)?;
    let mut found = String::new();
    for step in steps {
        let output = run(server, &step)?;
        found.push_str(&step.before);
        found.push_str(&format!("$ {}\n", step.command));
        for line in step.input.lines() {
            found.push_str(format!("< {line}").trim_end());
            found.push('\n');
        }
        found.push_str(&output);
    }
    found.push_str(&after);
    if std::env::var_os("ORLOP_BLESS").is_some() {
        return std::fs::write(file, found).with_context(|| format!("write {}", file.display()));
    }
    ensure!(found == text, "{}", difference(&text, &found));
    Ok(())
}

fn parse(text: &str) -> Result<(Vec<Step>, String)> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                before: std::mem::take(&mut before),
                command: command.to_owned(),
                ..Step::default()
            });
            continue;
        }
        if line.is_empty() || line.starts_with("# ") {
            before.push_str(line);
            before.push('\n');
            continue;
        }
        let step = steps
            .last_mut()
            .with_context(|| format!("{line:?} stands before any command"))?;
        // What looked like the next step's remark was output.
        step.output.push_str(&std::mem::take(&mut before));
        match line.strip_prefix("< ").or((line == "<").then_some("")) {
            Some(input) => {
                step.input.push_str(input);
                step.input.push('\n');
            }
            None => {
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    Ok((steps, before))
}

fn run(server: &ApiServer, step: &Step) -> Result<String> {
    let kubectl = server.kubectl()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = Path::new(kubectl.get_program())
        .parent()
        .context("kubectl has a directory")?;
    let mut command = Command::new("sh");
    command.args(["-c", &step.command]);
    for (name, value) in kubectl.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let ours = xtask::kube_client::directory();
    command.env(
        "PATH",
        format!("{}:{}:{path}", programs.display(), ours.display()),
    );
    command.env("PYTHONPATH", xtask::peers::python_kubernetes()?);
    command.env("SERVER", server.url());
    command.env("CA", server.certificate_authority());
    if let Some(directory) = kubectl.get_current_dir() {
        command.current_dir(directory);
    }
    let text = finish(&mut command, &step.input)?;
    let text = text.strip_suffix("[0]").unwrap_or(&text);
    let mut shown = normal(text, server);
    if !shown.is_empty() && !shown.ends_with('\n') {
        shown.push('\n');
    }
    Ok(shown)
}

/// Without what is other every time.
fn normal(text: &str, server: &ApiServer) -> String {
    let text = text.replace(&server.url(), "<server>");
    let lines = text.lines().map(|line| {
        let mut line = line.to_owned();
        for (is, name) in PATTERNS {
            line = replaced(&line, *is, name);
        }
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// A word, and whether what stands before it decides.
type Pattern = fn(&str, &str) -> bool;

const PATTERNS: &[(Pattern, &str)] = &[
    (|word, _| is_uuid(word), "<uid>"),
    (|word, _| is_time(word), "<time>"),
    (
        |word, before| {
            before
                .trim_end_matches([' ', '"', ':'])
                .ends_with("resourceVersion")
                && all_digits(word)
        },
        "<version>",
    ),
    (|word, _| is_age(word), "<age>"),
    (
        |word, _| word.starts_with("10.96.") && word != "10.96.0.0",
        "<ip>",
    ),
];

/// Words are what stands between spaces, quotes, commas, brackets and the like.
fn replaced(line: &str, is: Pattern, name: &str) -> String {
    let inside = |character: char| character.is_ascii_alphanumeric() || "-.:+".contains(character);
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let length = rest
            .find(|character| !inside(character))
            .unwrap_or(rest.len());
        if length == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let word = &rest[..length];
        let trimmed = word.trim_end_matches([':', '.']);
        if is(trimmed, &out) {
            out.push_str(name);
            out.push_str(&word[trimmed.len()..]);
        } else {
            out.push_str(word);
        }
        rest = &rest[length..];
    }
    out
}

fn all_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
        && word
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.as_bytes().get(10) == Some(&b'T')
}

/// Of an object that was made by this transcript: seconds.
fn is_age(word: &str) -> bool {
    word.strip_suffix('s')
        .is_some_and(|number| number.len() <= 2 && all_digits(number))
}

/// The first lines that differ, with those around them.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = expected
        .iter()
        .zip(&found)
        .take_while(|(one, other)| one == other)
        .count();
    let around = |lines: &[&str]| {
        let from = same.saturating_sub(8);
        let shown = lines.iter().enumerate().skip(from).take(24);
        let marked = shown.map(|(place, line)| {
            let mark = if place < same { ' ' } else { '>' };
            format!("{mark} {line}\n")
        });
        marked.collect::<String>()
    };
    format!(
        "line {}: other than written\n--- written\n{}--- shown\n{}",
        same + 1,
        around(&expected),
        around(&found)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let text = "# first\n$ a b\n< in\n<\n< in\nout\n\nout\n\n# then\n$ c\n[1]\n";
        let (steps, after) = parse(text).expect("a transcript");
        assert_eq!(after, "");
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].input, "in\n\nin\n");
        assert_eq!(steps[0].output, "out\n\nout\n");
        assert_eq!(steps[1].before, "\n# then\n");
        assert!(parse("out\n").is_err());
    }

    #[test]
    fn what_is_other_every_time_is_named() {
        let check = |line: &str, expect: &str| {
            let mut line = line.to_owned();
            for (is, name) in PATTERNS {
                line = replaced(&line, *is, name);
            }
            assert_eq!(line, expect);
        };
        check("uid: 6d7fa771-8f40-40b2-9f4c-8a232560865f", "uid: <uid>");
        check(
            "\"resourceVersion\":\"17\",\"x\":\"17\"",
            "\"resourceVersion\":\"<version>\",\"x\":\"17\"",
        );
        check("web   0/2   2   0   14s", "web   0/2   2   0   <age>");
        check("at 2026-11-30T12:07:38Z.", "at <time>.");
        check("10.96.3.4 10.96.0.0/16", "<ip> 10.96.0.0/16");
    }
}
