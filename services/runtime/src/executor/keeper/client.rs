//! The keeper, as the runtime asks it.
//!
//! A connection for each call: they cost microseconds, and a call that is given up leaves nothing half-read behind.

use super::{
    NAME,
    connection::{self, Message},
    socket,
};
use crate::planner::keeper::frames::{Answer, Event, Exit, Known, Pin, Request, Streams, VERSION};
use rustix::{
    fd::{AsFd as _, BorrowedFd, OwnedFd},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use serde::de::DeserializeOwned;
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

/// Longest wait for an answer. A container is made in milliseconds; a machine that swaps takes seconds.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// From its start until it answers.
const STARTS_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it answers.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why the keeper did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeeperCallError {
    /// It cannot be reached, or the connection broke.
    #[error("talk to the keeper at {path}")]
    Io {
        /// Its socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error("the keeper has not answered within {ANSWER_MAX:?}")]
    Timeout,
    /// It could not be started.
    #[error("start the keeper")]
    Start(#[source] io::Error),
    /// It is of a release whose frames are others.
    #[error(
        "the keeper that runs speaks version {0} of its protocol, and this runtime speaks {VERSION}"
    )]
    Version(u32),
    /// It has no such container, or that one has ended.
    #[error("the keeper has no such container that runs")]
    Unknown,
    /// The container is being made, or runs.
    #[error("the container is being made, or runs")]
    Busy,
    /// It says why.
    #[error("{0}")]
    Refused(String),
    /// It has answered something else.
    #[error("the keeper has answered something that was not asked: {0}")]
    Unexpected(String),
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Its first process.
    pub pid: i32,
    /// When it was started, nanoseconds since 1970.
    pub started_at: i64,
}

/// The keeper of one state directory. Clones are the same.
#[derive(Debug, Clone)]
pub struct Keeper {
    path: PathBuf,
}

impl Keeper {
    /// The one that answers, or a new one: `program` with the keeper's name as its argument.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn find_or_start(state: &Path, program: &Path) -> Result<Self, KeeperCallError> {
        let keeper = Self {
            path: socket(state),
        };
        if keeper.hello().await.is_ok() {
            return Ok(keeper);
        }
        let mut child = Command::new(program)
            .arg(NAME)
            .arg("--state")
            .arg(state)
            .stdin(Stdio::null())
            .env_clear()
            .spawn()
            .map_err(KeeperCallError::Start)?;
        let begun = Instant::now();
        loop {
            match keeper.hello().await {
                Ok(_) => {
                    // While this process lives the keeper is its child: somebody must wait for it.
                    std::thread::spawn(move || {
                        let ended = child.wait();
                        tracing::error!(?ended, "the keeper has ended");
                    });
                    return Ok(keeper);
                }
                Err(KeeperCallError::Io { source, .. }) if begun.elapsed() > STARTS_MAX => {
                    return Err(KeeperCallError::Start(source));
                }
                Err(KeeperCallError::Io { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Ok(Some(status)) = child.try_wait() {
                // Another runtime's keeper may have been faster.
                keeper.hello().await.map_err(|_| {
                    KeeperCallError::Start(io::Error::other(format!("it has ended: {status}")))
                })?;
                return Ok(keeper);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Its pid.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn hello(&self) -> Result<i32, KeeperCallError> {
        match self.call(&Request::Hello, &[]).await? {
            Answer::Keeper { version, pid } if version == VERSION => Ok(pid),
            Answer::Keeper { version, .. } => Err(KeeperCallError::Version(version)),
            answer => Err(unexpected(answer)),
        }
    }

    /// Makes and starts a container of a bundle.
    ///
    /// # Errors
    /// [`KeeperCallError`]. Nothing of it is left, unless the connection broke: then it may run.
    pub async fn run(
        &self,
        id: &str,
        bundle: &Path,
        streams: Streams,
    ) -> Result<Running, KeeperCallError> {
        let request = Request::Run {
            id: id.to_owned(),
            bundle: bundle.display().to_string(),
            streams,
        };
        running(self.call(&request, &[]).await?)
    }

    /// Runs a process in a container that runs, with these as its standard input, output and error; or with a terminal, whose master
    /// is sent to the socket at `console`.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn exec(
        &self,
        id: &str,
        process: &Path,
        console: Option<&Path>,
        streams: &[BorrowedFd<'_>],
    ) -> Result<Exec, KeeperCallError> {
        let request = Request::Exec {
            id: id.to_owned(),
            process: process.display().to_string(),
            console: console.map(|path| path.display().to_string()),
        };
        let connection = self.connect()?;
        let answer = timeout(ANSWER_MAX, connection.call(&request, streams)).await;
        let answer = answer.map_err(|_| KeeperCallError::Timeout)?;
        Ok(Exec {
            running: running(known(self.io(answer)?.value)?)?,
            keeper: self.clone(),
            connection,
        })
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// [`KeeperCallError`]; Unknown: it does not run.
    pub async fn signal(&self, id: &str, number: i32) -> Result<(), KeeperCallError> {
        let request = Request::Signal {
            id: id.to_owned(),
            number,
        };
        done(self.call(&request, &[]).await?)
    }

    /// Removes what is left of a container that has ended.
    ///
    /// # Errors
    /// [`KeeperCallError`]; Busy: it has not.
    pub async fn delete(&self, id: &str) -> Result<(), KeeperCallError> {
        done(
            self.call(&Request::Delete { id: id.to_owned() }, &[])
                .await?,
        )
    }

    /// All containers that it has.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn list(&self) -> Result<Vec<Known>, KeeperCallError> {
        let listed = async {
            let connection = self.connect()?;
            self.io(connection.send(&Request::List, &[]).await)?;
            let mut all = Vec::new();
            loop {
                match self.io(connection.receive::<Answer>().await)?.value {
                    Answer::Containers(some) if some.is_empty() => return Ok(all),
                    Answer::Containers(some) => all.extend(some),
                    answer => return Err(unexpected(known(answer)?)),
                }
            }
        };
        timeout(ANSWER_MAX, listed)
            .await
            .map_err(|_| KeeperCallError::Timeout)?
    }

    /// What writes to a container's standard input: a pipe, or its terminal.
    ///
    /// # Errors
    /// [`KeeperCallError`]; Unknown: there is none.
    pub async fn input(&self, id: &str) -> Result<OwnedFd, KeeperCallError> {
        let request = Request::Input { id: id.to_owned() };
        let message = self.message(&request, &[]).await?;
        done(known(message.value)?)?;
        let descriptor = message.descriptors.into_iter().next();
        descriptor.ok_or(KeeperCallError::Unknown)
    }

    /// Nobody will write to a container's standard input any more.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn close_input(&self, id: &str) -> Result<(), KeeperCallError> {
        done(
            self.call(&Request::CloseInput { id: id.to_owned() }, &[])
                .await?,
        )
    }

    /// Has what a container writes copied to these two, from now on, until it writes no more; or until they do not take all at once: then
    /// `lost` gets a byte.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn attach(
        &self,
        id: &str,
        out: BorrowedFd<'_>,
        error: BorrowedFd<'_>,
        lost: BorrowedFd<'_>,
    ) -> Result<(), KeeperCallError> {
        let request = Request::Attach { id: id.to_owned() };
        done(self.call(&request, &[out, error, lost]).await?)
    }

    /// Begins a new log.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn reopen_log(&self, id: &str) -> Result<(), KeeperCallError> {
        done(
            self.call(&Request::ReopenLog { id: id.to_owned() }, &[])
                .await?,
        )
    }

    /// Makes namespaces that stay.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn pin(&self, pin: Pin) -> Result<(), KeeperCallError> {
        done(self.call(&Request::Pin(pin), &[]).await?)
    }

    /// Ends it, if it has no container.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn stop(&self) -> Result<(), KeeperCallError> {
        done(self.call(&Request::Stop, &[]).await?)
    }

    /// Every end from now on.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn events(&self) -> Result<Events, KeeperCallError> {
        let connection = self.connect()?;
        let answer = timeout(ANSWER_MAX, connection.call(&Request::Events, &[])).await;
        let answer = answer.map_err(|_| KeeperCallError::Timeout)?;
        done(known(self.io(answer)?.value)?)?;
        Ok(Events {
            keeper: self.clone(),
            connection,
        })
    }

    async fn call(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Answer, KeeperCallError> {
        known(self.message(request, descriptors).await?.value)
    }

    async fn message(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Message<Answer>, KeeperCallError> {
        let connection = self.connect()?;
        let answer = timeout(ANSWER_MAX, connection.call(request, descriptors)).await;
        self.io(answer.map_err(|_| KeeperCallError::Timeout)?)
    }

    fn connect(&self) -> Result<Connection, KeeperCallError> {
        self.io(Connection::open(&self.path))
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, KeeperCallError> {
        result.map_err(|source| KeeperCallError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// A process that runs in a container.
#[derive(Debug)]
pub struct Exec {
    /// It.
    pub running: Running,
    keeper: Keeper,
    connection: Connection,
}

impl Exec {
    /// How it ends.
    ///
    /// # Errors
    /// [`KeeperCallError`].
    pub async fn ended(&self) -> Result<Exit, KeeperCallError> {
        match self
            .keeper
            .io(self.connection.receive::<Answer>().await)?
            .value
        {
            Answer::Ended(exit) => Ok(exit),
            answer => Err(unexpected(answer)),
        }
    }
}

/// Ends, as they come.
#[derive(Debug)]
pub struct Events {
    keeper: Keeper,
    connection: Connection,
}

impl Events {
    /// The next one.
    ///
    /// # Errors
    /// [`KeeperCallError`]: nobody tells any longer. What was missed is in the list.
    pub async fn next(&self) -> Result<Event, KeeperCallError> {
        Ok(self
            .keeper
            .io(self.connection.receive::<Event>().await)?
            .value)
    }
}

/// The type of the socket is SOCK_SEQPACKET: only the readiness of a stream is used, never its reading and writing.
#[derive(Debug)]
struct Connection(UnixStream);

impl Connection {
    fn open(path: &Path) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // At once, or not at all: a listener with a full queue answers EAGAIN.
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(UnixStream::from_std(socket.into())?))
    }

    async fn call(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Message<Answer>> {
        self.send(request, descriptors).await?;
        self.receive().await
    }

    async fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0
            .async_io(Interest::WRITABLE, || {
                connection::send(self.0.as_fd(), request, descriptors)
            })
            .await
    }

    async fn receive<T: DeserializeOwned>(&self) -> io::Result<Message<T>> {
        let received = self
            .0
            .async_io(Interest::READABLE, || connection::receive(self.0.as_fd()))
            .await?;
        received.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A refusal is an error.
fn known(answer: Answer) -> Result<Answer, KeeperCallError> {
    match answer {
        Answer::Refused(reason) => Err(KeeperCallError::Refused(reason)),
        Answer::Unknown => Err(KeeperCallError::Unknown),
        Answer::Busy => Err(KeeperCallError::Busy),
        answer => Ok(answer),
    }
}

fn running(answer: Answer) -> Result<Running, KeeperCallError> {
    match answer {
        Answer::Running { pid, started_at } => Ok(Running { pid, started_at }),
        answer => Err(unexpected(answer)),
    }
}

fn done(answer: Answer) -> Result<(), KeeperCallError> {
    match answer {
        Answer::Done => Ok(()),
        answer => Err(unexpected(answer)),
    }
}

#[allow(clippy::needless_pass_by_value)] // it is of no more use
fn unexpected(answer: Answer) -> KeeperCallError {
    KeeperCallError::Unexpected(format!("{answer:?}"))
}
