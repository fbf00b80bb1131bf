use super::*;
use crate::entry::builtin;
use objects::schema::{GroupVersionKind, Resource, Schemas};

fn entries() -> Vec<Entry<'static>> {
    builtin().collect()
}

/// Words of the items of a list, one item a line.
fn lines(list: &Value, word: impl Fn(&Value) -> String) -> Vec<String> {
    list.as_array().unwrap().iter().map(word).collect()
}

fn words(value: &Value) -> String {
    let words = value.as_array().into_iter().flatten();
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    words.join(",")
}

#[test]
fn resources_of_apps() {
    let found = resources(&entries(), "apps", "v1").unwrap();
    assert_eq!(found["kind"], "APIResourceList");
    assert_eq!(found["groupVersion"], "apps/v1");
    let all = "create,delete,deletecollection,get,list,patch,update,watch";
    let part = "get,patch,update";
    assert_eq!(
        lines(&found["resources"], |item| format!(
            "{} {} {} {} {} {} {} {}",
            item["name"].as_str().unwrap(),
            item["singularName"],
            item["namespaced"],
            item["kind"].as_str().unwrap(),
            item.get("group")
                .map_or("-", |group| group.as_str().unwrap()),
            words(&item["shortNames"]),
            words(&item["categories"]),
            words(&item["verbs"]),
        )),
        [
            format!("controllerrevisions \"controllerrevision\" true ControllerRevision -   {all}"),
            format!("daemonsets \"daemonset\" true DaemonSet - ds all {all}"),
            format!("daemonsets/status \"\" true DaemonSet -   {part}"),
            format!("deployments \"deployment\" true Deployment - deploy all {all}"),
            format!("deployments/scale \"\" true Scale autoscaling   {part}"),
            format!("deployments/status \"\" true Deployment -   {part}"),
            format!("replicasets \"replicaset\" true ReplicaSet - rs all {all}"),
            format!("replicasets/scale \"\" true Scale autoscaling   {part}"),
            format!("replicasets/status \"\" true ReplicaSet -   {part}"),
            format!("statefulsets \"statefulset\" true StatefulSet - sts all {all}"),
            format!("statefulsets/scale \"\" true Scale autoscaling   {part}"),
            format!("statefulsets/status \"\" true StatefulSet -   {part}"),
        ]
    );
    assert_eq!(resources(&entries(), "apps", "v2"), None);
    assert_eq!(resources(&entries(), "example.com", "v1"), None);
}

#[test]
fn resources_of_the_core_group() {
    let found = resources(&entries(), "", "v1").unwrap();
    assert_eq!(found["groupVersion"], "v1");
    let find = |name: &str| {
        let list = found["resources"].as_array().unwrap();
        list.iter().find(|item| item["name"] == name).unwrap()
    };
    assert_eq!(
        *find("pods/eviction"),
        json!({
            "name": "pods/eviction",
            "singularName": "",
            "namespaced": true,
            "group": "policy",
            "version": "v1",
            "kind": "Eviction",
            "verbs": ["create"],
        })
    );
    assert_eq!(find("pods/binding").get("group"), None);
    assert_eq!(find("serviceaccounts/token")["kind"], "TokenRequest");
    assert_eq!(find("namespaces/finalize")["verbs"], json!(["update"]));
    assert_eq!(find("endpoints")["singularName"], "endpoints");
    assert!(!find("nodes")["namespaced"].as_bool().unwrap());
    // What is not stored has no hash of its stored version; what is stored has one of its own.
    assert_eq!(find("bindings").get("storageVersionHash"), None);
    let hash = |name: &str| find(name)["storageVersionHash"].as_str().unwrap();
    assert_eq!(hash("pods").len(), 12);
    assert_ne!(hash("pods"), hash("services"));
}

#[test]
fn versions_that_are_stored_as_one_have_one_hash() {
    let hash = |version: &str| {
        let found = resources(&entries(), "autoscaling", version).unwrap();
        found["resources"][0]["storageVersionHash"].clone()
    };
    assert_eq!(hash("v1"), hash("v2"));
}

#[test]
fn groups_in_upstreams_order() {
    let found = groups(&entries());
    assert_eq!(
        lines(&found["groups"], |group| format!(
            "{} {}",
            group["preferredVersion"]["groupVersion"].as_str().unwrap(),
            group["versions"].as_array().unwrap().len(),
        )),
        [
            "apps/v1 1",
            "events.k8s.io/v1 1",
            "authentication.k8s.io/v1 1",
            "authorization.k8s.io/v1 1",
            "autoscaling/v2 2",
            "batch/v1 1",
            "certificates.k8s.io/v1 1",
            "networking.k8s.io/v1 1",
            "policy/v1 1",
            "rbac.authorization.k8s.io/v1 1",
            "storage.k8s.io/v1 1",
            "scheduling.k8s.io/v1 1",
            "coordination.k8s.io/v1 1",
            "node.k8s.io/v1 1",
            "discovery.k8s.io/v1 1",
            "flowcontrol.apiserver.k8s.io/v1 1",
            "resource.k8s.io/v1 1",
        ]
    );
    assert_eq!(
        group(&entries(), "autoscaling").unwrap(),
        json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": "autoscaling",
            "versions": [
                {"groupVersion": "autoscaling/v2", "version": "v2"},
                {"groupVersion": "autoscaling/v1", "version": "v1"},
            ],
            "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
        })
    );
    assert_eq!(group(&entries(), "example.com"), None);
    assert_eq!(versions("10.0.0.1:6443")["versions"], json!(["v1"]));
}

#[test]
fn versions_in_order() {
    let check = |mut versions: Vec<&str>, expect: &str| {
        let preferred = preferred_version(versions.iter().copied());
        versions.sort_by_key(|name| VersionOrder(name));
        assert_eq!(versions.join(" "), expect);
        assert_eq!(preferred, versions.first().copied());
    };
    check(
        vec![
            "foo10",
            "v1",
            "v10beta3",
            "v11alpha2",
            "v10",
            "v2",
            "v3beta1",
            "foo1",
            "v12alpha1",
        ],
        "v10 v2 v1 v10beta3 v3beta1 v12alpha1 v11alpha2 foo1 foo10",
    );
    check(
        vec!["v01", "v1beta", "v", "v1x", "v1alpha1"],
        "v1alpha1 v v01 v1beta v1x",
    );
    check(vec![], "");
}

#[test]
fn aggregated_form() {
    let found = aggregated(&entries(), Root::Groups);
    assert_eq!(found["kind"], "APIGroupDiscoveryList");
    let apps = &found["items"][0];
    assert_eq!(apps["metadata"]["name"], "apps");
    assert_eq!(apps["versions"][0]["freshness"], "Current");
    let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert_eq!(
        apps["versions"][0]["resources"][2],
        json!({
            "resource": "deployments",
            "responseKind": deployment,
            "scope": "Namespaced",
            "singularResource": "deployment",
            "shortNames": ["deploy"],
            "categories": ["all"],
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "subresources": [
                {
                    "subresource": "scale",
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                    "verbs": ["get", "patch", "update"],
                },
                {
                    "subresource": "status",
                    "responseKind": deployment,
                    "verbs": ["get", "patch", "update"],
                },
            ],
        })
    );
    let core = aggregated(&entries(), Root::Core);
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
}

/// Both forms tell the same.
#[test]
fn the_forms_agree() {
    let entries = entries();
    let plain: usize = group_versions(&entries)
        .into_iter()
        .map(|(group, version)| {
            let found = resources(&entries, group, version).unwrap();
            found["resources"].as_array().unwrap().len()
        })
        .sum();
    let mut aggregate = 0;
    for root in [Root::Core, Root::Groups] {
        for item in aggregated(&entries, root)["items"].as_array().unwrap() {
            for version in item["versions"].as_array().unwrap() {
                for resource in version["resources"].as_array().unwrap() {
                    let parts = resource["subresources"].as_array();
                    aggregate += 1 + parts.map_or(0, Vec::len);
                }
            }
        }
    }
    assert_eq!(plain, aggregate);
}

#[test]
fn a_custom_resource_comes_behind_the_built_in_ones() {
    let schemas = Schemas::default();
    let pods = Schemas::builtin().resources().first().unwrap();
    let resource = Resource {
        kind: GroupVersionKind {
            group: "example.com".into(),
            version: "v1beta1".into(),
            kind: "Fleet".into(),
        },
        plural: "fleets".into(),
        singular: "fleet".into(),
        namespaced: true,
        list_kind: Some("FleetList".into()),
        type_id: pods.type_id,
    };
    let mut all = entries();
    all.insert(
        0,
        Entry {
            resource: &resource,
            schemas: &schemas,
            short_names: vec!["fl"],
            categories: Vec::new(),
            verbs: &Verb::ALL,
            subresources: Vec::new(),
            stored: Some(Kind::from(&resource.kind)),
            strategic_merge: false,
        },
    );
    let groups = groups(&all);
    let last = groups["groups"].as_array().unwrap().last().unwrap();
    assert_eq!(
        last["preferredVersion"]["groupVersion"],
        "example.com/v1beta1"
    );
    let found = resources(&all, "example.com", "v1beta1").unwrap();
    assert_eq!(found["resources"][0]["shortNames"], json!(["fl"]));
}
