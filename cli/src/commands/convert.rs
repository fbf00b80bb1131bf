//! The wire's messages as JSON values, with the proto's field names in camelCase (proto3's JSON form
//! but for durations, which are seconds as a number).

use machine_proto::v1alpha1 as wire;
use prost_types::{Duration, Timestamp, value::Kind};
use serde_json::{Map, Value, json};

/// A duration in seconds.
pub(crate) fn seconds(duration: Option<&Duration>) -> f64 {
    duration.map_or(0.0, |duration| {
        f64::from(i32::try_from(duration.seconds).unwrap_or(i32::MAX))
            + f64::from(duration.nanos) / 1e9
    })
}

/// A point of time as RFC 3339 has it.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

/// An enum's name without its prefix: `SERVICE_STATE_BACK_OFF` is `back-off`.
pub(crate) fn name(full: &str, prefix: &str) -> String {
    full.strip_prefix(prefix)
        .unwrap_or(full)
        .to_lowercase()
        .replace('_', "-")
}

/// A node's mode.
pub(crate) fn mode(mode: i32) -> String {
    let mode = wire::Mode::try_from(mode).unwrap_or_default();
    name(mode.as_str_name(), "MODE_")
}

/// A phase's state.
pub(crate) fn phase_state(state: i32) -> String {
    let state = wire::PhaseState::try_from(state).unwrap_or_default();
    name(state.as_str_name(), "PHASE_STATE_")
}

/// A service's state.
pub(crate) fn service_state(state: i32) -> String {
    let state = wire::ServiceState::try_from(state).unwrap_or_default();
    name(state.as_str_name(), "SERVICE_STATE_")
}

/// An apply mode.
pub(crate) fn apply_mode(mode: i32) -> String {
    let mode = wire::ApplyMode::try_from(mode).unwrap_or_default();
    name(mode.as_str_name(), "APPLY_MODE_")
}

/// A syslog severity by name.
pub(crate) fn level(level: u32) -> &'static str {
    match level {
        0 => "emerg",
        1 => "alert",
        2 => "crit",
        3 => "err",
        4 => "warning",
        5 => "notice",
        6 => "info",
        _ => "debug",
    }
}

/// A version answer.
pub(crate) fn version(version: &wire::VersionResponse) -> Value {
    json!({
        "version": version.version,
        "apiVersion": version.api_version,
        "machineId": version.machine_id,
        "bootId": version.boot_id,
        "hostname": version.hostname,
        "mode": mode(version.mode),
        "maintenanceReason": version.maintenance_reason,
        "architecture": version.architecture,
        "kernel": version.kernel,
        "configSource": version.config_source,
        "configGeneration": version.config_generation,
        "clusterName": version.cluster_name,
        "sandboxed": version.sandboxed,
    })
}

/// A boot phase.
pub(crate) fn phase(phase: &wire::BootPhase) -> Value {
    json!({
        "name": phase.name,
        "wholeMachine": phase.whole_machine,
        "state": phase_state(phase.state),
        "startedAfter": seconds(phase.started_after.as_ref()),
        "took": seconds(phase.took.as_ref()),
        "reason": phase.reason,
    })
}

/// A service.
pub(crate) fn service(service: &wire::Service) -> Value {
    json!({
        "name": service.name,
        "state": service_state(service.state),
        "ready": service.ready,
        "pid": service.pid,
        "restarts": service.restarts,
        "since": seconds(service.since.as_ref()),
        "lastExit": service.last_exit,
        "message": service.message,
        "memoryBytes": service.memory_bytes,
    })
}

/// An event.
pub(crate) fn event(event: &wire::Event) -> Value {
    use wire::event::Kind;
    let mut value = json!({
        "sequence": event.sequence,
        "time": time(event.time.as_ref()),
        "bootId": event.boot_id,
    });
    let (key, inner) = match &event.kind {
        Some(Kind::Phase(phase_status)) => ("phase", phase(phase_status)),
        Some(Kind::Service(changed)) => (
            "service",
            json!({
                "name": changed.name,
                "state": service_state(changed.state),
                "ready": changed.ready,
                "message": changed.message,
            }),
        ),
        Some(Kind::Mode(changed)) => (
            "mode",
            json!({ "mode": mode(changed.mode), "reason": changed.reason }),
        ),
        Some(Kind::Config(stored)) => ("config", json!({ "generation": stored.generation })),
        Some(Kind::Stopping(stopping)) => ("stopping", json!({ "reason": stopping.reason })),
        Some(Kind::Lost(lost)) => ("lost", json!({ "count": lost.count })),
        None => ("unknown", Value::Null),
    };
    value[key] = inner;
    value
}

/// An event in a line.
pub(crate) fn event_line(event: &wire::Event) -> String {
    use wire::event::Kind;
    let with = |text: &str, extra: &str| {
        if extra.is_empty() {
            text.to_owned()
        } else {
            format!("{text}: {extra}")
        }
    };
    let what = match &event.kind {
        Some(Kind::Phase(phase)) => with(
            &format!("phase {} {}", phase.name, phase_state(phase.state)),
            &phase.reason,
        ),
        Some(Kind::Service(service)) => {
            let ready = if service.ready { ", ready" } else { "" };
            let text = format!(
                "service {} {}{ready}",
                service.name,
                service_state(service.state)
            );
            with(&text, &service.message)
        }
        Some(Kind::Mode(changed)) => with(&format!("mode {}", mode(changed.mode)), &changed.reason),
        Some(Kind::Config(stored)) => format!("config generation {} stored", stored.generation),
        Some(Kind::Stopping(stopping)) => with("stopping", &stopping.reason),
        Some(Kind::Lost(lost)) => format!("{} events are lost", lost.count),
        None => "an event that this program does not know".to_owned(),
    };
    format!("{} {} {what}", event.sequence, time(event.time.as_ref()))
}

/// A resource.
pub(crate) fn resource(resource: &wire::Resource) -> Value {
    json!({
        "kind": resource.kind,
        "id": resource.id,
        "version": resource.version,
        "spec": Value::Object(spec(resource)),
    })
}

/// A resource's fields.
pub(crate) fn spec(resource: &wire::Resource) -> Map<String, Value> {
    resource
        .spec
        .iter()
        .flat_map(|spec| &spec.fields)
        .map(|(key, field)| (key.clone(), value(field)))
        .collect()
}

fn value(field: &prost_types::Value) -> Value {
    match &field.kind {
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::NumberValue(number)) => whole(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(value).collect(),
        Some(Kind::StructValue(fields)) => fields
            .fields
            .iter()
            .map(|(key, field)| (key.clone(), value(field)))
            .collect::<Map<_, _>>()
            .into(),
        Some(Kind::NullValue(_)) | None => Value::Null,
    }
}

/// Protobuf's numbers are doubles; whole ones are shown as such.
fn whole(number: f64) -> Value {
    let text = format!("{number}");
    match text.parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_names() {
        assert_eq!(whole(4096.0), json!(4096));
        assert_eq!(whole(0.5), json!(0.5));
        assert_eq!(name("SERVICE_STATE_BACK_OFF", "SERVICE_STATE_"), "back-off");
        let moment = Timestamp {
            seconds: 0,
            nanos: 5_000_000,
        };
        assert_eq!(time(Some(&moment)), "1970-01-01T00:00:00.005Z");
        assert_eq!(mode(99), "unspecified");
    }
}
