//! The small typed plan that `orlop plan` writes to standard output as one [`crate::frame`].
//!
//! `init` acts on it without understanding what is behind it: it never sees YAML, names or URLs.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Version of this encoding. `init` and `orlop` come from one release, so a difference is a broken
/// image; `init` then goes to maintenance mode.
pub const PLAN_VERSION: u32 = 2;

/// What the machine shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Role, or why there is none.
    pub mode: Mode,
    /// The service that works on ending maintenance mode: what it says of itself (`STATUS=`) is a part
    /// of the reason.
    pub explained_by: Option<String>,
    /// Where the config was found, for people ("STATE", "QEMU fw_cfg", ...).
    pub source: ConfigSource,
    /// The config as found, when it must be stored on STATE because it came from elsewhere.
    pub store_config: Option<Vec<u8>>,
    /// `/proc/sys` keys with dots and their values, applied in this order after the hardening ones.
    pub sysctls: Vec<(String, String)>,
    /// Kernel modules to load by name, with parameters ("key=value").
    pub modules: Vec<ModuleRequest>,
    /// The one-shot that prepares the disk, before `volumes` mounts it. None: no disk is touched
    /// (maintenance mode, and sandboxed nodes).
    pub installer: Option<ServiceSpec>,
    /// Services to run, in no particular order: `after` and `requires` order them.
    pub services: Vec<ServiceSpec>,
}

/// Role of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Takes nothing but a config.
    Maintenance {
        /// Why, one paragraph for a person.
        reason: String,
    },
    /// Runs the control plane and the node's services.
    ControlPlane,
    /// Runs the node's services.
    Worker,
}

/// Where the machine config came from, in the order of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSource {
    /// No config anywhere.
    None,
    /// Given over the API in maintenance mode, not yet on STATE.
    Pending,
    /// STATE partition.
    State,
    /// `orlop.yaml` on the ESP.
    Esp,
    /// QEMU fw_cfg `opt/io.orlop/config`.
    FwCfg,
    /// SMBIOS OEM strings.
    Smbios,
    /// NoCloud (`cidata`) volume.
    NoCloud,
    /// URL on the kernel command line: not fetched yet, or fetched and not yet on STATE.
    Url,
    /// File injected into a sandboxed node.
    Sandbox,
}

/// A kernel module by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRequest {
    /// Name or alias; `-` and `_` are the same.
    pub name: String,
    /// Parameters, "key=value".
    pub parameters: Vec<String>,
}

/// Everything `init` knows of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Unique name: lower-case letters, digits and `-`.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Daemon or one-shot.
    pub kind: ServiceKind,
    /// Started after these are up (ready, or exited 0 for one-shots), where they are in the plan.
    pub after: Vec<String>,
    /// As `after`, and stopped when one of these stops for good.
    pub requires: Vec<String>,
    /// Waits for this before the first start.
    pub condition: Condition,
    /// When it counts as up.
    pub readiness: Readiness,
    /// Killed and restarted when not up after this time.
    pub start_timeout: Duration,
    /// Restarts a service that runs but no longer works.
    pub health: Option<HealthCheck>,
    /// When to start it again.
    pub restart: Restart,
    /// First wait before a restart; doubles up to [`BACKOFF_CAP`], with jitter.
    pub backoff_initial: Duration,
    /// A run this long resets the back-off.
    pub backoff_reset: Duration,
    /// Signal that asks it to stop (number).
    pub stop_signal: i32,
    /// Then SIGKILL to its whole cgroup.
    pub stop_deadline: Duration,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Capability numbers kept (ambient, permitted, inheritable, bounding); all others are dropped.
    pub capabilities: Vec<u8>,
    /// Limits of its cgroup.
    pub limits: CgroupLimits,
    /// `oom_score_adj`, -1000..=1000. The control plane dies last.
    pub oom_score_adjust: i16,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Sets no_new_privs. True for everything but the container runtime.
    pub no_new_privileges: bool,
    /// Gets a private directory on STATE, see [`crate::paths::STATE_SERVICES`].
    pub state_directory: bool,
    /// The service's own part of the config, written to its runtime directory. Empty: none.
    pub config: Vec<u8>,
    /// What to do when only `config` changed.
    pub reload: Reload,
}

/// Longest wait between two restarts.
pub const BACKOFF_CAP: Duration = Duration::from_secs(60);

/// Daemon or one-shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Runs until stopped.
    Daemon,
    /// Runs once; exit code 0 counts as up and is final.
    OneShot,
}

/// Start condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// None.
    Always,
    /// An absolute path exists.
    PathExists(String),
}

/// When a started service counts as up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// As soon as it runs.
    Started,
    /// When it sends `READY=1` (sd_notify(3)).
    Notify,
    /// When a connection to this Unix stream socket is accepted.
    UnixSocket(String),
    /// When a TCP connection to this port of 127.0.0.1 is accepted.
    TcpPort(u16),
}

/// Periodic check of a service that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// How it is checked.
    pub probe: HealthProbe,
    /// Time between checks; for [`HealthProbe::Watchdog`] the longest silence.
    pub interval: Duration,
    /// Longest wait for one check's answer.
    pub timeout: Duration,
    /// Restarted after this many failures in a row.
    pub failures: u32,
}

/// How health is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthProbe {
    /// The service must send `WATCHDOG=1` (`WATCHDOG_USEC` tells it how often).
    Watchdog,
    /// A connection to this Unix stream socket must be accepted.
    UnixSocket(String),
    /// A TCP connection to this port of 127.0.0.1 must be accepted.
    TcpPort(u16),
}

/// Restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// However it ended.
    Always,
    /// After a non-zero exit, a signal or a timeout.
    OnFailure,
    /// Never.
    Never,
}

/// Limits of a service's cgroup (v2 names). None: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimits {
    /// `memory.max` in bytes.
    pub memory_max: Option<u64>,
    /// `memory.low` in bytes: protected from reclaim.
    pub memory_low: Option<u64>,
    /// `pids.max`.
    pub pids_max: Option<u32>,
    /// `cpu.weight`, 1..=10000.
    pub cpu_weight: Option<u16>,
}

/// System call filter of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Refuses (EPERM) what no service needs: kexec, modules, mounts, namespaces, swap, reboot,
    /// clocks, keyrings, ptrace, bpf, perf, raw I/O ports, userfaultfd, io_uring.
    Service,
    /// As `Service`, but clocks may be set (time service).
    Clock,
    /// No filter (installer, runtime).
    Unfiltered,
}

/// What to do with a running service when only its config changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reload {
    /// Send SIGHUP after the new config is in place.
    Hangup,
    /// Stop and start.
    Restart,
}
