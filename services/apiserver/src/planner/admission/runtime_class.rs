//! RuntimeClass: what a pod's runtime costs and where it runs is the class's to say.

use super::{Attributes, Cluster, Kind, Operation, Plugin, tolerations};
use kinds::value::Fields;
use objects::{quantity::Quantity, status::Status};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const OTHER_OVERHEAD: &str =
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

pub(super) const PLUGIN: Plugin = Plugin {
    name: "RuntimeClass",
    handles: &[Operation::Create],
    mutate: Some(mutate),
    validate: Some(validate),
};

fn mutate(
    attributes: &Attributes<'_>,
    pod: &mut Value,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    let Some(class) = class(attributes, pod, cluster)? else {
        return Ok(());
    };
    if let Some(overhead) = class.field("overhead") {
        let (wanted, spec) = (overhead.part("podFixed"), pod.part("spec"));
        if spec.has("overhead") && !same(wanted, spec.part("overhead")) {
            return Err(attributes.forbidden(pod, OTHER_OVERHEAD));
        }
        if let Some(spec) = pod.object_mut("spec") {
            match wanted {
                Value::Null => drop(spec.remove("overhead")),
                // As the class writes the amounts, even if the pod has the same.
                wanted => spec.set("overhead", wanted.clone()),
            }
        }
    }
    match class.field("scheduling") {
        Some(scheduling) => schedule(attributes, pod, scheduling),
        None => Ok(()),
    }
}

/// Where the class's pods run: its node labels besides the pod's, its tolerations besides the pod's.
fn schedule(
    attributes: &Attributes<'_>,
    pod: &mut Value,
    scheduling: &Value,
) -> Result<(), Status> {
    let selector = pod.part("spec").part("nodeSelector");
    let mut merged = selector.as_object().cloned().unwrap_or_default();
    for (key, value) in scheduling.entries("nodeSelector") {
        if let Some(other) = merged.insert(key.to_owned(), value.clone())
            && other != *value
        {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (value, other) = (text(value), text(&other));
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {other}"
            );
            return Err(attributes.forbidden(pod, &why));
        }
    }
    let spec = pod.part("spec");
    let all = tolerations::merge(spec.items("tolerations"), scheduling.items("tolerations"));
    if let Some(spec) = pod.object_mut("spec") {
        put(spec, "nodeSelector", merged, Map::is_empty);
        put(spec, "tolerations", all, Vec::is_empty);
    }
    Ok(())
}

/// Sets a field, unless there is nothing to say.
fn put<T: Into<Value>>(spec: &mut Value, name: &str, value: T, is_empty: fn(&T) -> bool) {
    if !is_empty(&value) {
        spec.set(name, value);
    }
}

fn validate(attributes: &Attributes<'_>, pod: &Value, cluster: &dyn Cluster) -> Result<(), Status> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    let class = class(attributes, pod, cluster)?;
    let overhead = class.as_ref().and_then(|class| class.field("overhead"));
    let said = pod.part("spec").field("overhead");
    match (overhead, said) {
        (Some(overhead), _) => {
            let said = said.unwrap_or(&Value::Null);
            if same(overhead.part("podFixed"), said) {
                return Ok(());
            }
            Err(attributes.forbidden(pod, OTHER_OVERHEAD))
        }
        (None, None) => Ok(()),
        (None, Some(_)) => Err(attributes.forbidden(
            pod,
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        )),
    }
}

/// The class that a pod names; None if it names none.
fn class(
    attributes: &Attributes<'_>,
    pod: &Value,
    cluster: &dyn Cluster,
) -> Result<Option<Value>, Status> {
    let Some(name) = pod.part("spec").field("runtimeClassName") else {
        return Ok(None);
    };
    let name = name.as_str().unwrap_or_default();
    match cluster.get(Kind::RuntimeClass, "", name)? {
        Some(class) => Ok(Some(class)),
        None => {
            let why = format!("pod rejected: RuntimeClass {name:?} not found");
            Err(attributes.forbidden(pod, &why))
        }
    }
}

/// Whether two lists of amounts are the same, however they are written.
fn same(one: &Value, other: &Value) -> bool {
    amounts(one) == amounts(other)
}

fn amounts(list: &Value) -> BTreeMap<&str, Option<Quantity>> {
    let entries = list.as_object().into_iter().flatten();
    let amounts = entries.map(|(name, amount)| (name.as_str(), Quantity::from_value(amount).ok()));
    amounts.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};
    use serde_json::json;

    fn runtime_class(rest: Value) -> [(Kind, Value); 1] {
        let mut class = json!({"metadata": {"name": "r"}, "handler": "h"});
        if let (Some(fields), Value::Object(rest)) = (class.as_object_mut(), rest) {
            fields.extend(rest);
        }
        [(Kind::RuntimeClass, class)]
    }

    fn check(spec: Value, class: &[(Kind, Value)], expect: Result<Value, &str>) {
        let request = Request::create("", "pods", "n");
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let outcome = request.outcome(&PLUGIN, &pod, class);
        let outcome = outcome.map(|pod| pod["spec"].clone());
        let expect = expect.map_err(|why| (403, format!("pods \"p\" is forbidden: {why}")));
        assert_eq!(outcome, expect);
    }

    #[test]
    fn the_class_is_there() {
        let plain = json!({"runtimeClassName": "r"});
        check(plain.clone(), &runtime_class(json!({})), Ok(plain.clone()));
        check(json!({}), &[], Ok(json!({})));
        check(
            plain.clone(),
            &[],
            Err("pod rejected: RuntimeClass \"r\" not found"),
        );
        // Pods that are there are not asked again.
        let update = Request::update("", "pods", "n", json!({}));
        let pod = json!({"spec": plain});
        assert_eq!(update.outcome(&PLUGIN, &pod, &[]), Ok(pod));
    }

    #[test]
    fn the_overhead_is_the_classes() {
        let class =
            runtime_class(json!({"overhead": {"podFixed": {"cpu": "250m", "memory": "64Mi"}}}));
        let spec = |overhead: Value| json!({"runtimeClassName": "r", "overhead": overhead});
        let fixed = json!({"cpu": "250m", "memory": "64Mi"});
        check(
            json!({"runtimeClassName": "r"}),
            &class,
            Ok(spec(fixed.clone())),
        );
        check(spec(fixed.clone()), &class, Ok(spec(fixed.clone())));
        let otherwise = json!({"cpu": "0.25", "memory": "65536Ki"});
        check(spec(otherwise), &class, Ok(spec(fixed.clone())));
        for other in [
            json!({"cpu": "250m"}),
            json!({"cpu": "1", "memory": "64Mi"}),
        ] {
            check(spec(other), &class, Err(OTHER_OVERHEAD));
        }
        let without =
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        let bare = runtime_class(json!({}));
        check(spec(fixed.clone()), &bare, Err(without));
        check(json!({"overhead": fixed}), &class, Err(without));
        check(json!({"overhead": {}}), &class, Err(without));
        // An overhead of nothing is none.
        let nothing = runtime_class(json!({"overhead": {}}));
        let plain = json!({"runtimeClassName": "r"});
        check(plain.clone(), &nothing, Ok(plain.clone()));
        check(spec(json!({})), &nothing, Ok(plain));
        check(spec(json!({"cpu": "1"})), &nothing, Err(OTHER_OVERHEAD));
    }

    #[test]
    fn pods_run_where_the_class_says() {
        let class = runtime_class(json!({"scheduling": {
            "nodeSelector": {"sandbox": "yes", "arch": "arm64"},
            "tolerations": [{"key": "sandbox", "operator": "Exists"}],
        }}));
        let tolerations = json!([{"key": "sandbox", "operator": "Exists"}]);
        check(
            json!({"runtimeClassName": "r"}),
            &class,
            Ok(json!({
                "runtimeClassName": "r",
                "nodeSelector": {"sandbox": "yes", "arch": "arm64"},
                "tolerations": tolerations,
            })),
        );
        check(
            json!({
                "runtimeClassName": "r",
                "nodeSelector": {"zone": "a", "arch": "arm64"},
                "tolerations": [
                    {"key": "sandbox", "operator": "Equal", "value": "x"},
                    {"key": "own", "operator": "Exists"},
                ],
            }),
            &class,
            Ok(json!({
                "runtimeClassName": "r",
                "nodeSelector": {"zone": "a", "sandbox": "yes", "arch": "arm64"},
                "tolerations": [
                    {"key": "own", "operator": "Exists"},
                    {"key": "sandbox", "operator": "Exists"},
                ],
            })),
        );
        check(
            json!({"runtimeClassName": "r", "nodeSelector": {"arch": "amd64"}}),
            &class,
            Err(
                "conflict: runtimeClass.scheduling.nodeSelector[arch] = arm64; pod.spec.nodeSelector[arch] = amd64",
            ),
        );
        let nowhere = runtime_class(json!({"scheduling": {}}));
        let plain = json!({"runtimeClassName": "r"});
        check(plain.clone(), &nowhere, Ok(plain));
    }
}
