//! The table of resources: one entry for each that is served.
//!
//! What a schema says (kind, scope, fields) is not repeated here. See the README for what an entry is used for.

use crate::{
    rules::Rules,
    types::{
        apps, autoscaling, batch, certificates, coordination, core, discovery, events,
        flow_control, networking, node, policy, rbac, resource as resources, reviews, scheduling,
        storage,
    },
    verb::Verb,
};

/// A resource in one version.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// Empty for the core group.
    pub group: &'static str,
    /// Such as `v1`.
    pub version: &'static str,
    /// The plural name.
    pub name: &'static str,
    /// Of `kubectl`.
    pub short_names: &'static [&'static str],
    /// Such as `all`.
    pub categories: &'static [&'static str],
    /// What can be done with it.
    pub verbs: &'static [Verb],
    /// Where it is in the store, below `/registry/`; empty for what is not stored.
    pub key: &'static str,
    /// Has `status`, which only writes to that subresource change.
    pub status: bool,
    /// Has a generation, which changes of what is not metadata or status count up.
    pub generation: bool,
    /// Further subresources.
    pub subresources: &'static [Subresource],
    /// A type's own.
    pub rules: &'static Rules,
    /// What a client is told with each write: that it is kept but not enforced, or what to use in its stead.
    pub warning: Option<&'static str>,
    /// How the version that is stored becomes this one and back; None where it is this one.
    pub conversion: Option<&'static Conversion>,
}

/// A subresource that is more than a part of its object.
#[derive(Debug, Clone, Copy)]
pub struct Subresource {
    /// Such as `scale`.
    pub name: &'static str,
    /// Of its objects, where they are of another kind.
    pub kind: Option<Kind<'static>>,
    /// What can be done with it.
    pub verbs: &'static [Verb],
}

/// A kind by its group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// Such as `v1`.
    pub version: &'a str,
    /// Such as `Scale`.
    pub kind: &'a str,
}

/// Between a version that is served and the one that is stored.
#[derive(Debug)]
pub struct Conversion {
    /// The version that is stored.
    pub stored: Kind<'static>,
    /// From the stored one.
    pub from_stored: fn(&mut serde_json::Value),
    /// To the stored one.
    pub to_stored: fn(&mut serde_json::Value),
}

/// Everything.
const ALL: &[Verb] = &Verb::ALL;
/// All but deleting many.
const NO_COLLECTION: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];
/// What is asked, and not kept.
const CREATE: &[Verb] = &[Verb::Create];
/// Of a part of an object.
const PART: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];

const fn resource(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    key: &'static str,
    rules: &'static Rules,
) -> Resource {
    Resource {
        group,
        version,
        name,
        short_names: &[],
        categories: &[],
        verbs: ALL,
        key,
        status: false,
        generation: false,
        subresources: &[],
        rules,
        warning: None,
        conversion: None,
    }
}

impl Resource {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    /// Of the category `all`.
    const fn all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    const fn verbs(mut self, verbs: &'static [Verb]) -> Self {
        self.verbs = verbs;
        self
    }

    const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    const fn with(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    const fn warning(mut self, text: &'static str) -> Self {
        self.warning = Some(text);
        self
    }

    const fn stored_as(mut self, conversion: &'static Conversion) -> Self {
        self.conversion = Some(conversion);
        self
    }
}

const SCALE: Subresource = Subresource {
    name: "scale",
    kind: Some(Kind {
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
    }),
    verbs: PART,
};

/// A part of an object, written apart.
const fn part(name: &'static str) -> Subresource {
    Subresource {
        name,
        kind: None,
        verbs: PART,
    }
}

/// Something that is done to an object, described by an object of another kind.
const fn deed(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
) -> Subresource {
    Subresource {
        name,
        kind: Some(Kind {
            group,
            version,
            kind,
        }),
        verbs: CREATE,
    }
}

/// Kept, and enforced by nobody yet.
const NOT_ENFORCED: &str = "this cluster keeps the object but does not enforce it yet";

/// All that is built in, by group and in the order of their names.
pub const RESOURCES: &[Resource] = &[
    resource("", "v1", "bindings", "", &core::binding::RULES).verbs(CREATE),
    resource(
        "",
        "v1",
        "configmaps",
        "configmaps",
        &core::config_map::RULES,
    )
    .short(&["cm"]),
    resource(
        "",
        "v1",
        "endpoints",
        "services/endpoints",
        &core::endpoints::RULES,
    )
    .short(&["ep"]),
    resource("", "v1", "events", "events", &core::event::RULES).short(&["ev"]),
    resource(
        "",
        "v1",
        "limitranges",
        "limitranges",
        &core::limit_range::RULES,
    )
    .short(&["limits"]),
    resource(
        "",
        "v1",
        "namespaces",
        "namespaces",
        &core::namespace::RULES,
    )
    .short(&["ns"])
    .verbs(NO_COLLECTION)
    .status()
    .with(&[Subresource {
        name: "finalize",
        kind: None,
        verbs: &[Verb::Update],
    }]),
    resource("", "v1", "nodes", "minions", &core::node::RULES)
        .short(&["no"])
        .status(),
    resource(
        "",
        "v1",
        "persistentvolumeclaims",
        "persistentvolumeclaims",
        &core::persistent_volume_claim::RULES,
    )
    .short(&["pvc"])
    .status(),
    resource(
        "",
        "v1",
        "persistentvolumes",
        "persistentvolumes",
        &core::persistent_volume::RULES,
    )
    .short(&["pv"])
    .status(),
    resource("", "v1", "pods", "pods", &core::pod::RULES)
        .short(&["po"])
        .all()
        .status()
        .generation()
        .with(&[
            deed("binding", "", "v1", "Binding"),
            part("ephemeralcontainers"),
            deed("eviction", "policy", "v1", "Eviction"),
            part("resize"),
        ]),
    resource(
        "",
        "v1",
        "podtemplates",
        "podtemplates",
        &core::pod_template::RULES,
    )
    .generation(),
    resource(
        "",
        "v1",
        "replicationcontrollers",
        "controllers",
        &core::replication_controller::RULES,
    )
    .short(&["rc"])
    .all()
    .status()
    .generation()
    .with(&[SCALE]),
    resource(
        "",
        "v1",
        "resourcequotas",
        "resourcequotas",
        &core::resource_quota::RULES,
    )
    .short(&["quota"])
    .status()
    .warning(NOT_ENFORCED),
    resource("", "v1", "secrets", "secrets", &core::secret::RULES),
    resource(
        "",
        "v1",
        "serviceaccounts",
        "serviceaccounts",
        &core::service_account::RULES,
    )
    .short(&["sa"])
    .with(&[deed("token", "authentication.k8s.io", "v1", "TokenRequest")]),
    resource(
        "",
        "v1",
        "services",
        "services/specs",
        &core::service::RULES,
    )
    .short(&["svc"])
    .all()
    .status(),
    resource(
        "apps",
        "v1",
        "controllerrevisions",
        "controllerrevisions",
        &apps::controller_revision::RULES,
    ),
    resource(
        "apps",
        "v1",
        "daemonsets",
        "daemonsets",
        &apps::daemon_set::RULES,
    )
    .short(&["ds"])
    .all()
    .status()
    .generation(),
    resource(
        "apps",
        "v1",
        "deployments",
        "deployments",
        &apps::deployment::RULES,
    )
    .short(&["deploy"])
    .all()
    .status()
    .generation()
    .with(&[SCALE]),
    resource(
        "apps",
        "v1",
        "replicasets",
        "replicasets",
        &apps::replica_set::RULES,
    )
    .short(&["rs"])
    .all()
    .status()
    .generation()
    .with(&[SCALE]),
    resource(
        "apps",
        "v1",
        "statefulsets",
        "statefulsets",
        &apps::stateful_set::RULES,
    )
    .short(&["sts"])
    .all()
    .status()
    .generation()
    .with(&[SCALE]),
    resource(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "",
        &reviews::review::RULES,
    )
    .verbs(CREATE),
    resource(
        "authentication.k8s.io",
        "v1",
        "tokenreviews",
        "",
        &reviews::token::RULES,
    )
    .verbs(CREATE),
    resource(
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "",
        &reviews::access::LOCAL,
    )
    .verbs(CREATE),
    resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "",
        &reviews::access::SELF,
    )
    .verbs(CREATE),
    resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "",
        &reviews::review::RULES,
    )
    .verbs(CREATE),
    resource(
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "",
        &reviews::access::SUBJECT,
    )
    .verbs(CREATE),
    resource(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "horizontalpodautoscalers",
        &autoscaling::v1::RULES,
    )
    .short(&["hpa"])
    .all()
    .status()
    .stored_as(&autoscaling::v1::CONVERSION),
    resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "horizontalpodautoscalers",
        &autoscaling::v2::RULES,
    )
    .short(&["hpa"])
    .all()
    .status(),
    resource(
        "batch",
        "v1",
        "cronjobs",
        "cronjobs",
        &batch::cron_job::RULES,
    )
    .short(&["cj"])
    .all()
    .status()
    .generation(),
    resource("batch", "v1", "jobs", "jobs", &batch::job::RULES)
        .all()
        .status()
        .generation(),
    resource(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "certificatesigningrequests",
        &certificates::signing_request::RULES,
    )
    .short(&["csr"])
    .status()
    .with(&[part("approval")]),
    resource(
        "coordination.k8s.io",
        "v1",
        "leases",
        "leases",
        &coordination::lease::RULES,
    ),
    resource(
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "endpointslices",
        &discovery::endpoint_slice::RULES,
    )
    .generation(),
    resource(
        "events.k8s.io",
        "v1",
        "events",
        "events",
        &events::event::RULES,
    )
    .short(&["ev"])
    .stored_as(&events::event::CONVERSION),
    resource(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "flowschemas",
        "flowschemas",
        &flow_control::flow_schema::RULES,
    )
    .status()
    .generation()
    .warning(NOT_ENFORCED),
    resource(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "prioritylevelconfigurations",
        "prioritylevelconfigurations",
        &flow_control::priority_level::RULES,
    )
    .status()
    .generation()
    .warning(NOT_ENFORCED),
    resource(
        "networking.k8s.io",
        "v1",
        "ingressclasses",
        "ingressclasses",
        &networking::ingress_class::RULES,
    )
    .generation(),
    resource(
        "networking.k8s.io",
        "v1",
        "ingresses",
        "ingress",
        &networking::ingress::RULES,
    )
    .short(&["ing"])
    .status()
    .generation(),
    resource(
        "networking.k8s.io",
        "v1",
        "ipaddresses",
        "ipaddresses",
        &networking::ip_address::RULES,
    )
    .short(&["ip"]),
    resource(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "networkpolicies",
        &networking::network_policy::RULES,
    )
    .short(&["netpol"])
    .generation()
    .warning(NOT_ENFORCED),
    resource(
        "networking.k8s.io",
        "v1",
        "servicecidrs",
        "servicecidrs",
        &networking::service_cidr::RULES,
    )
    .status(),
    resource(
        "node.k8s.io",
        "v1",
        "runtimeclasses",
        "runtimeclasses",
        &node::runtime_class::RULES,
    ),
    resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "poddisruptionbudgets",
        &policy::disruption_budget::RULES,
    )
    .short(&["pdb"])
    .status()
    .generation(),
    resource(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "clusterrolebindings",
        &rbac::cluster_role_binding::RULES,
    ),
    resource(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterroles",
        "clusterroles",
        &rbac::cluster_role::RULES,
    ),
    resource(
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        "rolebindings",
        &rbac::role_binding::RULES,
    ),
    resource(
        "rbac.authorization.k8s.io",
        "v1",
        "roles",
        "roles",
        &rbac::role::RULES,
    ),
    resource(
        "resource.k8s.io",
        "v1",
        "deviceclasses",
        "deviceclasses",
        &resources::device_class::RULES,
    )
    .generation(),
    resource(
        "resource.k8s.io",
        "v1",
        "resourceclaims",
        "resourceclaims",
        &resources::claim::RULES,
    )
    .status(),
    resource(
        "resource.k8s.io",
        "v1",
        "resourceclaimtemplates",
        "resourceclaimtemplates",
        &resources::claim_template::RULES,
    ),
    resource(
        "resource.k8s.io",
        "v1",
        "resourceslices",
        "resourceslices",
        &resources::slice::RULES,
    )
    .generation(),
    resource(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "priorityclasses",
        &scheduling::priority_class::RULES,
    )
    .short(&["pc"])
    .generation(),
    resource(
        "storage.k8s.io",
        "v1",
        "csidrivers",
        "csidrivers",
        &storage::csi_driver::RULES,
    )
    .generation(),
    resource(
        "storage.k8s.io",
        "v1",
        "csinodes",
        "csinodes",
        &storage::csi_node::RULES,
    ),
    resource(
        "storage.k8s.io",
        "v1",
        "csistoragecapacities",
        "csistoragecapacities",
        &storage::csi_storage_capacity::RULES,
    ),
    resource(
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "storageclasses",
        &storage::storage_class::RULES,
    )
    .short(&["sc"]),
    resource(
        "storage.k8s.io",
        "v1",
        "volumeattachments",
        "volumeattachments",
        &storage::volume_attachment::RULES,
    )
    .status(),
    resource(
        "storage.k8s.io",
        "v1",
        "volumeattributesclasses",
        "volumeattributesclasses",
        &storage::volume_attributes_class::RULES,
    )
    .short(&["vac"]),
];
