//! Runs programs. A failure names the program and shows the end of what it said, so that a user need
//! not search a log; success is quiet.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many lines of a failed program's output an error shows.
const LINES_SHOWN_MAX: usize = 30;

/// Runs `command` to its end and returns its standard output as text.
///
/// # Errors
/// The program cannot be started, ends with another status than 0, or writes something that is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let bytes = output_bytes(command)?;
    String::from_utf8(bytes)
        .with_context(|| format!("{} printed something that is not UTF-8", name(command)))
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// The program cannot be started or ends with another status than 0; the error carries the last
/// lines of both outputs.
pub fn output_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", name(command)))?;
    if !result.status.success() {
        let mut said = String::from_utf8_lossy(&result.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&result.stderr));
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n  ");
        bail!("{} failed ({}):\n  {tail}", name(command), result.status);
    }
    Ok(result.stdout)
}

/// Runs `command` with its output on the terminal.
///
/// # Errors
/// The program cannot be started or ends with another status than 0.
pub fn show(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Prints one progress line before `work` and one with the time after it.
///
/// # Errors
/// Those of `work`.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("  .. {what}");
    let start = Instant::now();
    let value = work()?;
    println!("  ok {what} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(value)
}

/// The program's name as an error shows it.
fn name(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    // A program of the tools tree runs through its loader: the interesting name is behind `--argv0`.
    let mut arguments = command.get_args();
    match arguments.find(|argument| *argument == "--argv0") {
        Some(_) => arguments
            .next()
            .map_or(program, |argument| argument.to_string_lossy().into_owned()),
        None => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_the_program_said() {
        let error = output(Command::new("sh").args(["-c", "echo first; echo second >&2; exit 3"]))
            .expect_err("the program fails")
            .to_string();
        assert!(
            error.contains("first") && error.contains("second"),
            "{error}"
        );
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
