//! What `kubectl get pods` shows.

use objects::time::Time;
use serde_json::Value;

use super::container::is_restartable;
use crate::{
    rules::{AGE, Column, NAME, age},
    value::Fields,
};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::new(
        "Ready",
        "string",
        "How many of the containers are ready.",
        |pod, _| {
            let summary = summarise(pod);
            format!("{}/{}", summary.ready, summary.containers).into()
        },
    ),
    Column::new(
        "Status",
        "string",
        "What the containers are at.",
        |pod, _| summarise(pod).reason.into(),
    ),
    Column::new(
        "Restarts",
        "string",
        "How often containers were restarted, and when last.",
        |pod, now| {
            let summary = summarise(pod);
            match summary.last_restart.filter(|_| summary.restarts != 0) {
                Some(time) => {
                    let ago = age(Some(&time.to_string().into()), now);
                    format!(
                        "{} ({} ago)",
                        summary.restarts,
                        ago.as_str().unwrap_or_default()
                    )
                    .into()
                }
                None => summary.restarts.to_string().into(),
            }
        },
    ),
    AGE,
    Column::new("IP", "string", "The pod's first address.", |pod, _| {
        let first = pod.part("status").items("podIPs").first();
        or_none(first.map_or("", |address| address.text("ip")))
    })
    .wide(),
    Column::new("Node", "string", "The node that it runs on.", |pod, _| {
        or_none(pod.part("spec").text("nodeName"))
    })
    .wide(),
    Column::new(
        "Nominated Node",
        "string",
        "The node that is being cleared for it.",
        |pod, _| or_none(pod.part("status").text("nominatedNodeName")),
    )
    .wide(),
    Column::new(
        "Readiness Gates",
        "string",
        "How many of its own conditions are true.",
        |pod, _| {
            let gates = pod.part("spec").items("readinessGates");
            if gates.is_empty() {
                return "<none>".into();
            }
            let is_true = |gate: &&Value| {
                let kind = gate.text("conditionType");
                condition(pod, kind).is_some_and(|condition| condition.text("status") == "True")
            };
            format!("{}/{}", gates.iter().filter(is_true).count(), gates.len()).into()
        },
    )
    .wide(),
];

/// A text, or what stands for none.
fn or_none(text: &str) -> Value {
    match text {
        "" => "<none>".into(),
        text => text.into(),
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = pod.part("status").items("conditions").iter();
    conditions.find(|condition| condition.text("type") == kind)
}

fn is_true(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| condition.text("status") == "True")
}

/// What a pod's row tells.
struct Summary {
    ready: usize,
    containers: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Time>,
}

impl Summary {
    /// Counts the restarts of a container.
    fn restarted(&mut self, status: &Value) {
        self.restarts = self
            .restarts
            .saturating_add(status.whole("restartCount").unwrap_or_default());
        let finished = status
            .part("lastState")
            .part("terminated")
            .text("finishedAt");
        self.last_restart = self.last_restart.max(finished.parse::<Time>().ok());
    }
}

/// What a pod is at in one word: `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating`.
#[must_use]
pub fn reason(pod: &Value) -> String {
    summarise(pod).reason
}

fn summarise(pod: &Value) -> Summary {
    let (spec, status) = (pod.part("spec"), pod.part("status"));
    let phase = status.text("phase");
    let sidecars = spec
        .items("initContainers")
        .iter()
        .filter(|container| is_restartable(container));
    let mut summary = Summary {
        ready: 0,
        containers: spec.items("containers").len() + sidecars.count(),
        reason: match status.text("reason") {
            "" => phase.to_owned(),
            reason => reason.to_owned(),
        },
        restarts: 0,
        last_restart: None,
    };
    let gated = |condition: &Value| {
        condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated"
    };
    if status.items("conditions").iter().any(gated) {
        "SchedulingGated".clone_into(&mut summary.reason);
    }
    let of_sidecars = initialising(pod, &mut summary);
    if let Some(of_sidecars) = of_sidecars {
        (summary.restarts, summary.last_restart) = of_sidecars;
        running(pod, &mut summary);
    }
    if pod.part("metadata").has("deletionTimestamp") {
        if status.text("reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

/// What init containers are at. Returns, once they have done their work, the restarts of those that stay.
fn initialising(pod: &Value, summary: &mut Summary) -> Option<(i64, Option<Time>)> {
    let containers = pod.part("spec").items("initContainers");
    let mut of_sidecars = Summary {
        ready: 0,
        containers: 0,
        reason: String::new(),
        restarts: 0,
        last_restart: None,
    };
    let mut initialising = false;
    for (index, status) in pod
        .part("status")
        .items("initContainerStatuses")
        .iter()
        .enumerate()
    {
        summary.restarted(status);
        let name = status.text("name");
        let sidecar = containers
            .iter()
            .any(|container| container.text("name") == name && is_restartable(container));
        if sidecar {
            of_sidecars.restarted(status);
        }
        let state = status.part("state");
        let waiting = state.part("waiting").text("reason");
        if state.has("terminated") && exit_code(state) == 0 {
            continue;
        }
        if sidecar && status.flag("started") {
            summary.ready += usize::from(status.flag("ready"));
            continue;
        }
        summary.reason = if state.has("terminated") {
            format!("Init:{}", ended(state))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", containers.len())
        };
        initialising = true;
        break;
    }
    let done = !initialising || is_true(pod, "Initialized");
    done.then_some((of_sidecars.restarts, of_sidecars.last_restart))
}

/// What regular containers are at: the first that has something to tell.
fn running(pod: &Value, summary: &mut Summary) {
    let mut some_run = false;
    for status in pod.part("status").items("containerStatuses").iter().rev() {
        summary.restarted(status);
        let state = status.part("state");
        let waiting = state.part("waiting").text("reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.reason);
        } else if state.has("terminated") {
            summary.reason = ended(state);
        } else if status.flag("ready") && state.has("running") {
            some_run = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && some_run {
        let reason = if is_true(pod, "Ready") {
            "Running"
        } else {
            "NotReady"
        };
        reason.clone_into(&mut summary.reason);
    }
}

fn exit_code(state: &Value) -> i64 {
    state
        .part("terminated")
        .whole("exitCode")
        .unwrap_or_default()
}

/// How a container ended.
fn ended(state: &Value) -> String {
    let terminated = state.part("terminated");
    match (
        terminated.text("reason"),
        terminated.whole("signal").unwrap_or_default(),
    ) {
        ("", 0) => format!("ExitCode:{}", exit_code(state)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
