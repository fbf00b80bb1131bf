//! NamespaceLifecycle: objects are in namespaces that are there and stay; some namespaces are never deleted.

use super::{Attributes, Cluster, Kind, Operation, Plugin};
use kinds::value::Fields;
use objects::status::{Qualified, Status};
use serde_json::Value;

/// Namespaces that stay as long as their cluster.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NamespaceLifecycle",
    handles: &[Operation::Create, Operation::Update, Operation::Delete],
    mutate: Some(|attributes, object, cluster| check(attributes, object, cluster)),
    validate: None,
};

fn check(attributes: &Attributes<'_>, object: &Value, cluster: &dyn Cluster) -> Result<(), Status> {
    let namespace = attributes.namespace;
    if attributes.operation == Operation::Delete {
        let immortal = IMMORTAL.contains(&attributes.name);
        if immortal && attributes.is_any_of("", "namespaces") {
            return Err(attributes.forbidden(object, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    // Whoever may ask about permissions is not told by it which namespaces there are.
    let review = attributes.is("authorization.k8s.io", "localsubjectaccessreviews");
    if namespace.is_empty() || review {
        return Ok(());
    }
    let Some(found) = cluster.get(Kind::Namespace, "", namespace)? else {
        return Err(Status::not_found(Qualified::core("namespaces"), namespace));
    };
    // What is there may still be changed, so that it can be cleared away.
    if attributes.operation != Operation::Create
        || found.part("status").text("phase") != "Terminating"
    {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let message = format!("namespace {namespace} is being terminated");
    let status = attributes.forbidden(object, &why);
    Err(status.with_cause("NamespaceTerminating", message, "metadata.namespace"))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};
    use serde_json::json;

    fn cluster() -> [(Kind, Value); 2] {
        let namespace = |name: &str, phase: &str| {
            let object = json!({"metadata": {"name": name}, "status": {"phase": phase}});
            (Kind::Namespace, object)
        };
        [
            namespace("here", "Active"),
            namespace("going", "Terminating"),
        ]
    }

    #[test]
    fn new_objects_need_a_namespace_that_stays() {
        let check = |request: &Request, expect: Result<(), (u16, &str)>| {
            let object = json!({"metadata": {"name": "a"}});
            let outcome = request.outcome(&PLUGIN, &object, &cluster());
            assert_eq!(
                outcome,
                expect
                    .map(|()| object)
                    .map_err(|(code, message)| (code, message.to_owned())),
                "{request:?}"
            );
        };
        let create = |namespace| Request::create("", "configmaps", namespace);
        let refused = r#"configmaps "a" is forbidden: unable to create new content in namespace going because it is being terminated"#;
        check(&create("here"), Ok(()));
        check(&create("going"), Err((403, refused)));
        let missing = r#"namespaces "gone" not found"#;
        check(&create("gone"), Err((404, missing)));
        let update = |namespace| Request::update("", "configmaps", namespace, json!({}));
        check(&update("here"), Ok(()));
        check(&update("going"), Ok(()));
        check(&update("gone"), Err((404, missing)));
        // What is in no namespace, and namespaces themselves.
        check(&Request::create("", "nodes", ""), Ok(()));
        check(&Request::create("", "namespaces", ""), Ok(()));
        // Deeds are creates: clients that drain nodes know this answer.
        let evict = Request {
            name: "p",
            subresource: "eviction",
            ..Request::create("", "pods", "going")
        };
        let refused = r#"pods "p" is forbidden: unable to create new content in namespace going because it is being terminated"#;
        check(&evict, Err((403, refused)));
        let scale = Request {
            subresource: "scale",
            ..Request::update("apps", "deployments", "going", json!({}))
        };
        check(&scale, Ok(()));
        let review = |resource| Request::create("authorization.k8s.io", resource, "gone");
        check(&review("localsubjectaccessreviews"), Ok(()));
        let delete = |resource, name, namespace| Request {
            operation: Operation::Delete,
            name,
            ..Request::create("", resource, namespace)
        };
        check(&delete("configmaps", "default", "gone"), Ok(()));
        check(&delete("namespaces", "here", ""), Ok(()));
        for name in IMMORTAL {
            let refused =
                format!(r#"namespaces "{name}" is forbidden: this namespace may not be deleted"#);
            check(&delete("namespaces", name, ""), Err((403, &refused)));
        }
        check(&delete("namespaces", "kube-node-lease", ""), Ok(()));
    }

    #[test]
    fn the_cause_is_told_to_programs() {
        let request = Request::create("", "configmaps", "going");
        let mut object = json!({"metadata": {"generateName": "a-"}});
        let status = request.ask(&PLUGIN, &mut object, &cluster());
        let status = status.expect_err("it is going").to_value();
        assert_eq!(status["details"]["name"], "a-");
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": "namespace going is being terminated",
            "field": "metadata.namespace",
        });
        assert_eq!(status["details"]["causes"], json!([cause]));
    }
}
