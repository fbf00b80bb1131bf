//! Where terminals arrive: their masters come over a socket, as the OCI runtimes' command line has it.

use super::connection;
use rustix::{
    fd::OwnedFd,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::Interest, net::UnixListener, time::timeout};

/// From the process's start until its terminal is there: it is sent before.
const COMES_MAX: Duration = Duration::from_secs(10);

/// Where the terminal of a process of exec arrives. Nothing is left of it when it is dropped.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    /// At this path.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(path: PathBuf) -> io::Result<Self> {
        let listener = listen_for_terminal(&path)?;
        let listener = UnixListener::from_std(listener.into())?;
        Ok(Self { path, listener })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's master.
    ///
    /// # Errors
    /// The system's; it does not come.
    pub async fn master(self) -> io::Result<OwnedFd> {
        let arrives = async {
            let (socket, _) = self.listener.accept().await?;
            let receive = || connection::receive_descriptor(&socket);
            socket.async_io(Interest::READABLE, receive).await
        };
        timeout(COMES_MAX, arrives).await?
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A listener for one. By way of a descriptor: the path of a bundle may be longer than a socket's can be.
pub(super) fn listen_for_terminal(path: &Path) -> io::Result<OwnedFd> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("no path of a socket"));
    };
    let directory = fs::File::open(directory)?;
    let _ = fs::remove_file(path);
    let listener = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let short = format!(
        "/proc/self/fd/{}/{}",
        std::os::fd::AsRawFd::as_raw_fd(&directory),
        name.to_string_lossy()
    );
    rustix::net::bind(&listener, &SocketAddrUnix::new(short)?)?;
    rustix::net::listen(&listener, 1)?;
    Ok(listener)
}
