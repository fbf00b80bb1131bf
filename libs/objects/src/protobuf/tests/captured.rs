//! Bodies of kubectl 1.32, as a listener on this side received them, beside what `kubectl -o json` said of the same objects.
//!
//! `rich` is `kubectl create job --from=cronjob/rich`: the template of a CronJob of ours, full of zeros that count, came back as
//! Go writes it. When this was written, kubectl also read what `encode` makes of each body, a list and a watch of ours, and said
//! the same JSON of them.

use super::*;
use crate::protobuf::Envelope;
use serde_json::json;

macro_rules! captured {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../testdata/", $name, ".pb")).as_slice(),
            include_bytes!(concat!("../testdata/", $name, ".json")).as_slice(),
        )
    };
}

/// Name, body, JSON.
pub(super) const CAPTURED: &[(&str, &[u8], &[u8])] = &[
    captured!("clusterip"),
    captured!("clusterrolebinding"),
    captured!("configmap"),
    captured!("cronjob"),
    captured!("deployment"),
    captured!("ingress"),
    captured!("job"),
    captured!("namespace"),
    captured!("nodeport"),
    captured!("pdb"),
    captured!("priorityclass"),
    captured!("quota"),
    captured!("rich"),
    captured!("role"),
    captured!("secret"),
    captured!("serviceaccount"),
];

const TOKEN: &[u8] = include_bytes!("../testdata/token.pb");
const REVIEW: &[u8] = include_bytes!("../testdata/sar.pb");

#[test]
fn a_body_is_what_its_json_is() {
    let schemas = Schemas::builtin();
    for (name, body, text) in CAPTURED {
        let found = Messages::builtin().decode(body, None).unwrap();
        let (group, version) = found
            .api_version
            .split_once('/')
            .unwrap_or(("", &found.api_version));
        let id = schemas.find_kind(group, version, &found.kind).unwrap();
        let target = Target::Type(schemas, id);
        let expect = decode::json(text, target, FieldValidation::Strict).unwrap();
        assert_eq!(found.value, expect.value, "{name}");
    }
}

#[test]
fn what_we_send_back_is_read_as_the_same() {
    for (name, body, _) in CAPTURED {
        let found = Messages::builtin().decode(body, None).unwrap();
        let again = Messages::builtin().encode(&found.value).unwrap();
        let again = Messages::builtin().decode(&again, None).unwrap();
        assert_eq!(found, again, "{name}");
    }
}

#[test]
fn zeros_that_count_are_there() {
    let find = |name: &str| {
        let found = CAPTURED.iter().find(|(known, ..)| *known == name).unwrap();
        Messages::builtin().decode(found.1, None).unwrap().value
    };
    let deployment = find("deployment");
    assert_eq!(deployment["spec"]["replicas"], 0);
    assert_eq!(deployment["spec"]["strategy"], json!({}));
    assert_eq!(deployment["spec"].get("paused"), None);
    let job = find("rich");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod.get("hostNetwork"), None);
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["runtimeClassName"], "");
    assert_eq!(pod["volumes"][1], json!({"name": "e", "emptyDir": {}}));
    let secret = json!({"defaultMode": 0, "optional": false, "secretName": "x", "items": [{"key": "k", "path": "p", "mode": 0}]});
    assert_eq!(pod["volumes"][4]["secret"], secret);
    let claim = &pod["volumes"][10]["ephemeral"]["volumeClaimTemplate"]["spec"];
    assert_eq!(claim["storageClassName"], "");
    let preferred =
        &pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(preferred[0]["weight"], 0);
    let container = &pod["containers"][0];
    assert_eq!(container["env"][0], json!({"name": "A"}));
    assert_eq!(container["securityContext"]["privileged"], false);
    assert_eq!(
        container["startupProbe"]["grpc"],
        json!({"port": 9, "service": ""})
    );
    assert_eq!(
        container["resources"]["requests"],
        json!({"cpu": "500m", "memory": "1e9"})
    );
}

#[test]
fn requests_that_are_no_stored_objects() {
    let token = Messages::builtin().decode(TOKEN, None).unwrap();
    let expect = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": {"audiences": ["vault"], "expirationSeconds": 600},
        "status": {"token": ""},
    });
    assert_eq!(token.value, expect);
    let review = Messages::builtin().decode(REVIEW, None).unwrap();
    let expect = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {"namespace": "default", "resource": "pods", "verb": "get"}},
        "status": {"allowed": false},
    });
    assert_eq!(review.value, expect);
}

#[test]
fn an_envelope_is_opened_without_a_look_at_what_is_in_it() {
    let (_, body, _) = CAPTURED.iter().find(|(name, ..)| *name == "rich").unwrap();
    let envelope = Envelope::open(body).unwrap();
    assert_eq!((envelope.api_version, envelope.kind), ("batch/v1", "Job"));
    let again = crate::protobuf::envelope("batch/v1", "Job", envelope.message);
    assert_eq!(&again, body, "byte for byte as Go writes it");
}
