//! A small client of the QEMU Machine Protocol: commands with answers, and events.
//!
//! QEMU reference manual, "QEMU QMP Reference Manual": one JSON object per line over a Unix socket.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for a command's answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Events kept for [`Qmp::wait_event`]; older ones are dropped.
const EVENTS_KEPT: usize = 1024;

/// A connection to QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    events: VecDeque<Value>,
    partial: Vec<u8>,
}

impl Qmp {
    /// Connects and leaves the negotiation mode. `connected` because QEMU makes its socket in its own time.
    ///
    /// # Errors
    /// Nobody listens, or it is not QEMU.
    pub fn connect(path: &Path) -> Result<Self> {
        let writer =
            UnixStream::connect(path).with_context(|| format!("connect to {}", path.display()))?;
        let reader = BufReader::new(writer.try_clone().context("share the connection")?);
        let mut qmp = Self {
            reader,
            writer,
            events: VecDeque::new(),
            partial: Vec::new(),
        };
        qmp.read(Instant::now() + ANSWER_MAX)?
            .context("QEMU greets")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its `return` value.
    ///
    /// # Errors
    /// QEMU refuses, goes away, or does not answer in time.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut text = json!({"execute": command, "arguments": arguments}).to_string();
        text.push('\n');
        self.writer
            .write_all(text.as_bytes())
            .with_context(|| format!("ask QEMU for {command}"))?;
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let mut message = self
                .read(deadline)
                .with_context(|| format!("read QEMU's answer to {command}"))?
                .with_context(|| format!("QEMU did not answer {command} within {ANSWER_MAX:?}"))?;
            if message.get("event").is_some() {
                self.keep(message);
            } else if let Some(error) = message.get("error") {
                bail!("QEMU refused {command}: {error}");
            } else {
                return Ok(message["return"].take());
            }
        }
    }

    /// Runs a command of the human monitor, for what has no other form, and returns its text.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn human(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for an event by name, such as `RESET` or `WATCHDOG`, and takes it and all before it away.
    ///
    /// # Errors
    /// QEMU goes away, or `bound` is met.
    pub fn wait_event(&mut self, name: &str, bound: Duration) -> Result<Value> {
        let deadline = Instant::now() + bound;
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["event"] == name {
                    return Ok(event);
                }
            }
            let message = self
                .read(deadline)
                .with_context(|| format!("wait for QEMU's event {name}"))?;
            match message {
                Some(message) => self.keep(message),
                None => bail!("QEMU's event {name} did not come within {bound:?}"),
            }
        }
    }

    fn keep(&mut self, event: Value) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The next message; None when `deadline` is met.
    fn read(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.reader
                .get_ref()
                .set_read_timeout(Some(left))
                .context("bound the read")?;
            // A line that is cut by the timeout goes on with the next read.
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => bail!("QEMU closed the connection"),
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_slice(&line)
                        .map(Some)
                        .context("parse a line of QEMU's");
                }
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock
                            | std::io::ErrorKind::TimedOut
                            | std::io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("read from QEMU"),
            }
        }
    }
}
