//! What is to be done so that a default object is there, and all that it should have.

use super::{
    super::{Kind, Rule, missing},
    Wanted,
};
use objects::metadata::{self, Metadata};
use serde_json::{Map, Value};

/// The annotation by which people keep an object as they want it.
pub(super) const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It is made.
    Create(Value),
    /// It is changed to this, of the resourceVersion that was there.
    Update(Value),
    /// It is taken away and made anew, since what a binding binds cannot be changed.
    Recreate(Value),
}

/// Compares what should be there with what is. None: nothing is to be done.
#[must_use]
pub fn reconcile(wanted: &Wanted, there: Option<&Value>) -> Option<Step> {
    let Some(there) = there else {
        return Some(Step::Create(wanted.value.clone()));
    };
    if Metadata::of(there).annotation(AUTO_UPDATE) == Some("false") {
        return None;
    }
    let mut object = there.clone();
    for map in ["labels", "annotations"] {
        add_missing(&mut object, &wanted.value, map);
    }
    match wanted.kind {
        Kind::ClusterRole | Kind::Role => {
            add_rules(&mut object, &wanted.value);
            reconcile_aggregation(&mut object, &wanted.value);
        }
        Kind::ClusterRoleBinding | Kind::RoleBinding => {
            let role = |object: &Value, field: &str| {
                let role = object.get("roleRef").and_then(|role| role.get(field));
                role.cloned().unwrap_or_default()
            };
            let same = |field| role(there, field) == role(&wanted.value, field);
            if !["apiGroup", "kind", "name"].into_iter().all(same) {
                return Some(Step::Recreate(wanted.value.clone()));
            }
            add_subjects(&mut object, &wanted.value);
        }
    }
    (object != *there).then_some(Step::Update(object))
}

/// Labels or annotations that are not there; those that are stay as they are.
fn add_missing(object: &mut Value, wanted: &Value, map: &str) {
    let Some(wanted) = Metadata::of(wanted).get(map).and_then(Value::as_object) else {
        return;
    };
    let fields = metadata::edit(object)
        .entry(map)
        .or_insert_with(|| Map::new().into());
    if fields.is_null() {
        *fields = Map::new().into();
    }
    if let Value::Object(fields) = fields {
        for (name, value) in wanted {
            fields.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
}

fn add_rules(object: &mut Value, wanted: &Value) {
    let rules = |object: &Value| -> Vec<Rule> {
        let rules = object.get("rules").cloned().unwrap_or_default();
        serde_json::from_value(rules).unwrap_or_default()
    };
    // Our own tables are small.
    let missing = missing(&rules(object), &rules(wanted)).unwrap_or_default();
    append(
        object,
        "rules",
        missing
            .iter()
            .filter_map(|rule| serde_json::to_value(rule).ok()),
    );
}

fn reconcile_aggregation(object: &mut Value, wanted: &Value) {
    let selectors = |object: &Value| {
        let selectors = object.pointer("/aggregationRule/clusterRoleSelectors");
        let selectors = selectors.and_then(Value::as_array);
        selectors.cloned().unwrap_or_default()
    };
    let is_set = |object: &Value| {
        let rule = object.get("aggregationRule");
        rule.is_some_and(|rule| !rule.is_null())
    };
    if !is_set(wanted) {
        if is_set(object)
            && let Value::Object(fields) = object
        {
            fields.remove("aggregationRule");
        }
        return;
    }
    let known = selectors(object);
    let missing: Vec<Value> = selectors(wanted)
        .into_iter()
        .filter(|selector| !known.contains(selector))
        .collect();
    if missing.is_empty() {
        return;
    }
    if let Value::Object(fields) = object {
        let rule = fields
            .entry("aggregationRule")
            .or_insert_with(|| Map::new().into());
        if rule.is_null() {
            *rule = Map::new().into();
        }
        append(rule, "clusterRoleSelectors", missing);
    }
}

fn add_subjects(object: &mut Value, wanted: &Value) {
    let subjects = |object: &Value| {
        let subjects = object.get("subjects").and_then(Value::as_array);
        subjects.cloned().unwrap_or_default()
    };
    let known = subjects(object);
    let is = |one: &Value, other: &Value| {
        let text = |subject: &Value, field: &str| {
            let text = subject.get(field).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        ["apiGroup", "kind", "name", "namespace"]
            .into_iter()
            .all(|field| text(one, field) == text(other, field))
    };
    let missing = subjects(wanted)
        .into_iter()
        .filter(|subject| !known.iter().any(|known| is(known, subject)));
    append(object, "subjects", missing);
}

/// More items of a list, which is made where it is not there.
fn append(object: &mut Value, list: &str, items: impl IntoIterator<Item = Value>) {
    let items: Vec<Value> = items.into_iter().collect();
    let Value::Object(fields) = object else {
        return;
    };
    if items.is_empty() {
        return;
    }
    match fields.get_mut(list) {
        Some(Value::Array(known)) => known.extend(items),
        _ => {
            fields.insert(list.to_owned(), items.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::objects, *};
    use serde_json::json;

    fn find(kind: Kind, key: &str) -> Wanted {
        let objects = objects(false);
        let found = objects
            .into_iter()
            .find(|object| object.kind == kind && object.key == key);
        found.expect(key)
    }

    fn update(step: Option<Step>) -> Value {
        match step {
            Some(Step::Update(object)) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_there_needs_nothing() {
        for object in objects(true) {
            let created = Some(Step::Create(object.value.clone()));
            assert_eq!(reconcile(&object, None), created);
            assert_eq!(
                reconcile(&object, Some(&object.value)),
                None,
                "{}",
                object.key
            );
        }
    }

    #[test]
    fn missing_rules_are_added_and_others_stay() {
        let wanted = find(Kind::ClusterRole, "system:kube-dns");
        let mut there = wanted.value.clone();
        there["metadata"]["annotations"] = Value::Null;
        there["metadata"]["labels"] = json!({"kubernetes.io/bootstrapping": "mine"});
        there["rules"] =
            json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["endpoints", "nodes"]}]);
        let object = update(reconcile(&wanted, Some(&there)));
        assert_eq!(
            object["rules"],
            json!([
                {"verbs": ["list"], "apiGroups": [""], "resources": ["endpoints", "nodes"]},
                {"verbs": ["watch"], "apiGroups": [""], "resources": ["endpoints"]},
                {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["services"]},
            ])
        );
        assert_eq!(
            object["metadata"]["annotations"],
            json!({AUTO_UPDATE: "true"})
        );
        assert_eq!(
            object["metadata"]["labels"]["kubernetes.io/bootstrapping"],
            "mine"
        );
        assert_eq!(reconcile(&wanted, Some(&object)), None);
        there["metadata"]["annotations"] = json!({AUTO_UPDATE: "false"});
        assert_eq!(reconcile(&wanted, Some(&there)), None);
    }

    #[test]
    fn gathered_rules_are_not_taken_away() {
        let wanted = find(Kind::ClusterRole, "edit");
        let mut there = wanted.value.clone();
        there["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(reconcile(&wanted, Some(&there)), None);
        there["aggregationRule"] = Value::Null;
        let object = update(reconcile(&wanted, Some(&there)));
        assert_eq!(object["aggregationRule"], wanted.value["aggregationRule"]);
        let wanted = find(Kind::ClusterRole, "system:kube-dns");
        let mut there = wanted.value.clone();
        there["aggregationRule"] = json!({"clusterRoleSelectors": []});
        let object = update(reconcile(&wanted, Some(&there)));
        assert_eq!(object, wanted.value);
    }

    #[test]
    fn bindings() {
        let wanted = find(Kind::ClusterRoleBinding, "system:discovery");
        let mut there = wanted.value.clone();
        there["subjects"] =
            json!([{"kind": "User", "name": "jane", "apiGroup": super::super::super::GROUP}]);
        let object = update(reconcile(&wanted, Some(&there)));
        assert_eq!(object["subjects"].as_array().map(Vec::len), Some(2));
        there["roleRef"]["name"] = "other".into();
        let recreated = Some(Step::Recreate(wanted.value.clone()));
        assert_eq!(reconcile(&wanted, Some(&there)), recreated);
        there["metadata"]["annotations"] = json!({AUTO_UPDATE: "false"});
        assert_eq!(reconcile(&wanted, Some(&there)), None);
    }
}
