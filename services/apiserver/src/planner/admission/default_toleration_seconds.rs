//! DefaultTolerationSeconds: a pod stays for five minutes on a node that is not ready or not reached, unless it says otherwise.

use super::{Attributes, Cluster, Operation, Plugin, push};
use kinds::value::Fields;
use objects::status::Status;
use serde_json::{Value, json};

/// What a node has that is gone, in one of two ways.
const TAINTS: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];
const SECONDS: i64 = 300;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "DefaultTolerationSeconds",
    handles: &[Operation::Create, Operation::Update],
    mutate: Some(mutate),
    validate: None,
};

fn mutate(
    attributes: &Attributes<'_>,
    pod: &mut Value,
    _cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    let Some(spec) = pod.object_mut("spec") else {
        return Ok(());
    };
    for taint in TAINTS {
        let tolerated = |toleration: &Value| {
            let (key, effect) = (toleration.text("key"), toleration.text("effect"));
            (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
        };
        if !spec.items("tolerations").iter().any(tolerated) {
            let toleration = json!({
                "key": taint,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": SECONDS,
            });
            push(spec, "tolerations", toleration);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};

    #[test]
    fn pods_stay_for_five_minutes() {
        let default = |key: &str| {
            json!({
                "key": format!("node.kubernetes.io/{key}"),
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            })
        };
        let (not_ready, unreachable) = (default("not-ready"), default("unreachable"));
        let check = |request: &Request, given: Value, expect: Value| {
            let pod = json!({"spec": {"tolerations": given}});
            let made = request.outcome(&PLUGIN, &pod, &[]).expect("admitted");
            assert_eq!(made["spec"]["tolerations"], expect);
        };
        let create = Request::create("", "pods", "n");
        let both = json!([not_ready, unreachable]);
        check(&create, Value::Null, both.clone());
        check(&create, json!([]), both.clone());
        let update = Request::update("", "pods", "n", json!({}));
        check(&update, json!([]), both.clone());
        check(&update, both.clone(), both.clone());
        // Other taints, and other effects of the same.
        let other = json!({"key": "a", "operator": "Exists"});
        check(
            &create,
            json!([other]),
            json!([other, not_ready, unreachable]),
        );
        let schedule = json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"});
        check(
            &create,
            json!([schedule]),
            json!([schedule, not_ready, unreachable]),
        );
        // Who says something of one, or of all, is left alone.
        let mine = json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
        check(&create, json!([mine]), json!([mine, unreachable]));
        let any_effect = json!({"key": TAINTS[1], "operator": "Exists"});
        check(&create, json!([any_effect]), json!([any_effect, not_ready]));
        for all in [
            json!({"operator": "Exists"}),
            json!({"operator": "Exists", "effect": "NoExecute"}),
        ] {
            check(&create, json!([all]), json!([all]));
        }
        let status = Request {
            subresource: "status",
            ..update
        };
        check(&status, json!([]), json!([]));
        check(
            &Request::create("apps", "deployments", "n"),
            json!([]),
            json!([]),
        );
    }
}
