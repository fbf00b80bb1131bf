use super::*;
use crate::testing::{self, cells, merged};

fn volume(change: Value) -> Value {
    let base = json!({
        "metadata": {"name": "v"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/data"},
        },
    });
    merged(base, change)
}

#[test]
fn mistakes() {
    let check =
        |change: Value, expect: &[&str]| testing::check_create(&RULES, &volume(change), expect);
    check(json!({}), &[]);
    check(
        json!({"spec": {"hostPath": null}}),
        &["spec: Required value: must specify a volume type"],
    );
    check(
        json!({"spec": {"nfs": {"server": "s", "path": "/p"}}}),
        &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        json!({"spec": {"hostPath": null, "local": {"path": "/mnt"}}}),
        &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
    );
    check(
        json!({"spec": {"hostPath": {"path": "/a/../b"}}}),
        &[r#"spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'"#],
    );
    check(
        json!({"spec": {"capacity": {"storage": "-1"}}}),
        &[
            r"spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
            r#"spec.capacity[storage]: Invalid value: "-1": must be greater than zero"#,
        ],
    );
    check(
        json!({"spec": {"hostPath": {"path": "//"}, "persistentVolumeReclaimPolicy": "Recycle"}}),
        &[
            "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
        ],
    );
    check(
        json!({"spec": {"hostPath": null, "csi": {"driver": "d.example.com"}}}),
        &["spec.csi.volumeHandle: Required value"],
    );
}

#[test]
fn updates() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        testing::check_update(&RULES, &volume(old), &volume(new), expect);
    };
    check(
        json!({}),
        json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
        &[],
    );
    check(
        json!({}),
        json!({"spec": {"hostPath": {"path": "/other"}}}),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
        ],
    );
}

#[test]
fn columns() {
    let bound = volume(json!({
        "spec": {"claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "fast",
            "persistentVolumeReclaimPolicy": "Delete"},
        "status": {"phase": "Bound"},
    }));
    assert_eq!(
        cells(&RULES, &bound),
        json!([
            "v",
            "1Gi",
            "RWO",
            "Delete",
            "Bound",
            "n/c",
            "fast",
            "<unset>",
            "",
            "<unknown>",
            "<unset>"
        ])
    );
}
