//! StorageObjectInUseProtection: claims, volumes and classes that are used are not lost to a delete.
//!
//! Controllers take the finalizers away when nobody uses the object any more.

use super::{Attributes, Cluster, Operation, Plugin};
use objects::{
    metadata::{self, Metadata},
    status::Status,
};
use serde_json::Value;

/// Group and resource, and its finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    (
        "storage.k8s.io",
        "volumeattributesclasses",
        "kubernetes.io/vac-protection",
    ),
];

pub(super) const PLUGIN: Plugin = Plugin {
    name: "StorageObjectInUseProtection",
    handles: &[Operation::Create],
    mutate: Some(mutate),
    validate: None,
};

fn mutate(
    attributes: &Attributes<'_>,
    object: &mut Value,
    _cluster: &dyn Cluster,
) -> Result<(), Status> {
    let mut protected = PROTECTED.iter();
    let Some((_, _, finalizer)) = protected.find(|(group, name, _)| attributes.is(group, name))
    else {
        return Ok(());
    };
    let mut finalizers: Vec<String> = Metadata::of(object)
        .finalizers()
        .map(str::to_owned)
        .collect();
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push((*finalizer).to_owned());
        metadata::edit(object).insert("finalizers".to_owned(), finalizers.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Request, *};
    use serde_json::json;

    #[test]
    fn what_stores_is_protected() {
        let check = |request: &Request, given: Value, expect: Value| {
            let object = json!({"metadata": {"name": "a", "finalizers": given}});
            let made = request.outcome(&PLUGIN, &object, &[]).expect("admitted");
            assert_eq!(made["metadata"]["finalizers"], expect);
        };
        let claim = Request::create("", "persistentvolumeclaims", "n");
        let finalizer = "kubernetes.io/pvc-protection";
        check(&claim, Value::Null, json!([finalizer]));
        check(&claim, json!(["a.b/c"]), json!(["a.b/c", finalizer]));
        check(
            &claim,
            json!([finalizer, "a.b/c"]),
            json!([finalizer, "a.b/c"]),
        );
        check(
            &Request::create("", "persistentvolumes", ""),
            json!([]),
            json!(["kubernetes.io/pv-protection"]),
        );
        check(
            &Request::create("storage.k8s.io", "volumeattributesclasses", ""),
            json!([]),
            json!(["kubernetes.io/vac-protection"]),
        );
        // Whoever takes it away later means it.
        let update = Request::update("", "persistentvolumeclaims", "n", json!({}));
        check(&update, json!([]), json!([]));
        check(
            &Request::create("", "configmaps", "n"),
            json!([]),
            json!([]),
        );
    }
}
