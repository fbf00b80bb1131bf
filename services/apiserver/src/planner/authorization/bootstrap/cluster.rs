//! Roles of the cluster that are no controller's, and their bindings.

use super::{
    super::super::user::{AUTHENTICATED, MASTERS, SERVICE_ACCOUNTS, UNAUTHENTICATED},
    table::{
        ALL, Binding,
        Bound::{Account, Group, User},
        EVENTS, READ, Role, WRITE, bind, on, paths, role,
    },
};

const MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const STORAGE: &str = "storage.k8s.io";

pub(super) const ROLES: &[Role] = &[
    role("cluster-admin", &[on("*", "*", "*"), paths("*", "*")]),
    role(
        "system:discovery",
        &[paths(
            "get",
            "/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*",
        )],
    ),
    role(
        "system:public-info-viewer",
        &[paths("get", "/livez /readyz /healthz /version /version/")],
    ),
    role(
        "system:monitoring",
        &[paths(
            "get",
            "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*",
        )],
    ),
    role(
        "system:basic-user",
        &[
            on(
                "create",
                AUTHORIZATION,
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            on("create", AUTHENTICATION, "selfsubjectreviews"),
        ],
    ),
    role("admin", &[]).gathers(),
    role("edit", &[]).gathers().gathered_by("admin"),
    role("view", &[]).gathers().gathered_by("edit"),
    role(
        "system:aggregate-to-admin",
        &[
            on("create", AUTHORIZATION, "localsubjectaccessreviews"),
            on(ALL, super::super::GROUP, "roles rolebindings"),
        ],
    )
    .gathered_by("admin"),
    role(
        "system:aggregate-to-edit",
        &[
            on(
                READ,
                "core",
                "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy",
            ),
            on("impersonate", "core", "serviceaccounts"),
            on(
                WRITE,
                "core",
                "pods pods/attach pods/proxy pods/exec pods/portforward",
            ),
            on("create", "core", "pods/eviction"),
            on(
                WRITE,
                "core",
                "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy \
                 persistentvolumeclaims configmaps secrets events",
            ),
            on("create", "core", "serviceaccounts/token"),
            on(
                WRITE,
                "apps",
                "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback \
                 replicasets replicasets/scale",
            ),
            on(WRITE, "autoscaling", "horizontalpodautoscalers"),
            on(WRITE, "batch", "jobs cronjobs"),
            on(
                WRITE,
                "extensions",
                "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets \
                 replicasets/scale replicationcontrollers/scale networkpolicies",
            ),
            on(WRITE, "policy", "poddisruptionbudgets"),
            on(WRITE, NETWORKING, "networkpolicies ingresses"),
            on(ALL, COORDINATION, "leases"),
            on(WRITE, RESOURCE, "resourceclaims resourceclaimtemplates"),
        ],
    )
    .gathered_by("edit"),
    role(
        "system:aggregate-to-view",
        &[
            on(
                READ,
                "core",
                "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status \
                 endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
            ),
            on(
                READ,
                "core",
                "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status \
                 replicationcontrollers/status pods/log",
            ),
            on(READ, "core", "namespaces"),
            on(READ, DISCOVERY, "endpointslices"),
            on(
                READ,
                "apps",
                "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets \
                 daemonsets/status deployments deployments/status deployments/scale replicasets \
                 replicasets/status replicasets/scale",
            ),
            on(
                READ,
                "autoscaling",
                "horizontalpodautoscalers horizontalpodautoscalers/status",
            ),
            on(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
            on(
                READ,
                "extensions",
                "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses \
                 ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale \
                 networkpolicies",
            ),
            on(
                READ,
                "policy",
                "poddisruptionbudgets poddisruptionbudgets/status",
            ),
            on(
                READ,
                NETWORKING,
                "networkpolicies ingresses ingresses/status",
            ),
            on(
                READ,
                RESOURCE,
                "resourceclaims resourceclaims/status resourceclaimtemplates",
            ),
        ],
    )
    .gathered_by("view"),
    role(
        "system:heapster",
        &[
            on(READ, "core", "events pods nodes namespaces"),
            on(READ, "extensions", "deployments"),
        ],
    ),
    role(
        "system:node",
        &[
            on("create", AUTHENTICATION, "tokenreviews"),
            on(
                "create",
                AUTHORIZATION,
                "subjectaccessreviews localsubjectaccessreviews",
            ),
            on(READ, "core", "services"),
            on("create get list watch", "core", "nodes"),
            on("update patch", "core", "nodes/status"),
            on("update patch", "core", "nodes"),
            on("create update patch", "core", "events"),
            on(READ, "core", "pods"),
            on("create delete", "core", "pods"),
            on("update patch", "core", "pods/status"),
            on("create", "core", "pods/eviction"),
            on(READ, "core", "secrets configmaps"),
            on("get", "core", "persistentvolumeclaims persistentvolumes"),
            on("get", "core", "endpoints"),
            on(
                "create get list watch",
                CERTIFICATES,
                "certificatesigningrequests",
            ),
            on("get create update patch delete", COORDINATION, "leases"),
            on("get", STORAGE, "volumeattachments"),
            on("create", "core", "serviceaccounts/token"),
            on("get update patch", "core", "persistentvolumeclaims/status"),
            on(READ, STORAGE, "csidrivers"),
            on("get create update patch delete", STORAGE, "csinodes"),
            on(READ, "node.k8s.io", "runtimeclasses"),
            on("get", RESOURCE, "resourceclaims"),
            on("deletecollection", RESOURCE, "resourceslices"),
            on("get", "core", "serviceaccounts"),
        ],
    ),
    role(
        "system:node-problem-detector",
        &[
            on("get", "core", "nodes"),
            on("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            on(READ, "core", "nodes"),
            on("proxy", "core", "nodes"),
            on(
                "*",
                "core",
                "nodes/proxy nodes/metrics nodes/stats nodes/log",
            ),
            on("*", "core", "nodes/configz nodes/healthz nodes/pods"),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[on(
            "create get list watch",
            CERTIFICATES,
            "certificatesigningrequests",
        )],
    ),
    role(
        "system:auth-delegator",
        &[
            on("create", AUTHENTICATION, "tokenreviews"),
            on("create", AUTHORIZATION, "subjectaccessreviews"),
        ],
    ),
    role(
        "system:kube-aggregator",
        &[on(READ, "core", "services endpoints")],
    ),
    role(
        MANAGER,
        &[
            EVENTS,
            on("create", COORDINATION, "leases"),
            on("get update", COORDINATION, "leases").named("kube-controller-manager"),
            on("create", "core", "secrets serviceaccounts"),
            on("delete", "core", "secrets"),
            on("get", "core", "namespaces secrets serviceaccounts configmaps"),
            on("update", "core", "secrets serviceaccounts"),
            on("create", AUTHENTICATION, "tokenreviews"),
            on("create", AUTHORIZATION, "subjectaccessreviews"),
            on("list watch", "*", "*"),
            on("create", "core", "serviceaccounts/token"),
        ],
    ),
    role(
        "system:kube-dns",
        &[on("list watch", "core", "endpoints services")],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            on("get list watch create delete", "core", "persistentvolumes"),
            on("get list watch update", "core", "persistentvolumeclaims"),
            on(READ, STORAGE, "storageclasses"),
            on("watch", "core", "events"),
            EVENTS,
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[on(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/nodeclient",
        )],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[on(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/selfnodeclient",
        )],
    ),
    role(
        "system:volume-scheduler",
        &[
            on(
                "get list patch update watch",
                "core",
                "persistentvolumes",
            ),
            on(READ, STORAGE, "storageclasses"),
            on(
                "get list patch update watch",
                "core",
                "persistentvolumeclaims",
            ),
        ],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[on("approve", CERTIFICATES, "signers").named("kubernetes.io/legacy-unknown")],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[on("approve", CERTIFICATES, "signers").named("kubernetes.io/kubelet-serving")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[on("approve", CERTIFICATES, "signers").named("kubernetes.io/kube-apiserver-client")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[on("approve", CERTIFICATES, "signers")
            .named("kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:node-proxier",
        &[
            on("list watch", "core", "services endpoints"),
            on(READ, "core", "nodes"),
            EVENTS,
            on("list watch", NETWORKING, "servicecidrs"),
            on("list watch", DISCOVERY, "endpointslices"),
        ],
    ),
    role(
        SCHEDULER,
        &[
            EVENTS,
            on("create", COORDINATION, "leases"),
            on("get list update watch", COORDINATION, "leases").named("kube-scheduler"),
            on(READ, "core", "nodes"),
            on("get list watch delete", "core", "pods"),
            on("create", "core", "pods/binding bindings"),
            on("patch update", "core", "pods/status"),
            on(READ, "core", "replicationcontrollers services"),
            on(READ, "apps extensions", "replicasets"),
            on(READ, "apps", "statefulsets"),
            on(READ, "policy", "poddisruptionbudgets"),
            on(READ, "core", "persistentvolumeclaims persistentvolumes"),
            on("create", AUTHENTICATION, "tokenreviews"),
            on("create", AUTHORIZATION, "subjectaccessreviews"),
            on(READ, STORAGE, "csinodes"),
            on(READ, STORAGE, "volumeattachments"),
            on(READ, "core", "namespaces"),
            on(READ, STORAGE, "csidrivers"),
            on(READ, STORAGE, "csistoragecapacities"),
            on(READ, RESOURCE, "deviceclasses"),
            on("get list patch update watch", RESOURCE, "resourceclaims"),
            on(
                "get list patch update watch",
                RESOURCE,
                "resourceclaims/status",
            ),
            on("get list patch update watch", "core", "pods/finalizers"),
            on(READ, RESOURCE, "resourceslices"),
        ],
    ),
];

pub(super) const BINDINGS: &[Binding] = &[
    bind("cluster-admin", &[Group(MASTERS)]),
    bind("system:monitoring", &[Group("system:monitoring")]),
    bind("system:discovery", &[Group(AUTHENTICATED)]),
    bind("system:basic-user", &[Group(AUTHENTICATED)]),
    bind(
        "system:public-info-viewer",
        &[Group(AUTHENTICATED), Group(UNAUTHENTICATED)],
    ),
    bind("system:node-proxier", &[User("system:kube-proxy")]),
    bind(MANAGER, &[User(MANAGER)]),
    bind("system:kube-dns", &[Account("kube-dns")]),
    bind(SCHEDULER, &[User(SCHEDULER)]),
    bind("system:volume-scheduler", &[User(SCHEDULER)]),
    bind("system:node", &[]),
    bind(
        "system:service-account-issuer-discovery",
        &[Group(SERVICE_ACCOUNTS)],
    ),
];
