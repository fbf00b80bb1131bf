//! A client of `init`'s control socket.
//!
//! One connection carries one request at a time; the events connection carries nothing else. Every call
//! has a deadline, so that a stuck `init` shows as an error and not as a hang.

use init_proto::{
    control::{Event, RefusalKind, Request, Response},
    frame::{self, FrameError},
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::UnixStream,
    time::timeout,
};

/// Longest wait for an answer. Stopping a service may take its stop deadline.
pub const CALL_DEADLINE: Duration = Duration::from_secs(60);
const READ_CHUNK: usize = 64 * 1024;
const DESCRIPTORS_MAX: usize = 16;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `init`'s socket cannot be reached.
    #[error("connect to init at {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk to init")]
    Transport(#[from] FrameError),
    /// `init` refused.
    #[error("{message}")]
    Refused {
        /// Kind of refusal.
        kind: RefusalKind,
        /// Why.
        message: String,
    },
    /// No answer in time.
    #[error("init did not answer within {CALL_DEADLINE:?}; it may still be at it, see its log")]
    Deadline,
    /// An answer of another kind than asked for: not one release.
    #[error("init answered {0} out of turn")]
    OutOfTurn(String),
}

impl From<io::Error> for InitError {
    fn from(error: io::Error) -> Self {
        Self::Transport(FrameError::Io(error))
    }
}

/// A connection to `init`.
#[derive(Debug)]
pub struct InitClient {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl InitClient {
    /// Connects to the socket at `path`, usually [`init_proto::paths::CONTROL_SOCKET`].
    ///
    /// # Errors
    /// [`InitError::Connect`].
    pub async fn connect(path: &Path) -> Result<Self, InitError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| InitError::Connect {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            descriptors: Vec::new(),
        })
    }

    /// Asks, and waits for the answer. A refusal is an error.
    ///
    /// # Errors
    /// [`InitError`]; after a transport error or a missed deadline the connection is of no more use.
    pub async fn call(&mut self, request: &Request) -> Result<Response, InitError> {
        self.call_with_descriptors(request)
            .await
            .map(|(response, _)| response)
    }

    /// As [`InitClient::call`], with the file descriptors that came along.
    ///
    /// # Errors
    /// As [`InitClient::call`].
    pub async fn call_with_descriptors(
        &mut self,
        request: &Request,
    ) -> Result<(Response, Vec<OwnedFd>), InitError> {
        let exchange = async {
            self.stream.write_all(&frame::encode(request)?).await?;
            self.next_frame::<Response>().await
        };
        match timeout(CALL_DEADLINE, exchange)
            .await
            .map_err(|_| InitError::Deadline)??
        {
            Response::Refused { kind, message } => Err(InitError::Refused { kind, message }),
            response => Ok((response, std::mem::take(&mut self.descriptors))),
        }
    }

    /// Turns the connection into the stream of events after sequence number `after`.
    ///
    /// # Errors
    /// As [`InitClient::call`].
    pub async fn events(mut self, after: u64) -> Result<EventStream, InitError> {
        let request = frame::encode(&Request::Events { after })?;
        timeout(CALL_DEADLINE, self.stream.write_all(&request))
            .await
            .map_err(|_| InitError::Deadline)??;
        Ok(EventStream { client: self })
    }

    async fn next_frame<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, InitError> {
        loop {
            if let Some((value, used)) = frame::decode(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(value);
            }
            let before = self.buffer.len();
            self.stream.ready(Interest::READABLE).await?;
            let (stream, buffer, descriptors) =
                (&self.stream, &mut self.buffer, &mut self.descriptors);
            match stream.try_io(Interest::READABLE, || receive(stream, buffer, descriptors)) {
                Ok(()) if self.buffer.len() == before => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Events of this boot, in order.
#[derive(Debug)]
pub struct EventStream {
    client: InitClient,
}

impl EventStream {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`InitError::Transport`] when the stream broke: connect again and resume after the last sequence
    /// number. A reader that is too slow is told by an event what it has lost.
    pub async fn next(&mut self) -> Result<Event, InitError> {
        self.client.next_frame().await
    }
}

fn receive(
    stream: &UnixStream,
    buffer: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<()> {
    let mut chunk = vec![0_u8; READ_CHUNK];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut chunk)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    buffer.extend_from_slice(&chunk[..received.bytes]);
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    Ok(())
}
