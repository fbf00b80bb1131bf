//! What becomes of a pod that is there: updates, statuses, rows.

use serde_json::{Value, json};

use super::{RULES, of, pod};
use crate::testing::{self, cells, created, merged};

#[test]
fn updates() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        testing::check_update(&RULES, &pod(old), &pod(new), expect)
    };
    let forbidden = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    check(
        json!({}),
        json!({"containers": [{"name": "c", "image": "nginx:1.26"}]}),
        &[],
    );
    check(
        json!({}),
        json!({"hostNetwork": false, "nodeName": ""}),
        &[],
    );
    check(json!({}), json!({"nodeName": "n"}), &[forbidden]);
    check(
        json!({}),
        json!({"containers": [{"name": "c", "image": "nginx:1.25", "command": ["x"]}]}),
        &[forbidden],
    );
    check(
        json!({}),
        json!({"containers": [{"name": "c", "image": "a:1"}, {"name": "d", "image": "a:1"}]}),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    check(json!({}), json!({"activeDeadlineSeconds": 5}), &[]);
    check(
        json!({"activeDeadlineSeconds": 5}),
        json!({"activeDeadlineSeconds": 6}),
        &[
            "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value",
        ],
    );
    let tolerates = |seconds: i64| json!({"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]});
    check(tolerates(1), tolerates(2), &[]);
    check(
        tolerates(1),
        json!({}),
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
    check(
        json!({}),
        json!({"schedulingGates": [{"name": "g"}]}),
        &[
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
        ],
    );
    let gated =
        |selector: Value| json!({"schedulingGates": [{"name": "g"}], "nodeSelector": selector});
    check(
        gated(json!({"a": "b"})),
        gated(json!({"a": "b", "c": "d"})),
        &[],
    );
    check(
        gated(json!({"a": "b"})),
        gated(json!({"c": "d"})),
        &[
            r#"spec.nodeSelector: Invalid value: {"c":"d"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"#,
        ],
    );
}

#[test]
fn statuses() {
    let with = |status: Value| {
        merged(
            pod(json!({"restartPolicy": "Never"})),
            json!({ "status": status }),
        )
    };
    let check = |old: Value, new: Value, expect: &[&str]| {
        testing::check_status(&RULES, &with(old), &with(new), expect)
    };
    check(
        json!({}),
        json!({"phase": "Running", "podIP": "10.0.0.1"}),
        &[],
    );
    check(
        json!({}),
        json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
        &[
            r#"status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP for each IP family"#,
        ],
    );
    check(
        json!({"qosClass": "Burstable"}),
        json!({"qosClass": "Guaranteed"}),
        &[r#"status.qosClass: Invalid value: "Guaranteed": field is immutable"#],
    );
    check(
        json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]}),
        json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]}),
        &[
            "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
        ],
    );
}

#[test]
fn ephemeral_containers_come_and_do_not_go() {
    let with = |containers: Value| created_with(json!({ "ephemeralContainers": containers }));
    let none = with(json!([]));
    let one = with(json!([{"name": "e", "image": "x:1"}]));
    let check = |old: &Value, new: &Value, expect: &[&str]| {
        let mut new = new.clone();
        super::super::ephemeral::prepare(&mut new, old);
        let mut errors = objects::field::ErrorList::default();
        super::super::ephemeral::validate(&new, old, &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, expect);
    };
    check(&none, &one, &[]);
    check(&one, &one, &[]);
    check(
        &one,
        &none,
        &[
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n",
        ],
    );
}

fn created_with(spec: Value) -> Value {
    created(&RULES, &pod(spec))
}

#[test]
fn containers_are_resized() {
    let with = |cpu: &str, gpu: &str| {
        let amounts = json!({"cpu": cpu, "example.com/gpu": gpu});
        created(
            &RULES,
            &of(json!({"resources": {"requests": amounts, "limits": amounts}})),
        )
    };
    let check = |old: &Value, new: &Value, expect: &[&str]| {
        let mut new = new.clone();
        super::super::resize::prepare(&mut new, old);
        let mut errors = objects::field::ErrorList::default();
        super::super::resize::validate(&new, old, &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, expect);
    };
    check(&with("1", "1"), &with("2", "1"), &[]);
    check(
        &with("1", "1"),
        &with("1", "2"),
        &["spec: Forbidden: only cpu and memory resources are mutable"],
    );
    check(
        &with("1", "1"),
        &created(&RULES, &of(json!({}))),
        &[
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            "spec: Forbidden: only cpu and memory resources are mutable",
        ],
    );
    check(
        &with("1", "1"),
        &created_with(json!({"containers": [{"name": "other", "image": "i"}]})),
        &[
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
        ],
    );
}

#[test]
fn rows() {
    let row = |spec: Value, status: Value| {
        let pod = merged(pod(spec), json!({ "status": status }));
        let Value::Array(cells) = cells(&RULES, &pod) else {
            panic!("a row")
        };
        cells[1..4]
            .iter()
            .map(|cell| cell.as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let check = |spec: Value, status: Value, expect: &str| assert_eq!(row(spec, status), expect);
    let running = json!({"name": "c", "ready": true, "state": {"running": {}}});
    check(json!({}), json!({"phase": "Pending"}), "0/1 Pending 0");
    check(
        json!({}),
        json!({"phase": "Running", "containerStatuses": [running]}),
        "1/1 Running 0",
    );
    check(
        json!({}),
        json!({"phase": "Running", "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "1969-12-31T23:55:00Z"}}}]}),
        "0/1 CrashLoopBackOff 3 (5m ago)",
    );
    check(
        json!({}),
        json!({"phase": "Failed", "reason": "Evicted"}),
        "0/1 Evicted 0",
    );
    check(
        json!({}),
        json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
        "0/1 Completed 0",
    );
    check(
        json!({}),
        json!({"containerStatuses": [{"state": {"terminated": {"exitCode": 7}}}]}),
        "0/1 ExitCode:7 0",
    );
    check(
        json!({}),
        json!({"containerStatuses": [{"state": {"terminated": {"signal": 9}}}]}),
        "0/1 Signal:9 0",
    );
    check(
        json!({}),
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
        "0/1 SchedulingGated 0",
    );
    let inits = json!({"initContainers": [{"name": "i"}, {"name": "j"}]});
    check(
        inits.clone(),
        json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
        "0/1 Init:0/2 0",
    );
    check(
        inits.clone(),
        json!({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        "0/1 Init:CrashLoopBackOff 2",
    );
    check(
        inits,
        json!({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
        "0/1 Init:Error 0",
    );
    let sidecar = json!({"initContainers": [{"name": "i", "restartPolicy": "Always"}]});
    check(
        sidecar,
        json!({"phase": "Running", "initContainerStatuses": [{"name": "i", "started": true, "ready": true, "restartCount": 1}], "containerStatuses": [running]}),
        "2/2 Running 1",
    );
    let mut gone = pod(json!({}));
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    gone["status"] = json!({"phase": "Running"});
    assert_eq!(super::super::reason(&gone), "Terminating");
    gone["status"]["reason"] = json!("NodeLost");
    assert_eq!(super::super::reason(&gone), "Unknown");
}

#[test]
fn warned_of() {
    let check =
        |spec: Value, expect: &[&str]| assert_eq!((RULES.warnings)(&pod(spec), None), expect);
    check(json!({}), &[]);
    check(
        json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
        &[
            r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
        ],
    );
    check(
        json!({"terminationGracePeriodSeconds": -1}),
        &[
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ],
    );
    check(
        json!({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], "ports": [{"containerPort": 1}, {"containerPort": 1}]}]}),
        &[
            r#"spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#,
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ],
    );
}
