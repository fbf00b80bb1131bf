use super::*;
use crate::entry::builtin;
use std::collections::BTreeSet;

fn entries() -> Vec<Entry<'static>> {
    builtin().collect()
}

fn v3(path: &str) -> Value {
    let entries = entries();
    let text = Documents::new(&entries, "v1.35.0").v3(path);
    serde_json::from_str(&text.unwrap_or_else(|| panic!("no document {path}"))).unwrap()
}

/// Operations of a document: method, path, name.
fn operations(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (url, path) in document["paths"].as_object().unwrap() {
        for (method, operation) in path.as_object().unwrap() {
            if let Some(id) = operation.get("operationId").and_then(Value::as_str) {
                found.push(format!("{method} {url} {id}"));
            }
        }
    }
    found
}

#[test]
fn operations_have_the_names_of_upstream() {
    let apps = operations(&v3("apis/apps/v1"));
    let core = operations(&v3("api/v1"));
    let check = |document: &[String], expect: &str| {
        let found = document.iter().any(|operation| operation == expect);
        assert!(found, "{expect}");
    };
    let space = "/apis/apps/v1/namespaces/{namespace}";
    for expect in [
        "get /apis/apps/v1/ getAppsV1APIResources".into(),
        "get /apis/apps/v1/deployments listAppsV1DeploymentForAllNamespaces".into(),
        format!("delete {space}/deployments deleteAppsV1CollectionNamespacedDeployment"),
        format!("get {space}/deployments listAppsV1NamespacedDeployment"),
        format!("post {space}/deployments createAppsV1NamespacedDeployment"),
        format!("delete {space}/deployments/{{name}} deleteAppsV1NamespacedDeployment"),
        format!("get {space}/deployments/{{name}} readAppsV1NamespacedDeployment"),
        format!("put {space}/deployments/{{name}} replaceAppsV1NamespacedDeployment"),
        format!("patch {space}/deployments/{{name}}/scale patchAppsV1NamespacedDeploymentScale"),
        format!("get {space}/deployments/{{name}}/status readAppsV1NamespacedDeploymentStatus"),
    ] {
        check(&apps, &expect);
    }
    let space = "/api/v1/namespaces/{namespace}";
    for expect in [
        "get /api/v1/pods listCoreV1PodForAllNamespaces".into(),
        "get /api/v1/nodes listCoreV1Node".into(),
        "delete /api/v1/nodes deleteCoreV1CollectionNode".into(),
        "put /api/v1/namespaces/{name}/finalize replaceCoreV1NamespaceFinalize".into(),
        format!("post {space}/bindings createCoreV1NamespacedBinding"),
        format!("get {space}/pods listCoreV1NamespacedPod"),
        format!("post {space}/pods/{{name}}/eviction createCoreV1NamespacedPodEviction"),
        format!(
            "put {space}/pods/{{name}}/ephemeralcontainers replaceCoreV1NamespacedPodEphemeralcontainers"
        ),
        format!(
            "post {space}/serviceaccounts/{{name}}/token createCoreV1NamespacedServiceAccountToken"
        ),
        "get /api/v1/watch/pods watchCoreV1PodListForAllNamespaces".into(),
        "get /api/v1/watch/namespaces/{namespace}/pods watchCoreV1NamespacedPodList".into(),
        "get /api/v1/watch/namespaces/{namespace}/pods/{name} watchCoreV1NamespacedPod".into(),
    ] {
        check(&core, &expect);
    }
    // What cannot be done is not told.
    let absent = |name: &str| assert!(!core.iter().any(|found| found.contains(name)), "{name}");
    absent("deleteCoreV1CollectionNamespace ");
    absent("readCoreV1NamespacedBinding");
    absent("readCoreV1NamespaceFinalize");
    check(
        &operations(&v3("apis/certificates.k8s.io/v1")),
        "patch /apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/approval \
         patchCertificatesV1CertificateSigningRequestApproval",
    );
    check(
        &operations(&v3("apis/autoscaling")),
        "get /apis/autoscaling/ getAutoscalingAPIGroup",
    );
    check(&operations(&v3("api")), "get /api/ getCoreAPIVersions");
    check(&operations(&v3("apis")), "get /apis/ getAPIVersions");
    check(&operations(&v3("version")), "get /version/ getCodeVersion");
}

/// What `kubectl` looks for before it trusts the server with validation, and before it makes a strategic merge patch.
#[test]
fn what_kubectl_looks_for() {
    let document = v3("apis/apps/v1");
    let path = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &path["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let parameters = patch["parameters"].as_array().unwrap();
    let validation = parameters
        .iter()
        .find(|one| one["name"] == "fieldValidation");
    let validation = validation.unwrap();
    assert_eq!(validation["in"], "query");
    assert_eq!(
        validation["schema"],
        json!({"type": "string", "uniqueItems": true})
    );
    let forms = patch["requestBody"]["content"].as_object().unwrap();
    assert!(forms.contains_key("application/strategic-merge-patch+json"));
    assert_eq!(path["parameters"][0]["name"], "name");
    assert_eq!(path["parameters"][0]["required"], true);
    let scale = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale";
    let scale = &document["paths"][scale]["patch"];
    assert_eq!(
        scale["x-kubernetes-group-version-kind"]["kind"], "Scale",
        "the kind of the subresource, not of the resource"
    );
    let pods = &v3("api/v1")["paths"]["/api/v1/pods"]["get"];
    assert_eq!(pods["x-kubernetes-action"], "list");
    assert_eq!(
        pods["responses"]["200"]["content"]["application/json;stream=watch"]["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodList"
    );
}

/// Each reference leads to what the document has; no text is empty; no operation's name is there twice.
fn check_whole(document: &Value) {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                assert_ne!(members.get("description"), Some(&"".into()));
                members.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    walk(document, document);
    let mut names = BTreeSet::new();
    for (url, path) in document["paths"].as_object().unwrap() {
        for operation in path.as_object().unwrap().values() {
            if let Some(id) = operation.get("operationId") {
                assert!(names.insert(id.to_string()), "{id} {url}");
            }
        }
    }
}

#[test]
fn every_document_is_whole_and_is_what_its_hash_says() {
    let entries = entries();
    let documents = Documents::new(&entries, "v1.35.0");
    let index: Value = serde_json::from_str(&documents.index()).unwrap();
    let paths = index["paths"].as_object().unwrap();
    // Two of discovery, the version, the core group, and 17 groups of which one has two versions.
    assert_eq!(paths.len(), 4 + 17 + 18);
    for (path, place) in paths {
        let text = documents.v3(path).unwrap();
        assert_eq!(
            place["serverRelativeURL"],
            format!("/openapi/v3/{path}?hash={}", Documents::hash(&text))
        );
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["openapi"], "3.0.0");
        check_whole(&document);
    }
    let document: Value = serde_json::from_str(&documents.v2()).unwrap();
    assert_eq!(document["swagger"], "2.0");
    check_whole(&document);
    let all: usize = paths
        .keys()
        .map(|path| v3(path)["paths"].as_object().unwrap().len())
        .sum();
    assert_eq!(document["paths"].as_object().unwrap().len(), all);
    // Only the types that are needed.
    let batch = v3("apis/batch/v1");
    let schemas = batch["components"]["schemas"].as_object().unwrap();
    assert!(schemas.contains_key("io.k8s.api.core.v1.PodSpec"));
    assert!(!schemas.contains_key("io.k8s.api.core.v1.Service"));
}

#[test]
fn version_2_has_the_forms_of_its_own() {
    let entries = entries();
    let text = Documents::new(&entries, "v1.35.0").v2();
    let document: Value = serde_json::from_str(&text).unwrap();
    let path = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
    let patch = &path["patch"];
    assert_eq!(
        patch["consumes"],
        json!([
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json"
        ])
    );
    let shared = json!({"$ref": "#/parameters/fieldValidation"});
    assert!(patch["parameters"].as_array().unwrap().contains(&shared));
    let parameter = &document["parameters"]["fieldValidation"];
    assert_eq!(
        (&parameter["in"], &parameter["type"]),
        (&"query".into(), &"string".into())
    );
    let body = path["put"]["parameters"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        *body,
        json!({
            "name": "body",
            "in": "body",
            "required": true,
            "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"},
        })
    );
    assert_eq!(
        path["delete"]["responses"]["202"],
        json!({
            "description": "Accepted",
            "schema": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Status"},
        })
    );
}

/// A custom resource joins at run time: its own type, patches without the strategic form, and the built-in scale.
#[test]
fn a_custom_resource() {
    use objects::schema::{GroupVersionKind, Kind, NamedType, Object, Resource, Schemas};

    let group_version_kind = |kind: &str| GroupVersionKind {
        group: "example.com".into(),
        version: "v1".into(),
        kind: kind.into(),
    };
    let mut schemas = Schemas::default();
    let type_id = schemas.insert(NamedType {
        name: "com.example.v1.Fleet".into(),
        schema: Kind::Object(Box::<Object>::default()).into(),
        kind: Some(group_version_kind("Fleet")),
    });
    let resource = Resource {
        kind: group_version_kind("Fleet"),
        plural: "fleets".into(),
        singular: "fleet".into(),
        namespaced: true,
        list_kind: Some("FleetList".into()),
        type_id,
    };
    let mut all = entries();
    let scale = all.iter().flat_map(|entry| entry.subresources.clone());
    let scale = scale.filter(|part| part.name == "scale").take(1).collect();
    all.push(Entry {
        resource: &resource,
        schemas: &schemas,
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: &crate::Verb::ALL,
        subresources: scale,
        stored: Some((&resource.kind).into()),
        strategic_merge: false,
    });
    let documents = Documents::new(&all, "v1.35.0");
    let text = documents.v3("apis/example.com/v1").unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    check_whole(&document);
    let fleet = "/apis/example.com/v1/namespaces/{namespace}/fleets";
    let patch = &document["paths"][format!("{fleet}/{{name}}")]["patch"];
    assert_eq!(patch["operationId"], "patchExampleComV1NamespacedFleet");
    assert_eq!(patch["tags"], json!(["exampleCom_v1"]));
    let forms = patch["requestBody"]["content"].as_object().unwrap();
    assert!(!forms.contains_key("application/strategic-merge-patch+json"));
    let scale = &document["paths"][format!("{fleet}/{{name}}/scale")]["get"];
    let content = &scale["responses"]["200"]["content"]["application/json"];
    assert_eq!(
        content["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.autoscaling.v1.Scale"
    );
    // There is no type of its lists.
    let content = &document["paths"][fleet]["get"]["responses"]["200"]["content"];
    assert_eq!(
        content["application/json"]["schema"],
        json!({"type": "object"})
    );
    let index: Value = serde_json::from_str(&documents.index()).unwrap();
    assert!(index["paths"].get("apis/example.com").is_some());
    let both: Value = serde_json::from_str(&documents.v2()).unwrap();
    check_whole(&both);
    assert!(both["definitions"].get("com.example.v1.Fleet").is_some());
}
