//! The supervisor's notification protocol, sd_notify(3): one datagram per message to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nothing is sent, so a service started by hand works.

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::{env, ffi::OsString, io, os::unix::ffi::OsStrExt as _, time::Duration};

/// A connection to the supervisor, or to none.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<OwnedFd>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the socket that the environment names.
    ///
    /// # Errors
    /// Where the variable is set and the socket cannot be reached.
    pub fn from_env() -> io::Result<Self> {
        let watchdog = env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Duration::from_micros);
        let socket = env::var_os("NOTIFY_SOCKET")
            .map(|path| connect(&path))
            .transpose()?;
        Ok(Self { socket, watchdog })
    }

    /// A notifier that sends nothing.
    #[must_use]
    pub const fn disconnected() -> Self {
        Self {
            socket: None,
            watchdog: None,
        }
    }

    /// Longest silence that the supervisor allows.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends newline-separated assignments ("READY=1"). A full or closed socket is not the service's
    /// problem: the supervisor notices silence by itself.
    pub fn send(&self, assignments: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = rustix::net::send(
                socket,
                assignments.as_bytes(),
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            )
        {
            tracing::debug!(%error, "supervisor could not be notified");
        }
    }

    /// Sets the one line that the supervisor shows for this service.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }
}

fn connect(path: &OsString) -> io::Result<OwnedFd> {
    let bytes = path.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(bytes)?,
    };
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}
