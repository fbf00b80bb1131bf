//! Roles of controllers: each has a service account of its own in `kube-system`, named as its role is.

use super::{
    Wanted,
    table::{Bound, EVENTS, READ, Role, bound, on, role},
};

/// What the names begin with.
const PREFIX: &str = "system:controller:";

/// The binding of a controller's role to its service account.
pub(super) fn binding(role: &Role) -> Wanted {
    let account = role.name.strip_prefix(PREFIX).unwrap_or(role.name);
    bound(
        "",
        role.name,
        "ClusterRole",
        role.name,
        &[Bound::Account(account)],
    )
}

const APPS: &str = "apps extensions";

pub(super) const ROLES: &[Role] = &[
    role(
        "system:controller:attachdetach-controller",
        &[
            on(
                "list watch",
                "core",
                "persistentvolumes persistentvolumeclaims",
            ),
            on(READ, "core", "nodes"),
            on("patch update", "core", "nodes/status"),
            on("list watch", "core", "pods"),
            EVENTS,
            on(
                "get create delete list watch",
                "storage.k8s.io",
                "volumeattachments",
            ),
            on(READ, "storage.k8s.io", "csidrivers"),
            on(READ, "storage.k8s.io", "csinodes"),
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &[on(
            "escalate get list watch update patch",
            super::super::GROUP,
            "clusterroles",
        )],
    ),
    role(
        "system:controller:cronjob-controller",
        &[
            on("get list watch update", "batch", "cronjobs"),
            on("get list watch create update delete patch", "batch", "jobs"),
            on("update", "batch", "cronjobs/status"),
            on("update", "batch", "cronjobs/finalizers"),
            on("list watch delete", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:daemon-set-controller",
        &[
            on(READ, APPS, "daemonsets"),
            on("update", APPS, "daemonsets/status"),
            on("update", APPS, "daemonsets/finalizers"),
            on("list watch", "core", "nodes"),
            on("list watch create delete patch", "core", "pods"),
            on("create", "core", "pods/binding"),
            on(
                "get list watch create delete update patch",
                "apps",
                "controllerrevisions",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            on("get list watch update", APPS, "deployments"),
            on("update", APPS, "deployments/status"),
            on("update", APPS, "deployments/finalizers"),
            on(
                "get list watch create update patch delete",
                APPS,
                "replicasets",
            ),
            on("get list watch update", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:disruption-controller",
        &[
            on(READ, APPS, "deployments"),
            on(READ, APPS, "replicasets"),
            on(READ, "core", "replicationcontrollers"),
            on(READ, "policy", "poddisruptionbudgets"),
            on(READ, "apps", "statefulsets"),
            on("update", "policy", "poddisruptionbudgets/status"),
            on("patch update", "core", "pods/status"),
            on("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            on(READ, "core", "services pods"),
            on("get list watch create update delete", "core", "endpoints"),
            on("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            on(READ, "core", "services pods nodes"),
            on("update", "core", "services/finalizers"),
            on(
                "get list watch create update delete",
                "discovery.k8s.io",
                "endpointslices",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslicemirroring-controller",
        &[
            on(READ, "core", "services endpoints"),
            on("update", "core", "services/finalizers"),
            on("update", "core", "endpoints/finalizers"),
            on(
                "get list watch create update delete",
                "discovery.k8s.io",
                "endpointslices",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:expand-controller",
        &[
            on("get list watch update patch", "core", "persistentvolumes"),
            on("update patch", "core", "persistentvolumeclaims/status"),
            on(READ, "core", "persistentvolumeclaims"),
            EVENTS,
            on("get", "core", "services"),
        ],
    ),
    role(
        "system:controller:ephemeral-volume-controller",
        &[
            on(READ, "core", "pods"),
            on("update", "core", "pods/finalizers"),
            on("get list watch create", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:resource-claim-controller",
        &[
            on(READ, "core", "pods"),
            on("update", "core", "pods/finalizers"),
            on(
                "get list watch create delete",
                "resource.k8s.io",
                "resourceclaims",
            ),
            on(
                "update patch",
                "resource.k8s.io",
                "resourceclaims resourceclaims/status",
            ),
            on("update patch", "core", "pods/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:generic-garbage-collector",
        &[on("get list watch patch update delete", "*", "*"), EVENTS],
    ),
    role(
        "system:controller:horizontal-pod-autoscaler",
        &[
            on(READ, "autoscaling", "horizontalpodautoscalers"),
            on("update", "autoscaling", "horizontalpodautoscalers/status"),
            on("get update", "*", "*/scale"),
            on("list watch", "core", "pods"),
            on("list watch", "metrics.k8s.io", "pods"),
            on(READ, "custom.metrics.k8s.io", "*"),
            on(READ, "external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:job-controller",
        &[
            on("get list watch update patch", "batch", "jobs"),
            on("update", "batch", "jobs/status"),
            on("update", "batch", "jobs/finalizers"),
            on("list watch create delete patch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            on("get list watch delete", "core", "namespaces"),
            on("update", "core", "namespaces/finalize namespaces/status"),
            on("get list watch delete deletecollection", "*", "*"),
        ],
    ),
    role(
        "system:controller:node-controller",
        &[
            on("get list watch update delete patch", "core", "nodes"),
            on("patch update", "core", "nodes/status"),
            on("patch update", "core", "pods/status"),
            on("list watch get delete", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:persistent-volume-binder",
        &[
            on(
                "get list watch update create delete",
                "core",
                "persistentvolumes",
            ),
            on("update", "core", "persistentvolumes/status"),
            on("get list watch update", "core", "persistentvolumeclaims"),
            on("update", "core", "persistentvolumeclaims/status"),
            on("list watch get create delete", "core", "pods"),
            on(READ, "storage.k8s.io", "storageclasses"),
            on("list watch", "core", "nodes"),
            EVENTS,
            on("watch", "core", "events"),
            on("get", "core", "services"),
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &[
            on("list watch delete", "core", "pods"),
            on(READ, "core", "nodes"),
            on("patch", "core", "pods/status"),
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            on("get list watch update", APPS, "replicasets"),
            on("update", APPS, "replicasets/status"),
            on("update", APPS, "replicasets/finalizers"),
            on("list watch patch create delete", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replication-controller",
        &[
            on("get list watch update", "core", "replicationcontrollers"),
            on("update", "core", "replicationcontrollers/status"),
            on("update", "core", "replicationcontrollers/finalizers"),
            on("list watch patch create delete", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &[
            on("list watch", "*", "*"),
            on("update", "core", "resourcequotas/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:route-controller",
        &[
            on("list watch", "core", "nodes"),
            on("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:service-account-controller",
        &[on("create", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "system:controller:service-controller",
        &[
            on(READ, "core", "services"),
            on("patch update", "core", "services/status"),
            on("list watch", "core", "nodes"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:service-cidrs-controller",
        &[
            on(
                "get list watch patch update",
                "networking.k8s.io",
                "servicecidrs",
            ),
            on(
                "patch update",
                "networking.k8s.io",
                "servicecidrs/finalizers",
            ),
            on("patch update", "networking.k8s.io", "servicecidrs/status"),
            on(READ, "networking.k8s.io", "ipaddresses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:statefulset-controller",
        &[
            on("list watch", "core", "pods"),
            on(READ, "apps", "statefulsets"),
            on("update", "apps", "statefulsets/status"),
            on("update", "apps", "statefulsets/finalizers"),
            on("get create delete update patch", "core", "pods"),
            on(
                "get create delete update patch list watch",
                "apps",
                "controllerrevisions",
            ),
            on("get create list watch", "core", "persistentvolumeclaims"),
            on("update delete", "core", "persistentvolumeclaims"),
            on("update", "core", "pods/finalizers"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ttl-controller",
        &[on("update patch list watch", "core", "nodes"), EVENTS],
    ),
    role(
        "system:controller:certificate-controller",
        &[
            on(
                "get list watch delete",
                "certificates.k8s.io",
                "certificatesigningrequests",
            ),
            on(
                "update",
                "certificates.k8s.io",
                "certificatesigningrequests/status certificatesigningrequests/approval",
            ),
            on("approve", "certificates.k8s.io", "signers")
                .named("kubernetes.io/kube-apiserver-client-kubelet"),
            on("sign", "certificates.k8s.io", "signers").named(
                "kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client \
                 kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving",
            ),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:pvc-protection-controller",
        &[
            on("get list watch update", "core", "persistentvolumeclaims"),
            on("list watch get", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:pv-protection-controller",
        &[
            on("get list watch update", "core", "persistentvolumes"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:volumeattributesclass-protection-controller",
        &[
            on(READ, "core", "persistentvolumeclaims"),
            on(READ, "core", "persistentvolumes"),
            on(
                "get list watch update",
                "storage.k8s.io",
                "volumeattributesclasses",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ttl-after-finished-controller",
        &[on("get list watch delete", "batch", "jobs"), EVENTS],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &[on("create update", "core", "configmaps"), EVENTS],
    ),
    role(
        "system:controller:validatingadmissionpolicy-status-controller",
        &[
            on(
                READ,
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
            ),
            on(
                "get patch update",
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:legacy-service-account-token-cleaner",
        &[
            on("get", "core", "configmaps")
                .named("kube-apiserver-legacy-service-account-token-tracking"),
            on("patch delete", "core", "secrets"),
        ],
    ),
    role(
        "system:controller:selinux-warning-controller",
        &[
            EVENTS,
            on(READ, "core", "persistentvolumes"),
            on(READ, "core", "persistentvolumeclaims"),
            on(READ, "core", "pods"),
            on(READ, "storage.k8s.io", "csidrivers"),
        ],
    ),
];
