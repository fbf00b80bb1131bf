//! From `init`'s types to the wire's.

use init_proto::{
    control::{self, Event, EventKind, PhaseState, PhaseStatus, ServiceState, ServiceStatus},
    plan::{ConfigSource, Mode},
};
use machine_proto::v1alpha1 as wire;
use prost_types::{Duration, Timestamp};

/// Milliseconds as protobuf's Duration.
#[must_use]
pub fn duration(milliseconds: u64) -> Duration {
    microseconds(milliseconds.saturating_mul(1000))
}

/// Microseconds as protobuf's Duration.
#[must_use]
pub fn microseconds(microseconds: u64) -> Duration {
    Duration {
        seconds: i64::try_from(microseconds / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(microseconds % 1_000_000 * 1000).unwrap_or(0),
    }
}

/// Milliseconds since 1970 as protobuf's Timestamp.
#[must_use]
pub fn timestamp(milliseconds: u64) -> Timestamp {
    let Duration { seconds, nanos } = duration(milliseconds);
    Timestamp { seconds, nanos }
}

/// Protobuf's Timestamp as milliseconds since 1970; times before are 0.
#[must_use]
pub fn milliseconds(time: &Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let milliseconds = u64::try_from(time.nanos / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(milliseconds)
}

/// Mode and the reason for maintenance mode.
#[must_use]
pub fn mode(mode: &Mode) -> (wire::Mode, String) {
    match mode {
        Mode::Maintenance { reason } => (wire::Mode::Maintenance, reason.clone()),
        Mode::ControlPlane => (wire::Mode::ControlPlane, String::new()),
        Mode::Worker => (wire::Mode::Worker, String::new()),
    }
}

/// Where the config came from, in the words of the documentation.
#[must_use]
pub const fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::None => "",
        ConfigSource::Pending => "machine API",
        ConfigSource::State => "STATE",
        ConfigSource::Esp => "ESP",
        ConfigSource::FwCfg => "QEMU fw_cfg",
        ConfigSource::Smbios => "SMBIOS",
        ConfigSource::NoCloud => "NoCloud",
        ConfigSource::Url => "URL",
        ConfigSource::Sandbox => "sandbox",
    }
}

/// A boot phase.
#[must_use]
pub fn phase(phase: PhaseStatus) -> wire::BootPhase {
    let (state, reason) = match phase.state {
        PhaseState::Pending => (wire::PhaseState::Pending, String::new()),
        PhaseState::Running => (wire::PhaseState::Running, String::new()),
        PhaseState::Done => (wire::PhaseState::Done, String::new()),
        PhaseState::Skipped => (wire::PhaseState::Skipped, String::new()),
        PhaseState::Failed { reason } => (wire::PhaseState::Failed, reason),
    };
    wire::BootPhase {
        name: phase.name,
        whole_machine: phase.whole_machine,
        state: state.into(),
        started_after: Some(duration(phase.started_ms)),
        took: Some(duration(phase.took_ms)),
        reason,
    }
}

/// A service's state.
#[must_use]
pub const fn service_state(state: ServiceState) -> wire::ServiceState {
    match state {
        ServiceState::Waiting => wire::ServiceState::Waiting,
        ServiceState::Starting => wire::ServiceState::Starting,
        ServiceState::Running => wire::ServiceState::Running,
        ServiceState::Stopping => wire::ServiceState::Stopping,
        ServiceState::BackOff => wire::ServiceState::BackOff,
        ServiceState::Finished => wire::ServiceState::Finished,
        ServiceState::Failed => wire::ServiceState::Failed,
        ServiceState::Stopped => wire::ServiceState::Stopped,
    }
}

/// A service.
#[must_use]
pub fn service(status: ServiceStatus) -> wire::Service {
    wire::Service {
        name: status.name,
        state: service_state(status.state).into(),
        ready: status.ready,
        pid: status.pid.unwrap_or(0),
        restarts: status.restarts,
        since: Some(duration(status.since_ms)),
        last_exit: status.last_exit.unwrap_or_default(),
        message: status.message,
        memory_bytes: status.memory_bytes,
    }
}

/// A log line; `lost` lines went missing before it.
#[must_use]
pub fn log_line(line: control::LogLine, lost: u64) -> wire::LogLine {
    wire::LogLine {
        time: Some(timestamp(line.time_ms)),
        level: line.level.into(),
        text: line.text,
        lost,
    }
}

/// An event of this boot.
#[must_use]
pub fn event(event: Event, boot_id: &str) -> wire::Event {
    use wire::event::Kind;
    let kind = match event.kind {
        EventKind::Phase(status) => Kind::Phase(phase(status)),
        EventKind::Service {
            name,
            state,
            ready,
            message,
        } => Kind::Service(wire::ServiceChanged {
            name,
            state: service_state(state).into(),
            ready,
            message,
        }),
        EventKind::Mode(changed) => {
            let (mode, reason) = mode(&changed);
            Kind::Mode(wire::ModeChanged {
                mode: mode.into(),
                reason,
            })
        }
        EventKind::ConfigStored { generation } => Kind::Config(wire::ConfigStored { generation }),
        EventKind::Stopping { reason } => Kind::Stopping(wire::Stopping { reason }),
        EventKind::Lost { count } => Kind::Lost(wire::Lost { count }),
    };
    wire::Event {
        sequence: event.sequence,
        time: Some(timestamp(event.time_ms)),
        boot_id: boot_id.to_owned(),
        kind: Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(time: u64, seconds: i64, nanos: i32) {
        assert_eq!(timestamp(time), Timestamp { seconds, nanos });
        assert_eq!(milliseconds(&timestamp(time)), time);
    }

    #[test]
    fn times_go_both_ways() {
        check(0, 0, 0);
        check(1_999, 1, 999_000_000);
        check(1_763_000_000_001, 1_763_000_000, 1_000_000);
        let before = Timestamp {
            seconds: -5,
            nanos: 0,
        };
        assert_eq!(milliseconds(&before), 0);
    }
}
