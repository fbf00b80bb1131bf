//! Stateful sets.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use objects::names;
use serde_json::{Value, json};

use super::{
    columns::{CONTAINERS, IMAGES},
    workload,
};
use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    status,
    types::core::{persistent_volume_claim, pod::template},
    value::{Fields, same},
};

/// Numbers that a status always has.
const NUMBERS: &[&str] = &["replicas", "availableReplicas"];

/// Fields of the spec that an update may change, in the order of upstream's message.
const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |set| {
        status::fill(set, NUMBERS);
        workload::drop_at_create(set);
    },
    prepare_update: workload::drop_disabled,
    prepare_status: |set, _| status::fill(set, NUMBERS),
    validate,
    validate_create,
    validate_update,
    validate_status,
    warnings,
    name: NameRule::Label,
    columns: &[
        NAME,
        Column::new(
            "Ready",
            "string",
            "Pods that are ready, of those wanted.",
            ready,
        ),
        AGE,
        CONTAINERS,
        IMAGES,
    ],
    ..Rules::NONE
};

fn defaults(set: &mut Value) {
    let Some(spec) = set.object_mut("spec") else {
        return;
    };
    spec.set_empty("podManagementPolicy", "OrderedReady");
    spec.set_absent("replicas", 1);
    spec.set_absent("revisionHistoryLimit", 10);
    if let Some(strategy) = spec.object_mut("updateStrategy") {
        if strategy.text("type").is_empty() {
            strategy.set("type", "RollingUpdate");
            strategy.object_mut("rollingUpdate");
        }
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = strategy.field_mut("rollingUpdate")
        {
            rolling.set_absent("partition", 0);
            // Since 1.35, where the gate of maxUnavailable is on.
            rolling.set_absent("maxUnavailable", 1);
        }
    }
    if let Some(policy) = spec.object_mut("persistentVolumeClaimRetentionPolicy") {
        policy.set_empty("whenDeleted", "Retain");
        policy.set_empty("whenScaled", "Retain");
    }
    workload::template_defaults(spec);
    for claim in spec.items_mut("volumeClaimTemplates") {
        claim.set("apiVersion", "v1");
        claim.set("kind", "PersistentVolumeClaim");
        claim.object_mut("status");
        (persistent_volume_claim::RULES.defaults)(claim);
    }
}

fn validate(set: &Value, errors: &mut ErrorList) {
    let (spec, path) = (set.part("spec"), Path::new("spec"));
    let policy = spec.text("podManagementPolicy");
    let policy_path = path.child("podManagementPolicy");
    match policy {
        "" => errors.push(FieldError::required(&policy_path, "")),
        "OrderedReady" | "Parallel" => {}
        _ => {
            let message = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(&policy_path, policy, message));
        }
    }
    strategy(spec.part("updateStrategy"), &path, errors);
    if let Some(policy) = spec.field("persistentVolumeClaimRetentionPolicy") {
        let path = path.child("persistentVolumeClaimRetentionPolicy");
        for when in ["whenDeleted", "whenScaled"] {
            check::one_of(policy, when, &["Retain", "Delete"], &path, errors);
        }
    }
    check::non_negative(spec, &["replicas", "minReadySeconds"], &path, errors);
    if let Some(start) = spec.part("ordinals").whole("start")
        && start < 0
    {
        let path = path.child("ordinals.start");
        errors.push(FieldError::invalid(&path, start, check::NON_NEGATIVE));
    }
    workload::selector(spec, "statefulset", &path, errors);
    workload::matches(spec, Some(""), &path, errors);
    workload::runs_always(spec, "StatefulSet", &path, errors);
    pod_template(spec, &path, errors);
}

/// Pods of the template have volumes of the claims, too.
fn pod_template(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut pod_template = spec.part("template").clone();
    let claims = spec.items("volumeClaimTemplates");
    if !claims.is_empty()
        && let Some(pod) = pod_template.object_mut("spec")
    {
        let names: Vec<&str> = claims
            .iter()
            .map(|claim| claim.part("metadata").text("name"))
            .filter(|name| !name.is_empty())
            .collect();
        let mut volumes = pod.items("volumes").to_vec();
        // A volume of the claim's name is replaced by the claim's.
        volumes.retain(|volume| !names.contains(&volume.text("name")));
        volumes.extend(
            names
                .iter()
                .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})),
        );
        pod.set("volumes", volumes);
    }
    template::validate(&pod_template, &path.child("template"), errors);
}

fn strategy(strategy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("updateStrategy");
    let rolling_path = path.child("rollingUpdate");
    match (strategy.text("type"), strategy.field("rollingUpdate")) {
        ("", _) => errors.push(FieldError::required(&path, "")),
        ("OnDelete" | "RollingUpdate", None) => {}
        ("OnDelete", Some(rolling)) => {
            let message = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(&rolling_path, rolling.clone(), message));
        }
        ("RollingUpdate", Some(rolling)) => {
            check::non_negative(rolling, &["partition"], &rolling_path, errors);
            let Some(unavailable) = rolling.field("maxUnavailable") else {
                return;
            };
            let path = rolling_path.child("maxUnavailable");
            check::int_or_percent(unavailable, &path, errors);
            if check::int_or_percent_value(unavailable) == 0 {
                errors.push(FieldError::invalid(
                    &path,
                    unavailable.clone(),
                    "cannot be 0",
                ));
            }
            check::at_most_100_percent(unavailable, &path, errors);
        }
        _ => {
            let message = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(&path, strategy.clone(), message));
        }
    }
}

fn validate_create(set: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("volumeClaimTemplates");
    let claims = set.part("spec").items("volumeClaimTemplates");
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        persistent_volume_claim::validate_spec(claim.part("spec"), &path.child("spec"), errors);
    }
    let service = set.part("spec").text("serviceName");
    if !service.is_empty() {
        let spec = Path::new("spec");
        let path = spec.child("serviceName");
        errors.push_invalid(&path, service, names::dns1123_label(service));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let fixed = |set: &Value| {
        let mut spec = set.part("spec").clone();
        for field in MUTABLE {
            spec.remove(field);
        }
        spec
    };
    if !same(&fixed(new), &fixed(old)) {
        let names: Vec<String> = MUTABLE.iter().map(|name| format!("'{name}'")).collect();
        let (last, others) = names.split_last().expect("the list has items");
        let message = format!(
            "updates to statefulset spec for fields other than {} and {last} are forbidden",
            others.join(", ")
        );
        errors.push(FieldError::forbidden(&Path::new("spec"), message));
    }
}

fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let counts = [
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ];
    let numbers = ["replicas", "observedGeneration", "collisionCount"];
    check::non_negative(status, &counts, &path, errors);
    check::non_negative(status, &numbers, &path, errors);
    workload::replica_counts(status, &counts, "status.readyReplicas", &path, errors);
    let old = old.part("status");
    check::not_decremented(status, old, "collisionCount", &path, errors);
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = workload::template_warnings(new, old);
    let path = Path::new("spec");
    let path = path.child("volumeClaimTemplates");
    let claims = new.part("spec").items("volumeClaimTemplates");
    for (index, claim) in claims.iter().enumerate() {
        // Upstream's paths.
        let path = path.index(index);
        let at_update = path.child("Spec");
        let path = if old.is_some() { &at_update } else { &path };
        persistent_volume_claim::spec_warnings(claim.part("spec"), path, &mut warnings);
    }
    let limit = new.part("spec").whole("revisionHistoryLimit");
    let negative = limit.is_some_and(|limit| limit < 0);
    let warning = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
    warnings.extend(negative.then(|| warning.to_owned()));
    warnings
}

fn ready(set: &Value, _: i64) -> Value {
    let ready = set.part("status").whole("readyReplicas");
    let wanted = set.part("spec").whole("replicas");
    format!("{}/{}", ready.unwrap_or(0), wanted.unwrap_or(0)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};

    fn db() -> Value {
        json!({"metadata": {"name": "db"}, "spec": {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
                {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}}})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut object = db();
        object["spec"].set(field, value);
        object
    }

    #[test]
    fn what_is_not_said() {
        let object = created(&RULES, &db());
        let spec = object.part("spec");
        assert_eq!(spec.text("podManagementPolicy"), "OrderedReady");
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}});
        assert_eq!(*spec.part("updateStrategy"), strategy);
        let policy = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
        assert_eq!(*spec.part("persistentVolumeClaimRetentionPolicy"), policy);
        let claim = &spec.items("volumeClaimTemplates")[0];
        assert_eq!(claim.text("kind"), "PersistentVolumeClaim");
        assert_eq!(claim.part("status").text("phase"), "Pending");
        let rolling = with("updateStrategy", json!({"type": "RollingUpdate"}));
        let strategy = created(&RULES, &rolling)
            .part("spec")
            .part("updateStrategy")
            .clone();
        assert_eq!(strategy, json!({"type": "RollingUpdate"}));
    }

    #[test]
    fn creates() {
        let check = |field: &str, value: Value, expect: &[&str]| {
            check_create(&RULES, &with(field, value), expect);
        };
        check("replicas", json!(0), &[]);
        check(
            "podManagementPolicy",
            json!("x"),
            &[
                "spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'",
            ],
        );
        check(
            "updateStrategy",
            json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
            &[
                "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
            ],
        );
        check(
            "updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": -1, "maxUnavailable": "0%"}}),
            &[
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0",
            ],
        );
        check(
            "updateStrategy",
            json!({"type": "x"}),
            &[
                "spec.updateStrategy: Invalid value: {\"type\":\"x\"}: must be 'RollingUpdate' or 'OnDelete'",
            ],
        );
        check(
            "persistentVolumeClaimRetentionPolicy",
            json!({"whenDeleted": "x"}),
            &[
                "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"x\": supported values: \"Retain\", \"Delete\"",
            ],
        );
        check(
            "ordinals",
            json!({"start": -1}),
            &["spec.ordinals.start: Invalid value: -1"],
        );
        check(
            "selector",
            json!({}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
        );
        check(
            "serviceName",
            json!("-"),
            &["spec.serviceName: Invalid value: \"-\": a lowercase RFC 1123 label"],
        );
    }

    #[test]
    fn updates() {
        let check = |field: &str, value: Value, expect: &[&str]| {
            check_update(&RULES, &db(), &with(field, value), expect);
        };
        check("replicas", json!(5), &[]);
        check("revisionHistoryLimit", json!(1), &[]);
        let expect = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        check("serviceName", json!("other"), &[expect]);
        check("podManagementPolicy", json!("Parallel"), &[expect]);
        let status = json!({"status": {"replicas": 1, "readyReplicas": 0, "availableReplicas": 1}});
        let expect = "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas";
        check_status(&RULES, &json!({}), &status, &[expect]);
    }

    #[test]
    fn warned_of_and_shown() {
        let object = with("revisionHistoryLimit", json!(-1));
        assert_eq!(warnings(&object, None).len(), 1);
        assert!(warnings(&db(), None).is_empty());
        let cells = row(&RULES, &with("replicas", json!(3)), 0);
        assert_eq!(
            Value::from(cells),
            json!(["db", "0/3", "<unknown>", "c", "i"])
        );
    }
}
