//! Nodes.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use super::{
    resource_list::{self, validate_amount},
    taint::validate_taints,
};
use crate::{
    cells,
    check::value::one_of_each_family,
    disabled::{self, Feature},
    rules::{AGE, Column, NAME, Rules, Selectable},
    value::Fields,
};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";
const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";

/// Fields that went with the configuration of kubelets by the API, which is gone; and NodeDeclaredFeatures: alpha.
const DISABLED: &[Feature] = &[
    &["spec.configSource"],
    &["status.config"],
    &["status.declaredFeatures"],
];
/// Upstream looks at no more in an update of the status.
const DISABLED_IN_STATUS: &[Feature] = &[&["status.config"]];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    status_on_create: true,
    prepare_create: |node| disabled::drop(DISABLED, node, &Value::Null),
    prepare_update: |node, old| disabled::drop(DISABLED, node, old),
    prepare_status: |node, old| disabled::drop(DISABLED_IN_STATUS, node, old),
    validate,
    validate_update,
    validate_status: |new, old, errors| {
        validate(new, errors);
        validate_update(new, old, errors);
    },
    warnings: |node, _| {
        let (spec, mut warnings) = (node.part("spec"), Vec::new());
        if spec.has("configSource") {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !spec.text("externalID").is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused".to_owned());
        }
        let path = Path::new("spec");
        let path = path.child("podCIDRs");
        for (index, prefix) in spec.texts("podCIDRs").enumerate() {
            warnings.extend(names::cidr_warnings(&path.index(index), prefix));
        }
        warnings
    },
    columns: COLUMNS,
    selectable: &[Selectable {
        field: "spec.unschedulable",
        absent: "false",
    }],
    ..Rules::NONE
};

fn defaults(node: &mut Value) {
    if let Some(status) = node.field_mut("status") {
        if !status.has("allocatable") {
            let capacity = status.part("capacity").clone();
            if !capacity.is_null() {
                status.set("allocatable", capacity);
            }
        }
        resource_list::field_defaults(status, "capacity");
        resource_list::field_defaults(status, "allocatable");
    }
    if let Some(spec) = node.field_mut("spec") {
        prefixes(spec);
    }
}

/// The first prefix has a field of its own; where the two differ, it counts.
fn prefixes(spec: &mut Value) {
    let one = spec.text("podCIDR").to_owned();
    let first = spec.texts("podCIDRs").next().map(str::to_owned);
    match first {
        _ if !one.is_empty() && first.as_deref() != Some(&*one) => {
            spec.set("podCIDRs", json!([one]))
        }
        Some(first) if one.is_empty() && !first.is_empty() => spec.set("podCIDR", first),
        _ => (),
    }
}

fn validate(node: &Value, errors: &mut ErrorList) {
    // Upstream has taints in metadata.
    let metadata = Path::new("metadata");
    let annotation = node.part("metadata").part("annotations").text(TAINTS);
    if !annotation.is_empty() {
        let path = metadata.child("annotations");
        match serde_json::from_str::<Vec<Value>>(annotation) {
            Ok(taints) => validate_taints(&taints, &path.child(TAINTS), errors),
            Err(error) => errors.push(FieldError::invalid(&path, TAINTS, error.to_string())),
        }
    }
    validate_taints(
        node.part("spec").items("taints"),
        &metadata.child("taints"),
        errors,
    );
    let status = Path::new("status");
    for list in ["capacity", "allocatable"] {
        let path = status.child(list);
        for (name, amount) in resource_list::amounts(node.part("status"), list) {
            validate_amount(name, &amount, &path.child(name), errors);
        }
    }
    let spec = Path::new("spec");
    let path = spec.child("podCIDRs");
    let prefixes: Vec<&str> = node.part("spec").texts("podCIDRs").collect();
    for (index, prefix) in prefixes.iter().enumerate() {
        errors.extend(names::cidr(&path.index(index), prefix));
    }
    let shown = node.part("spec").part("podCIDRs");
    one_of_each_family(&prefixes, "CIDR", shown, &path, errors);
    crate::check::value::unique(prefixes, &path, errors);
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, spec) = (Path::new("status"), Path::new("spec"));
    let list = status.child("addresses");
    let mut seen = BTreeSet::new();
    for (index, address) in new.part("status").items("addresses").iter().enumerate() {
        if !seen.insert((address.text("type"), address.text("address"))) {
            errors.push(FieldError::duplicate(&list.index(index), address.clone()));
        }
    }
    let (now, before) = (new.part("spec"), old.part("spec"));
    let prefixes = before.items("podCIDRs");
    if !prefixes.is_empty() && prefixes != now.items("podCIDRs") {
        let message = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("podCIDRs"), message));
    }
    let provider = before.text("providerID");
    if !provider.is_empty() && provider != now.text("providerID") {
        let message = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("providerID"), message));
    }
    if now.text("externalID") != before.text("externalID") {
        errors.push(FieldError::forbidden(
            &spec.child("externalID"),
            "may not be updated",
        ));
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    Column::new(
        "Status",
        "string",
        "Whether it is ready, and takes pods.",
        |node, _| status(node).into(),
    ),
    Column::new("Roles", "string", "What it is there for.", |node, _| {
        roles(node).into()
    }),
    AGE,
    Column::new(
        "Version",
        "string",
        "The version of its kubelet.",
        |node, _| info(node, "kubeletVersion", "").into(),
    ),
    Column::new(
        "Internal-IP",
        "string",
        "Its address in the cluster.",
        |node, _| address(node, "InternalIP").into(),
    )
    .wide(),
    Column::new(
        "External-IP",
        "string",
        "Its address outside.",
        |node, _| address(node, "ExternalIP").into(),
    )
    .wide(),
    Column::new("OS-Image", "string", "Its operating system.", |node, _| {
        info(node, "osImage", "<unknown>").into()
    })
    .wide(),
    Column::new(
        "Kernel-Version",
        "string",
        "The version of its kernel.",
        |node, _| info(node, "kernelVersion", "<unknown>").into(),
    )
    .wide(),
    Column::new(
        "Container-Runtime",
        "string",
        "What runs its containers.",
        |node, _| info(node, "containerRuntimeVersion", "<unknown>").into(),
    )
    .wide(),
];

fn info<'a>(node: &'a Value, name: &str, absent: &'a str) -> &'a str {
    match node.part("status").part("nodeInfo").text(name) {
        "" => absent,
        text => text,
    }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let mut addresses = node.part("status").items("addresses").iter();
    let address = addresses.find(|address| address.text("type") == kind);
    address.map_or(cells::NONE, |address| address.text("address"))
}

fn status(node: &Value) -> String {
    let mut conditions = node.part("status").items("conditions").iter();
    // Where there are several, the last counts.
    let ready = conditions.rfind(|condition| condition.text("type") == "Ready");
    let mut status = match ready.map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.part("spec").flag("unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let role = |(key, value): (&str, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => role.to_owned(),
        None if key == ROLE => value.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let roles: BTreeSet<String> = node.part("metadata").entries("labels").map(role).collect();
    let roles: Vec<String> = roles.into_iter().filter(|role| !role.is_empty()).collect();
    if roles.is_empty() {
        return cells::NONE.to_owned();
    }
    roles.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, check_update, created};

    #[test]
    fn what_is_not_said_is_filled_in() {
        let mut node =
            json!({"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": "4.0"}}});
        (RULES.defaults)(&mut node);
        assert_eq!(
            node,
            json!({
                "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]},
                "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}},
            })
        );
        let made = created(
            &RULES,
            &json!({"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}}),
        );
        assert_eq!(made["spec"]["podCIDR"], "10.0.0.0/24");
    }

    #[test]
    fn mistakes() {
        let check =
            |spec: Value, expect: &[&str]| check_create(&RULES, &json!({ "spec": spec }), expect);
        check(json!({"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}), &[]);
        check(
            json!({"podCIDRs": ["10.0.0.0/24", "10.0.0.0/24"]}),
            &[
                r#"spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: may specify no more than one CIDR for each IP family"#,
                r#"spec.podCIDRs[1]: Duplicate value: "10.0.0.0/24""#,
            ],
        );
        check(
            json!({"taints": [{"key": "a", "effect": "Go"}, {"key": "b"}, {"key": "b", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}]}),
            &[
                r#"metadata.taints[0].effect: Unsupported value: "Go": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
                "metadata.taints[1].effect: Required value",
                r#"metadata.taints[3]: Duplicate value: {"effect":"NoExecute","key":"b"}: taints must be unique by key and effect pair"#,
            ],
        );
        let check =
            |old: Value, new: Value, expect: &[&str]| check_update(&RULES, &old, &new, expect);
        check(
            json!({}),
            json!({"spec": {"podCIDR": "10.0.0.0/24", "providerID": "x"}}),
            &[],
        );
        check(
            json!({"spec": {"podCIDR": "10.0.0.0/24", "providerID": "x"}}),
            json!({"spec": {"podCIDR": "10.0.1.0/24", "providerID": "y"}}),
            &[
                r#"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#,
                r#"spec.providerID: Forbidden: node updates may not change providerID except from "" to valid"#,
            ],
        );
    }

    #[test]
    fn what_is_off_is_dropped_and_what_is_odd_is_told() {
        let node = json!({"spec": {"configSource": {}}, "status": {"config": {}, "declaredFeatures": ["A"], "phase": "Running"}});
        let made = created(&RULES, &node);
        assert_eq!(made, json!({"spec": {}, "status": {"phase": "Running"}}));
        let node = json!({"spec": {"podCIDRs": ["10.0.0.8/24"]}});
        let expect = r#"spec.podCIDRs[0]: CIDR value "10.0.0.8/24" is ambiguous in this context (should be "10.0.0.0/24" or "10.0.0.8/32"?)"#;
        assert_eq!((RULES.warnings)(&node, None), [expect]);
    }

    #[test]
    fn rows() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db"}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.35.0", "osImage": "Orlop"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            },
        });
        assert_eq!(
            cells(&RULES, &node),
            json!([
                "n",
                "Ready,SchedulingDisabled",
                "db,worker",
                "<unknown>",
                "v1.35.0",
                "10.0.0.1",
                "<none>",
                "Orlop",
                "<unknown>",
                "<unknown>"
            ])
        );
        assert_eq!(cells(&RULES, &json!({}))[1], "Unknown");
    }
}
