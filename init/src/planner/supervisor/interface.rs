//! What goes into the supervisor and what comes out of it.
//!
//! Names are the services' names in the plan. An event of an attempt that is not the service's live one
//! is stale and ignored, so the executor need not track which of its reports still matter.

use super::graph::PlanError;
use init_proto::control::{RefusalKind, ServiceState};
use init_proto::plan::{HealthProbe, Readiness, ServiceSpec};
use std::time::Duration;

/// Number of one start of one service; never used twice while `init` runs, over all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Attempt(pub(crate) u64);

/// How a main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It called exit(2) with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// What a service said of itself by sd_notify(3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// `READY=1`
    Ready,
    /// `STOPPING=1`
    Stopping,
    /// `WATCHDOG=1`
    Watchdog,
    /// `STATUS=...`
    Status(String),
}

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whether a starting service is up.
    Readiness,
    /// Whether a service that is up still works.
    Health,
}

/// One probe; its answer carries it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Service.
    pub(crate) name: String,
    /// The start that is probed.
    pub(crate) attempt: Attempt,
    /// Why.
    pub(crate) purpose: Purpose,
    /// Tells this probe from earlier ones of the same attempt.
    pub(crate) serial: u64,
}

/// Where a probe connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeTarget {
    /// A Unix stream socket's absolute path.
    UnixSocket(String),
    /// A TCP port of 127.0.0.1.
    TcpPort(u16),
}

impl ProbeTarget {
    /// Target of a readiness kind, if it is probed at all.
    pub(crate) fn of_readiness(readiness: &Readiness) -> Option<Self> {
        match readiness {
            Readiness::Started | Readiness::Notify => None,
            Readiness::UnixSocket(path) => Some(Self::UnixSocket(path.clone())),
            Readiness::TcpPort(port) => Some(Self::TcpPort(*port)),
        }
    }

    /// Target of a health check, if it is probed at all.
    pub(crate) fn of_health(probe: &HealthProbe) -> Option<Self> {
        match probe {
            HealthProbe::Watchdog => None,
            HealthProbe::UnixSocket(path) => Some(Self::UnixSocket(path.clone())),
            HealthProbe::TcpPort(port) => Some(Self::TcpPort(*port)),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// These services shall run, and no others. Answered by [`Action::PlanRefused`] where they cannot
    /// be ordered or are out of bounds; the old plan then stays.
    PlanChanged(Vec<ServiceSpec>),
    /// [`Action::Spawn`] was done. Every spawn is answered by this or by `StartFailed`.
    Started {
        /// Service.
        name: String,
        /// The spawn's.
        attempt: Attempt,
        /// Main process.
        pid: i32,
    },
    /// [`Action::Spawn`], or the [`Action::WriteConfig`] before it, could not be done; no process of
    /// this attempt is left.
    StartFailed {
        /// Service.
        name: String,
        /// The spawn's.
        attempt: Attempt,
        /// What went wrong, for a person.
        reason: String,
    },
    /// The main process was reaped. Others of its cgroup may still live.
    Exited {
        /// Service.
        name: String,
        /// The spawn's.
        attempt: Attempt,
        /// How it ended.
        status: ExitStatus,
    },
    /// The service sent a notification.
    Notified {
        /// Service.
        name: String,
        /// The sender's, found by its process.
        attempt: Attempt,
        /// What it said.
        notice: Notice,
    },
    /// Answer to [`Action::Probe`].
    ProbeResult {
        /// As in the action.
        probe: Probe,
        /// A connection was accepted in time.
        ok: bool,
    },
    /// Answer to [`Action::CheckCondition`].
    ConditionResult {
        /// Service.
        name: String,
        /// As in the action.
        path: String,
        /// It exists.
        ok: bool,
    },
    /// Start it, whatever stopped or ended it; answered by [`Action::RequestRefused`] where that is
    /// impossible.
    StartRequest {
        /// Service.
        name: String,
    },
    /// Stop it until it is started by request, or reboot.
    StopRequest {
        /// Service.
        name: String,
    },
    /// Stop and start it, without back-off.
    RestartRequest {
        /// Service.
        name: String,
    },
    /// Stop everything. `deadline` is on the clock of `now`; a second one can only be earlier.
    Shutdown {
        /// [`Action::ShutdownComplete`] comes at this time at the latest.
        deadline: Duration,
    },
    /// Time has passed. Timers fire on this event only, so that an executor that was held up can hand
    /// in what it has received (a watchdog's sign of life) before it lets time pass.
    Tick,
}

/// What to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write the config of [`super::Supervisor::spec`] to the service's runtime directory, or remove
    /// the file where that config is empty.
    WriteConfig {
        /// Service.
        name: String,
    },
    /// Start a process as [`super::Supervisor::spec`] says. Processes of earlier attempts have been
    /// sent SIGKILL, but may not be gone yet.
    Spawn {
        /// Service.
        name: String,
        /// Number of this start.
        attempt: Attempt,
    },
    /// Send a signal to the main process.
    Signal {
        /// Service.
        name: String,
        /// Its live attempt.
        attempt: Attempt,
        /// Signal number.
        signal: i32,
    },
    /// Send SIGKILL to every process of the attempt's cgroup. Nothing to do where there is none.
    KillCgroup {
        /// Service.
        name: String,
        /// Its attempt.
        attempt: Attempt,
    },
    /// Try to connect, then send [`Event::ProbeResult`]. An answer that never comes counts as failed.
    Probe {
        /// Goes back with the answer.
        probe: Probe,
        /// Where to.
        target: ProbeTarget,
        /// Longest wait.
        timeout: Duration,
    },
    /// See whether the path exists, then send [`Event::ConditionResult`].
    CheckCondition {
        /// Service.
        name: String,
        /// Absolute path.
        path: String,
    },
    /// A service's state or readiness changed.
    Changed {
        /// Service.
        name: String,
        /// New state.
        state: ServiceState,
        /// Whether it counts as up.
        ready: bool,
        /// Why, for a person.
        message: String,
    },
    /// The plan was refused; the old one stays.
    PlanRefused(PlanError),
    /// A request was refused; nothing has changed.
    RequestRefused {
        /// Service.
        name: String,
        /// Kind of refusal.
        kind: RefusalKind,
        /// Why, for a person.
        message: String,
    },
    /// Every service has ended, or the deadline is here. Comes once; nothing follows it.
    ShutdownComplete,
}
