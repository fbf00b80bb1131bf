use super::*;
use crate::testing::{check_create, check_status, check_update, compare, created, row};
use serde_json::json;

/// `-----BEGIN CERTIFICATE REQUEST-----`, an empty sequence, and its end.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
/// The same of a certificate.
const CERTIFICATE: &str =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

fn request() -> Value {
    json!({"metadata": {"name": "r"}, "spec": {"request": REQUEST, "signerName": "acme.io/signer", "usages": ["client auth"]}})
}

fn with(conditions: Value, certificate: &str) -> Value {
    let mut request = request();
    request["status"] = json!({"conditions": conditions, "certificate": certificate});
    request
}

#[test]
fn creates() {
    let check = |field: &str, value: Value, expect: &[&str]| {
        let mut request = request();
        request["spec"].set(field, value);
        check_create(&RULES, &request, expect);
    };
    check("expirationSeconds", json!(600), &[]);
    check(
        "expirationSeconds",
        json!(599),
        &[
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds",
        ],
    );
    check(
        "request",
        json!("x"),
        &["spec.request: Invalid value: \"x\": PEM block type must be CERTIFICATE REQUEST"],
    );
    check(
        "request",
        json!(CERTIFICATE),
        &["spec.request: Invalid value: \"LS0"],
    );
    check(
        "usages",
        json!(["x", "any", "any"]),
        &[
            "spec.usages[0]: Unsupported value: \"x\": supported values: \"any\", \"cert sign\"",
            "spec.usages[2]: Duplicate value: \"any\"",
        ],
    );
    check("usages", json!([]), &["spec.usages: Required value"]);
    let signer = |name: &str, expect: &[&str]| check("signerName", json!(name), expect);
    signer("", &["spec.signerName: Required value"]);
    signer(
        LEGACY_SIGNER,
        &[
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName",
        ],
    );
    signer(
        "a",
        &["spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path"],
    );
    signer(
        "A/-",
        &[
            "spec.signerName: Invalid value: \"A\": should be a domain with at least two segments",
            "spec.signerName: Invalid value: \"A\": validating label \"A\": a lowercase RFC 1123 label",
            "spec.signerName: Invalid value: \"-\": validating label \"-\": a lowercase RFC 1123 subdomain",
        ],
    );
}

#[test]
fn nobody_says_who_asks() {
    let mut object = request();
    object["spec"]["username"] = json!("admin");
    object["spec"]["groups"] = json!(["system:masters"]);
    let object = created(&RULES, &object);
    assert!(!object["spec"].has("username") && !object["spec"].has("groups"));
    assert_eq!(object["status"], json!({}));
}

#[test]
fn updates() {
    let mut other = request();
    other["spec"]["signerName"] = json!("other.io/signer");
    check_update(&RULES, &request(), &other, &[]);
    let approved = json!([{"type": "Approved", "status": "True"}]);
    let expect =
        "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"";
    check_update(&RULES, &request(), &with(approved.clone(), ""), &[expect]);
    check_status(&RULES, &request(), &with(approved.clone(), ""), &[expect]);
    let expect =
        "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"";
    check_status(&RULES, &with(approved.clone(), ""), &request(), &[expect]);
    let expect = "status.certificate: Forbidden: updates may not set certificate content";
    check_update(&RULES, &request(), &with(json!([]), CERTIFICATE), &[expect]);
    check_status(
        &RULES,
        &with(approved.clone(), ""),
        &with(approved.clone(), CERTIFICATE),
        &[],
    );
    check_status(
        &RULES,
        &with(approved.clone(), CERTIFICATE),
        &with(approved, REQUEST),
        &[
            "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\"",
            "status.certificate: Forbidden: updates may not modify existing certificate content",
        ],
    );
}

#[test]
fn approvals() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        let mut errors = ErrorList::default();
        let (old, mut new) = (with(old, ""), with(new, ""));
        prepare_approval(&mut new, &old);
        validate_approval(&new, &old, &mut errors);
        compare(&errors, expect);
    };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    check(json!([]), json!([condition("Approved", "True")]), &[]);
    check(
        json!([]),
        json!([
            condition("Approved", "True"),
            condition("Denied", "False"),
            condition("Approved", "True"),
            condition("", "")
        ]),
        &[
            "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            "status.conditions: Invalid value: \"Approved\": Approved and Denied conditions are mutually exclusive",
            "status.conditions[2].type: Duplicate value: \"Approved\"",
            "status.conditions[3].type: Required value",
            "status.conditions[3].status: Required value",
        ],
    );
    check(
        json!([condition("Denied", "True")]),
        json!([]),
        &["status.conditions: Forbidden: updates may not remove a condition of type \"Denied\""],
    );
}

#[test]
fn rows() {
    let mut object = with(json!([{"type": "Approved", "status": "True"}]), CERTIFICATE);
    object["spec"]["username"] = json!("u");
    object["spec"]["expirationSeconds"] = json!(86_400);
    let expect = json!([
        "r",
        "<unknown>",
        "acme.io/signer",
        "u",
        "24h",
        "Approved,Issued"
    ]);
    assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    let expect = json!([null, "<unknown>", "<none>", "", "<none>", "Pending"]);
    assert_eq!(Value::from(row(&RULES, &json!({}), 0)), expect);
}
