//! Requests on `init`'s control socket, their answers, and the events it streams.
//!
//! One connection carries requests and answers in turn, each a [`crate::frame`]. After
//! [`Request::Events`] the connection carries [`Event`] frames only, until either side closes it.
//! File descriptors travel as `SCM_RIGHTS` with the first byte of the answer's frame.

use crate::plan::{ConfigSource, Mode};
use crate::services::{FETCH_CONFIG_USER, MACHINE_API_USER};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Connections that `init` serves at once; further ones are closed at once. The machine API may hold
/// 96 (its streams and its calls), users that only look 16; the rest is for services of root.
pub const CONNECTIONS_MAX: usize = 128;
/// Events kept for resuming subscribers.
pub const EVENTS_KEPT: usize = 4096;
/// Exit statuses kept.
pub const EXITS_KEPT: usize = 4096;
/// Longest time that [`Request::Logs`] with `wait` is left unanswered. Below every caller's deadline.
pub const LOG_WAIT: Duration = Duration::from_secs(10);
/// Bytes of log in one answer.
pub const LOG_CHUNK_MAX: usize = 256 * 1024;
/// Bytes of log kept in memory per service.
pub const LOG_RING_BYTES: usize = 256 * 1024;
/// File descriptors kept per service (sd_notify's `FDSTORE=1`).
pub const FDS_KEPT: usize = 1024;

/// What a service asks of `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// State of the machine and its boot phases -> [`Response::Status`].
    Status,
    /// All services -> [`Response::Services`].
    Services,
    /// Start a stopped service -> [`Response::Done`].
    ServiceStart {
        /// Its name.
        name: String,
    },
    /// Stop a service until it is started again or the node reboots -> [`Response::Done`] when stopped.
    ServiceStop {
        /// Its name.
        name: String,
    },
    /// Stop and start -> [`Response::Done`] when the new process runs.
    ServiceRestart {
        /// Its name.
        name: String,
    },
    /// Log lines from `cursor` on -> [`Response::Logs`].
    Logs {
        /// Service, or `init` for its own.
        name: String,
        /// 0 for the oldest kept, or the `next` of an earlier answer.
        cursor: u64,
        /// Most bytes wanted, at most [`LOG_CHUNK_MAX`].
        bytes_max: u32,
        /// Where there is no line yet: answer when there is one, or with none after [`LOG_WAIT`].
        wait: bool,
    },
    /// Turns the connection into a stream of [`Event`]s after this sequence number (0: all kept).
    Events {
        /// Last sequence number the caller has seen.
        after: u64,
    },
    /// `/dev/kmsg`, opened for reading, as one file descriptor -> [`Response::Done`].
    OpenKernelLog,
    /// The stored config, byte for byte -> [`Response::Config`].
    ConfigGet,
    /// Stores a config that the caller has validated, then acts on it -> [`Response::Stored`].
    ConfigApply {
        /// The config, at most [`crate::generation::CONFIG_MAX`] bytes.
        config: Vec<u8>,
        /// What follows.
        effect: ApplyEffect,
        /// Refused unless the machine is in maintenance mode when its turn comes: for askers that may
        /// give a machine its first config only.
        only_in_maintenance: bool,
    },
    /// Ordered reboot -> [`Response::Done`] when it has begun.
    Reboot,
    /// Ordered power-off -> [`Response::Done`] when it has begun.
    PowerOff,
    /// Tells `init` to keep this child's exit status even if the caller is gone -> [`Response::Done`].
    RegisterChild {
        /// Process id in `init`'s PID namespace.
        pid: i32,
        /// Field 22 of `/proc/PID/stat`, so that a reused pid is not mistaken.
        start_time: u64,
        /// The caller's own name for it, at most 256 bytes; handed back by [`Request::Children`].
        label: String,
    },
    /// All children that the calling service has registered -> [`Response::Children`].
    Children,
    /// Forgets a registered child -> [`Response::Done`].
    ForgetChild {
        /// Process id.
        pid: i32,
        /// Its start time.
        start_time: u64,
    },
    /// The exit status of any reaped process -> [`Response::Exit`].
    ExitOf {
        /// Process id.
        pid: i32,
        /// Its start time.
        start_time: u64,
    },
}

impl Request {
    /// Whether a peer with this user id may ask this. Root may do all (the runtime and the kubelet run
    /// as root); the machine API asks on behalf of authenticated callers; the config fetcher may give a
    /// machine its first config; the others may look at the machine's state only.
    #[must_use]
    pub fn allowed_for(&self, user: u32) -> bool {
        match self {
            Self::Status | Self::Services | Self::Events { .. } => true,
            Self::RegisterChild { .. }
            | Self::Children
            | Self::ForgetChild { .. }
            | Self::ExitOf { .. } => user == 0,
            Self::ConfigApply {
                effect: ApplyEffect::NoReboot,
                only_in_maintenance: true,
                ..
            } => may_send_configs(user),
            Self::ServiceStart { .. }
            | Self::ServiceStop { .. }
            | Self::ServiceRestart { .. }
            | Self::Logs { .. }
            | Self::OpenKernelLog
            | Self::ConfigGet
            | Self::ConfigApply { .. }
            | Self::Reboot
            | Self::PowerOff => user == 0 || user == MACHINE_API_USER,
        }
    }
}

/// Whether this user has any request that carries a config; `init` reads small requests only from others.
#[must_use]
pub fn may_send_configs(user: u32) -> bool {
    [0, MACHINE_API_USER, FETCH_CONFIG_USER].contains(&user)
}

/// What follows a stored config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyEffect {
    /// Plan again and converge the running services.
    NoReboot,
    /// Ordered reboot.
    Reboot,
}

/// What `init` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It is done (or has begun, where the request says so).
    Done,
    /// It is not done; nothing has changed.
    Refused {
        /// Kind of refusal, for the caller's own error code.
        kind: RefusalKind,
        /// What and why, for a person.
        message: String,
    },
    /// Answer to [`Request::Status`].
    Status(Box<Status>),
    /// Answer to [`Request::Services`].
    Services(Vec<ServiceStatus>),
    /// Answer to [`Request::Logs`].
    Logs {
        /// Lines, oldest first.
        lines: Vec<LogLine>,
        /// Cursor for the next request.
        next: u64,
        /// Lines that were dropped between the cursor and the first line.
        lost: u64,
    },
    /// Answer to [`Request::ConfigGet`]; None: there is none.
    Config {
        /// The bytes as applied.
        config: Option<Vec<u8>>,
        /// Its generation, 0 for none.
        generation: u64,
    },
    /// Answer to [`Request::ConfigApply`].
    Stored {
        /// Its generation.
        generation: u64,
    },
    /// Answer to [`Request::Children`].
    Children(Vec<Child>),
    /// Answer to [`Request::ExitOf`].
    Exit(ExitState),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// No service or file of that name.
    NotFound,
    /// The peer's user may not ask this.
    PermissionDenied,
    /// Not in this state of the machine.
    FailedPrecondition,
    /// The request is out of its bounds.
    InvalidArgument,
    /// A bound is met (full disk, full table).
    ResourceExhausted,
    /// It did not end within its deadline.
    DeadlineExceeded,
    /// The machine failed at it.
    Internal,
}

/// State of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the OS.
    pub version: String,
    /// Random id of this boot, as `/proc/sys/kernel/random/boot_id`; per sandbox for sandboxed nodes.
    pub boot_id: String,
    /// Machine id, 32 hex digits; empty until known.
    pub machine_id: String,
    /// True for a node that is a sandbox on a Linux host.
    pub sandboxed: bool,
    /// Role, or why there is none.
    pub mode: Mode,
    /// Where the config came from.
    pub source: ConfigSource,
    /// Generation of the stored config, 0 for none.
    pub generation: u64,
    /// True once reboot or power-off has begun.
    pub stopping: bool,
    /// Boot phases in order.
    pub phases: Vec<PhaseStatus>,
    /// Whether a hardware watchdog is armed, and its timeout in seconds.
    pub watchdog_seconds: Option<u32>,
    /// Sequence number of the last event, 0 for none: who wants no later ones reads up to it.
    pub last_event: u64,
}

/// One boot phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStatus {
    /// Its name in the table.
    pub name: String,
    /// Whether it concerns the whole machine.
    pub whole_machine: bool,
    /// How far it is.
    pub state: PhaseState,
    /// Milliseconds from the kernel's start (CLOCK_BOOTTIME) to its start; for a sandbox, from
    /// `init`'s start.
    pub started_ms: u64,
    /// Milliseconds it took (so far).
    pub took_ms: u64,
}

/// How far a phase is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseState {
    /// Not begun.
    Pending,
    /// Begun.
    Running,
    /// Ended well.
    Done,
    /// Left out: whole-machine phase of a sandboxed node.
    Skipped,
    /// Ended badly; the machine is in maintenance mode where the phase is required.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: ServiceState,
    /// Whether it counts as up.
    pub ready: bool,
    /// Main process while it runs.
    pub pid: Option<i32>,
    /// Starts after the first one.
    pub restarts: u32,
    /// Milliseconds since it entered `state`.
    pub since_ms: u64,
    /// Last exit, for a person: "exit code 1", "signal 9 (killed)", "not ready within 60 s".
    pub last_exit: Option<String>,
    /// What the service says of itself (`STATUS=`).
    pub message: String,
    /// Resident memory in bytes, 0 where unknown.
    pub memory_bytes: u64,
}

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceState {
    /// Waits for dependencies or its condition.
    Waiting,
    /// Process runs, not up yet.
    Starting,
    /// Up.
    Running,
    /// Asked to stop.
    Stopping,
    /// Waits for its next start.
    BackOff,
    /// One-shot that ended with 0.
    Finished,
    /// Ended and will not be started again by itself.
    Failed,
    /// Stopped on request.
    Stopped,
}

/// One line of a service's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since 1970 when `init` read it.
    pub time_ms: u64,
    /// syslog severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The line without its newline, at most 8 KiB; not UTF-8 is replaced.
    pub text: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one per event of this boot, from 1.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A boot phase changed.
    Phase(PhaseStatus),
    /// A service changed.
    Service {
        /// Its name.
        name: String,
        /// Its new state.
        state: ServiceState,
        /// Whether it counts as up.
        ready: bool,
        /// Why, for a person.
        message: String,
    },
    /// The machine's mode changed.
    Mode(Mode),
    /// A config was stored.
    ConfigStored {
        /// Its generation.
        generation: u64,
    },
    /// Reboot or power-off has begun.
    Stopping {
        /// Who asked.
        reason: String,
    },
    /// Events between the asked-for and the next one are no longer kept.
    Lost {
        /// How many.
        count: u64,
    },
}

/// A registered child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Process id.
    pub pid: i32,
    /// Its start time.
    pub start_time: u64,
    /// The registrar's own name for it.
    pub label: String,
    /// Its fate.
    pub exit: ExitState,
}

/// Fate of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitState {
    /// It is alive.
    Running,
    /// It ended.
    Exited {
        /// Exit code, or 128 + signal.
        code: i32,
        /// The signal that killed it.
        signal: Option<i32>,
        /// Milliseconds since 1970 when it was reaped.
        time_ms: u64,
    },
    /// `init` has never seen it, or has forgotten it.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesser_service_may_look_but_not_act() {
        let time_service = 903;
        assert!(Request::Status.allowed_for(time_service));
        for refused in [
            Request::Reboot,
            Request::ConfigGet,
            Request::OpenKernelLog,
            Request::Children,
        ] {
            assert!(!refused.allowed_for(time_service), "{refused:?}");
        }
        assert!(!may_send_configs(time_service));
        assert!(Request::Reboot.allowed_for(MACHINE_API_USER));
        assert!(!Request::Children.allowed_for(MACHINE_API_USER));
    }

    #[test]
    fn the_fetcher_may_give_a_first_config_and_nothing_else() {
        let apply = |effect, only_in_maintenance| Request::ConfigApply {
            config: Vec::new(),
            effect,
            only_in_maintenance,
        };
        let mut allowed = 0;
        for effect in [ApplyEffect::NoReboot, ApplyEffect::Reboot] {
            for only_in_maintenance in [false, true] {
                let request = apply(effect, only_in_maintenance);
                assert!(request.allowed_for(MACHINE_API_USER));
                allowed += usize::from(request.allowed_for(FETCH_CONFIG_USER));
            }
        }
        assert_eq!(allowed, 1);
        assert!(apply(ApplyEffect::NoReboot, true).allowed_for(FETCH_CONFIG_USER));
        for refused in [Request::ConfigGet, Request::Reboot, Request::OpenKernelLog] {
            assert!(!refused.allowed_for(FETCH_CONFIG_USER), "{refused:?}");
        }
    }
}
