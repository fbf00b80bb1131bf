//! Connections that begin in a pod's network namespace, without a process in it.
//!
//! A socket belongs to the namespace in which it was made. So a thread of its own goes there, makes the sockets and ends; the thread is
//! never used again, and the rest of the program stays where it is.

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};
use rustix::{
    fd::OwnedFd,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};
use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::oneshot,
    time::timeout,
};

/// On a loopback: who does not answer has a full queue, or drops what comes.
const CONNECT_MAX: Duration = Duration::from_secs(10);

struct Sockets {
    v4: io::Result<OwnedFd>,
    v6: io::Result<OwnedFd>,
}

/// To a port of a namespace's loopback, or of the node's where there is no namespace: 127.0.0.1, then ::1, as containerd does.
///
/// # Errors
/// What the client is told.
pub(super) async fn connect(namespace: Option<PathBuf>, port: u16) -> Result<TcpStream, String> {
    let place = namespace.as_ref().map_or_else(
        || "the node's".to_owned(),
        |path| format!("{:?}", path.display().to_string()),
    );
    let sockets = sockets(namespace)
        .await
        .map_err(|error| format!("enter network namespace {place}: {}", words(&error)))?;
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v4 = match reach(sockets.v4, v4).await {
        Ok(stream) => return Ok(stream),
        Err(error) => words(&error),
    };
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let v6 = match reach(sockets.v6, v6).await {
        Ok(stream) => return Ok(stream),
        Err(error) => words(&error),
    };
    Err(format!(
        "failed to connect to localhost:{port} inside namespace {place}, IPv4: {v4}, IPv6: {v6}"
    ))
}

async fn reach(socket: io::Result<OwnedFd>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(socket?.into());
    timeout(CONNECT_MAX, socket.connect(to)).await?
}

async fn sockets(namespace: Option<PathBuf>) -> io::Result<Sockets> {
    let Some(path) = namespace else {
        return Ok(make());
    };
    let (made, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("pod network".to_owned())
        .spawn(move || {
            // Who asked may have gone.
            let _ = made.send(enter(&path).map(|()| make()));
        })?;
    receiver
        .await
        .map_err(|_| io::Error::other("a thread has ended without a word"))?
}

fn enter(path: &Path) -> io::Result<()> {
    let namespace = File::open(path)?;
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

fn make() -> Sockets {
    let make = |family| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from)
    };
    Sockets {
        v4: make(AddressFamily::INET),
        v6: make(AddressFamily::INET6),
    }
}

/// As people know them from other runtimes: "connection refused".
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}
