use super::*;
use crate::testing::{self, cells};

fn claim(change: Value) -> Value {
    let base = json!({
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    testing::merged(base, change)
}

#[test]
fn mistakes() {
    let check =
        |change: Value, expect: &[&str]| testing::check_create(&RULES, &claim(change), expect);
    check(json!({}), &[]);
    check(
        json!({"spec": {"accessModes": []}}),
        &["spec.accessModes: Required value: at least 1 access mode is required"],
    );
    check(
        json!({"spec": {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}}),
        &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    );
    check(
        json!({"spec": {"resources": {"requests": {"storage": null}}}}),
        &["spec.resources[storage]: Required value"],
    );
    check(
        json!({"spec": {"resources": {"requests": {"storage": "0"}}}}),
        &[r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#],
    );
    check(
        json!({"spec": {"dataSource": {"kind": "Pod", "name": "x"}}}),
        &[],
    );
    check(
        json!({"spec": {"dataSourceRef": {"kind": "Pod", "name": "x"}}}),
        &[
            r#"spec.dataSource: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup"#,
            r#"spec.dataSourceRef: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup"#,
        ],
    );
}

#[test]
fn sources() {
    let check = |spec: Value, expect: Value| {
        let made = testing::created(&RULES, &claim(json!({"spec": spec})));
        let shown = json!([made["spec"]["dataSource"], made["spec"]["dataSourceRef"]]);
        assert_eq!(shown, expect);
    };
    let snapshot =
        json!({"kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io", "name": "s"});
    let widget = json!({"kind": "Widget", "apiGroup": "acme.io", "name": "w"});
    check(json!({"dataSource": snapshot}), json!([snapshot, snapshot]));
    check(json!({"dataSource": widget}), json!([null, null]));
    check(json!({"dataSourceRef": widget}), json!([widget, widget]));
    let mut elsewhere = snapshot.clone();
    elsewhere["namespace"] = json!("other");
    check(json!({"dataSourceRef": elsewhere}), json!([null, null]));
    check(
        json!({"dataSource": snapshot, "dataSourceRef": elsewhere}),
        json!([snapshot, snapshot]),
    );
}

#[test]
fn warnings() {
    let odd = claim(json!({
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}},
        "spec": {"resources": {"requests": {"storage": "100m"}, "limits": {"storage": "1500m"}}},
    }));
    assert_eq!(
        (RULES.warnings)(&odd, None),
        [
            r#"metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead"#,
            r#"spec.resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer"#,
            r#"spec.resources.limits[storage]: fractional byte value "1500m" is invalid, must be an integer"#,
        ]
    );
}

#[test]
fn updates() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        testing::check_update(&RULES, &claim(old), &claim(new), expect);
    };
    check(json!({}), json!({"spec": {"volumeName": "v"}}), &[]);
    check(
        json!({"spec": {"volumeName": "v"}}),
        json!({"spec": {"volumeName": "w"}}),
        &[
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ],
    );
    let size = |size: &str, phase: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}, "status": {"phase": phase, "capacity": {"storage": "1Gi"}}});
    check(size("1Gi", "Bound"), size("2Gi", "Bound"), &[]);
    check(
        size("2Gi", "Bound"),
        size("512Mi", "Bound"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    check(
        json!({}),
        json!({"spec": {"storageClassName": "fast"}}),
        &[],
    );
}

#[test]
fn columns() {
    let bound = claim(json!({
        "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Block"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce", "ReadWriteMany"], "capacity": {"storage": "1Gi"}},
    }));
    assert_eq!(
        cells(&RULES, &bound),
        json!([
            "c",
            "Bound",
            "v",
            "1Gi",
            "RWO,RWX",
            "fast",
            "<unset>",
            "<unknown>",
            "Block"
        ])
    );
    let pending = claim(json!({"status": {"phase": "Pending"}}));
    assert_eq!(
        cells(&RULES, &pending),
        json!([
            "c",
            "Pending",
            "",
            "",
            "",
            "",
            "<unset>",
            "<unknown>",
            "<unset>"
        ])
    );
}
