//! The one table of supervised services. Adding a service is one entry here, one crate under
//! `services/`, and one line in the `orlop` program.
//!
//! `orlop plan` fills each entry's `config` and hands the chosen ones to `init`; when there is no plan
//! at all, `init` falls back to [`maintenance`].

use crate::plan::{
    CgroupLimits, Condition, ConfigSource, HealthCheck, HealthProbe, Mode, PLAN_VERSION, Plan,
    Readiness, Reload, Restart, Seccomp, ServiceKind, ServiceSpec,
};
use std::time::Duration;

/// User and group ids of the services. The image's `/etc/passwd` and `/etc/group` carry the same
/// numbers; an image test compares.
pub const USERS: [(&str, u32); 6] = [
    ("root", 0),
    ("orlop-plan", 900),
    ("orlop-machine-api", 901),
    ("orlop-network", 902),
    ("orlop-time", 903),
    ("orlop-fetch-config", 904),
];

/// User id of `orlop plan`.
pub const PLAN_USER: u32 = 900;
/// User id of the machine API, the only one that may ask `init` for everything.
pub const MACHINE_API_USER: u32 = 901;
/// User id of the config fetcher, which may give a machine its first config and nothing else.
pub const FETCH_CONFIG_USER: u32 = 904;

/// Name of the machine API's service.
pub const MACHINE_API: &str = "machine-api";
/// Name of the service that fetches the machine config from a URL.
pub const FETCH_CONFIG: &str = "fetch-config";
/// Flag of the machine API: it takes no config over the network, see [`close`].
pub const CLOSED: &str = "--closed";

/// capabilities(7): network administration.
pub const CAP_NET_ADMIN: u8 = 12;
/// capabilities(7): ports below 1024.
pub const CAP_NET_BIND_SERVICE: u8 = 10;
/// capabilities(7): raw and packet sockets (DHCP).
pub const CAP_NET_RAW: u8 = 13;
/// capabilities(7): hostname. Needed by the network service.
pub const CAP_SYS_ADMIN: u8 = 21;
/// capabilities(7): growing file systems.
pub const CAP_SYS_RESOURCE: u8 = 24;
/// capabilities(7): system clock and RTC.
pub const CAP_SYS_TIME: u8 = 25;

const SIGTERM: i32 = 15;
const MIB: u64 = 1024 * 1024;

/// When a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// In maintenance mode.
    pub maintenance: bool,
    /// On control-plane nodes.
    pub control_plane: bool,
    /// On worker nodes.
    pub worker: bool,
    /// It acts on the whole machine: a sandboxed node leaves it out.
    pub whole_machine: bool,
    /// Its config is its whole work: a plan that has none for it leaves it out.
    pub needs_config: bool,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it runs.
    pub runs: Runs,
    /// How it runs; `config` is empty.
    pub spec: ServiceSpec,
}

/// The table. The installer is not in it: it is part of a boot phase, see [`installer`].
#[must_use]
pub fn table() -> Vec<Entry> {
    let everywhere = Runs {
        maintenance: true,
        control_plane: true,
        worker: true,
        whole_machine: false,
        needs_config: false,
    };
    vec![
        Entry {
            runs: everywhere,
            spec: ServiceSpec {
                user: 902,
                group: 902,
                capabilities: vec![
                    CAP_NET_ADMIN,
                    CAP_NET_BIND_SERVICE,
                    CAP_NET_RAW,
                    CAP_SYS_ADMIN,
                ],
                oom_score_adjust: -900,
                state_directory: true,
                ..daemon("network")
            },
        },
        Entry {
            runs: Runs {
                whole_machine: true,
                ..everywhere
            },
            spec: ServiceSpec {
                user: 903,
                group: 903,
                capabilities: vec![CAP_NET_BIND_SERVICE, CAP_SYS_TIME],
                seccomp: Seccomp::Clock,
                after: vec!["network".into()],
                // It is up when the clock is right, or after the config's boot timeout of at most
                // ten minutes.
                start_timeout: Duration::from_secs(11 * 60),
                state_directory: true,
                ..daemon("time")
            },
        },
        Entry {
            runs: everywhere,
            spec: ServiceSpec {
                user: MACHINE_API_USER,
                group: MACHINE_API_USER,
                oom_score_adjust: -900,
                state_directory: true,
                limits: CgroupLimits {
                    memory_max: Some(256 * MIB),
                    pids_max: Some(64),
                    ..CgroupLimits::default()
                },
                ..daemon(MACHINE_API)
            },
        },
        Entry {
            runs: Runs {
                control_plane: false,
                worker: false,
                needs_config: true,
                ..everywhere
            },
            spec: ServiceSpec {
                user: FETCH_CONFIG_USER,
                group: FETCH_CONFIG_USER,
                after: vec!["network".into()],
                ..daemon(FETCH_CONFIG)
            },
        },
    ]
}

/// The installer one-shot of the `volumes` phase. It needs the disks, so it is root.
#[must_use]
pub fn installer() -> ServiceSpec {
    ServiceSpec {
        kind: ServiceKind::OneShot,
        readiness: Readiness::Started,
        health: None,
        restart: Restart::Never,
        user: 0,
        group: 0,
        // CHOWN, DAC_OVERRIDE, SYS_RAWIO; growing a mounted ext4 asks for SYS_RESOURCE.
        capabilities: vec![CAP_SYS_ADMIN, 0, 1, 17, CAP_SYS_RESOURCE],
        // e2fsck needs memory by the size of the disk, and nothing else runs yet.
        limits: CgroupLimits::default(),
        seccomp: Seccomp::Unfiltered,
        start_timeout: Duration::from_secs(120),
        ..daemon("installer")
    }
}

/// A daemon of the `orlop` program with the defaults of the house.
#[must_use]
pub fn daemon(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.into(),
        command: vec![crate::paths::ORLOP.into(), name.into()],
        kind: ServiceKind::Daemon,
        after: Vec::new(),
        requires: Vec::new(),
        condition: Condition::Always,
        readiness: Readiness::Notify,
        // TCG under load has shown seconds where hardware takes milliseconds.
        start_timeout: Duration::from_secs(60),
        health: Some(HealthCheck {
            probe: HealthProbe::Watchdog,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            failures: 1,
        }),
        restart: Restart::Always,
        backoff_initial: Duration::from_millis(250),
        backoff_reset: Duration::from_secs(60),
        stop_signal: SIGTERM,
        stop_deadline: Duration::from_secs(10),
        user: 0,
        group: 0,
        capabilities: Vec::new(),
        limits: CgroupLimits {
            memory_max: Some(128 * MIB),
            pids_max: Some(64),
            ..CgroupLimits::default()
        },
        oom_score_adjust: 0,
        seccomp: Seccomp::Service,
        no_new_privileges: true,
        state_directory: false,
        config: Vec::new(),
        reload: Reload::Hangup,
    }
}

/// Whether `entry` belongs to a node of this mode.
#[must_use]
pub fn runs_in(entry: &Entry, mode: &Mode, sandboxed: bool) -> bool {
    let role = match mode {
        Mode::Maintenance { .. } => entry.runs.maintenance,
        Mode::ControlPlane => entry.runs.control_plane,
        Mode::Worker => entry.runs.worker,
    };
    role && !(sandboxed && entry.runs.whole_machine)
}

/// The plan for a node without a plan: the services that let a person look and give a config.
#[must_use]
pub fn maintenance(reason: String, sandboxed: bool) -> Plan {
    let mode = Mode::Maintenance { reason };
    let services = table()
        .into_iter()
        .filter(|entry| runs_in(entry, &mode, sandboxed) && !entry.runs.needs_config)
        .map(|entry| entry.spec)
        .collect();
    Plan {
        version: PLAN_VERSION,
        mode,
        explained_by: None,
        source: ConfigSource::None,
        store_config: None,
        sysctls: Vec::new(),
        modules: Vec::new(),
        installer: None,
        services,
    }
}

/// The plan for a node that cannot do what was planned: maintenance mode, but each service keeps its
/// settings. The machine API then goes on to trust whom it was to trust: a failed boot never opens a
/// configured node to whoever reaches it. A config is not fetched: a person must look first.
#[must_use]
pub fn maintenance_of(planned: &Plan, reason: String, sandboxed: bool) -> Plan {
    let mut plan = maintenance(reason, sandboxed);
    plan.source = planned.source;
    for service in &mut plan.services {
        let same = planned
            .services
            .iter()
            .find(|other| other.name == service.name);
        if let Some(other) = same {
            service.command.clone_from(&other.command);
            service.config.clone_from(&other.config);
        }
    }
    plan
}

/// Makes the machine API take no config over the network. For a node that has a config on STATE of which
/// nobody can say whom it trusts: such a node may belong to a cluster, so it is not for the first comer.
pub fn close(plan: &mut Plan) {
    for service in &mut plan.services {
        if service.name == MACHINE_API && !service.command.iter().any(|word| word == CLOSED) {
            service.command.push(CLOSED.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_unique_and_every_dependency_exists() {
        let table = table();
        let names: BTreeSet<_> = table.iter().map(|entry| entry.spec.name.clone()).collect();
        assert_eq!(names.len(), table.len());
        for entry in &table {
            for needed in entry.spec.after.iter().chain(&entry.spec.requires) {
                assert!(names.contains(needed), "{} needs {needed}", entry.spec.name);
            }
        }
    }

    #[test]
    fn a_node_in_maintenance_keeps_whom_it_trusts() {
        let mut planned = maintenance("x".into(), false);
        for service in &mut planned.services {
            service.config = format!("config of {}", service.name).into_bytes();
        }
        close(&mut planned);
        for mode in [planned.mode.clone(), Mode::Worker] {
            planned.mode = mode;
            let kept = maintenance_of(&planned, "y".into(), false);
            assert_eq!(kept.mode, Mode::Maintenance { reason: "y".into() });
            assert_eq!(kept.services, planned.services);
        }
    }

    #[test]
    fn a_machine_api_is_closed_once() {
        let mut plan = maintenance("x".into(), false);
        close(&mut plan);
        close(&mut plan);
        for service in &plan.services {
            let flags = service.command.iter().filter(|word| *word == CLOSED);
            assert_eq!(flags.count(), usize::from(service.name == MACHINE_API));
        }
    }

    #[test]
    fn nothing_is_fetched_without_a_url() {
        let plan = maintenance("x".into(), false);
        assert!(
            plan.services
                .iter()
                .all(|service| service.name != FETCH_CONFIG)
        );
        let user = USERS.iter().find(|(_, user)| *user == FETCH_CONFIG_USER);
        assert!(user.is_some());
    }

    #[test]
    fn a_sandboxed_node_never_sets_the_clock() {
        let plan = maintenance("test".into(), true);
        assert!(
            plan.services
                .iter()
                .all(|service| service.seccomp != Seccomp::Clock)
        );
    }
}
