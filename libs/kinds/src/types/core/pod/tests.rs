mod changes;

use serde_json::{Value, json};

use super::RULES;
use crate::testing::{self, created, merged};

/// A pod that is right, with changes.
fn pod(spec: Value) -> Value {
    let base = json!({
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "nginx:1.25"}]},
    });
    merged(base, json!({ "spec": spec }))
}

/// A pod of one container with changes.
fn of(container: Value) -> Value {
    let container = merged(json!({"name": "c", "image": "nginx:1.25"}), container);
    pod(json!({ "containers": [container] }))
}

#[test]
fn what_is_not_said_is_filled_in() {
    let made = created(
        &RULES,
        &of(json!({
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "0.5"}},
            "livenessProbe": {"httpGet": {"port": 80}},
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        })),
    );
    let expect = json!({
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {
            "containers": [{
                "name": "c", "image": "nginx:1.25", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}},
                "livenessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                },
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}],
            }],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    });
    assert_eq!(made, expect);
}

#[test]
fn volumes_are_filled_in() {
    let made = created(
        &RULES,
        &pod(json!({"serviceAccount": "s", "volumes": [
            {"name": "a"},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "hostPath": {"path": "/"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {"name": "e", "image": {"reference": "x:1"}},
        ]})),
    );
    assert_eq!(made["spec"]["serviceAccountName"], "s");
    assert_eq!(
        made["spec"]["volumes"],
        json!([
            {"name": "a", "emptyDir": {}},
            {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "c", "hostPath": {"path": "/", "type": ""}},
            {"name": "d", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
            {"name": "e", "image": {"reference": "x:1", "pullPolicy": "IfNotPresent"}},
        ])
    );
}

#[test]
fn amounts_are_brought_to_one_form() {
    let made = created(
        &RULES,
        &of(
            json!({"env": [{"name": "N", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
        ),
    );
    let container = &made["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({}));
    assert_eq!(
        container["env"][0]["valueFrom"]["resourceFieldRef"],
        json!({"resource": "limits.cpu", "divisor": "0"})
    );
    let made = created(
        &RULES,
        &pod(json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}]})),
    );
    assert_eq!(made["spec"]["volumes"][0]["emptyDir"]["sizeLimit"], "1Gi");
}

#[test]
fn labels_are_written_into_selectors() {
    let mut asked = pod(json!({
        "schedulingGates": [{"name": "a.b/c"}],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["hash", "absent"],
        }],
    }));
    asked["metadata"]["labels"] = json!({"hash": "1"});
    let made = created(&RULES, &asked.clone());
    assert_eq!(
        made["spec"]["topologySpreadConstraints"][0]["labelSelector"],
        json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "hash", "operator": "In", "values": ["1"]}]})
    );
    assert_eq!(made["status"]["conditions"][0]["reason"], "SchedulingGated");
    testing::check_create(&RULES, &asked, &[]);
}

#[test]
fn mistakes_in_containers() {
    let check =
        |container: Value, expect: &[&str]| testing::check_create(&RULES, &of(container), expect);
    check(json!({}), &[]);
    check(
        json!({"name": ""}),
        &["spec.containers[0].name: Required value"],
    );
    check(
        json!({"image": ""}),
        &["spec.containers[0].image: Required value"],
    );
    check(
        json!({"image": " nginx"}),
        &[
            r#"spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace"#,
        ],
    );
    check(
        json!({"imagePullPolicy": "Sometimes"}),
        &[
            r#"spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#,
        ],
    );
    check(
        json!({"ports": [{"containerPort": 70000, "protocol": "X"}, {"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 0}]}),
        &[
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            r#"spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#,
            r#"spec.containers[0].ports[2].name: Duplicate value: "a""#,
            "spec.containers[0].ports[2].containerPort: Required value",
        ],
    );
    check(
        json!({"ports": [{"containerPort": 1, "hostPort": 8}, {"containerPort": 2, "hostPort": 8}]}),
        &[r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//8""#],
    );
    check(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        &[r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#],
    );
    check(
        json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}]}),
        &[
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
        ],
    );
}

#[test]
fn mistakes_in_what_containers_do() {
    let check =
        |container: Value, expect: &[&str]| testing::check_create(&RULES, &of(container), expect);
    check(
        json!({"livenessProbe": {}}),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check(
        json!({"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}, "successThreshold": 2}}),
        &[
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    check(
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ],
    );
    check(
        json!({"env": [{"name": "A=B"}, {"name": "X", "value": "y", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "Z", "valueFrom": {}}]}),
        &[
            r#"spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '='"#,
            r#"spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
            r#"spec.containers[0].env[2].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"#,
        ],
    );
    check(
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
        &[
            r#"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs""#,
            r#"spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x"#,
        ],
    );
    check(
        json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false, "runAsUser": -1}}),
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            r#"spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true,"runAsUser":-1}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"#,
        ],
    );
}

#[test]
fn mistakes_in_resources() {
    let check = |resources: Value, expect: &[&str]| {
        testing::check_create(&RULES, &of(json!({ "resources": resources })), expect)
    };
    check(
        json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        &[
            r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
        ],
    );
    check(
        json!({"limits": {"memory": "-1"}}),
        &[
            r#"spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0"#,
            r#"spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0"#,
        ],
    );
    check(
        json!({"requests": {"example.com/gpu": "1"}}),
        &[
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ],
    );
    check(
        json!({"limits": {"storage": "1"}, "requests": {"storage": "1"}}),
        &[
            r#"spec.containers[0].resources.limits[storage]: Invalid value: "storage": must be a standard resource for containers"#,
            r#"spec.containers[0].resources.requests[storage]: Invalid value: "storage": must be a standard resource for containers"#,
        ],
    );
    check(
        json!({"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "3Mi"}}),
        &[
            r#"spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
            r#"spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
        ],
    );
    check(
        json!({"claims": [{"name": "c"}]}),
        &[
            r#"spec.containers[0].resources.claims[0]: Not found: "c": must be one of the names in pod.spec.resourceClaims which is empty"#,
        ],
    );
}

#[test]
fn mistakes_in_volumes() {
    let check = |volume: Value, expect: &[&str]| {
        testing::check_create(
            &RULES,
            &pod(
                json!({"serviceAccountName": "s", "volumes": [merged(json!({"name": "v"}), volume)]}),
            ),
            expect,
        );
    };
    check(json!({"emptyDir": {}}), &[]);
    check(
        json!({"emptyDir": {}, "hostPath": {"path": "/"}}),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        json!({"secret": {}}),
        &["spec.volumes[0].secret.secretName: Required value"],
    );
    check(
        json!({"configMap": {"name": "c", "defaultMode": 512, "items": [{"key": "k", "path": "../x"}]}}),
        &[
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            r#"spec.volumes[0].configMap.items[0].path: Invalid value: "../x": must not contain '..'"#,
        ],
    );
    check(
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}}),
        &[
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
        ],
    );
    check(
        json!({"downwardAPI": {"items": [{"path": "a"}]}}),
        &[
            "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
        ],
    );
    check(
        json!({"csi": {"driver": ""}}),
        &[
            "spec.volumes[0].csi.driver: Required value",
            r#"spec.volumes[0].csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    );
    check(
        json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
        &["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
    );
    check(
        json!({"image": {}}),
        &["spec.volumes[0].image.reference: Required value"],
    );
}

#[test]
fn mistakes_in_the_rest() {
    let check = |spec: Value, expect: &[&str]| testing::check_create(&RULES, &pod(spec), expect);
    check(
        json!({"containers": []}),
        &["spec.containers: Required value"],
    );
    check(
        json!({"restartPolicy": "Maybe", "dnsPolicy": "None"}),
        &[
            r#"spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never""#,
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ],
    );
    check(
        json!({"tolerations": [{"operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "x"}, {"key": "a", "tolerationSeconds": 1}]}),
        &[
            r#"spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys""#,
            r#"spec.tolerations[1].operator: Invalid value: "x": value must be empty when `operator` is 'Exists'"#,
            r#"spec.tolerations[2].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set"#,
        ],
    );
    check(
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}),
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
        ],
    );
    check(
        json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
        &["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
    );
    check(
        json!({"initContainers": [{"name": "c", "image": "x:1", "livenessProbe": {"exec": {"command": ["a"]}}}]}),
        &[
            r#"spec.initContainers[0].name: Duplicate value: "c""#,
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    check(
        json!({"activeDeadlineSeconds": 0}),
        &[
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ],
    );
    check(
        json!({"hostUsers": false, "hostNetwork": true}),
        &["spec.hostNetwork: Forbidden: when `hostUsers` is false"],
    );
    check(
        json!({"hostUsers": false, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            "containers": [{"name": "c", "image": "i", "volumeDevices": [{"name": "v", "devicePath": "/dev/a"}]}]}),
        &["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"],
    );
    check(
        json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}}),
        &["spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod"],
    );
    check(
        json!({"nodeName": "n", "schedulingGates": [{"name": "g"}]}),
        &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    );
    check(
        json!({"ephemeralContainers": [{"name": "e", "image": "x:1", "ports": [{"containerPort": 1}], "targetContainerName": "z"}]}),
        &[
            r#"spec.ephemeralContainers[0].targetContainerName: Not found: "z""#,
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ],
    );
    check(
        json!({"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "c", "image": "x:1", "resources": {"requests": {"cpu": "2"}}}]}),
        &[
            r#"spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2"#,
        ],
    );
}

#[test]
fn a_profile_in_an_annotation_becomes_a_field() {
    let mut asked = pod(json!({"serviceAccountName": "s"}));
    asked["metadata"]["annotations"] =
        json!({"container.apparmor.security.beta.kubernetes.io/c": "localhost/p"});
    let made = created(&RULES, &asked);
    assert_eq!(
        made["spec"]["containers"][0]["securityContext"],
        json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}})
    );
    testing::check_create(&RULES, &asked, &[]);
    asked["metadata"]["annotations"] =
        json!({"container.apparmor.security.beta.kubernetes.io/d": "else"});
    testing::check_create(
        &RULES,
        &asked,
        &[
            r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "d": container not found"#,
            r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "else": invalid AppArmor profile name: "else""#,
        ],
    );
}

#[test]
fn annotations_mean_something() {
    let check = |key: &str, value: &str, expect: &[&str]| {
        let mut asked = pod(json!({}));
        asked["metadata"]["annotations"] = json!({ key: value });
        testing::check_create(&RULES, &asked, expect);
    };
    check("controller.kubernetes.io/pod-deletion-cost", "-7", &[]);
    check(
        "controller.kubernetes.io/pod-deletion-cost",
        "+7",
        &[
            r#"metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+7": must be a 32bit integer"#,
        ],
    );
    check(
        "kubernetes.io/config.mirror",
        "x",
        &[
            r#"metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set"#,
        ],
    );
    check(
        "seccomp.security.alpha.kubernetes.io/pod",
        "odd",
        &[
            r#"metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "odd": must be a valid seccomp profile"#,
        ],
    );
}
