use super::*;
use crate::testing::{check_create, check_kept, check_status, check_update, created, row};
use serde_json::json;

fn claim(devices: Value) -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"devices": devices}})
}

fn gpu() -> Value {
    json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}},
        {"name": "s", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}, {"name": "b", "deviceClassName": "cpu", "allocationMode": "All"}]}],
        "constraints": [{"requests": ["r", "s/a"], "matchAttribute": "acme.io/model"}],
        "config": [{"opaque": {"driver": "acme.io", "parameters": {"a": 1}}}]})
}

#[test]
fn what_is_not_said() {
    let requests = created(&RULES, &claim(gpu()))["spec"]["devices"]["requests"].clone();
    let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    assert_eq!(requests[0]["exactly"], exactly);
    assert_eq!(requests[1]["firstAvailable"][0]["count"], 1);
    assert_eq!(requests[1]["firstAvailable"][1].get("count"), None);
}

#[test]
fn requests() {
    let check = |devices: Value, expect: &[&str]| check_create(&RULES, &claim(devices), expect);
    check(gpu(), &[]);
    check(
        json!({"requests": [{"name": "-"}, {"name": "r", "exactly": {}, "firstAvailable": [{}]}, {"name": "r", "exactly": {"count": -1, "selectors": [{}, {"cel": {"expression": "x".repeat(10_241)}}]}}]}),
        &[
            "spec.devices.requests[0].name: Invalid value: \"-\"",
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            "spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple",
            "spec.devices.requests[2].exactly.deviceClassName: Required value",
            "spec.devices.requests[2].exactly.count: Invalid value: -1: must be greater than zero",
            "spec.devices.requests[2].exactly.selectors[0].cel: Required value",
            "spec.devices.requests[2].exactly.selectors[1].cel.expression: Too long: may not be more than 10240 bytes",
            "spec.devices.requests[2]: Duplicate value: \"r\"",
        ],
    );
    check_kept(
        &RULES,
        &claim(
            json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "g", "allocationMode": "x", "tolerations": [
            {"key": "-", "value": "-"}, {"operator": "Exists", "value": "v", "effect": "x"}, {"operator": "y"}]}}]}),
        ),
        &[
            "spec.devices.requests[0].exactly.allocationMode: Unsupported value: \"x\": supported values: \"All\", \"ExactCount\"",
            "spec.devices.requests[0].exactly.tolerations[0].key: Invalid value: \"-\"",
            "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"-\"",
            "spec.devices.requests[0].exactly.tolerations[1].value: Invalid value: \"v\": must be empty for operator `Exists`",
            "spec.devices.requests[0].exactly.tolerations[1].effect: Unsupported value: \"x\"",
            "spec.devices.requests[0].exactly.tolerations[2].operator: Unsupported value: \"y\": supported values: \"Equal\", \"Exists\"",
        ],
    );
    let many = json!({"requests": vec![json!({}); 33]});
    check(
        many,
        &["spec.devices.requests: Too many: 33: must have at most 32 items"],
    );
    check(
        json!({"constraints": [{"requests": ["x", "x", "a/b/c"]}, {"matchAttribute": "model"}],
            "config": [{}, {"opaque": {"driver": "", "parameters": 5}}]}),
        &[
            "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request",
            "spec.devices.constraints[0].requests[1]: Invalid value: \"x\": must be the name of a request",
            "spec.devices.constraints[0].requests[1]: Duplicate value: \"x\"",
            "spec.devices.constraints[0].requests[2]: Invalid value: \"a/b/c\": must be the name of a request",
            "spec.devices.constraints[0].matchAttribute: Required value",
            "spec.devices.constraints[1].matchAttribute: Invalid value: \"model\": a fully qualified name must be",
            "spec.devices.config[0].opaque: Required value",
            "spec.devices.config[1].opaque.driver: Required value",
            "spec.devices.config[1].opaque.driver: Invalid value: \"\"",
            "spec.devices.config[1].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object",
        ],
    );
}

#[test]
fn updates() {
    check_update(&RULES, &claim(gpu()), &claim(gpu()), &[]);
    let expect = ["spec: Invalid value: {"];
    check_update(&RULES, &claim(gpu()), &claim(json!({})), &expect);
}

#[test]
fn statuses() {
    let with = |status: Value| {
        let mut claim = claim(gpu());
        claim["status"] = status;
        claim
    };
    let check = |old: Value, new: Value, expect: &[&str]| {
        check_status(&RULES, &with(old), &with(new), expect);
    };
    let result = json!({"request": "r", "driver": "acme.io", "pool": "n1/a", "device": "gpu-0"});
    let allocation = json!({"devices": {"results": [result]}});
    let user = json!({"resource": "pods", "name": "p", "uid": "u"});
    let device = json!({"driver": "acme.io", "pool": "n1/a", "device": "gpu-0", "networkData": {"ips": ["10.0.0.1/24"]}});
    check(
        json!({}),
        json!({"allocation": allocation, "reservedFor": [user], "devices": [device]}),
        &[],
    );
    let shared = json!({"driver": "d", "pool": "p", "device": "other", "shareID": "x"});
    check(
        json!({"devices": [shared]}),
        json!({"reservedFor": [user, user, {}], "devices": [{"driver": "d", "pool": "-", "device": "g", "shareID": "x", "data": [],
            "networkData": {"interfaceName": "x".repeat(257), "ips": ["10.0.0.1"]}}]}),
        &[
            "status.reservedFor[1]: Duplicate value: \"u\"",
            "status.reservedFor[2].resource: Required value",
            "status.reservedFor[2].name: Required value",
            "status.reservedFor[2].uid: Required value",
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
            "status.devices[0].pool: Invalid value: \"-\"",
            "status.devices[0].shareID: Invalid value: \"x\": uid must be in RFC 4122 normalized form",
            "status.devices[0]: Invalid value: \"d/-/g/x\": must be an allocated device in the claim",
            "status.devices[0].data: Invalid value: \"<value omitted>\"",
            "status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
            "status.devices[0].networkData.ips[0]: Invalid value: \"10.0.0.1\"",
        ],
    );
    check(
        json!({"allocation": allocation}),
        json!({"allocation": {"devices": {}}}),
        &["status.allocation: Invalid value: {\"devices\":{}}: field is immutable"],
    );
    check(
        json!({}),
        json!({"allocation": {"devices": {"results": [{"request": "x"}], "config": [{"source": "x", "requests": ["r"]}]}, "nodeSelector": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "a", "operator": "In", "values": []}], "matchExpressions": [{"key": "-", "operator": "Is"}]}]}}}),
        &[
            "status.allocation.devices.results[0].request: Invalid value: \"x\": must be the name of a request",
            "status.allocation.devices.results[0].driver: Required value",
            "status.allocation.devices.results[0].driver: Invalid value: \"\"",
            "status.allocation.devices.results[0].pool: Required value",
            "status.allocation.devices.results[0].device: Invalid value: \"\"",
            "status.allocation.devices.config[0].source: Unsupported value: \"x\": supported values: \"FromClaim\", \"FromClass\"",
            "status.allocation.devices.config[0].opaque: Required value",
            "status.allocation.nodeSelector.nodeSelectorTerms[0].matchFields[0].values: Required value: must be only one value",
            "status.allocation.nodeSelector.nodeSelectorTerms[0].matchFields[0].key: Invalid value: \"a\": not a valid field selector key",
            "status.allocation.nodeSelector.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            "status.allocation.nodeSelector.nodeSelectorTerms[0].matchExpressions[0].key: Invalid value: \"-\"",
        ],
    );
}

#[test]
fn what_is_off_is_dropped() {
    let devices = json!({
        "requests": [{"name": "r", "exactly": {"deviceClassName": "g", "tolerations": [{"operator": "Exists"}], "capacity": {"requests": {}}}}],
        "constraints": [{"distinctAttribute": "acme.io/slot"}],
    });
    let made = created(&RULES, &claim(devices));
    let exactly = json!({"deviceClassName": "g", "allocationMode": "ExactCount", "count": 1});
    assert_eq!(
        made["spec"]["devices"],
        json!({"requests": [{"name": "r", "exactly": exactly}], "constraints": [{}]})
    );
}

#[test]
fn what_was_told_of_a_device_goes_with_it() {
    let id = |device: &str| json!({"driver": "acme.io", "pool": "p", "device": device});
    let mut result = id("a");
    result["shareID"] = json!("x");
    result["bindingConditions"] = json!(["c"]);
    let mut new = json!({"status": {"devices": [id("a"), id("b")], "allocation": {"devices": {"results": [result]}}}});
    let old = json!({"status": {"allocation": {"devices": {"results": [id("b")]}}}});
    (RULES.prepare_status)(&mut new, &old);
    let expect = json!({"devices": [id("a")], "allocation": {"devices": {"results": [id("a")]}}});
    assert_eq!(new["status"], expect);
    let mut freed = json!({"status": {"devices": [id("b")]}});
    (RULES.prepare_status)(&mut freed, &old);
    assert_eq!(freed["status"], json!({}));
}

#[test]
fn rows() {
    let check = |metadata: Value, status: Value, expect: &str| {
        let claim = json!({"metadata": metadata, "status": status});
        assert_eq!(row(&RULES, &claim, 0)[1], expect);
    };
    check(json!({}), json!({}), "pending");
    check(json!({"deletionTimestamp": "x"}), json!({}), "deleted");
    check(
        json!({}),
        json!({"allocation": {}, "reservedFor": [{}]}),
        "allocated,reserved",
    );
}
