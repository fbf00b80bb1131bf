//! Connections on the control socket: bytes in, bytes out, nothing blocks.
//!
//! Bounds: [`CONNECTIONS_MAX`] in all, [`UNTRUSTED_MAX`] for users other than root and the machine API;
//! one request at a time per connection (the next is read when the answer is out); input of one frame, a
//! small one of users that have no config to send; an idle stream of events costs no memory, because
//! subscribers are served from the common history.

use super::poller::{Interest, Poller, Source};
use init_proto::control::{CONNECTIONS_MAX, Request, Response, may_send_configs};
use init_proto::frame::{self, FRAME_MAX, FrameError};
use init_proto::services::MACHINE_API_USER;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;

/// Connections of users other than root and the machine API.
pub(crate) const UNTRUSTED_MAX: usize = 16;
/// Input of a user that may only look: its requests are small.
const SMALL_INPUT: usize = 4096;
/// Bytes read in one turn of the loop.
const READ_CHUNK: usize = 64 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 64;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Reads the next request.
    Idle,
    /// Waits for an answer that comes later.
    Busy,
    /// Streams events; the last sequence number sent.
    Events(u64),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// Peer's user id.
    pub(crate) user: u32,
    /// Peer's process id; 0 for one outside this PID namespace.
    pub(crate) pid: i32,
    /// What it is doing.
    pub(crate) state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    descriptor: Option<OwnedFd>,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: BTreeMap<u32, Connection>,
    next: u32,
}

/// Binds the control socket.
pub(crate) fn bind(path: &str) -> io::Result<OwnedFd> {
    let _ = fs::remove_file(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Who may ask what is decided by the peer's user id.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl Connections {
    /// Accepts one connection; false when there is none to accept. One over the bound is closed at once.
    pub(crate) fn accept(&mut self, poller: &Poller, listener: &OwnedFd) -> bool {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(listener, flags) else {
            return false;
        };
        // Not rustix: it takes the pid 0 of a peer outside this PID namespace for an error.
        let Ok(peer) = nix::sys::socket::getsockopt(&socket, PeerCredentials) else {
            return true;
        };
        let user = peer.uid();
        let same = self.all.values().filter(|c| !trusted(c.user)).count();
        let full = self.all.len() >= CONNECTIONS_MAX || (!trusted(user) && same >= UNTRUSTED_MAX);
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        if full
            || poller
                .add(Source::Connection(number), &socket, Interest::Read)
                .is_err()
        {
            return true;
        }
        self.all.insert(
            number,
            Connection {
                socket,
                user,
                pid: peer.pid(),
                state: State::Idle,
                input: Vec::new(),
                output: Vec::new(),
                written: 0,
                descriptor: None,
            },
        );
        true
    }

    /// A connection by its number.
    pub(crate) fn get(&self, number: u32) -> Option<&Connection> {
        self.all.get(&number)
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, number: u32) {
        self.all.remove(&number);
    }

    /// Subscribers whose output is empty, with the last sequence number that they got.
    pub(crate) fn hungry(&self) -> Vec<(u32, u64)> {
        self.all
            .iter()
            .filter(|(_, connection)| connection.output.is_empty())
            .filter_map(|(number, connection)| match connection.state {
                State::Events(after) => Some((*number, after)),
                _ => None,
            })
            .collect()
    }

    /// Reads what is there and gives the next request, if it is whole. An error closes the connection.
    pub(crate) fn read(&mut self, number: u32) -> Option<Request> {
        let connection = self.all.get_mut(&number)?;
        match connection.fill() {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.close(number);
                return None;
            }
        }
        self.next_request(number)
    }

    /// The next whole request among the bytes that were read already.
    pub(crate) fn next_request(&mut self, number: u32) -> Option<Request> {
        let connection = self.all.get_mut(&number)?;
        if connection.state != State::Idle || !connection.output.is_empty() {
            return None;
        }
        match frame::decode::<Request>(&connection.input) {
            Ok(Some((request, used))) => {
                connection.input.drain(..used);
                connection.state = State::Busy;
                Some(request)
            }
            Ok(None) if connection.input.len() < connection.input_max() => None,
            Ok(None) | Err(_) => {
                self.close(number);
                None
            }
        }
    }

    /// Sends an answer and goes on to the next request. A descriptor goes with its first byte.
    pub(crate) fn answer(
        &mut self,
        poller: &Poller,
        number: u32,
        response: &Response,
        descriptor: Option<OwnedFd>,
    ) {
        if let Some(connection) = self.all.get_mut(&number) {
            connection.state = State::Idle;
            connection.descriptor = descriptor;
        }
        self.send(poller, number, frame::encode(response));
    }

    /// Sends one more event and remembers its sequence number.
    pub(crate) fn event(
        &mut self,
        poller: &Poller,
        number: u32,
        event: &init_proto::control::Event,
    ) {
        self.stream(number, event.sequence);
        self.send(poller, number, frame::encode(event));
    }

    /// From now on the connection carries events after this sequence number.
    pub(crate) fn stream(&mut self, number: u32, after: u64) {
        if let Some(connection) = self.all.get_mut(&number) {
            connection.state = State::Events(after);
        }
    }

    fn send(&mut self, poller: &Poller, number: u32, frame: Result<Vec<u8>, FrameError>) {
        let Some(connection) = self.all.get_mut(&number) else {
            return;
        };
        match frame {
            Ok(bytes) => connection.output.extend_from_slice(&bytes),
            Err(_) => return self.close(number),
        }
        self.flush(poller, number);
    }

    /// Writes what the peer takes now; true when everything is out and the connection still lives.
    pub(crate) fn flush(&mut self, poller: &Poller, number: u32) -> bool {
        let Some(connection) = self.all.get_mut(&number) else {
            return false;
        };
        if connection.drain().is_err() {
            self.close(number);
            return false;
        }
        let done = connection.output.is_empty();
        // A peer that streams events may only hang up; one that waits for its answer may not send more.
        let interest = match (done, connection.state) {
            (false, _) => Interest::Write,
            (true, State::Idle | State::Events(_)) => Interest::Read,
            (true, State::Busy) => Interest::Hangup,
        };
        let _ = poller.change(Source::Connection(number), &connection.socket, interest);
        done
    }
}

fn trusted(user: u32) -> bool {
    user == 0 || user == MACHINE_API_USER
}

impl Connection {
    fn input_max(&self) -> usize {
        if may_send_configs(self.user) {
            FRAME_MAX + 4
        } else {
            SMALL_INPUT
        }
    }

    /// One read; false at the end of the stream, or on bytes where none are due.
    fn fill(&mut self) -> io::Result<bool> {
        let room = self.input_max().saturating_sub(self.input.len());
        let mut chunk = vec![0_u8; READ_CHUNK.min(room)];
        if chunk.is_empty() {
            return Ok(true);
        }
        match rustix::io::read(&self.socket, &mut chunk[..]) {
            Ok(0) => Ok(false),
            // A subscriber has nothing more to say.
            Ok(_) if matches!(self.state, State::Events(_)) => Ok(false),
            Ok(length) => {
                self.input.extend_from_slice(&chunk[..length]);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            let sent = match self.descriptor.take() {
                Some(descriptor) => {
                    let result = send_with(&self.socket, rest, &descriptor);
                    if result.is_err() {
                        self.descriptor = Some(descriptor);
                    }
                    result
                }
                None => rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL),
            };
            match sent {
                Ok(length) => self.written += length,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.output = Vec::new();
        self.written = 0;
        Ok(())
    }
}

fn send_with(socket: &OwnedFd, bytes: &[u8], descriptor: &OwnedFd) -> rustix::io::Result<usize> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
}
