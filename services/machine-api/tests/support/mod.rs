//! A real server process, certificates, and the little of `init`'s socket that the server asks.
//!
//! The socket answers from plain data: what the real `init` does with a request is proven with the real
//! `init`, on sandboxed nodes.
#![allow(dead_code, reason = "each test file uses its own part")]

use init_proto::{
    control::{
        ApplyEffect, Event, EventKind, LOG_WAIT, LogLine, PhaseState, PhaseStatus, RefusalKind,
        Request, Response, ServiceState, ServiceStatus, Status,
    },
    frame,
    plan::{ConfigSource, Mode},
};
use machine_client::{Client, Fingerprint, Identity, Target, Trust, connect};
use machine_config::{MachineConfig, parts::split};
use pki::{ClusterSecrets, ConfigOptions, Roles, Validity, generate_config};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Signal, kill_process},
};
use std::{
    io::IoSlice,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Longest wait for anything: ten times what a loaded machine has shown.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// State behind the socket.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) mode: Mode,
    pub(crate) config: Option<Vec<u8>>,
    pub(crate) generation: u64,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) events: Vec<Event>,
    pub(crate) asked: Vec<String>,
    pub(crate) effects: Vec<ApplyEffect>,
    /// Handed over as the kernel's log: one datagram per record, as /dev/kmsg gives one per read.
    pub(crate) kernel_log: Option<Arc<UnixDatagram>>,
}

/// Answers on a socket until the test ends.
pub(crate) struct InitSocket {
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<Mutex<State>>,
}

impl InitSocket {
    pub(crate) fn start(directory: &Path) -> Self {
        let path = directory.join("init.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Maintenance {
                reason: "no config".into(),
            },
            config: None,
            generation: 0,
            lines: (1..=5).map(line).collect(),
            events: (1..=3).map(event).collect(),
            asked: Vec::new(),
            effects: Vec::new(),
            kernel_log: None,
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { path, state }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

pub(crate) fn line(number: u64) -> LogLine {
    LogLine {
        time_ms: number * 1000,
        level: 6,
        text: format!("line {number}"),
    }
}

pub(crate) fn event(sequence: u64) -> Event {
    Event {
        sequence,
        time_ms: sequence,
        kind: EventKind::ConfigStored {
            generation: sequence,
        },
    }
}

fn serve(mut stream: UnixStream, state: &Mutex<State>) {
    while let Ok(request) = frame::read::<Request>(&mut stream) {
        if let Request::Events { after } = request {
            let mut sent = after;
            // Ends with the first write to a reader that is gone.
            loop {
                let new: Vec<_> = {
                    let state = state.lock().unwrap();
                    state
                        .events
                        .iter()
                        .filter(|event| event.sequence > sent)
                        .cloned()
                        .collect()
                };
                for event in new {
                    sent = event.sequence;
                    if frame::write(&mut stream, &event).is_err() {
                        return;
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        if let Request::Logs {
            cursor, wait: true, ..
        } = request
        {
            wait_for_line(state, cursor);
        }
        let kernel_log = state.lock().unwrap().kernel_log.clone();
        if let (Request::OpenKernelLog, Some(log)) = (&request, kernel_log) {
            hand_over(&stream, &log);
            continue;
        }
        let response = answer(request, &mut state.lock().unwrap());
        if frame::write(&mut stream, &response).is_err() {
            return;
        }
    }
}

/// As `init` does: until there is a line after the cursor, or for a while.
fn wait_for_line(state: &Mutex<State>, cursor: u64) {
    let deadline = Instant::now() + LOG_WAIT;
    let cursor = usize::try_from(cursor).unwrap();
    while state.lock().unwrap().lines.len() <= cursor && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
}

fn hand_over(stream: &UnixStream, log: &UnixDatagram) {
    let bytes = frame::encode(&Response::Done).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [log.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(
        stream,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

fn answer(request: Request, state: &mut State) -> Response {
    let text = format!("{request:?}");
    state
        .asked
        .push(text.split([' ', '(']).next().unwrap().to_owned());
    match request {
        Request::Status => Response::Status(Box::new(Status {
            version: "test".into(),
            boot_id: "boot-1".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            sandboxed: false,
            mode: state.mode.clone(),
            source: ConfigSource::None,
            generation: state.generation,
            stopping: false,
            phases: vec![PhaseStatus {
                name: "mount".into(),
                whole_machine: false,
                state: PhaseState::Done,
                started_ms: 10,
                took_ms: 5,
            }],
            watchdog_seconds: None,
            last_event: state.events.last().map_or(0, |event| event.sequence),
        })),
        Request::Services => Response::Services(vec![ServiceStatus {
            name: "network".into(),
            state: ServiceState::Running,
            ready: true,
            pid: Some(7),
            restarts: 1,
            since_ms: 1500,
            last_exit: Some("exit code 1".into()),
            message: "up".into(),
            memory_bytes: 4096,
        }]),
        Request::ServiceStart { name }
        | Request::ServiceStop { name }
        | Request::ServiceRestart { name }
        | Request::Logs { name, .. }
            if name != "network" =>
        {
            Response::Refused {
                kind: RefusalKind::NotFound,
                message: format!("no service {name:?}"),
            }
        }
        Request::Logs { cursor, .. } => {
            let from = usize::try_from(cursor).unwrap();
            let lines = state.lines.get(from..).unwrap_or_default().to_vec();
            Response::Logs {
                next: state.lines.len().try_into().unwrap(),
                lines,
                lost: 0,
            }
        }
        Request::ConfigGet => Response::Config {
            config: state.config.clone(),
            generation: state.generation,
        },
        Request::ConfigApply { config, effect, .. } => {
            state.config = Some(config);
            state.generation += 1;
            state.effects.push(effect);
            Response::Stored {
                generation: state.generation,
            }
        }
        Request::OpenKernelLog => Response::Refused {
            kind: RefusalKind::FailedPrecondition,
            message: "a sandboxed node has no kernel log of its own".into(),
        },
        _ => Response::Done,
    }
}

/// A cluster's secrets and what is made of them.
pub(crate) struct Cluster {
    pub(crate) secrets: ClusterSecrets,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            secrets: ClusterSecrets::generate(SystemTime::now()).unwrap(),
        }
    }

    pub(crate) fn config(&self, role: machine_config::Role) -> MachineConfig {
        let endpoint = "https://127.0.0.1:6443".parse().unwrap();
        let options = ConfigOptions::new("test".parse().unwrap(), endpoint, role);
        generate_config(&self.secrets, &options).unwrap()
    }

    /// A client with these roles.
    pub(crate) fn client(&self, roles: impl IntoIterator<Item = pki::Role>) -> Identity {
        self.client_at(roles, SystemTime::now(), Duration::from_secs(3600))
    }

    pub(crate) fn client_at(
        &self,
        roles: impl IntoIterator<Item = pki::Role>,
        now: SystemTime,
        lifetime: Duration,
    ) -> Identity {
        let roles: Roles = roles.into_iter().collect();
        let authority = self.secrets.machine_ca.authority().unwrap();
        let issued = authority
            .issue_client("tester", roles, Validity::new(now, lifetime))
            .unwrap();
        Identity {
            certificate: issued.certificate,
            key: issued.key.expose().to_owned(),
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::Authority(self.secrets.machine_ca.crt.to_string())
    }
}

/// A server process.
pub(crate) struct Server {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) init: InitSocket,
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: Fingerprint,
    notify: UnixDatagram,
    child: Child,
}

impl Server {
    /// Starts one in maintenance mode on loopback.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let init = InitSocket::start(directory.path());
        std::fs::write(directory.path().join("config"), b"").unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(BOUND)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_machine_api_alone"))
            .args(["--listen-address", "127.0.0.1:0", "--init-socket"])
            .arg(&init.path)
            .env("ORLOP_CONFIG", directory.path().join("config"))
            .env("STATE_DIRECTORY", directory.path())
            .env("RUNTIME_DIRECTORY", directory.path())
            .env("NOTIFY_SOCKET", directory.path().join("notify"))
            .stdout(Stdio::from(
                std::fs::File::create(directory.path().join("log")).unwrap(),
            ))
            .spawn()
            .unwrap();
        let mut server = Self {
            directory,
            init,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            fingerprint: Fingerprint([0; 32]),
            notify,
            child,
        };
        server.wait_for(|line| line.starts_with("maintenance: "));
        server.wait_for_ready();
        server
    }

    /// Starts one and makes it a control-plane node of a new cluster.
    pub(crate) fn control_plane() -> (Self, Cluster) {
        let mut server = Self::start();
        let cluster = Cluster::new();
        server.configure(&cluster.config(machine_config::Role::ControlPlane));
        (server, cluster)
    }

    /// Gives it this config and waits until it has it.
    pub(crate) fn configure(&mut self, config: &MachineConfig) {
        let part = split(config).for_service("machine-api");
        std::fs::write(self.directory.path().join("config"), part).unwrap();
        {
            let mut state = self.init.state.lock().unwrap();
            state.config = Some(machine_config::to_yaml(config).into_bytes());
            state.generation = 1;
            state.mode = match config.machine.role {
                machine_config::Role::ControlPlane => Mode::ControlPlane,
                machine_config::Role::Worker => Mode::Worker,
            };
        }
        self.signal(Signal::HUP);
        let role = format!("{}: ", config.machine.role.as_str());
        self.wait_for(|line| line.starts_with(&role));
        // The line comes before the settings are in force; the log says when they are.
        let log = self.directory.path().join("log");
        let wanted = format!("\"role\":\"{}\"", config.machine.role.as_str());
        let deadline = Instant::now() + BOUND;
        while !std::fs::read_to_string(&log).unwrap().contains(&wanted) {
            assert!(Instant::now() < deadline, "no new settings: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// One line of the supervisor's socket that fits.
    fn wait_for(&mut self, fits: impl Fn(&str) -> bool) {
        let mut buffer = [0_u8; 4096];
        loop {
            let length = self.notify.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("no status within {BOUND:?}: {error}; log: {}", self.log())
            });
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            let Some(line) = text.strip_prefix("STATUS=") else {
                continue;
            };
            let port = line
                .split("port ")
                .nth(1)
                .or_else(|| line.split("://").nth(1))
                .unwrap();
            let port = port.split(' ').next().unwrap();
            let port = port.rsplit(':').next().unwrap();
            self.address.set_port(port.parse().unwrap());
            if let Some((_, fingerprint)) = line.split_once("fingerprint sha256 ") {
                self.fingerprint = fingerprint.parse().unwrap();
            }
            if fits(line) {
                return;
            }
        }
    }

    fn wait_for_ready(&self) {
        let mut buffer = [0_u8; 4096];
        loop {
            let length = self.notify.recv(&mut buffer).unwrap();
            if buffer[..length] == *b"READY=1" {
                return;
            }
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::from(self.address)
    }

    pub(crate) fn pinned(&self) -> Trust {
        Trust::Pinned(self.fingerprint)
    }

    /// A client that says nothing of itself.
    pub(crate) async fn anyone(&self) -> Client {
        connect(&self.target(), &self.pinned(), None, BOUND)
            .await
            .unwrap()
    }

    /// A client of the cluster, for a control-plane node.
    pub(crate) async fn client(&self, cluster: &Cluster, identity: &Identity) -> Client {
        connect(&self.target(), &cluster.trust(), Some(identity), BOUND)
            .await
            .unwrap()
    }

    /// As [`Server::client`], with a new certificate of this role.
    pub(crate) async fn with_role(&self, cluster: &Cluster, role: pki::Role) -> Client {
        self.client(cluster, &cluster.client([role])).await
    }

    /// The process's exit after SIGTERM.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// Descriptors that the process holds.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// The metrics page.
    pub(crate) fn metrics(&self) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = UnixStream::connect(self.directory.path().join("metrics.sock")).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first message of a stream, or its error.
pub(crate) async fn first<T>(
    response: tonic::Response<tonic::Streaming<T>>,
) -> Result<(), tonic::Status> {
    response.into_inner().message().await.map(drop)
}

/// An address of loopback's network.
pub(crate) fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}
