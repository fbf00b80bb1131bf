//! Commands of users, and what came of them, as text that can be compared: the same script is run against etcd and against
//! the store, and etcd says what is right.
//!
//! ```text
//!   # a remark
//!   put a 1                        etcdctl's words, quoted as in a shell
//!   txn                            lines that begin with `| ` are its standard input
//!   | mod("a") = "2"
//!   watch a --rev 2 => 6           never ends by itself: killed when it has printed 6 lines
//!   & watch b --rev 9 => 3         the same, while the next steps run
//!   wait                           for the one in the background
//!   ~ member add m9               again until it succeeds
//!   curl /v3/kv/range {"key":"YQ=="}
//!   curl-code /v3/kv/range {"key"  only the status and the error code count
//!   lease revoke {1}               the first number that was shown (leases, members, clusters), in hexadecimal
//! ```
//!
//! Large numbers are shown as `<1>`, `<2>` in the order in which they appear, whether they come in hexadecimal or in
//! decimal; addresses as `<m1>` and `<m1 peer>`; what may differ from run to run (terms, sizes, times) as `#`.

use super::Cluster;
use super::normal::Normal;
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Usual time of a command.
const TAKES: Duration = Duration::from_secs(3);
/// Longest output of a command that is kept.
const OUTPUT_MAX: u64 = 16 * 1024 * 1024;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    words: Vec<String>,
    input: String,
    /// Lines after which it is killed.
    lines: Option<usize>,
    background: bool,
    /// Again until it succeeds.
    again: bool,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The step as written.
    pub step: String,
    /// Exit code and both outputs, as described above.
    pub text: String,
}

/// Where commands are sent and how.
#[derive(Debug)]
pub struct Client<'a> {
    /// Whose numbers and addresses they show.
    pub cluster: &'a Cluster,
    /// Whom etcdctl asks: addresses with commas between them.
    pub endpoints: String,
    /// Scratch files go here.
    pub directory: &'a Path,
    /// Flags for etcdctl before the command.
    pub flags: Vec<String>,
}

/// Runs `script` and returns what each step came to.
///
/// # Errors
/// The script cannot be read, or a command does not end.
pub fn run(client: &Client<'_>, script: &str) -> Result<Vec<Outcome>> {
    let mut normal = Normal::new(client.cluster, client.directory);
    let mut outcomes = Vec::new();
    let mut background: Option<(String, Endless)> = None;
    for step in parse(script)? {
        let written = step.words.join(" ");
        let words = normal.with_numbers(&step.words)?;
        let text = match (words[0].as_str(), step.lines) {
            ("wait", _) => {
                let (written, endless) = background
                    .take()
                    .context("`wait` without a step in the background")?;
                format!("{written}\n{}", endless.collect()?)
            }
            ("curl", _) => curl(client, &words, true)?,
            ("curl-code", _) => curl(client, &words, false)?,
            (_, Some(lines)) => {
                let endless = Endless::start(client, &words, &step.input, lines)?;
                if step.background {
                    ensure!(background.is_none(), "one step in the background at a time");
                    background = Some((written, endless));
                    continue;
                }
                endless.collect()?
            }
            (_, None) if step.again => eventually(&written, TAKES, || {
                let text = etcdctl(client, &words, &step.input)?;
                Ok(text.ends_with("[0]").then_some(text))
            })?,
            (_, None) => etcdctl(client, &words, &step.input)?,
        };
        outcomes.push(Outcome {
            step: written,
            text: normal.text(&in_order(&words, &text)),
        });
    }
    ensure!(
        background.is_none(),
        "a step in the background is never waited for"
    );
    Ok(outcomes)
}

/// Members come in the order of their numbers, which are each program's own: here by what follows the number.
fn in_order(words: &[String], text: &str) -> String {
    let initial_cluster = "ETCD_INITIAL_CLUSTER=";
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix(initial_cluster) {
            Some(members) => {
                let mut members: Vec<&str> = members.trim_matches('"').split(',').collect();
                members.sort_unstable();
                format!("{initial_cluster}{}", members.join(","))
            }
            None => line.to_owned(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words == ["member", "list"] {
        let after_number = |line: &String| line.split_once(',').map(|(_, rest)| rest.to_owned());
        lines.sort_by_key(after_number);
    }
    lines.join("\n")
}

/// Steps whose outcomes differ, each with both; empty when there are none.
#[must_use]
pub fn differences(expected: &[Outcome], found: &[Outcome]) -> String {
    let mut text = String::new();
    for (expected, found) in expected.iter().zip(found) {
        if expected != found {
            text.push_str(&format!(
                "--- {}\netcd:\n{}\nours:\n{}\n",
                expected.step, expected.text, found.text
            ));
        }
    }
    if expected.len() != found.len() {
        text.push_str("--- not the same number of steps\n");
    }
    text
}

/// etcdctl with the client's flags, before its own words.
///
/// # Errors
/// It cannot be fetched.
pub fn etcdctl_command(client: &Client<'_>) -> Result<Command> {
    let mut command = Command::new(xtask::peers::etcd()?.join("etcdctl"));
    command
        .args(["--endpoints", &client.endpoints])
        .args(&client.flags)
        .current_dir(client.directory);
    Ok(command)
}

fn etcdctl(client: &Client<'_>, words: &[String], input: &str) -> Result<String> {
    let mut command = etcdctl_command(client)?;
    finish(command.args(words), input)
}

/// Runs a command to its end with `input`: its exit code and what it wrote.
///
/// # Errors
/// It cannot be started or does not end in time.
pub fn finish(command: &mut Command, input: &str) -> Result<String> {
    finish_usually_in(TAKES, command, input)
}

/// The same of one that takes this long as a rule.
///
/// # Errors
/// It cannot be started or does not end in time.
pub fn finish_usually_in(takes: Duration, command: &mut Command, input: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = Killed(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?,
    );
    let mut stdin = child.0.stdin.take().context("its input is piped")?;
    // One that does not read its input is none the worse for it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let reader = |source: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = source.take(OUTPUT_MAX).read_to_end(&mut bytes);
            read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
        })
    };
    let output = reader(Box::new(
        child.0.stdout.take().context("its output is piped")?,
    ));
    let errors = reader(Box::new(
        child.0.stderr.take().context("its errors are piped")?,
    ));
    let bound = takes * crate::wait::PATIENCE;
    let deadline = Instant::now() + bound;
    let status = loop {
        if let Some(status) = child.0.try_wait().context("wait for a command")? {
            break status;
        }
        if Instant::now() >= deadline {
            bail!("{command:?} has not ended within {bound:?}");
        }
        std::thread::sleep(crate::wait::LOOK_AGAIN);
    };
    let collect = |reader: std::thread::JoinHandle<std::io::Result<String>>| -> Result<String> {
        let text = reader.join().ok().context("a reader panicked")?;
        text.with_context(|| format!("read what {name} writes"))
    };
    let (output, errors) = (collect(output)?, collect(errors)?);
    let code = status.code().unwrap_or(-1);
    Ok(format!("{output}{errors}[{code}]"))
}

/// The gateway: its status and its JSON in one order; of an error, where the texts differ, only the code.
fn curl(client: &Client<'_>, words: &[String], with_text: bool) -> Result<String> {
    let [_, path, body @ ..] = words else {
        bail!("curl PATH [BODY]");
    };
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(["--write-out", "\n%{http_code}"]);
    for body in body {
        command.args(["--data", body]);
    }
    command.arg(format!("{}{path}", client.cluster.members[0].client_url()));
    let text = finish(&mut command, "")?;
    let (body, status) = text
        .rsplit_once('\n')
        .context("curl writes the status last")?;
    Ok(match serde_json::from_str::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(mut value)) if with_text => {
            // Upstream's gateway says the text of an error twice, Debian's build of it once.
            if value.get("error") == value.get("message") {
                value.remove("error");
            }
            format!("{}\n{status}", serde_json::Value::Object(value))
        }
        Ok(value) if with_text => format!("{value}\n{status}"),
        Ok(value) => format!("code {}\n{status}", value["code"]),
        Err(_) => format!("{body}\n{status}"),
    })
}

/// A command that never ends by itself.
#[derive(Debug)]
struct Endless {
    child: Killed,
    output: Lines,
    lines: usize,
    name: String,
}

impl Endless {
    fn start(client: &Client<'_>, words: &[String], input: &str, lines: usize) -> Result<Self> {
        let mut command = etcdctl_command(client)?;
        let mut child = Killed(
            command
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .context("start etcdctl")?,
        );
        // Its input stays open: an interactive watch ends with it.
        let stdin = child.0.stdin.as_mut().context("its input is piped")?;
        stdin
            .write_all(input.as_bytes())
            .context("write to etcdctl")?;
        let stdout = child.0.stdout.take().context("its output is piped")?;
        let name = words.join(" ");
        let output = Lines::follow(&name, stdout, &client.directory.join("endless"))?;
        Ok(Self {
            child,
            output,
            lines,
            name,
        })
    }

    fn collect(mut self) -> Result<String> {
        eventually(
            &format!("{} lines of {}", self.lines, self.name),
            TAKES,
            || {
                let lines = self.output.since(0);
                if lines.len() >= self.lines {
                    return Ok(Some(lines.join("\n")));
                }
                if let Some(status) = self.child.0.try_wait().context("wait for etcdctl")? {
                    bail!(
                        "{} ended ({status}) after:\n{}",
                        self.name,
                        lines.join("\n")
                    );
                }
                Ok(None)
            },
        )
    }
}

/// A child that is killed when it is dropped.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse(script: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(input) = line.strip_prefix('|') {
            let step = steps.last_mut().context("input before the first step")?;
            step.input
                .push_str(input.strip_prefix(' ').unwrap_or(input));
            step.input.push('\n');
            continue;
        }
        let (line, background) = match line.strip_prefix("& ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (line, again) = match line.strip_prefix("~ ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (line, lines) = match line.rsplit_once(" => ") {
            Some((rest, lines)) => (
                rest,
                Some(lines.parse().with_context(|| format!("{line}: lines"))?),
            ),
            None => (line, None),
        };
        let words = words(line)?;
        ensure!(!words.is_empty(), "{line}: no command");
        steps.push(Step {
            words,
            input: String::new(),
            lines,
            background,
            again,
        });
    }
    Ok(steps)
}

/// Words of a line: blanks between them, single quotes around what has blanks. A word of JSON needs none.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    ensure!(!quoted, "{line}: a quote is not closed");
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let steps =
            parse("# remark\nput a 'b c' ''\n& watch x => 3\ntxn\n| one\n|\n| two\n").unwrap();
        let check = |at: usize, words: &[&str], input: &str, lines, background| {
            let expect = Step {
                words: words.iter().map(ToString::to_string).collect(),
                input: input.into(),
                lines,
                background,
                again: false,
            };
            assert_eq!(steps[at], expect);
        };
        check(0, &["put", "a", "b c", ""], "", None, false);
        check(1, &["watch", "x"], "", Some(3), true);
        check(2, &["txn"], "one\n\ntwo\n", None, false);
        assert!(parse("put 'a").is_err() && parse("| a").is_err());
    }

    #[test]
    fn a_difference_shows_both() {
        let outcome = |text: &str| Outcome {
            step: "get a".into(),
            text: text.into(),
        };
        assert_eq!(differences(&[outcome("1")], &[outcome("1")]), "");
        let text = differences(&[outcome("1")], &[outcome("2")]);
        assert!(text.contains("get a") && text.contains("etcd:\n1") && text.contains("ours:\n2"));
        assert!(!differences(&[outcome("1")], &[]).is_empty());
    }
}
