use super::*;
use crate::testing::{check_create, check_update, created, row};

fn job(spec: Value) -> Value {
    let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (field, value) in spec.as_object().expect("fields") {
        job["spec"].set(field, value.clone());
    }
    job
}

#[test]
fn what_is_not_said() {
    let object = created(&RULES, &job(json!({})));
    let spec = object.part("spec");
    let expect = [("completions", 1), ("parallelism", 1), ("backoffLimit", 6)];
    for (field, number) in expect {
        assert_eq!(spec.whole(field), Some(number), "{field}");
    }
    assert_eq!(spec.text("completionMode"), "NonIndexed");
    assert_eq!(spec.text("podReplacementPolicy"), "TerminatingOrFailed");
    assert_eq!(*spec.part("suspend"), json!(false));
    assert_eq!(*object.part("metadata").part("labels"), json!({"a": "b"}));
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
    assert_eq!(*spec.part("selector"), selector);
    let labels = json!({"a": "b", "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u", "job-name": "j"});
    assert_eq!(check::template_labels(spec.part("template")), labels);
    let parallel = created(&RULES, &job(json!({"parallelism": 3})));
    assert_eq!(parallel.part("spec").whole("completions"), None);
    let indexed = json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1,
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}});
    let spec = created(&RULES, &job(indexed)).part("spec").clone();
    assert_eq!(spec.whole("backoffLimit"), Some(i32::MAX.into()));
    assert_eq!(spec.text("podReplacementPolicy"), "Failed");
    let status = spec.pointer("/podFailurePolicy/rules/0/onPodConditions/0/status");
    assert_eq!(status, Some(&json!("True")));
}

#[test]
fn creates() {
    let check = |spec: Value, expect: &[&str]| check_create(&RULES, &job(spec), expect);
    check(json!({}), &[]);
    check(
        json!({"parallelism": -1, "ttlSecondsAfterFinished": -1}),
        &[
            "spec.parallelism: Invalid value: -1",
            "spec.ttlSecondsAfterFinished: Invalid value: -1",
        ],
    );
    check(
        json!({"maxFailedIndexes": 1}),
        &[
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        ],
    );
    check(
        json!({"managedBy": "me"}),
        &[
            "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
        ],
    );
    check(
        json!({"completionMode": "x"}),
        &[
            "spec.completionMode: Unsupported value: \"x\": supported values: \"NonIndexed\", \"Indexed\"",
        ],
    );
    check(
        json!({"completionMode": "Indexed", "parallelism": 100_001}),
        &[
            "spec.completions: Required value: when completion mode is Indexed",
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ],
    );
    check(
        json!({"completionMode": "Indexed", "completions": 200_000, "parallelism": 20_000, "backoffLimitPerIndex": 1}),
        &[
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000",
        ],
    );
    check(
        json!({"podReplacementPolicy": "x"}),
        &[
            "spec.podReplacementPolicy: Unsupported value: \"x\": supported values: \"Failed\", \"TerminatingOrFailed\"",
        ],
    );
    check(
        json!({"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}),
        &[
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ],
    );
    let mut long = job(json!({"completionMode": "Indexed", "completions": 1000}));
    long["metadata"]["name"] = json!("a".repeat(60));
    check_create(&RULES, &long, &["metadata.name: Invalid value: \"aaaa"]);
}

#[test]
fn policies() {
    let check = |spec: Value, expect: &[&str]| check_create(&RULES, &job(spec), expect);
    check(
        json!({"podFailurePolicy": {"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "containerName": "c", "values": [1, 2]}},
            {"action": "x", "onExitCodes": {"operator": "In", "containerName": "y", "values": [0, 2, 2, 1]}},
            {"action": "", "onPodConditions": [{"type": "-", "status": "x"}]},
            {"action": "FailIndex"},
            {"action": "Ignore", "onExitCodes": {}, "onPodConditions": [{"type": "a"}]}]}}),
        &[
            "spec.podFailurePolicy.rules[1].action: Unsupported value: \"x\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[1].onExitCodes.containerName: Invalid value: \"y\": must be one of",
            "spec.podFailurePolicy.rules[1].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[1].onExitCodes.values[2]: Duplicate value: 2",
            "spec.podFailurePolicy.rules[1].onExitCodes.values: Invalid value: [0,2,2,1]: must be ordered",
            "spec.podFailurePolicy.rules[2].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            "spec.podFailurePolicy.rules[2].onPodConditions[0].type: Invalid value: \"-\"",
            "spec.podFailurePolicy.rules[2].onPodConditions[0].status: Unsupported value: \"x\"",
            "spec.podFailurePolicy.rules[3].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[3]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            "spec.podFailurePolicy.rules[4].onExitCodes.operator: Required value: valid values: [\"In\" \"NotIn\"]",
            "spec.podFailurePolicy.rules[4].onExitCodes.values: Invalid value: []: at least one value is required",
            "spec.podFailurePolicy.rules[4]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
        ],
    );
    check(
        json!({"successPolicy": {"rules": []}}),
        &["spec.successPolicy: Invalid value: {\"rules\":[]}: requires indexed completion mode"],
    );
    check(
        json!({"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [
            {}, {"succeededIndexes": "0-2", "succeededCount": 4}, {"succeededIndexes": "7"}, {"succeededCount": 9}]}}),
        &[
            "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes",
            "spec.successPolicy.rules[2].succeededIndexes: Invalid value: \"7\": error parsing succeededIndexes: too large index: \"7\"",
            "spec.successPolicy.rules[3].succeededCount: Invalid value: 9: must be less than or equal to 5 (the number of specified completions)",
        ],
    );
}

#[test]
fn selectors_are_generated() {
    let mut wrong =
        job(json!({"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}}));
    wrong["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("k");
    check_create(
        &RULES,
        &wrong,
        &[
            "spec.template.metadata.labels[job-name]: Invalid value: {",
            "spec.selector: Invalid value: {\"matchLabels\":{\"batch.kubernetes.io/controller-uid\":\"other\"}}: `selector` not auto-generated",
            "spec.template.metadata.labels: Invalid value",
        ],
    );
    let manual = json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}});
    check_create(&RULES, &job(manual), &[]);
    let manual = json!({"manualSelector": true});
    let expect = [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value",
    ];
    check_create(&RULES, &job(manual), &expect);
}

#[test]
fn updates() {
    let old = created(&RULES, &job(json!({})));
    let check = |field: &str, value: Value, expect: &[&str]| {
        let mut new = old.clone();
        new["spec"].set(field, value);
        check_update(&RULES, &old, &new, expect);
    };
    check("parallelism", json!(5), &[]);
    check("suspend", json!(true), &[]);
    check(
        "completions",
        json!(2),
        &["spec.completions: Invalid value: 2: field is immutable"],
    );
    check(
        "managedBy",
        json!("a.b/c"),
        &["spec.managedBy: Invalid value: \"a.b/c\": field is immutable"],
    );
    let indexed = created(
        &RULES,
        &job(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2})),
    );
    let mut elastic = indexed.clone();
    elastic["spec"]["completions"] = json!(3);
    let expect =
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism";
    check_update(&RULES, &indexed, &elastic, &[expect]);
    elastic["spec"]["parallelism"] = json!(3);
    check_update(&RULES, &indexed, &elastic, &[]);
}

#[test]
fn pods_of_a_job_that_has_not_begun_can_be_moved() {
    let old = created(&RULES, &job(json!({"suspend": true})));
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
    check_update(&RULES, &old, &new, &[]);
    let mut started = old.clone();
    started["status"] = json!({"startTime": "2026-11-30T00:00:00Z"});
    let expect = ["spec.template: Invalid value: {"];
    check_update(&RULES, &started, &new, &expect);
    new["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    check_update(&RULES, &old, &new, &expect);
    let mut unlabelled = old.clone();
    unlabelled["spec"]["template"]["metadata"]["labels"] =
        json!({"batch.kubernetes.io/controller-uid": "u", "controller-uid": "u", "job-name": "j"});
    let expect =
        "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'j'";
    check_update(&RULES, &old, &unlabelled, &[expect]);
}

#[test]
fn warned_of_and_shown() {
    let mut named =
        job(json!({"completionMode": "Indexed", "completions": 200_000, "parallelism": 20_000}));
    named["metadata"]["name"] = json!("a.b");
    let warned = warnings(&named, None);
    assert_eq!(warned.len(), 2);
    assert!(warned[0].ends_with("a DNS label is recommended: [must not contain dots]"));
    assert!(warned[1].starts_with("spec: In Indexed Jobs"));
    assert!(warnings(&job(json!({})), None).is_empty());
    let check = |spec: Value, status: Value, expect: &[&str]| {
        let mut job = job(spec);
        job.set("status", status);
        let cells = row(&RULES, &job, 1_795_996_800);
        assert_eq!(
            cells[1..4],
            expect.iter().map(|cell| json!(cell)).collect::<Vec<_>>()
        );
    };
    check(
        json!({"completions": 3}),
        json!({"succeeded": 1}),
        &["Running", "1/3", ""],
    );
    check(
        json!({"parallelism": 4}),
        json!({"startTime": "2026-11-29T23:59:00Z"}),
        &["Running", "0/1 of 4", "60s"],
    );
    let conditions = json!([{"type": "Complete", "status": "True"}]);
    check(
        json!({}),
        json!({"startTime": "2026-11-29T23:59:00Z", "completionTime": "2026-11-29T23:59:05Z", "conditions": conditions}),
        &["Complete", "0/1", "5s"],
    );
}
