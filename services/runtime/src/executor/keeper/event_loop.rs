//! The keeper's one loop.

use super::{
    KeeperError, bundle,
    connection::{self, Message},
    console::listen_for_terminal,
    oci,
    output::{Flow, Output},
    socket, sys,
    worker::{self, Act, REPORT_MAX},
};
use crate::planner::keeper::{
    frames::{Answer, Event, Exit, Request, Streams, VERSION, refused},
    log::Stream,
    table::{Ended, Table},
};
use jiff::Timestamp;
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Resource, Signal, getrlimit, setrlimit},
};
use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
};

/// Connections at one time: of the runtime, some, and one for each exec.
const CONNECTIONS_MAX: usize = 1024;
/// Messages that wait for a reader; one who is behind by more is cut off, and asks for the list when he comes back.
const QUEUED_MAX: usize = 4096;
/// Events taken from the kernel at once.
const EVENTS: usize = 64;
/// Chunks of a container's output that are taken at its end, before the end is told. A pipe holds less.
const CHUNKS_AT_END: usize = 32;
/// Containers in one message of a list.
const LISTED_AT_ONCE: usize = 128;

/// Something that the kernel tells of.
#[derive(Debug)]
enum Source {
    Signals(OwnedFd),
    Listener(OwnedFd),
    Connection(Connection),
    Report {
        /// The child that reports. When it has ended nothing more comes, though others may hold the pipe open.
        child: i32,
        pipe: OwnedFd,
        bytes: Vec<u8>,
        purpose: Purpose,
    },
    Stream {
        id: String,
        stream: Stream,
        pipe: OwnedFd,
    },
    /// Where a container's terminal will be sent to.
    Console {
        id: String,
        listener: OwnedFd,
    },
    /// By which it comes.
    Terminal {
        id: String,
        socket: OwnedFd,
    },
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    queued: VecDeque<Answer>,
    events: VecDeque<Event>,
    follows: bool,
    /// A request of it is under way.
    busy: bool,
}

/// What a child's report is for; the connection may be gone by then.
#[derive(Debug)]
enum Purpose {
    Run { id: String, connection: u64 },
    Exec { id: String, connection: u64 },
    Delete { id: String, connection: u64 },
    Plain { connection: u64 },
}

/// What the keeper holds of a container beside its row in the table.
#[derive(Debug)]
struct Held {
    bundle: PathBuf,
    output: Output,
    /// Tokens of its streams.
    streams: Vec<(u64, Stream)>,
    input: Option<OwnedFd>,
}

/// All of it.
pub(super) struct Keeper {
    oci: PathBuf,
    epoll: OwnedFd,
    sources: HashMap<u64, Source>,
    next_token: u64,
    connections: usize,
    table: Table,
    held: HashMap<String, Held>,
    buffer: Vec<u8>,
    stopping: bool,
}

fn fault(doing: impl Into<String>) -> impl FnOnce(io::Error) -> KeeperError {
    let doing = doing.into();
    move |source| KeeperError::Io { doing, source }
}

impl Keeper {
    /// Takes its place.
    pub(super) fn begin(state: &Path) -> Result<Self, KeeperError> {
        // Signals of the terminal, and of the group, are for who started it.
        let _ = rustix::process::setsid();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| fault("become the subreaper")(error.into()))?;
        allow_descriptors();
        let signals = sys::signals().map_err(fault("watch for signals"))?;
        let oci = oci(state);
        fs::create_dir_all(&oci).map_err(fault(format!("make {}", oci.display())))?;
        let listener = listen(&socket(state))
            .map_err(fault(format!("listen at {}", socket(state).display())))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| fault("make an epoll")(error.into()))?;
        let mut keeper = Self {
            oci,
            epoll,
            sources: HashMap::new(),
            next_token: 0,
            connections: 0,
            table: Table::default(),
            held: HashMap::new(),
            buffer: Vec::new(),
            stopping: false,
        };
        for source in [Source::Signals(signals), Source::Listener(listener)] {
            keeper.watch(source).map_err(fault("watch"))?;
        }
        tracing::info!("the keeper is ready");
        Ok(keeper)
    }

    pub(super) fn run(mut self) -> Result<(), KeeperError> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.stopping {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(fault("wait for events")(error.into())),
            }
            for event in events.drain(..) {
                self.turn(event.data.u64(), event.flags);
            }
        }
        Ok(())
    }

    fn turn(&mut self, token: u64, flags: EventFlags) {
        // Taken out, and put back where it stays: so it is nobody else's meanwhile.
        let Some(source) = self.sources.remove(&token) else {
            return;
        };
        match source {
            Source::Signals(signals) => {
                self.signals(&signals);
                self.sources.insert(token, Source::Signals(signals));
            }
            Source::Listener(listener) => {
                self.accept(&listener);
                self.sources.insert(token, Source::Listener(listener));
            }
            Source::Connection(connection) => {
                self.sources.insert(token, Source::Connection(connection));
                self.connection(token, flags);
            }
            Source::Report {
                child,
                pipe,
                bytes,
                purpose,
            } => self.report(token, child, pipe, bytes, purpose),
            Source::Stream { id, stream, pipe } => {
                if self.read(&id, stream, &pipe) == Flow::Ended {
                    self.unwatch(&pipe);
                    self.forget_stream(&id, token);
                } else {
                    self.sources
                        .insert(token, Source::Stream { id, stream, pipe });
                }
            }
            Source::Console { id, listener } => self.console(id, &listener),
            Source::Terminal { id, socket } => self.terminal(&id, &socket),
        }
    }

    // --- ends ---

    fn signals(&mut self, signals: &OwnedFd) {
        while let Ok(Some(number)) = sys::next_signal(signals) {
            // Who is asked to go while there are containers stays: they would be nobody's.
            if number == libc::SIGTERM && self.table.is_empty() {
                self.stopping = true;
            }
        }
        loop {
            match sys::next_end() {
                Ok(Some((pid, code))) => {
                    self.ended(pid, code);
                    sys::reap(pid);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "wait for children");
                    return;
                }
            }
        }
    }

    fn ended(&mut self, pid: i32, code: i32) {
        let of_child =
            |source: &Source| matches!(source, Source::Report { child, .. } if *child == pid);
        let token = self.sources.iter().find(|(_, source)| of_child(source));
        if let Some(token) = token.map(|(token, _)| *token) {
            self.child_ended(token);
            return;
        }
        let exit = Exit { code, at: now() };
        match self.table.ended(pid, exit) {
            Ended::Container(id, exit) => self.container_ended(&id, exit),
            Ended::Exec(connection, exit) => self.answer(connection, Answer::Ended(exit)),
            Ended::Unknown => {}
        }
    }

    /// A child of ours has ended, and has reported all that it will.
    fn child_ended(&mut self, token: u64) {
        let Some(Source::Report {
            pipe,
            mut bytes,
            purpose,
            ..
        }) = self.sources.remove(&token)
        else {
            return;
        };
        self.buffer.resize(REPORT_MAX, 0);
        while bytes.len() < REPORT_MAX {
            match rustix::io::read(&pipe, &mut self.buffer[..]) {
                Ok(count @ 1..) => bytes.extend_from_slice(&self.buffer[..count]),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.unwatch(&pipe);
        self.reported(purpose, worker::report(&bytes));
    }

    fn container_ended(&mut self, id: &str, exit: Exit) {
        // Without a PID namespace of its own, what it has started would outlive it.
        worker::end_what_is_left(id, &self.oci);
        // What it wrote is in its log before anybody hears that it has ended.
        let streams = self.held.get(id).map(|held| held.streams.clone());
        for (token, _) in streams.unwrap_or_default() {
            let Some(Source::Stream { id, stream, pipe }) = self.sources.remove(&token) else {
                continue;
            };
            let mut flow = Flow::More;
            for _ in 0..CHUNKS_AT_END {
                if flow == Flow::More {
                    flow = self.read(&id, stream, &pipe);
                }
            }
            if flow == Flow::Ended {
                self.unwatch(&pipe);
                self.forget_stream(&id, token);
            } else {
                self.sources
                    .insert(token, Source::Stream { id, stream, pipe });
            }
        }
        if let Some(held) = self.held.get(id)
            && let Err(error) = bundle::note_exit(&held.bundle, exit)
        {
            tracing::warn!(%error, container = id, "the end of a container cannot be noted");
        }
        let event = Event::Exited {
            id: id.to_owned(),
            exit,
        };
        let follow: Vec<u64> = self
            .sources
            .iter()
            .filter(|(_, source)| matches!(source, Source::Connection(one) if one.follows))
            .map(|(token, _)| *token)
            .collect();
        for token in follow {
            if let Some(Source::Connection(connection)) = self.sources.get_mut(&token) {
                connection.events.push_back(event.clone());
            }
            self.flush(token);
        }
    }

    // --- what containers write ---

    fn read(&mut self, id: &str, stream: Stream, pipe: &OwnedFd) -> Flow {
        match self.held.get_mut(id) {
            Some(held) => held.output.read(pipe, stream, &mut self.buffer),
            None => Flow::Ended,
        }
    }

    fn forget_stream(&mut self, id: &str, token: u64) {
        if let Some(held) = self.held.get_mut(id) {
            held.streams.retain(|(known, _)| *known != token);
        }
    }

    fn console(&mut self, id: String, listener: &OwnedFd) {
        self.unwatch(listener);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // It is connected to at once, and the terminal comes when the container's root is made.
        let watched = rustix::net::accept_with(listener, flags)
            .map_err(io::Error::from)
            .and_then(|socket| {
                self.watch(Source::Terminal {
                    id: id.clone(),
                    socket,
                })
            });
        if let Err(error) = watched {
            tracing::warn!(container = id, %error, "no terminal will come");
        }
    }

    fn terminal(&mut self, id: &str, socket: &OwnedFd) {
        self.unwatch(socket);
        match connection::receive_descriptor(socket) {
            Ok(master) => {
                let kept = rustix::io::fcntl_dupfd_cloexec(&master, 0);
                let watched = rustix::io::ioctl_fionbio(&master, true)
                    .map_err(io::Error::from)
                    .and_then(|()| {
                        self.watch(Source::Stream {
                            id: id.to_owned(),
                            stream: Stream::Out,
                            pipe: master,
                        })
                    });
                match (watched, kept, self.held.get_mut(id)) {
                    (Ok(token), Ok(kept), Some(held)) => {
                        held.streams.push((token, Stream::Out));
                        held.input = Some(kept);
                    }
                    (watched, kept, _) => {
                        tracing::warn!(container = id, ?watched, ?kept, "a terminal is lost");
                    }
                }
            }
            Err(error) => tracing::warn!(container = id, %error, "no terminal has come"),
        }
    }

    // --- requests ---

    fn accept(&mut self, listener: &OwnedFd) {
        let socket = match rustix::net::accept_with(
            listener,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        ) {
            Ok(socket) => socket,
            Err(_) => return,
        };
        if self.connections >= CONNECTIONS_MAX {
            tracing::warn!("{CONNECTIONS_MAX} connections: no more");
            return;
        }
        let watched = self.watch(Source::Connection(Connection {
            socket,
            queued: VecDeque::new(),
            events: VecDeque::new(),
            follows: false,
            busy: false,
        }));
        match watched {
            Ok(_) => self.connections += 1,
            Err(error) => tracing::warn!(%error, "a connection cannot be watched"),
        }
    }

    fn connection(&mut self, token: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(token);
        }
        let Some(Source::Connection(connection)) = self.sources.get(&token) else {
            return;
        };
        if connection.busy {
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                self.close(token);
            }
            return;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        match connection::receive::<Request>(&connection.socket) {
            Ok(Some(message)) => {
                let answer = self.request(token, message);
                if let Some(answer) = answer {
                    self.answer(token, answer);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) => self.close(token),
            Err(error) => {
                tracing::warn!(%error, "a request cannot be read");
                self.close(token);
            }
        }
    }

    /// None: it is answered later.
    fn request(&mut self, token: u64, message: Message<Request>) -> Option<Answer> {
        let Message { value, descriptors } = message;
        match value {
            Request::Hello => Some(Answer::Keeper {
                version: VERSION,
                pid: rustix::process::getpid().as_raw_nonzero().get(),
            }),
            Request::Run {
                id,
                bundle,
                streams,
            } => self.run_container(token, id, bundle.into(), &streams),
            Request::Exec {
                id,
                process,
                console,
            } => {
                if let Err(refusal) = self.table.make_exec(&id) {
                    return Some(refused(refusal.to_string()));
                }
                let act = Act::Exec {
                    id: id.clone(),
                    process: process.into(),
                    streams: descriptors,
                    console: console.map(PathBuf::from),
                };
                let purpose = Purpose::Exec {
                    id,
                    connection: token,
                };
                let begun = self.begin_act(token, act, purpose);
                if begun.is_some() {
                    self.table.exec_failed();
                }
                begun
            }
            Request::Signal { id, number } => Some(self.signal(&id, number)),
            Request::Delete { id } if self.table.is_busy(&id) => Some(Answer::Busy),
            Request::Delete { id } => {
                let act = Act::Delete { id: id.clone() };
                let purpose = Purpose::Delete {
                    id,
                    connection: token,
                };
                self.begin_act(token, act, purpose)
            }
            Request::List => {
                let known: Vec<_> = self.table.known().collect();
                for some in known.chunks(LISTED_AT_ONCE) {
                    self.answer(token, Answer::Containers(some.to_vec()));
                }
                Some(Answer::Containers(Vec::new()))
            }
            Request::Input { id } => {
                let input = self.held.get(&id).and_then(|held| held.input.as_ref());
                let Some(input) = input.and_then(|input| rustix::io::dup(input).ok()) else {
                    return Some(Answer::Unknown);
                };
                self.answer_with(token, &Answer::Done, &input);
                None
            }
            Request::CloseInput { id } => Some(match self.held.get_mut(&id) {
                Some(held) => {
                    held.input = None;
                    Answer::Done
                }
                None => Answer::Unknown,
            }),
            Request::Attach { id } => Some(self.attach(&id, descriptors)),
            Request::ReopenLog { id } => Some(match self.held.get_mut(&id) {
                Some(held) => match held.output.reopen() {
                    Ok(()) => Answer::Done,
                    Err(error) => refused(format!("open the log again: {error}")),
                },
                None => Answer::Unknown,
            }),
            Request::Pin(pin) => {
                self.begin_act(token, Act::Pin(pin), Purpose::Plain { connection: token })
            }
            Request::Events => {
                if let Some(Source::Connection(connection)) = self.sources.get_mut(&token) {
                    connection.follows = true;
                }
                Some(Answer::Done)
            }
            Request::Stop if self.table.is_empty() => {
                self.stopping = true;
                Some(Answer::Done)
            }
            Request::Stop => Some(refused("there are containers")),
        }
    }

    fn run_container(
        &mut self,
        token: u64,
        id: String,
        bundle: PathBuf,
        streams: &Streams,
    ) -> Option<Answer> {
        if let Err(refusal) = self.table.make(&id) {
            return Some(refused(refusal.to_string()));
        }
        let begun = match self.prepare(&id, bundle, streams) {
            Ok(act) => {
                let purpose = Purpose::Run {
                    id: id.clone(),
                    connection: token,
                };
                self.begin_act(token, act, purpose)
            }
            Err(error) => Some(refused(format!("prepare the container's streams: {error}"))),
        };
        if begun.is_some() {
            self.table.failed(&id);
            self.drop_held(&id);
        }
        begun
    }

    /// Its streams, and the act that makes it.
    fn prepare(&mut self, id: &str, bundle: PathBuf, streams: &Streams) -> io::Result<Act> {
        let log = streams.log.as_ref().map(PathBuf::from);
        let output = Output::new(log, streams.terminal)?;
        let mut held = Held {
            bundle: bundle.clone(),
            output,
            streams: Vec::new(),
            input: None,
        };
        if streams.terminal {
            let path = bundle.join("console.sock");
            let listener = listen_for_terminal(&path)?;
            self.held.insert(id.to_owned(), held);
            self.watch(Source::Console {
                id: id.to_owned(),
                listener,
            })?;
            return Ok(Act::Run {
                id: id.to_owned(),
                bundle,
                streams: Vec::new(),
                console: Some(path),
            });
        }
        let stdin = if streams.stdin {
            let (read, written) = pipe_with(PipeFlags::CLOEXEC)?;
            held.input = Some(written);
            read
        } else {
            rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?
        };
        let mut given = vec![stdin];
        for stream in [Stream::Out, Stream::Error] {
            let (pipe, written) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&pipe, true)?;
            let token = self.watch(Source::Stream {
                id: id.to_owned(),
                stream,
                pipe,
            })?;
            held.streams.push((token, stream));
            given.push(written);
        }
        self.held.insert(id.to_owned(), held);
        Ok(Act::Run {
            id: id.to_owned(),
            bundle,
            streams: given,
            console: None,
        })
    }

    fn signal(&self, id: &str, number: i32) -> Answer {
        let Some(pid) = self.table.running(id) else {
            return Answer::Unknown;
        };
        let (Some(pid), Some(signal)) = (Pid::from_raw(pid), Signal::from_named_raw(number)) else {
            return refused(format!("{number} is no signal"));
        };
        // It was not reaped, so the number is still its own.
        match rustix::process::kill_process(pid, signal) {
            Ok(()) => Answer::Done,
            Err(Errno::SRCH) => Answer::Unknown,
            Err(error) => refused(format!("send signal {number}: {error}")),
        }
    }

    fn attach(&mut self, id: &str, descriptors: Vec<OwnedFd>) -> Answer {
        let Some(held) = self.held.get_mut(id) else {
            return Answer::Unknown;
        };
        let mut descriptors = descriptors.into_iter();
        let (Some(out), Some(error)) = (descriptors.next(), descriptors.next()) else {
            return refused("two descriptors come with it");
        };
        match held.output.attach(out, error, descriptors.next()) {
            Ok(()) => Answer::Done,
            Err(error) => refused(error.to_string()),
        }
    }

    fn begin_act(&mut self, token: u64, act: Act, purpose: Purpose) -> Option<Answer> {
        let begun = worker::begin(act, &self.oci).and_then(|worker| {
            tracing::debug!(child = worker.pid, ?purpose, "begun");
            self.watch(Source::Report {
                child: worker.pid,
                pipe: worker.report,
                bytes: Vec::new(),
                purpose,
            })
        });
        match begun {
            Ok(_) => {
                self.busy(token, true);
                None
            }
            Err(error) => Some(refused(format!("start a process: {error}"))),
        }
    }

    fn report(
        &mut self,
        token: u64,
        child: i32,
        pipe: OwnedFd,
        mut bytes: Vec<u8>,
        purpose: Purpose,
    ) {
        self.buffer.resize(REPORT_MAX, 0);
        match rustix::io::read(&pipe, &mut self.buffer[..]) {
            Ok(count) if count > 0 && bytes.len() < REPORT_MAX => {
                bytes.extend_from_slice(&self.buffer[..count]);
                let source = Source::Report {
                    child,
                    pipe,
                    bytes,
                    purpose,
                };
                self.sources.insert(token, source);
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                let source = Source::Report {
                    child,
                    pipe,
                    bytes,
                    purpose,
                };
                self.sources.insert(token, source);
            }
            Ok(_) | Err(_) => {
                self.unwatch(&pipe);
                self.reported(purpose, worker::report(&bytes));
            }
        }
    }

    fn reported(&mut self, purpose: Purpose, report: worker::Report) {
        match (purpose, report) {
            (Purpose::Run { id, connection }, Ok(pid)) => {
                let started_at = now();
                let ended = self.table.made(&id, pid, started_at);
                self.finish(connection, Answer::Running { pid, started_at });
                if let Some(exit) = ended {
                    self.container_ended(&id, exit);
                }
            }
            (Purpose::Run { id, connection }, Err(reason)) => {
                worker::discard(&id, &self.oci);
                self.table.failed(&id);
                self.drop_held(&id);
                self.finish(connection, refused(reason));
            }
            (Purpose::Exec { id, connection }, Ok(pid)) => {
                self.exec_reported(&id);
                let started_at = now();
                let ended = self.table.exec_made(connection, pid);
                self.finish(connection, Answer::Running { pid, started_at });
                match ended {
                    Some(exit) => self.answer(connection, Answer::Ended(exit)),
                    None if !self.sources.contains_key(&connection) => {
                        self.end_exec(connection);
                    }
                    None => {}
                }
            }
            (Purpose::Exec { id, connection }, Err(reason)) => {
                self.exec_reported(&id);
                self.table.exec_failed();
                self.finish(connection, refused(reason));
            }
            (Purpose::Delete { id, connection }, Ok(_)) => {
                let deleted = self.table.delete(&id);
                if deleted.is_ok() {
                    self.drop_held(&id);
                }
                let answer = deleted.map_or_else(|why| refused(why.to_string()), |()| Answer::Done);
                self.finish(connection, answer);
            }
            (Purpose::Plain { connection }, Ok(_)) => self.finish(connection, Answer::Done),
            (Purpose::Delete { connection, .. } | Purpose::Plain { connection }, Err(reason)) => {
                self.finish(connection, refused(reason));
            }
        }
    }

    /// Sockets of libcontainer's do not bear the name of their exec: they are removed when none of the container is being made. That is soon,
    /// since each takes milliseconds.
    fn exec_reported(&self, id: &str) {
        let under_way = self.sources.values().any(|source| {
            matches!(source, Source::Report { purpose: Purpose::Exec { id: other, .. }, .. } if other == id)
        });
        if !under_way {
            worker::remove_sockets(id, &self.oci);
        }
    }

    fn drop_held(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id) {
            for (token, _) in held.streams {
                self.forget(token);
            }
        }
        let of_container = |source: &Source| matches!(source, Source::Console { id: of, .. } | Source::Terminal { id: of, .. } if of == id);
        let tokens: Vec<u64> = self
            .sources
            .iter()
            .filter(|(_, source)| of_container(source))
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.forget(token);
        }
    }

    fn forget(&mut self, token: u64) -> Option<Source> {
        let source = self.sources.remove(&token)?;
        self.unwatch(source.descriptor());
        Some(source)
    }

    /// Before it is closed: children of ours may hold it open, and the kernel would go on to tell of it.
    fn unwatch(&self, descriptor: impl AsFd) {
        let _ = epoll::delete(&self.epoll, descriptor);
    }

    // --- answers ---

    fn finish(&mut self, token: u64, answer: Answer) {
        self.busy(token, false);
        self.answer(token, answer);
    }

    fn busy(&mut self, token: u64, busy: bool) {
        if let Some(Source::Connection(connection)) = self.sources.get_mut(&token) {
            connection.busy = busy;
        }
        self.interest(token);
    }

    fn answer(&mut self, token: u64, answer: Answer) {
        if let Some(Source::Connection(connection)) = self.sources.get_mut(&token) {
            connection.queued.push_back(answer);
        }
        self.flush(token);
    }

    fn answer_with(&mut self, token: u64, answer: &Answer, descriptor: &OwnedFd) {
        let Some(Source::Connection(connection)) = self.sources.get(&token) else {
            return;
        };
        // Nothing waits before it: a connection has one request at a time.
        if let Err(error) = connection::send(&connection.socket, answer, &[descriptor.as_fd()]) {
            tracing::warn!(%error, "a descriptor cannot be given");
            self.close(token);
        }
    }

    fn flush(&mut self, token: u64) {
        let Some(Source::Connection(connection)) = self.sources.get_mut(&token) else {
            return;
        };
        let sent = connection.send_queued();
        let behind = connection.queued.len() + connection.events.len();
        match sent {
            Ok(()) if behind <= QUEUED_MAX => self.interest(token),
            Ok(()) => {
                tracing::warn!("a reader of events is too far behind");
                self.close(token);
            }
            Err(_) => self.close(token),
        }
    }

    fn interest(&mut self, token: u64) {
        let Some(Source::Connection(connection)) = self.sources.get(&token) else {
            return;
        };
        let mut flags = EventFlags::empty();
        if !connection.busy {
            flags |= EventFlags::IN;
        }
        if !connection.queued.is_empty() || !connection.events.is_empty() {
            flags |= EventFlags::OUT;
        }
        let data = EventData::new_u64(token);
        if let Err(error) = epoll::modify(&self.epoll, &connection.socket, data, flags) {
            tracing::warn!(%error, "a connection cannot be watched");
        }
    }

    fn close(&mut self, token: u64) {
        if self.forget(token).is_some() {
            self.connections = self.connections.saturating_sub(1);
        }
        self.end_exec(token);
    }

    /// A process of exec ends with the connection of who waits for it.
    fn end_exec(&self, connection: u64) {
        // It was not reaped, so the number is still its own.
        if let Some(pid) = self.table.exec(connection).and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    fn watch(&mut self, source: Source) -> io::Result<u64> {
        let token = self.next_token;
        self.next_token += 1;
        epoll::add(
            &self.epoll,
            source.descriptor(),
            EventData::new_u64(token),
            EventFlags::IN,
        )?;
        self.sources.insert(token, source);
        Ok(token)
    }
}

impl Source {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Signals(descriptor) | Self::Listener(descriptor) => descriptor.as_fd(),
            Self::Connection(connection) => connection.socket.as_fd(),
            Self::Report { pipe, .. } | Self::Stream { pipe, .. } => pipe.as_fd(),
            Self::Console { listener, .. } => listener.as_fd(),
            Self::Terminal { socket, .. } => socket.as_fd(),
        }
    }
}

impl Connection {
    fn send_queued(&mut self) -> io::Result<()> {
        while let Some(answer) = self.queued.front() {
            match connection::send(&self.socket, answer, &[]) {
                Ok(()) => self.queued.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
        }
        while let Some(event) = self.events.front() {
            match connection::send(&self.socket, event, &[]) {
                Ok(()) => self.events.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// As many as may be: a container has four.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// The keeper's own socket. One that answers already is another keeper's.
fn listen(path: &Path) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        || rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    if rustix::net::connect(socket()?, &address).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another keeper has this state",
        ));
    }
    let _ = fs::remove_file(path);
    let listener = socket()?;
    rustix::net::bind(&listener, &address)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&listener, 128)?;
    Ok(listener)
}
