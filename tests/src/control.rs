//! Talks to a node's `init` over its own socket, as the node's services do.
//!
//! A path-named Unix socket is found by its inode, so the test reaches it through
//! `/proc/PID/root` whatever network namespace the node is in. The test is root, so `init` allows all.

use anyhow::{Context as _, Result, bail};
use init_proto::control::{Event, LOG_CHUNK_MAX, Request, Response, ServiceStatus, Status};
use init_proto::{frame, paths};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for an answer: stopping a service may take its deadline.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection to `init`.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
}

impl Control {
    /// Connects to the `init` whose root is seen at `root`, such as `/proc/PID/root`.
    ///
    /// # Errors
    /// Nobody listens there (yet).
    pub fn connect(root: &Path) -> Result<Self> {
        let path = inside(root, paths::CONTROL_SOCKET);
        let stream =
            UnixStream::connect(&path).with_context(|| format!("connect to {}", path.display()))?;
        stream
            .set_read_timeout(Some(ANSWER_MAX))
            .context("bound the reads")?;
        stream
            .set_write_timeout(Some(ANSWER_MAX))
            .context("bound the writes")?;
        Ok(Self { stream })
    }

    /// Asks and waits for the answer, whatever it is.
    ///
    /// # Errors
    /// The connection breaks or no answer comes in time.
    pub fn ask(&mut self, request: &Request) -> Result<Response> {
        frame::write(&mut self.stream, request).with_context(|| format!("ask {request:?}"))?;
        frame::read(&mut self.stream).with_context(|| format!("read the answer to {request:?}"))
    }

    /// Asks and waits for nothing.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn send(&mut self, request: &Request) -> Result<()> {
        frame::write(&mut self.stream, request).with_context(|| format!("ask {request:?}"))
    }

    /// Sends bytes that may be anything.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send bytes")
    }

    /// Asks for something that is answered by [`Response::Done`].
    ///
    /// # Errors
    /// As [`Control::ask`], and any other answer.
    pub fn order(&mut self, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Response::Done => Ok(()),
            other => bail!("{request:?} was answered by {other:?}"),
        }
    }

    /// The machine's state.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub fn status(&mut self) -> Result<Status> {
        match self.ask(&Request::Status)? {
            Response::Status(status) => Ok(*status),
            other => bail!("Status was answered by {other:?}"),
        }
    }

    /// All services.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub fn services(&mut self) -> Result<Vec<ServiceStatus>> {
        match self.ask(&Request::Services)? {
            Response::Services(services) => Ok(services),
            other => bail!("Services was answered by {other:?}"),
        }
    }

    /// One service.
    ///
    /// # Errors
    /// As [`Control::ask`], and where there is none of that name.
    pub fn service(&mut self, name: &str) -> Result<ServiceStatus> {
        let services = self.services()?;
        let names: Vec<String> = services
            .iter()
            .map(|service| service.name.clone())
            .collect();
        services
            .into_iter()
            .find(|service| service.name == name)
            .with_context(|| format!("there is no service {name}, only {names:?}"))
    }

    /// The oldest log lines that are kept of a service, at most one answer's worth, and how many are lost
    /// before them.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub fn logs(&mut self, name: &str) -> Result<(Vec<String>, u64)> {
        let bytes_max = u32::try_from(LOG_CHUNK_MAX).context("the chunk's size fits")?;
        match self.ask(&Request::Logs {
            name: name.into(),
            cursor: 0,
            bytes_max,
            wait: false,
        })? {
            Response::Logs { lines, lost, .. } => {
                Ok((lines.into_iter().map(|line| line.text).collect(), lost))
            }
            other => bail!("Logs was answered by {other:?}"),
        }
    }

    /// Turns the connection into the stream of events after `after`.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn events(mut self, after: u64) -> Result<Events> {
        frame::write(&mut self.stream, &Request::Events { after }).context("ask for events")?;
        Ok(Events {
            stream: self.stream,
        })
    }
}

/// Events in order.
#[derive(Debug)]
pub struct Events {
    stream: UnixStream,
}

impl Events {
    /// The next event.
    ///
    /// # Errors
    /// None comes in time, or the stream ends.
    pub fn receive(&mut self) -> Result<Event> {
        frame::read(&mut self.stream).context("read an event")
    }
}

/// `path` as seen below `root`.
#[must_use]
pub fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
