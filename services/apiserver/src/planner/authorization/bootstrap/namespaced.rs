//! Roles in the namespaces that belong to the system, and their bindings.

use super::table::{
    Binding,
    Bound::{Account, User},
    EVENTS, READ, Role, bind, on, role,
};

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const READER: &str = "extension-apiserver-authentication-reader";
const SIGNER: &str = "system:controller:bootstrap-signer";
const CLOUD: &str = "system:controller:cloud-provider";
const CLEANER: &str = "system:controller:token-cleaner";
const LEADER_MANAGER: &str = "system::leader-locking-kube-controller-manager";
const LEADER_SCHEDULER: &str = "system::leader-locking-kube-scheduler";

/// Leases of leader elections.
const LEADING: &[super::table::Line] = &[on(
    "create get list update watch",
    "coordination.k8s.io",
    "leases",
)];

pub(super) const ROLES: &[(&str, Role)] = &[
    (
        SYSTEM,
        role(
            READER,
            &[on(READ, "core", "configmaps").named("extension-apiserver-authentication")],
        ),
    ),
    (SYSTEM, role(SIGNER, &[on(READ, "core", "secrets")])),
    (
        SYSTEM,
        role(CLOUD, &[on("create get list watch", "core", "configmaps")]),
    ),
    (
        SYSTEM,
        role(
            CLEANER,
            &[on("get list watch delete", "core", "secrets"), EVENTS],
        ),
    ),
    (SYSTEM, role(LEADER_MANAGER, LEADING)),
    (SYSTEM, role(LEADER_SCHEDULER, LEADING)),
    (
        PUBLIC,
        role(
            SIGNER,
            &[
                on(READ, "core", "configmaps"),
                on("update", "core", "configmaps").named("cluster-info"),
                EVENTS,
            ],
        ),
    ),
];

pub(super) const BINDINGS: &[(&str, Binding)] = &[
    (
        SYSTEM,
        bind(
            "system::extension-apiserver-authentication-reader",
            &[
                User("system:kube-controller-manager"),
                User("system:kube-scheduler"),
            ],
        )
        .of_role(READER),
    ),
    (
        SYSTEM,
        bind(
            LEADER_MANAGER,
            &[
                User("system:kube-controller-manager"),
                Account("kube-controller-manager"),
                Account("leader-election-controller"),
            ],
        )
        .of_role(LEADER_MANAGER),
    ),
    (
        SYSTEM,
        bind(
            LEADER_SCHEDULER,
            &[User("system:kube-scheduler"), Account("kube-scheduler")],
        )
        .of_role(LEADER_SCHEDULER),
    ),
    (
        SYSTEM,
        bind(SIGNER, &[Account("bootstrap-signer")]).of_role(SIGNER),
    ),
    (
        SYSTEM,
        bind(CLOUD, &[Account("cloud-provider")]).of_role(CLOUD),
    ),
    (
        SYSTEM,
        bind(CLEANER, &[Account("token-cleaner")]).of_role(CLEANER),
    ),
    (
        PUBLIC,
        bind(SIGNER, &[Account("bootstrap-signer")]).of_role(SIGNER),
    ),
];
