//! Priority: a pod's class becomes its priority; one class at most is that of pods that name none.

use super::{Attributes, Cluster, Kind, Operation, Plugin};
use kinds::value::Fields;
use objects::{metadata::Metadata, status::Status};
use serde_json::Value;

/// What a pod has without any class.
const PRIORITY: i64 = 0;
const PREEMPTION: &str = "PreemptLowerPriority";

pub(super) const PLUGIN: Plugin = Plugin {
    name: "Priority",
    handles: &[Operation::Create, Operation::Update],
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
    if let Some(old) = attributes.old {
        keep(pod, old);
        return Ok(());
    }
    let class = class(attributes, pod, cluster)?;
    let (priority, preemption) = match &class {
        None => (PRIORITY, Some(PREEMPTION)),
        Some(class) => (
            class.whole("value").unwrap_or_default(),
            Some(class.text("preemptionPolicy")).filter(|policy| !policy.is_empty()),
        ),
    };
    let spec = pod.part("spec");
    if let Some(said) = spec.whole("priority").filter(|said| *said != priority) {
        let why = format!(
            "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(pod, &why));
    }
    if let Some(policy) = preemption
        && let Some(said) = spec.field("preemptionPolicy").and_then(Value::as_str)
        && said != policy
    {
        let why = format!(
            "the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(pod, &why));
    }
    if let Some(spec) = pod.object_mut("spec") {
        if let Some(class) = &class {
            spec.set("priorityClassName", Metadata::of(class).name());
        }
        spec.set("priority", priority);
        if let Some(policy) = preemption {
            spec.set("preemptionPolicy", policy);
        }
    }
    Ok(())
}

/// Who writes a pod without what was set when it was made means no change; the pod's own rules refuse one.
fn keep(pod: &mut Value, old: &Value) {
    if let Some(spec) = pod.object_mut("spec") {
        for name in ["priority", "preemptionPolicy"] {
            if !spec.has(name) {
                spec.copy_from(old.part("spec"), name);
            }
        }
    }
}

/// The class that a new pod names, or the default one.
fn class(
    attributes: &Attributes<'_>,
    pod: &Value,
    cluster: &dyn Cluster,
) -> Result<Option<Value>, Status> {
    let name = pod.part("spec").text("priorityClassName");
    if name.is_empty() {
        return default(cluster);
    }
    match cluster.get(Kind::PriorityClass, "", name)? {
        Some(class) => Ok(Some(class)),
        None => {
            let why = format!("no PriorityClass with name {name} was found");
            Err(attributes.forbidden(pod, &why))
        }
    }
}

/// The default class; two that were made at once can both be, and then it is the lower one.
fn default(cluster: &dyn Cluster) -> Result<Option<Value>, Status> {
    let mut classes = cluster.list(Kind::PriorityClass)?;
    classes.retain(|class| class.flag("globalDefault"));
    let lowest = |class: &Value| class.whole("value").unwrap_or_default();
    Ok(classes.into_iter().min_by_key(lowest))
}

fn validate(
    attributes: &Attributes<'_>,
    class: &Value,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !attributes.is("scheduling.k8s.io", "priorityclasses") || !class.flag("globalDefault") {
        return Ok(());
    }
    let Some(other) = default(cluster)? else {
        return Ok(());
    };
    let other = Metadata::of(&other).name();
    if attributes.operation == Operation::Update && other == Metadata::of(class).name() {
        return Ok(());
    }
    let why =
        format!("PriorityClass {other} is already marked as default. Only one default can exist");
    Err(attributes.forbidden(class, &why))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};
    use proptest::prelude::*;
    use serde_json::json;

    fn priority_class(name: &str, value: i64, default: bool, policy: &str) -> (Kind, Value) {
        let class = json!({
            "metadata": {"name": name},
            "value": value,
            "globalDefault": default,
            "preemptionPolicy": policy,
        });
        (Kind::PriorityClass, class)
    }

    #[test]
    fn a_class_is_a_priority() {
        let request = Request::create("", "pods", "n");
        let check = |spec: Value, classes: &[(Kind, Value)], expect: Result<Value, &str>| {
            let pod = json!({"metadata": {"name": "p"}, "spec": spec});
            let outcome = request.outcome(&PLUGIN, &pod, classes);
            let outcome = outcome.map(|pod| pod["spec"].clone());
            let expect = expect.map_err(|why| (403, format!("pods \"p\" is forbidden: {why}")));
            assert_eq!(outcome, expect);
        };
        let none: [(Kind, Value); 0] = [];
        let some = [
            priority_class("high", 1_000, false, PREEMPTION),
            priority_class("polite", 5, false, "Never"),
            priority_class("system-node-critical", 2_000_001_000, false, PREEMPTION),
        ];
        let without = json!({"priority": 0, "preemptionPolicy": PREEMPTION});
        check(json!({}), &none, Ok(without.clone()));
        check(Value::Null, &none, Ok(without.clone()));
        check(json!({"priorityClassName": ""}), &some, {
            let mut spec = without.clone();
            spec["priorityClassName"] = "".into();
            Ok(spec)
        });
        let made = |name: &str, priority: i64, policy: &str| {
            Ok(json!({"priorityClassName": name, "priority": priority, "preemptionPolicy": policy}))
        };
        check(
            json!({"priorityClassName": "high"}),
            &some,
            made("high", 1_000, PREEMPTION),
        );
        check(
            json!({"priorityClassName": "polite"}),
            &some,
            made("polite", 5, "Never"),
        );
        check(
            json!({"priorityClassName": "system-node-critical"}),
            &some,
            made("system-node-critical", 2_000_001_000, PREEMPTION),
        );
        check(
            json!({"priorityClassName": "missing"}),
            &some,
            Err("no PriorityClass with name missing was found"),
        );
        // The right answer may be given beforehand, a wrong one not.
        check(
            json!({"priorityClassName": "high", "priority": 1_000, "preemptionPolicy": PREEMPTION}),
            &some,
            made("high", 1_000, PREEMPTION),
        );
        check(
            json!({"priority": 7}),
            &none,
            Err(
                "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
            ),
        );
        check(
            json!({"priorityClassName": "high", "preemptionPolicy": "Never"}),
            &some,
            Err(
                "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
            ),
        );
        let defaults = [
            priority_class("b", 20, true, PREEMPTION),
            priority_class("a", 10, true, "Never"),
            priority_class("c", 1, false, PREEMPTION),
        ];
        check(json!({}), &defaults, made("a", 10, "Never"));
        check(
            json!({"priorityClassName": "c"}),
            &defaults,
            made("c", 1, PREEMPTION),
        );
    }

    #[test]
    fn a_priority_stays() {
        let old = json!({"spec": {"priority": 5, "preemptionPolicy": "Never"}});
        let request = Request::update("", "pods", "n", old);
        let check = |spec: Value, expect: Value| {
            let made = request.outcome(&PLUGIN, &json!({"spec": spec}), &[]);
            assert_eq!(made.expect("admitted")["spec"], expect);
        };
        let kept = json!({"priority": 5, "preemptionPolicy": "Never"});
        check(json!({}), kept.clone());
        check(kept.clone(), kept);
        // That this is no change of a pod, its own rules say.
        check(
            json!({"priority": 6}),
            json!({"priority": 6, "preemptionPolicy": "Never"}),
        );
        let status = Request {
            subresource: "status",
            ..request.clone()
        };
        let pod = json!({"spec": {}});
        assert_eq!(status.outcome(&PLUGIN, &pod, &[]), Ok(pod));
    }

    #[test]
    fn one_class_is_the_default() {
        let there = [
            priority_class("a", 10, true, PREEMPTION),
            priority_class("b", 20, false, PREEMPTION),
        ];
        let group = "scheduling.k8s.io";
        let create = Request::create(group, "priorityclasses", "");
        let update = Request::update(group, "priorityclasses", "", json!({}));
        let check = |request: &Request, name: &str, default: bool, expect: Result<(), ()>| {
            let (_, class) = priority_class(name, 1, default, PREEMPTION);
            let outcome = request.outcome(&PLUGIN, &class, &there);
            let refused = format!(
                "priorityclasses.scheduling.k8s.io \"{name}\" is forbidden: PriorityClass a is already marked as default. Only one default can exist"
            );
            assert_eq!(
                outcome.map(|_| ()),
                expect.map_err(|()| (403, refused)),
                "{name}"
            );
        };
        check(&create, "c", false, Ok(()));
        check(&create, "c", true, Err(()));
        check(&update, "b", true, Err(()));
        check(&update, "b", false, Ok(()));
        check(&update, "a", true, Ok(()));
        check(&update, "a", false, Ok(()));
        let (_, first) = priority_class("c", 1, true, PREEMPTION);
        assert_eq!(create.outcome(&PLUGIN, &first, &[]), Ok(first));
    }

    proptest! {
        /// Whatever classes there are, a pod gets the value of one of them, or none's; and keeps it when it is written again.
        #[test]
        fn a_priority_is_that_of_a_class(
            classes in proptest::collection::btree_map(0..5_u8, (any::<i32>(), any::<bool>()), 0..6),
            named in proptest::option::of(0..5_u8),
        ) {
            let classes: Vec<_> = classes
                .iter()
                .map(|(name, (value, default))| {
                    priority_class(&format!("c{name}"), i64::from(*value), *default, PREEMPTION)
                })
                .collect();
            let mut pod = json!({"spec": {}});
            if let Some(name) = named {
                pod["spec"]["priorityClassName"] = format!("c{name}").into();
            }
            let request = Request::create("", "pods", "n");
            match request.outcome(&PLUGIN, &pod, &classes) {
                Ok(made) => {
                    let name = made["spec"]["priorityClassName"].as_str().unwrap_or_default();
                    let of_a_class = classes.iter().any(|(_, class)| {
                        class["metadata"]["name"] == name && class["value"] == made["spec"]["priority"]
                    });
                    prop_assert!(of_a_class || (name.is_empty() && made["spec"]["priority"] == 0));
                    let again = request.outcome(&PLUGIN, &made, &classes);
                    prop_assert_eq!(again, Ok(made));
                }
                Err((code, _)) => {
                    prop_assert_eq!(code, 403);
                    let name = format!("c{}", named.expect("only a named class is missing"));
                    prop_assert!(classes.iter().all(|(_, class)| class["metadata"]["name"] != name));
                }
            }
        }
    }
}
