//! Slices: what devices there are.

use objects::field::{ErrorList, FieldError, Path};
use objects::go::quote;
use objects::names as grammar;
use serde_json::Value;

use super::{device, list, names};
use crate::{
    check,
    disabled::{self, Feature},
    rules::{AGE, Column, NAME, Rules, Selectable},
    types::core::node_selector,
    value::Fields,
};

/// Most devices of a slice, and most where one has taints or takes from counters.
const DEVICES_MAX: usize = 128;
const COSTLY_DEVICES_MAX: usize = 64;
/// Most sets of counters.
const COUNTER_SETS_MAX: usize = 8;

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |slice| drop_disabled(slice, &Value::Null),
    prepare_update: drop_disabled,
    validate_create: |slice, errors| validate(slice, None, errors),
    validate_update,
    warnings,
    columns: &[
        NAME,
        Column::new("Node", "string", "The node that they are on.", |o, _| {
            o.part("spec").text("nodeName").into()
        }),
        Column::new("Driver", "string", "Whose they are.", |o, _| {
            o.part("spec").text("driver").into()
        }),
        Column::new("Pool", "string", "The pool that they are in.", |o, _| {
            o.part("spec").part("pool").text("name").into()
        }),
        AGE,
    ],
    selectable: &[
        Selectable::new("spec.nodeName"),
        Selectable::new("spec.driver"),
    ],
    ..Rules::NONE
};

/// Fields whose features are off.
const DISABLED: &[Feature] = &[
    // DRADeviceTaints: alpha.
    &["devices[].taints"],
    // DRAPartitionableDevices: alpha.
    &[
        "sharedCounters",
        "perDeviceNodeSelection",
        "devices[].consumesCounters",
        "devices[].nodeName",
        "devices[].nodeSelector",
        "devices[].allNodes",
    ],
    // DRADeviceBindingConditions: alpha.
    &[
        "devices[].bindingConditions",
        "devices[].bindingFailureConditions",
        "devices[].bindsToNode",
    ],
    // DRAConsumableCapacity: alpha.
    &[
        "devices[].allowMultipleAllocations",
        "devices[].capacity{}.requestPolicy",
    ],
];

fn drop_disabled(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        disabled::drop(DISABLED, spec, old.part("spec"));
    }
}

fn warnings(slice: &Value, _: Option<&Value>) -> Vec<String> {
    let driver = slice.part("spec").text("driver");
    if driver == driver.to_lowercase() {
        return Vec::new();
    }
    let driver = quote(driver);
    vec![format!(
        "spec.driver: driver names should be lowercase; {driver} contains uppercase characters"
    )]
}

fn validate(slice: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (slice.part("spec"), Path::new("spec"));
    check::driver_name(spec, "driver", &path, errors);
    pool(spec.part("pool"), &path.child("pool"), errors);
    place(spec, &path, errors);
    if spec.has("sharedCounters") && spec.has("devices") {
        let message = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid(&path, "", message));
    }
    let devices = spec.items("devices");
    let costly = |device: &Value| {
        !device.items("taints").is_empty() || !device.items("consumesCounters").is_empty()
    };
    let max = if devices.iter().any(costly) {
        COSTLY_DEVICES_MAX
    } else {
        DEVICES_MAX
    };
    let per_device = spec.flag("perDeviceNodeSelection");
    let held = old.map_or(&[][..], |old| old.part("spec").items("devices"));
    list::each_once(
        spec,
        "devices",
        max,
        list::name,
        &path,
        errors,
        |one, path, errors| {
            let old = held.iter().find(|old| old.text("name") == one.text("name"));
            device::validate(one, old, per_device, path, errors);
        },
    );
    let max = COUNTER_SETS_MAX;
    list::each_once(
        spec,
        "sharedCounters",
        max,
        list::name,
        &path,
        errors,
        |one, path, errors| {
            check::required_text(one, "name", grammar::dns1123_label, path, errors);
            device::counters(one, path, errors);
        },
    );
}

fn pool(pool: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    names::pool(pool.text("name"), &path.child("name"), errors);
    let count = pool.whole("resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        let path = path.child("resourceSliceCount");
        errors.push(FieldError::invalid(
            &path,
            count,
            "must be greater than zero",
        ));
    }
    if let Some(generation) = pool.whole("generation").filter(|number| *number < 0) {
        let path = path.child("generation");
        let message = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path, generation, message));
    }
}

fn place(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut places = Vec::new();
    if let Some(name) = spec.part("nodeName").as_str() {
        let path = path.child("nodeName");
        if name.is_empty() {
            let message = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid(&path, name, message));
        } else {
            places.push("`nodeName`");
            errors.push_invalid(&path, name, grammar::dns1123_subdomain(name));
        }
    }
    if let Some(selector) = spec.field("nodeSelector") {
        places.push("`nodeSelector`");
        let path = path.child("nodeSelector");
        node_selector::validate(selector, &path, errors);
        let terms = selector.items("nodeSelectorTerms");
        if terms.len() != 1 {
            let path = path.child("nodeSelectorTerms");
            let message = "must have exactly one node selector term";
            errors.push(FieldError::invalid(&path, terms, message));
        }
    }
    for field in ["allNodes", "perDeviceNodeSelection"] {
        device::all_of(spec, field, &mut places, path, errors);
    }
    let message = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match places.len() {
        0 => errors.push(FieldError::required(path, message)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", places.join(", "));
            let message = format!("{message}, but multiple fields are set");
            errors.push(FieldError::invalid(path, shown, message));
        }
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    validate(new, Some(old), errors);
    let path = Path::new("spec");
    let (new, old) = (new.part("spec"), old.part("spec"));
    let pool_path = path.child("pool");
    check::immutable(
        new.part("pool"),
        old.part("pool"),
        "name",
        &pool_path,
        errors,
    );
    for field in ["driver", "nodeName"] {
        check::immutable(new, old, field, &path, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_kept, check_update, created, row};
    use serde_json::json;

    fn slice(spec: Value) -> Value {
        let mut slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "acme.io", "nodeName": "n", "pool": {"name": "n", "resourceSliceCount": 1}}});
        for (field, value) in spec.as_object().expect("fields") {
            slice["spec"].set(field, value.clone());
        }
        slice
    }

    #[test]
    fn places() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &slice(spec), expect);
        check(json!({}), &[]);
        check(
            json!({"nodeName": null, "allNodes": false}),
            &[
                "spec.allNodes: Invalid value: false: must be either unset or set to true",
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ],
        );
        check(
            json!({"allNodes": true, "pool": {"generation": -1}}),
            &[
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of",
                "spec.pool.name: Required value",
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec.pool.generation: Invalid value: -1",
            ],
        );
        check(
            json!({"nodeName": "", "nodeSelector": {}}),
            &[
                "spec.nodeName: Invalid value: \"\": must be either unset",
                "spec.nodeSelector.nodeSelectorTerms: Required value",
                "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term",
            ],
        );
    }

    #[test]
    fn devices() {
        let check = |device: Value, expect: &[&str]| {
            check_kept(&RULES, &slice(json!({"devices": [device]})), expect);
        };
        check(
            json!({"name": "gpu-0", "attributes": {"model": {"string": "a"}, "acme.io/v": {"version": "1.2.3"}}, "capacity": {"memory": {"value": "1Gi"}}}),
            &[],
        );
        check(
            json!({"name": "A", "attributes": {"-": {}, "/": {"bool": true, "int": 1}, "v": {"version": "1"}}, "capacity": {"m": {"value": "1", "requestPolicy": {}}},
                "taints": [{"key": "-", "effect": "x"}], "consumesCounters": [{}], "nodeName": "n"}),
            &[
                "spec.devices[0].name: Invalid value: \"A\"",
                "spec.devices[0].attributes[-]: Invalid value: \"-\": a valid C identifier",
                "spec.devices[0].attributes[-]: Invalid value: \"\": exactly one value must be specified",
                "spec.devices[0].attributes[/]: Invalid value: \"\": the domain must not be empty",
                "spec.devices[0].attributes[/]: Invalid value: \"\": the name must not be empty",
                "spec.devices[0].attributes[/]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified",
                "spec.devices[0].attributes[v].version: Invalid value: \"1\": must be a string compatible with semver.org",
                "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true",
                "spec.devices[0].taints[0].key: Invalid value: \"-\"",
                "spec.devices[0].taints[0].effect: Unsupported value: \"x\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
                "spec.devices[0].consumesCounters[0].counterSet: Required value",
                "spec.devices[0].consumesCounters[0].counters: Required value",
                "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if",
            ],
        );
        check(
            json!({"name": "a", "bindingConditions": ["a", "a"], "bindingFailureConditions": ["a"]}),
            &[
                "spec.devices[0].bindingConditions[1]: Duplicate value: \"a\"",
                "spec.devices[0].bindingFailureConditions[0]: Invalid value: \"a\": bindingFailureConditions must not overlap",
            ],
        );
        check(
            json!({"name": "a", "bindingConditions": ["a"]}),
            &[
                "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions",
            ],
        );
        let per_device = json!({"nodeName": null, "perDeviceNodeSelection": true, "devices": [
            {"name": "a"}, {"name": "b", "nodeName": "n", "allNodes": true}]});
        check_kept(
            &RULES,
            &slice(per_device),
            &[
                "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes`",
                "spec.devices[1]: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of",
            ],
        );
        let many: Vec<Value> = (0..129).map(|n| json!({"name": format!("d{n}")})).collect();
        let expect = "spec.devices: Too many: 129: must have at most 128 items";
        check_create(&RULES, &slice(json!({"devices": many})), &[expect]);
    }

    #[test]
    fn capacities() {
        let check = |policy: Value, expect: &[&str]| {
            let device = json!({"name": "a", "allowMultipleAllocations": true, "capacity": {"m": {"value": "10", "requestPolicy": policy}}});
            check_kept(&RULES, &slice(json!({"devices": [device]})), expect);
        };
        let at = |rest: &str| format!("spec.devices[0].capacity[m].requestPolicy{rest}");
        check(
            json!({"default": "2", "validRange": {"min": "2", "max": "8", "step": "2"}}),
            &[],
        );
        check(
            json!({"default": "3", "validValues": ["1", "2"], "validRange": {}}),
            &[&at(": Forbidden: exactly one policy can be specified")],
        );
        check(
            json!({"validValues": ["1"]}),
            &[&at(
                ".default: Required value: required when validValues is defined",
            )],
        );
        check(
            json!({"default": "3", "validValues": ["2", "1", "11"]}),
            &[
                &at(
                    ".validValues[1]: Invalid value: \"1\": values must be sorted in ascending order",
                ),
                &at(
                    ".validValues[2]: Invalid value: \"11\": option is larger than capacity value: 10",
                ),
                &at(".validValues: Invalid value: \"3\": default value is not valid"),
            ],
        );
        check(
            json!({"default": "1", "validRange": {"min": "2", "max": "11", "step": "0"}}),
            &[
                &at(".validRange.min: Invalid value: \"1\": default is less than min: 2"),
                &at(
                    ".validRange.max: Invalid value: \"11\": max is larger than capacity value: 10",
                ),
                &at(
                    ".validRange.step: Invalid value: \"1\": value is not a multiple of a given step (0) from (2)",
                ),
                &at(
                    ".validRange.step: Invalid value: \"11\": value is not a multiple of a given step (0) from (2)",
                ),
            ],
        );
    }

    #[test]
    fn what_is_off_is_dropped() {
        let device = json!({"name": "a", "taints": [{}], "allNodes": true, "bindsToNode": true, "allowMultipleAllocations": true,
            "capacity": {"m": {"value": "1", "requestPolicy": {}}}});
        let made = created(
            &RULES,
            &slice(json!({"devices": [device], "sharedCounters": [{}]})),
        );
        assert_eq!(
            made["spec"]["devices"],
            json!([{"name": "a", "capacity": {"m": {"value": "1"}}}])
        );
        assert_eq!(made["spec"].get("sharedCounters"), None);
        let warnings = (RULES.warnings)(&slice(json!({"driver": "Acme.io"})), None);
        let expect = "spec.driver: driver names should be lowercase; \"Acme.io\" contains uppercase characters";
        assert_eq!(warnings, [expect]);
    }

    #[test]
    fn updates_and_rows() {
        let taints = json!({"devices": [{"name": "a", "taints": [{"key": "k", "effect": "New"}]}]});
        check_update(&RULES, &slice(taints.clone()), &slice(taints.clone()), &[]);
        let expect = ["spec.devices[0].taints[0].effect: Unsupported value: \"New\""];
        let known = json!({"devices": [{"name": "b", "taints": [{"key": "k", "effect": "None"}]}]});
        check_update(&RULES, &slice(known), &slice(taints.clone()), &expect);
        check_update(&RULES, &slice(json!({})), &slice(taints), &[]);
        let mut other = slice(json!({"driver": "b.io", "nodeName": "m"}));
        other["spec"]["pool"]["name"] = json!("m");
        check_update(
            &RULES,
            &slice(json!({})),
            &other,
            &[
                "spec.driver: Invalid value: \"b.io\": field is immutable",
                "spec.nodeName: Invalid value: \"m\": field is immutable",
                "spec.pool.name: Invalid value: \"m\": field is immutable",
            ],
        );
        let expect = json!(["s", "n", "acme.io", "n", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &slice(json!({})), 0)), expect);
    }
}
