//! TaintNodesByCondition: a new node is not ready, whatever it says, so that no pod comes before it is.

use super::{Attributes, Cluster, Operation, Plugin, push};
use kinds::value::Fields;
use objects::status::Status;
use serde_json::{Value, json};

/// The controller of nodes takes it away when the node is ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub(super) const PLUGIN: Plugin = Plugin {
    name: "TaintNodesByCondition",
    handles: &[Operation::Create],
    mutate: Some(mutate),
    validate: None,
};

fn mutate(
    attributes: &Attributes<'_>,
    node: &mut Value,
    _cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !attributes.is("", "nodes") {
        return Ok(());
    }
    let Some(spec) = node.object_mut("spec") else {
        return Ok(());
    };
    let mut taints = spec.items("taints").iter();
    if !taints.any(|taint| taint.text("key") == NOT_READY && taint.text("effect") == EFFECT) {
        push(spec, "taints", json!({"key": NOT_READY, "effect": EFFECT}));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};

    #[test]
    fn new_nodes_are_not_ready() {
        let check = |request: &Request, spec: Value, expect: Value| {
            let node = json!({"metadata": {"name": "n"}, "spec": spec});
            let made = request.outcome(&PLUGIN, &node, &[]).expect("admitted");
            assert_eq!(made["spec"], expect);
        };
        let create = Request::create("", "nodes", "");
        let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
        let other = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"});
        check(&create, Value::Null, json!({"taints": [taint]}));
        check(&create, json!({}), json!({"taints": [taint]}));
        check(
            &create,
            json!({"taints": [other]}),
            json!({"taints": [other, taint]}),
        );
        // One that is there with a value is the same taint.
        let mine = json!({"key": NOT_READY, "value": "x", "effect": EFFECT});
        check(
            &create,
            json!({"taints": [mine]}),
            json!({"taints": [mine]}),
        );
        let update = Request::update("", "nodes", "", json!({}));
        check(&update, json!({}), json!({}));
        check(&Request::create("", "pods", "n"), json!({}), json!({}));
    }
}
