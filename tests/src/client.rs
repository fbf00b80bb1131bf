//! Talks to a node as a user does: the real orlopctl, with keys that orlopctl has made.
//!
//! The node is reached from this process's own network (a guest's forwarded loopback port) or from inside a
//! lab. Secrets and configs of a cluster are files in a directory of the test's own.

use crate::programs;
use crate::sandbox::Lab;
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time from the start of its service to the machine API answering.
pub const API_ANSWERS: Duration = Duration::from_secs(4);
/// Characters of a fingerprint: 32 bytes in hex with colons.
const FINGERPRINT_LENGTH: usize = 95;

/// How orlopctl ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code; see `orlopctl --help`.
    pub code: i32,
    /// Results.
    pub output: String,
    /// Everything else.
    pub errors: String,
}

impl Outcome {
    /// The results as JSON, where it ended well.
    ///
    /// # Errors
    /// It failed, or printed something else.
    pub fn json(&self) -> Result<Value> {
        if self.code != 0 {
            bail!("orlopctl ended with {}: {}", self.code, self.errors);
        }
        serde_json::from_str(&self.output)
            .with_context(|| format!("orlopctl printed {}", self.output))
    }
}

/// Secrets and configs of one cluster: what `orlopctl gen config` writes.
#[derive(Debug, Clone)]
pub struct Cluster {
    directory: PathBuf,
}

impl Cluster {
    /// Makes them in `directory`; `extra` are more arguments of `orlopctl gen config`.
    ///
    /// # Errors
    /// orlopctl is not built or fails.
    pub fn generate(directory: &Path, extra: &[&str]) -> Result<Self> {
        let outcome = run(
            Command::new(programs::built("orlopctl")?)
                .args([
                    "gen",
                    "config",
                    "test",
                    "https://10.77.0.11:6443",
                    "--force",
                    "--output-dir",
                ])
                .arg(directory)
                .args(extra),
            None,
        )?;
        if outcome.code != 0 {
            bail!("orlopctl gen config: {}", outcome.errors);
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The config of a control-plane machine.
    #[must_use]
    pub fn control_plane(&self) -> PathBuf {
        self.directory.join("controlplane.yaml")
    }

    /// The config of a worker.
    #[must_use]
    pub fn worker(&self) -> PathBuf {
        self.directory.join("worker.yaml")
    }

    /// The admin's client config.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.directory.join("orlopconfig")
    }

    /// A copy of a config in which `old` is replaced by `new`, under its own name in the same directory.
    ///
    /// # Errors
    /// It has no `old`, or cannot be written.
    pub fn edited(&self, config: &Path, name: &str, old: &str, new: &str) -> Result<PathBuf> {
        let text =
            fs::read_to_string(config).with_context(|| format!("read {}", config.display()))?;
        if !text.contains(old) {
            bail!("{} has no `{old}`:\n{text}", config.display());
        }
        let path = self.directory.join(name);
        fs::write(&path, text.replacen(old, new, 1))
            .with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// orlopctl, for one node.
#[derive(Debug, Clone)]
pub struct Client<'lab> {
    lab: Option<&'lab Lab>,
    node: String,
    config: PathBuf,
    pinned: Option<String>,
    insecure: bool,
}

impl<'lab> Client<'lab> {
    /// For the node at `address`, such as "10.77.0.11", reached from inside `lab`.
    #[must_use]
    pub fn in_lab(lab: &'lab Lab, address: &str, config: PathBuf) -> Self {
        Self {
            lab: Some(lab),
            node: address.to_owned(),
            config,
            pinned: None,
            insecure: false,
        }
    }

    /// For a guest's forwarded port.
    #[must_use]
    pub fn at_port(port: u16, config: PathBuf) -> Client<'static> {
        Client {
            lab: None,
            node: format!("127.0.0.1:{port}"),
            config,
            pinned: None,
            insecure: false,
        }
    }

    /// The same without a client certificate, for a node in maintenance mode with this fingerprint.
    #[must_use]
    pub fn pinned(&self, fingerprint: &str) -> Self {
        Self {
            pinned: Some(fingerprint.to_owned()),
            insecure: true,
            ..self.clone()
        }
    }

    /// The same with its client certificate, for a worker: it has no key of the cluster's authority, and so
    /// clients know it by its fingerprint.
    #[must_use]
    pub fn of_worker(&self, fingerprint: &str) -> Self {
        Self {
            pinned: Some(fingerprint.to_owned()),
            insecure: false,
            ..self.clone()
        }
    }

    /// The same with another client config.
    #[must_use]
    pub fn with_config(&self, config: PathBuf) -> Self {
        Self {
            config,
            ..self.clone()
        }
    }

    /// Runs orlopctl with these arguments; its results are JSON.
    ///
    /// # Errors
    /// It is not built or cannot be started. How it ends is for the caller to judge.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = self.command()?;
        command.args(["--output", "json"]).args(arguments);
        run(&mut command, self.lab)
    }

    /// Runs it and returns its JSON.
    ///
    /// # Errors
    /// It fails.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.run(arguments)?
            .json()
            .with_context(|| format!("orlopctl {}", arguments.join(" ")))
    }

    /// Runs it for its effect.
    ///
    /// # Errors
    /// It fails.
    pub fn order(&self, arguments: &[&str]) -> Result<()> {
        let outcome = self.run(arguments)?;
        if outcome.code != 0 {
            bail!(
                "orlopctl {} ended with {}: {}",
                arguments.join(" "),
                outcome.code,
                outcome.errors
            );
        }
        Ok(())
    }

    /// Waits until the node answers `version` with what `wanted` looks for.
    ///
    /// # Errors
    /// Not in time; the error shows the last answer.
    pub fn wait_version(
        &self,
        what: &str,
        expected: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = String::new();
        let found = eventually(what, expected, || {
            let outcome = self.run(&["--timeout", "5s", "version"])?;
            last = format!("{}{}", outcome.output, outcome.errors);
            Ok(outcome.json().ok().filter(|version| wanted(version)))
        });
        found.with_context(|| format!("the last answer was {last}"))
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(programs::built("orlopctl")?);
        command
            .env("ORLOPCONFIG", &self.config)
            .args(["--node", &self.node]);
        if let Some(fingerprint) = &self.pinned {
            command.args(["--fingerprint", fingerprint]);
        }
        if self.insecure {
            command.arg("--insecure");
        }
        Ok(command)
    }
}

fn run(command: &mut Command, lab: Option<&Lab>) -> Result<Outcome> {
    let output = match lab {
        Some(lab) => lab.output(command)?,
        None => command.output().context("start orlopctl")?,
    };
    Ok(Outcome {
        code: output.status.code().context("orlopctl was killed")?,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Waits for the fingerprint of the maintenance certificate on a node's console, from `position` on.
///
/// # Errors
/// It does not come in time.
pub fn fingerprint(console: &Lines, position: usize, expected: Duration) -> Result<String> {
    let line = console.find_after(position, "a fingerprint", expected, |line| {
        fingerprint_in(line).is_some()
    })?;
    fingerprint_in(&line).context("the line has a fingerprint")
}

fn fingerprint_in(line: &str) -> Option<String> {
    let is_one = |word: &&str| {
        word.len() == FINGERPRINT_LENGTH
            && word
                .split(':')
                .all(|byte| u8::from_str_radix(byte, 16).is_ok())
    };
    line.split(|character: char| !character.is_ascii_hexdigit() && character != ':')
        .find(is_one)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_found_in_a_sentence() {
        let print = vec!["A0"; 32].join(":");
        let line = format!(
            "[ 1.2] orlop-init: machine-api: maintenance: https://10.0.2.15:50000 fingerprint sha256 {print}, bye"
        );
        assert_eq!(fingerprint_in(&line), Some(print));
        assert_eq!(fingerprint_in("fingerprint 12:34"), None);
    }
}
