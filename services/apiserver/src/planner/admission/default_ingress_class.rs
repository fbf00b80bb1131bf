//! DefaultIngressClass: an ingress that names no class is of the default one.

use super::{Attributes, Cluster, Kind, Operation, Plugin};
use kinds::value::Fields;
use objects::{metadata::Metadata, status::Status};
use serde_json::Value;
use std::cmp::Reverse;

const GROUP: &str = "networking.k8s.io";
/// The class's name, of before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";
/// `true` on the class that is the default.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

pub(super) const PLUGIN: Plugin = Plugin {
    name: "DefaultIngressClass",
    handles: &[Operation::Create],
    mutate: Some(mutate),
    validate: None,
};

fn mutate(
    attributes: &Attributes<'_>,
    ingress: &mut Value,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !attributes.is(GROUP, "ingresses")
        || ingress.part("spec").has("ingressClassName")
        || annotations(ingress).has(CLASS)
    {
        return Ok(());
    }
    let mut classes = cluster.list(Kind::IngressClass)?;
    classes.retain(|class| annotations(class).text(IS_DEFAULT) == "true");
    // The newest, of several; the times are of one form and one zone, so they sort as texts.
    let default = classes.iter().min_by_key(|class| {
        let made = class.part("metadata").text("creationTimestamp");
        (Reverse(made), Metadata::of(class).name())
    });
    if let Some(default) = default
        && let Some(spec) = ingress.object_mut("spec")
    {
        spec.set("ingressClassName", Metadata::of(default).name());
    }
    Ok(())
}

fn annotations(object: &Value) -> &Value {
    object.part("metadata").part("annotations")
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};
    use serde_json::json;

    #[test]
    fn the_newest_default_class_is_the_ingresses() {
        let class = |name: &str, default: &str, made: &str| {
            let class = json!({"metadata": {
                "name": name,
                "creationTimestamp": made,
                "annotations": {IS_DEFAULT: default},
            }});
            (Kind::IngressClass, class)
        };
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let request = Request::create(GROUP, "ingresses", "n");
        let check = |ingress: Value, classes: &[(Kind, Value)], expect: Value| {
            let made = request.outcome(&PLUGIN, &ingress, classes);
            assert_eq!(
                made.expect("admitted")["spec"]["ingressClassName"],
                expect,
                "{ingress}"
            );
        };
        let plain = json!({"metadata": {"name": "i"}, "spec": {}});
        check(plain.clone(), &[], Value::Null);
        check(plain.clone(), &[class("a", "false", new)], Value::Null);
        check(plain.clone(), &[class("a", "yes", new)], Value::Null);
        let one = [class("a", "true", new)];
        check(plain.clone(), &one, json!("a"));
        check(json!({"metadata": {"name": "i"}}), &one, json!("a"));
        let several = [
            class("a", "true", old),
            class("c", "true", new),
            class("b", "true", new),
            class("d", "false", new),
        ];
        check(plain, &several, json!("b"));
        // Who has said which, or that there is none, has said it.
        check(json!({"spec": {"ingressClassName": "x"}}), &one, json!("x"));
        check(json!({"spec": {"ingressClassName": ""}}), &one, json!(""));
        check(
            json!({"metadata": {"annotations": {CLASS: ""}}, "spec": {}}),
            &one,
            Value::Null,
        );
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let class = json!({"metadata": {"name": "a", "annotations": {IS_DEFAULT: "true"}}});
        let classes = [(Kind::IngressClass, class)];
        let plain = json!({"spec": {}});
        for request in [
            Request::update(GROUP, "ingresses", "n", json!({})),
            Request::create("", "services", "n"),
        ] {
            let made = request.outcome(&PLUGIN, &plain, &classes);
            assert_eq!(made.expect("admitted"), plain);
        }
    }
}
