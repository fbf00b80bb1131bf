//! The wiring: one state, one closed [`Event`], one loop.
//!
//! ```text
//!   epoll ──> Source ──> Event ──> handle ──> planner (supervisor, exits, history, ...) ──> executor
//!     ^                                                                                     │
//!     └────────────────────────── next deadline, descriptors ───────────────────────────────┘
//! ```
//!
//! [`Machine::turn`] is the only place that waits. What takes long (boot phases, applying a config,
//! stopping) is straight code at the top level that calls [`Machine::wait`], which takes turns: so the
//! watchdog is fed, output is drained and the control socket answers all the while. Work that arrives
//! during a turn is queued and done at the top level, so turns never nest deeper than one.

mod apply;
mod boot;
mod children;
mod control;
mod drivers;
mod handlers;
mod jobs;
mod outputs;
mod phases;
mod services;
mod start;
mod stop;
mod waiters;

use crate::executor::cgroups::Cgroups;
use crate::executor::config_store::ConfigStore;
use crate::executor::connections::Connections;
use crate::executor::console::Console;
use crate::executor::module_loader::Loader;
use crate::executor::notify_socket::Datagram;
use crate::executor::poller::{Interest, Poller, Source};
use crate::executor::probes::Probes;
use crate::executor::time;
use crate::executor::watchdog::Watchdog;
use crate::planner::exits::Exits;
use crate::planner::history::History;
use crate::planner::lines::Line;
use crate::planner::options::Options;
use crate::planner::supervisor::{self, Supervisor};
use crate::planner::uevents::Uevent;
use init_proto::control::{EventKind, LogLine, PhaseStatus, Request};
use init_proto::paths;
use init_proto::plan::{Mode, Plan};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use stop::Ending;

/// Longest wait of one turn, so that nothing that was forgotten waits for ever.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Wait after a failing epoll, so that a broken kernel does not turn the loop into a spin.
const POLL_FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// Requests for long work that may wait; further ones are refused.
const WORK_MAX: usize = 16;

/// Everything that can happen.
#[derive(Debug)]
enum Event {
    /// A signal for `init`.
    Signal(u32),
    /// A child has ended.
    Children,
    /// A device was announced.
    Device(Uevent),
    /// A service sent a notification.
    Notification(Datagram),
    /// Somebody connects to the control socket.
    Connect,
    /// A control connection has input, room for output, or hung up.
    Connection(u32, bool),
    /// An output pipe has bytes or its end.
    Output(u32),
    /// A probe has its answer.
    Probed(supervisor::Probe, bool),
    /// An input device has something.
    Input(u32),
    /// Time has passed.
    Tick,
}

/// Long work, done at the top level.
#[derive(Debug)]
enum Work {
    /// Answer to [`Request::ConfigApply`] on this connection, of this user.
    Apply(u32, u32, Request),
    /// Stop everything.
    End(Ending),
    /// A device asks for a driver (all devices for None).
    Drivers(Option<String>),
}

/// The machine.
pub(crate) struct Machine {
    options: Options,
    cmdline: String,
    version: String,
    boot_id: String,
    machine_id: String,
    /// Clock origin of phase times: zero (the kernel's start), or a sandbox's start.
    origin: Duration,
    poller: Poller,
    signals: Option<SignalFd>,
    console: Console,
    watchdog: Option<Watchdog>,
    /// The boot deadline is over or a hang is injected: the watchdog gets nothing more.
    starving: bool,
    phases: Vec<PhaseStatus>,
    booted: bool,
    /// The boot no longer looks for devices by itself: announcements count.
    coldplugged: bool,
    /// First failed phase and why.
    failure: Option<String>,
    loader: Loader,
    uevents: Option<OwnedFd>,
    /// When a block device was last announced.
    block_change: Duration,
    inputs: BTreeMap<u32, (String, OwnedFd)>,
    supervisor: Supervisor,
    services: BTreeMap<String, services::Runtime>,
    cgroups: Option<Cgroups>,
    /// Cgroups of services and jobs that are over, until the kernel lets go of them.
    leaving: BTreeSet<String>,
    logs: BTreeMap<String, outputs::ServiceLog>,
    log_directory: Option<PathBuf>,
    outputs: BTreeMap<u32, outputs::Output>,
    next_number: u32,
    probes: Probes,
    exits: Exits,
    history: History,
    connections: Connections,
    control: Option<OwnedFd>,
    notify: Option<OwnedFd>,
    waiters: Vec<waiters::Waiter>,
    /// Connections that got a late answer in this turn.
    resumed: Vec<u32>,
    job: Option<jobs::Running>,
    plan: Plan,
    store: ConfigStore,
    /// STATE is a partition (or, for a sandbox, given), not a tmpfs.
    persistent: bool,
    /// DATA is a partition.
    data_mounted: bool,
    /// Why the STATE partition could not be used.
    state_problem: Option<String>,
    generation: u64,
    work: VecDeque<Work>,
    stopping: Option<String>,
    stopped: bool,
}

impl Machine {
    /// A machine that has done nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no epoll or signal descriptor: nothing can work then.
    pub(crate) fn new(options: Options) -> std::io::Result<Self> {
        let all = SigSet::all();
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None)?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let poller = Poller::new()?;
        poller.add(Source::Signals, &signals, Interest::Read)?;
        let mut seed = [0_u8; 8];
        let _ = rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::NONBLOCK);
        let origin = if options.sandboxed {
            time::boottime()
        } else {
            Duration::ZERO
        };
        let plan = init_proto::services::maintenance("starting".into(), options.sandboxed);
        Ok(Self {
            console: if options.sandboxed {
                Console::open(true)
            } else {
                Console::Silent
            },
            options,
            cmdline: String::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            boot_id: String::new(),
            machine_id: String::new(),
            origin,
            poller,
            signals: Some(signals),
            watchdog: None,
            starving: false,
            phases: Vec::new(),
            booted: false,
            coldplugged: false,
            failure: None,
            loader: Loader::default(),
            uevents: None,
            block_change: Duration::ZERO,
            inputs: BTreeMap::new(),
            supervisor: Supervisor::new(u64::from_ne_bytes(seed)),
            services: BTreeMap::new(),
            cgroups: None,
            leaving: BTreeSet::new(),
            logs: BTreeMap::new(),
            log_directory: None,
            outputs: BTreeMap::new(),
            next_number: 0,
            probes: Probes::default(),
            exits: Exits::default(),
            history: History::default(),
            connections: Connections::default(),
            control: None,
            notify: None,
            waiters: Vec::new(),
            resumed: Vec::new(),
            job: None,
            plan,
            store: ConfigStore::new(paths::STATE),
            persistent: false,
            data_mounted: false,
            state_problem: None,
            generation: 0,
            work: VecDeque::new(),
            stopping: None,
            stopped: false,
        })
    }

    /// Boots, then runs until the machine ends. Returns for a sandbox only, with its exit code.
    pub(crate) fn run(mut self) -> i32 {
        self.boot();
        loop {
            self.turn(None);
            while let Some(work) = self.work.pop_front() {
                let ending = match work {
                    Work::End(ending) => Some(ending),
                    Work::Apply(..) | Work::Drivers(_) => None,
                };
                match (guarded(|| self.perform(work)), ending) {
                    (Some(Some(code)), _) => return code,
                    // A bug on the way down must not keep the machine half stopped for ever.
                    (None, Some(ending)) => return self.leave(ending),
                    (Some(None), _) | (None, None) => {}
                }
            }
        }
    }

    fn perform(&mut self, work: Work) -> Option<i32> {
        match work {
            Work::Apply(connection, user, request) => self.apply(connection, user, request),
            Work::Drivers(alias) => self.load_drivers(alias.as_deref()),
            Work::End(ending) => return Some(self.end(ending)),
        }
        None
    }

    /// Queues long work; false when there is too much already.
    fn queue(&mut self, work: Work) -> bool {
        let room = self.work.len() < WORK_MAX;
        if room {
            self.work.push_back(work);
        }
        room
    }

    /// One turn of the loop: waits for something to happen, at most until `until`, and handles it.
    fn turn(&mut self, until: Option<Duration>) {
        let now = time::monotonic();
        let timeout = self.next_deadline(now, until).saturating_sub(now);
        for number in std::mem::take(&mut self.resumed) {
            guarded(|| self.on_connection(number, false));
        }
        match self.poller.wait(timeout) {
            Ok(ready) => {
                for ready in ready {
                    guarded(|| {
                        for event in self.receive(ready) {
                            self.handle(event);
                        }
                    });
                }
            }
            Err(error) => {
                self.say(3, &format!("epoll failed: {error}"));
                let _ = rustix::thread::nanosleep(&time::timespec(POLL_FAILURE_PAUSE));
            }
        }
        guarded(|| self.handle(Event::Tick));
    }

    fn next_deadline(&self, now: Duration, until: Option<Duration>) -> Duration {
        let feed = self
            .watchdog
            .as_ref()
            .filter(|_| !self.starving)
            .map(Watchdog::next_feed);
        let waiters = self.waiters.iter().map(|waiter| waiter.deadline).min();
        let resumed = (!self.resumed.is_empty()).then_some(now);
        // Work waits at the top level only; a nested wait must not spin on it.
        let work = (until.is_none() && !self.work.is_empty()).then_some(now);
        [
            until,
            feed,
            waiters,
            resumed,
            work,
            self.supervisor.next_deadline(),
            self.probes.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + TURN_MAX)
        .min(now + TURN_MAX)
    }

    /// Takes turns until `done` or the time `until`; true when done.
    fn wait(&mut self, until: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            if time::monotonic() >= until {
                return false;
            }
            self.turn(Some(until));
        }
    }

    /// Takes one turn without waiting: between the steps of something long.
    fn breathe(&mut self) {
        self.turn(Some(Duration::ZERO));
    }

    /// Says a line on the console and keeps it in `init`'s own log.
    fn say(&mut self, level: u8, text: &str) {
        self.console.say(level, text);
        let line = Line {
            level,
            text: text.to_owned(),
        };
        self.keep("init", vec![line], false);
    }

    fn record(&mut self, kind: EventKind) {
        self.history.record(time::wall_ms(), kind);
        self.feed_subscribers();
    }

    fn set_mode(&mut self, plan: Plan) {
        let changed = self.plan.mode != plan.mode;
        self.plan = plan;
        if changed {
            self.announce_mode();
        }
    }

    fn announce_mode(&mut self) {
        let text = match &self.plan.mode {
            Mode::Maintenance { reason } => format!("maintenance mode: {reason}"),
            Mode::ControlPlane => "control-plane node".into(),
            Mode::Worker => "worker node".into(),
        };
        self.say(5, &text);
        self.record(EventKind::Mode(self.plan.mode.clone()));
    }

    fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }
}

/// Runs something that must not take `init` down; None when it panicked (the panic hook has said so).
fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

fn log_line(line: Line) -> LogLine {
    LogLine {
        time_ms: time::wall_ms(),
        level: line.level,
        text: line.text,
    }
}
