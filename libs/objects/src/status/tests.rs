//! Answers as they are sent.

use super::*;
use crate::field::{FieldError, Path};
use serde_json::json;

/// Checks what is sent, and that it is read back.
#[track_caller]
fn check(status: Status, expect: Value) {
    let mut expect = expect;
    expect["kind"] = "Status".into();
    expect["apiVersion"] = "v1".into();
    if expect.get("metadata").is_none() {
        expect["metadata"] = json!({});
    }
    if expect.get("status").is_none() {
        expect["status"] = "Failure".into();
    }
    assert_eq!(status.to_value(), expect);
    assert_eq!(Status::from_value(&expect), Some(status));
}

#[test]
fn answers_about_objects() {
    let configmaps = Qualified::core("configmaps");
    let deployments = Qualified::new("apps", "deployments");
    check(
        Status::not_found(configmaps, "x"),
        json!({"message": "configmaps \"x\" not found", "reason": "NotFound", "code": 404,
               "details": {"name": "x", "kind": "configmaps"}}),
    );
    check(
        Status::already_exists(deployments, "x"),
        json!({"message": "deployments.apps \"x\" already exists", "reason": "AlreadyExists", "code": 409,
               "details": {"name": "x", "group": "apps", "kind": "deployments"}}),
    );
    check(
        Status::modified(configmaps, "x"),
        json!({"message": "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes to the latest version and try again",
               "reason": "Conflict", "code": 409, "details": {"name": "x", "kind": "configmaps"}}),
    );
    check(
        Status::deleted(configmaps, "x", "u-1"),
        json!({"status": "Success", "details": {"name": "x", "kind": "configmaps", "uid": "u-1"}}),
    );
    check(
        Status::forbidden(Qualified::core("pods"), "", "why"),
        json!({"message": "pods is forbidden: why", "reason": "Forbidden", "code": 403, "details": {"kind": "pods"}}),
    );
    check(
        Status::forbidden(Qualified::core("pods"), "p", "why"),
        json!({"message": "pods \"p\" is forbidden: why", "reason": "Forbidden", "code": 403,
               "details": {"name": "p", "kind": "pods"}}),
    );
    check(
        Status::method_not_supported(deployments, "create"),
        json!({"message": "create is not supported on resources of kind \"deployments.apps\"",
               "reason": "MethodNotAllowed", "code": 405, "details": {"group": "apps", "kind": "deployments"}}),
    );
}

#[test]
fn an_invalid_object_has_its_causes() {
    let mut errors = ErrorList::default();
    let data = Path::new("data");
    errors.push(FieldError::invalid(&data.key("a b"), "a b", "bad key"));
    check(
        Status::invalid(Qualified::core("ConfigMap"), "x", &errors),
        json!({"message": "ConfigMap \"x\" is invalid: data[a b]: Invalid value: \"a b\": bad key",
               "reason": "Invalid", "code": 422,
               "details": {"name": "x", "kind": "ConfigMap", "causes": [
                   {"reason": "FieldValueInvalid", "message": "Invalid value: \"a b\": bad key", "field": "data[a b]"}]}}),
    );
    errors.push(FieldError::required(&data, ""));
    let status = Status::invalid(Qualified::core("ConfigMap"), "x", &errors);
    assert_eq!(
        status.to_string(),
        "ConfigMap \"x\" is invalid: [data[a b]: Invalid value: \"a b\": bad key, data: Required value]"
    );
}

#[test]
fn answers_about_revisions() {
    check(
        Status::too_old(5, 90),
        json!({"message": "too old resource version: 5 (90)", "reason": "Expired", "code": 410}),
    );
    check(
        Status::continue_inconsistent("tok"),
        json!({"metadata": {"continue": "tok"}, "message": CONTINUE_INCONSISTENT, "reason": "Expired", "code": 410}),
    );
    check(
        Status::too_new(90, 5, 1),
        json!({"message": "Timeout: Too large resource version: 90, current: 5", "reason": "Timeout", "code": 504,
               "details": {"retryAfterSeconds": 1, "causes": [
                   {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}}),
    );
}

#[test]
fn answers_about_the_server() {
    check(
        Status::internal("boom"),
        json!({"message": "Internal error occurred: boom", "reason": "InternalError", "code": 500,
               "details": {"causes": [{"message": "boom"}]}}),
    );
    check(
        Status::too_many_requests("later", 3),
        json!({"message": "later", "reason": "TooManyRequests", "code": 429, "details": {"retryAfterSeconds": 3}}),
    );
    check(
        Status::body_too_large(3_145_728),
        json!({"message": "Request entity too large: limit is 3145728", "reason": "RequestEntityTooLarge", "code": 413}),
    );
    check(
        Status::resource_not_found(),
        json!({"message": "the server could not find the requested resource", "reason": "NotFound", "code": 404,
               "details": {}}),
    );
    check(
        Status::unauthorized(),
        json!({"message": "Unauthorized", "reason": "Unauthorized", "code": 401}),
    );
    check(
        Status::server_timeout(Qualified::core("pods"), "list", 2),
        json!({"message": "The list operation against pods could not be completed at this time, please try again.",
               "reason": "ServerTimeout", "code": 500,
               "details": {"name": "list", "kind": "pods", "retryAfterSeconds": 2}}),
    );
}

#[test]
fn another_object_is_no_status() {
    assert_eq!(Status::from_value(&json!({"kind": "Pod"})), None);
    assert_eq!(Status::from_value(&json!([])), None);
    assert_eq!(Reason::parse("Nonsense"), Reason::Unknown);
}
