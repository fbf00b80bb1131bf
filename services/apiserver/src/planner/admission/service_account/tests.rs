use super::{super::testing::Request, *};
use proptest::prelude::*;

fn account(name: &str, rest: &Value) -> (Kind, Value) {
    let mut account = json!({"metadata": {"namespace": "n", "name": name}});
    for (field, value) in rest.as_object().into_iter().flatten() {
        if field == "annotations" {
            account["metadata"]["annotations"] = value.clone();
        } else {
            account[field] = value.clone();
        }
    }
    (Kind::ServiceAccount, account)
}

fn create() -> Request {
    Request::create("", "pods", "n")
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn refused(why: &str) -> Result<Value, (u16, String)> {
    Err((403, format!("pods \"p\" is forbidden: {why}")))
}

#[test]
fn a_pod_acts_as_an_account() {
    let quiet = json!({"automountServiceAccountToken": false});
    let there = [account("default", &quiet), account("s", &quiet)];
    let check = |spec: Value, expect: Result<&str, &str>| {
        let outcome = create().outcome(&PLUGIN, &pod(spec), &there);
        match expect {
            Ok(name) => {
                let spec = &outcome.expect("admitted")["spec"];
                assert_eq!(
                    (&spec["serviceAccountName"], &spec["serviceAccount"]),
                    (&json!(name), &json!(name))
                );
            }
            Err(why) => assert_eq!(outcome, refused(why)),
        }
    };
    check(Value::Null, Ok("default"));
    check(json!({}), Ok("default"));
    check(json!({"serviceAccountName": ""}), Ok("default"));
    check(
        json!({"serviceAccountName": "s", "serviceAccount": "s"}),
        Ok("s"),
    );
    check(
        json!({"serviceAccountName": "t"}),
        Err("error looking up service account n/t: serviceaccount \"t\" not found"),
    );
    // What is no new pod has no account looked up: status, deeds, others' kinds.
    let update = Request::update("", "pods", "n", json!({}));
    let binding = Request {
        subresource: "binding",
        ..create()
    };
    let other = Request::create("apps", "deployments", "n");
    for request in [update, binding, other] {
        let pod = pod(json!({}));
        assert_eq!(request.outcome(&PLUGIN, &pod, &[]), Ok(pod), "{request:?}");
    }
    let missing =
        r#"error looking up service account n/default: serviceaccount "default" not found"#;
    assert_eq!(
        create().outcome(&PLUGIN, &pod(json!({})), &[]),
        refused(missing)
    );
}

#[test]
fn containers_get_the_token() {
    let given = |name: &str| {
        json!({
            "name": name,
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ],
            },
        })
    };
    let mount = |name: &str| json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    let check = |spec: Value, containers: Value, init: Value, volumes: Value| {
        let there = [account("default", &json!({}))];
        let made = create().outcome(&PLUGIN, &pod(spec), &there);
        let spec = &made.expect("admitted")["spec"];
        assert_eq!(spec["containers"], containers);
        assert_eq!(spec["initContainers"], init);
        assert_eq!(spec["volumes"], volumes);
    };
    let name = generate_name(VOLUME, 0);
    assert!(name.starts_with("kube-api-access-") && name.len() == VOLUME.len() + 5);
    let own = json!({"name": "own", "mountPath": "/own"});
    check(
        json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [own]}], "initContainers": [{"name": "i"}]}),
        json!([
            {"name": "a", "volumeMounts": [mount(&name)]},
            {"name": "b", "volumeMounts": [own, mount(&name)]},
        ]),
        json!([{"name": "i", "volumeMounts": [mount(&name)]}]),
        json!([given(&name)]),
    );
    // Who has something there has it instead.
    let mine = json!([{"name": "mine", "mountPath": MOUNT_PATH}]);
    check(
        json!({"containers": [{"name": "a", "volumeMounts": mine}], "volumes": [{"name": "mine"}]}),
        json!([{"name": "a", "volumeMounts": mine}]),
        Value::Null,
        json!([{"name": "mine"}]),
    );
    // A volume that a controller has copied from another pod is mounted once more, and not made again.
    let copied = json!([{"name": "kube-api-access-abcde", "emptyDir": {}}]);
    check(
        json!({"containers": [{"name": "a"}], "volumes": copied}),
        json!([{"name": "a", "volumeMounts": [mount("kube-api-access-abcde")]}]),
        Value::Null,
        copied.clone(),
    );
    check(json!({}), Value::Null, Value::Null, Value::Null);
}

#[test]
fn tokens_are_mounted_as_the_pod_says_or_its_account() {
    let check = |of_pod: Value, of_account: Value, expect: bool| {
        let field = "automountServiceAccountToken";
        let there = [account("default", &json!({field: of_account}))];
        let spec = json!({"containers": [{"name": "a"}], field: of_pod});
        let made = create().outcome(&PLUGIN, &pod(spec), &there);
        let mounted = made.expect("admitted")["spec"].has("volumes");
        assert_eq!(mounted, expect, "{of_pod} {of_account}");
    };
    for of_account in [json!(null), json!(true), json!(false)] {
        check(json!(true), of_account.clone(), true);
        check(json!(false), of_account, false);
    }
    check(json!(null), json!(null), true);
    check(json!(null), json!(true), true);
    check(json!(null), json!(false), false);
}

#[test]
fn images_are_pulled_with_the_accounts_secrets() {
    let check = |of_pod: Value, of_account: Value, expect: Value| {
        let there = [account("default", &json!({"imagePullSecrets": of_account}))];
        let made = create().outcome(&PLUGIN, &pod(json!({"imagePullSecrets": of_pod})), &there);
        assert_eq!(made.expect("admitted")["spec"]["imagePullSecrets"], expect);
    };
    let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
    check(json!(null), json!([a, b]), json!([a, b]));
    check(json!([]), json!([a]), json!([a]));
    check(json!([b]), json!([a]), json!([b]));
    check(json!(null), json!([]), json!(null));
    check(json!(null), json!(null), json!(null));
}

#[test]
fn mirror_pods_are_given_nothing() {
    let check = |spec: Value, expect: Result<(), &str>| {
        let mut pod = pod(spec);
        pod["metadata"]["annotations"] = json!({MIRROR: "x"});
        let outcome = create().outcome(&PLUGIN, &pod, &[]);
        let expect = expect.map_or_else(refused, |()| Ok(pod));
        assert_eq!(outcome, expect);
    };
    let secrets = Err("a mirror pod may not reference secrets");
    check(json!({"containers": [{"name": "a"}]}), Ok(()));
    check(
        json!({"serviceAccountName": "default"}),
        Err("a mirror pod may not reference service accounts"),
    );
    check(json!({"imagePullSecrets": [{"name": "a"}]}), secrets);
    let variable = json!({"name": "V", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}});
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        check(json!({list: [{"name": "c", "env": [variable]}]}), secrets);
        check(
            json!({list: [{"name": "c", "envFrom": [{"secretRef": {"name": "a"}}]}]}),
            secrets,
        );
        let plain = json!({"name": "V", "valueFrom": {"configMapKeyRef": {"name": "a"}}});
        check(
            json!({list: [{"name": "c", "env": [plain], "envFrom": [{"configMapRef": {"name": "a"}}]}]}),
            Ok(()),
        );
    }
    let volume = |source: &str, rest: Value| json!({"volumes": [{"name": "v", source: rest}]});
    check(volume("secret", json!({"secretName": "a"})), secrets);
    check(volume("secret", json!({})), secrets);
    check(volume("azureFile", json!({"secretName": "a"})), secrets);
    check(volume("azureFile", json!({"secretName": ""})), Ok(()));
    for source in [
        "cephfs",
        "cinder",
        "flexVolume",
        "rbd",
        "scaleIO",
        "iscsi",
        "storageos",
    ] {
        check(volume(source, json!({"secretRef": {"name": "a"}})), secrets);
        check(volume(source, json!({})), Ok(()));
    }
    check(
        volume("csi", json!({"nodePublishSecretRef": {"name": "a"}})),
        secrets,
    );
    check(volume("emptyDir", json!({})), Ok(()));
    let projected = |source: Value| volume("projected", json!({"sources": [source]}));
    check(projected(json!({"secret": {"name": "a"}})), secrets);
    check(projected(json!({"configMap": {"name": "a"}})), Ok(()));
    check(
        projected(json!({"serviceAccountToken": {"path": "t"}})),
        Err("a mirror pod may not use ServiceAccountToken volume projections"),
    );
}

/// An account whose pods may mount `listed` and pull with `pull`.
fn limited(value: &str) -> [(Kind, Value); 1] {
    [account(
        "default",
        &json!({
            "annotations": {"kubernetes.io/enforce-mountable-secrets": value},
            "automountServiceAccountToken": false,
            "secrets": [{"name": "listed"}],
            "imagePullSecrets": [{"name": "pull"}],
        }),
    )]
}

/// Ways to refer to a secret, and what a refusal of each says before `referencing`.
fn references(name: &str) -> Vec<(Value, String)> {
    let variable =
        json!({"env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]});
    let whole = json!({"envFrom": [{"secretRef": {"name": name}}]});
    [(variable, "envVar V"), (whole, "envFrom")]
        .into_iter()
        .map(|(mut container, how)| {
            container["name"] = "c".into();
            let why = format!(
                "container c with {how} referencing secret.secretName=\"{name}\" is not allowed because service account default does not reference that secret"
            );
            (container, why)
        })
        .collect()
}

#[test]
fn an_account_may_limit_secrets() {
    let check = |value: &str, spec: Value, expect: Result<(), &str>| {
        let outcome = create().outcome(&PLUGIN, &pod(spec), &limited(value));
        let expect = expect.map_err(|why| (403, format!("pods \"p\" is forbidden: {why}")));
        assert_eq!(outcome.map(|_| ()), expect);
    };
    for (list, before) in [("containers", ""), ("initContainers", "init ")] {
        for (container, why) in references("other") {
            let spec = json!({list: [container]});
            check("true", spec.clone(), Err(&format!("{before}{why}")));
            check("1", spec.clone(), Err(&format!("{before}{why}")));
            check("false", spec.clone(), Ok(()));
            check("yes", spec, Ok(()));
        }
        for (container, _) in references("listed") {
            check("true", json!({list: [container]}), Ok(()));
        }
    }
    let volume = |name: &str| json!({"volumes": [{"name": "v", "secret": {"secretName": name}}]});
    check("true", volume("listed"), Ok(()));
    check(
        "true",
        volume("other"),
        Err(
            "volume with secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
        ),
    );
    check(
        "true",
        json!({"imagePullSecrets": [{"name": "pull"}, {"name": "other"}]}),
        Err(
            "imagePullSecrets[1].name=\"other\" is not allowed because service account default does not reference that imagePullSecret",
        ),
    );
    check("true", json!({}), Ok(()));
}

#[test]
fn containers_that_are_added_are_limited_too() {
    let request = Request {
        name: "p",
        subresource: "ephemeralcontainers",
        ..Request::update("", "pods", "n", json!({}))
    };
    let check = |spec: Value, cluster: &[(Kind, Value)], expect: Result<(), &str>| {
        let pod = pod(spec);
        let outcome = request.outcome(&PLUGIN, &pod, cluster);
        let expect = expect.map_or_else(refused, |()| Ok(pod));
        assert_eq!(outcome, expect);
    };
    let spec = |container: Value| json!({"serviceAccountName": "default", "ephemeralContainers": [container]});
    for (container, why) in references("other") {
        let why = format!("ephemeral {why}");
        check(spec(container.clone()), &limited("true"), Err(&why));
        check(spec(container), &limited("false"), Ok(()));
    }
    for (container, _) in references("listed") {
        check(spec(container), &limited("true"), Ok(()));
    }
    check(
        json!({}),
        &limited("true"),
        Err("no service account specified for pod n/p"),
    );
    check(
        json!({"serviceAccountName": "default"}),
        &[],
        Err("error looking up service account n/default: serviceaccount \"default\" not found"),
    );
}

proptest! {
    /// Each container has exactly one thing at the token's path, and every mount has its volume.
    #[test]
    fn every_container_has_one_token(
        containers in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..5),
        random: u64,
    ) {
        let containers: Vec<_> = containers
            .iter()
            .map(|(own, other)| {
                let mut mounts = Vec::new();
                if *other {
                    mounts.push(json!({"name": "v", "mountPath": "/elsewhere"}));
                }
                if *own {
                    mounts.push(json!({"name": "v", "mountPath": MOUNT_PATH}));
                }
                json!({"name": "c", "volumeMounts": mounts})
            })
            .collect();
        let mut spec = json!({"containers": containers, "volumes": [{"name": "v"}]});
        mount_token(&mut spec, random);
        let names: Vec<_> = spec.items("volumes").iter().map(|volume| volume.text("name")).collect();
        prop_assert!(names.len() <= 2);
        for container in spec.items("containers") {
            let mounts = container.items("volumeMounts");
            let at = mounts.iter().filter(|mount| mount.text("mountPath") == MOUNT_PATH);
            prop_assert_eq!(at.count(), 1);
            prop_assert!(mounts.iter().all(|mount| names.contains(&mount.text("name"))));
        }
        let once = spec.clone();
        mount_token(&mut spec, random.wrapping_add(1));
        prop_assert_eq!(spec, once);
    }
}
