//! Admission: who may refuse or change what is written, after authorization and before the type's own validation.
//!
//! ```text
//!   decoded, with defaults ──> mutate: plugin 1 .. n ──> prepare, complete, validation ──> validate: plugin 1 .. n ──> store
//! ```
//!
//! A plugin decides from a request's [`Attributes`], the object, and what the cluster has ([`Cluster`]). The order of [`PLUGINS`]
//! is upstream's: what one sets, those behind it see. A delete is asked about, too; its object is null, and `old` is what goes.
//!
//! A plugin that does not find an object may refuse: it was not there yet in the cache. The executor then looks into the store,
//! and asks again with what it found, so plugins know nothing of caches.
//!
//! Source: the page "Admission Control in Kubernetes".

mod default_ingress_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
#[cfg(test)]
mod testing;
mod tolerations;

use super::{served::Served, user::User};
use kinds::value::Fields;
use objects::{
    metadata::Metadata,
    status::{Qualified, Status},
};
use serde_json::Value;

/// All plugins, in the order in which they are asked. A new one goes to its place in upstream's order, which the README has.
pub const PLUGINS: &[Plugin] = &[
    namespace_lifecycle::PLUGIN,
    service_account::PLUGIN,
    taint_nodes_by_condition::PLUGIN,
    priority::PLUGIN,
    default_toleration_seconds::PLUGIN,
    storage_object_in_use_protection::PLUGIN,
    runtime_class::PLUGIN,
    default_ingress_class::PLUGIN,
];

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is made; or, for a subresource such as `eviction`, something is done to it.
    Create,
    /// It, or a part of it, is changed.
    Update,
    /// It is taken away.
    Delete,
}

/// What a plugin is told of a request, besides the object.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// To what: group, version, resource and kind.
    pub served: &'a Served,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for what is in none.
    pub namespace: &'a str,
    /// Empty as long as it is to be generated.
    pub name: &'a str,
    /// Who asks for it.
    pub user: &'a User,
    /// For generated names.
    pub random: u64,
    /// The object as it is, for an update and a delete.
    pub old: Option<&'a Value>,
}

impl Attributes<'_> {
    /// Whether it is about this resource, in whatever version, and not about a part of it.
    fn is(&self, group: &str, resource: &str) -> bool {
        self.is_any_of(group, resource) && self.subresource.is_empty()
    }

    /// Whether it is about this resource or a part of it.
    fn is_any_of(&self, group: &str, resource: &str) -> bool {
        self.served.resource.group == group && self.served.resource.name == resource
    }

    /// 403, about the object by its name, or by what its name will begin with.
    fn forbidden(&self, object: &Value, why: &str) -> Status {
        let metadata = Metadata::of(object);
        let names = [self.name, metadata.name(), metadata.generate_name()];
        let name = names.into_iter().find(|name| !name.is_empty());
        Status::forbidden(self.served.qualified(), name.unwrap_or("Unknown"), why)
    }
}

/// Objects of the cluster that plugins look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Where objects are.
    Namespace,
    /// As whom pods act.
    ServiceAccount,
    /// How important pods are.
    PriorityClass,
    /// What runs pods.
    RuntimeClass,
    /// Who serves ingresses.
    IngressClass,
}

impl Kind {
    /// The resource; its version is v1.
    #[must_use]
    pub fn resource(self) -> Qualified<'static> {
        match self {
            Self::Namespace => Qualified::core("namespaces"),
            Self::ServiceAccount => Qualified::core("serviceaccounts"),
            Self::PriorityClass => Qualified::new("scheduling.k8s.io", "priorityclasses"),
            Self::RuntimeClass => Qualified::new("node.k8s.io", "runtimeclasses"),
            Self::IngressClass => Qualified::new("networking.k8s.io", "ingressclasses"),
        }
    }
}

/// An object that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    /// Of which kind.
    pub kind: Kind,
    /// Empty for what is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Lookup {
    /// How often it is looked for before it is taken for missing: a controller makes the default service account when there is a
    /// new namespace, and a pod may come before it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self.kind {
            Kind::ServiceAccount if self.name == service_account::DEFAULT => 10,
            _ => 1,
        }
    }
}

/// What the cluster has.
pub trait Cluster {
    /// An object, if it is there; `namespace` is empty for what is in none.
    ///
    /// # Errors
    /// What is there cannot be read.
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, Status>;

    /// All of a kind, by namespace and name.
    ///
    /// # Errors
    /// What is there cannot be read.
    fn list(&self, kind: Kind) -> Result<Vec<Value>, Status>;
}

/// Changes an object, or refuses it.
type Mutate = fn(&Attributes<'_>, &mut Value, &dyn Cluster) -> Result<(), Status>;
/// Refuses an object, as it will be stored.
type Validate = fn(&Attributes<'_>, &Value, &dyn Cluster) -> Result<(), Status>;

/// One who is asked.
#[derive(Debug)]
pub struct Plugin {
    /// Upstream's name.
    pub name: &'static str,
    /// What it is asked about.
    handles: &'static [Operation],
    mutate: Option<Mutate>,
    validate: Option<Validate>,
}

/// The plugins of a server.
#[derive(Debug)]
pub struct Chain(Vec<&'static Plugin>);

impl Chain {
    /// All but those that are disabled. To enable one says nothing new, since all are on: but a name that is not here is refused,
    /// so that nobody believes in a plugin that does not run.
    ///
    /// # Errors
    /// Which of the names is wrong, and why.
    pub fn new(enable: &[String], disable: &[String]) -> Result<Self, ChainError> {
        for name in enable.iter().chain(disable) {
            if !PLUGINS.iter().any(|plugin| plugin.name == name) {
                return Err(ChainError::Unknown(name.clone()));
            }
        }
        if let Some(both) = enable.iter().find(|name| disable.contains(name)) {
            return Err(ChainError::Both(both.clone()));
        }
        let on = |plugin: &&Plugin| !disable.iter().any(|name| name == plugin.name);
        Ok(Self(PLUGINS.iter().filter(on).collect()))
    }

    fn asked(&self, operation: Operation) -> impl Iterator<Item = &'static Plugin> {
        let plugins = self.0.iter().copied();
        plugins.filter(move |plugin| plugin.handles.contains(&operation))
    }
}

/// Names of plugins that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There is no such one here.
    #[error("{0:?} is no admission plugin of this server; there are {known}", known = names())]
    Unknown(String),
    /// It is to be on and off.
    #[error("{0:?} is enabled and disabled")]
    Both(String),
}

fn names() -> String {
    let names: Vec<_> = PLUGINS.iter().map(|plugin| plugin.name).collect();
    names.join(", ")
}

/// The chain, asked about one request.
#[derive(Clone, Copy)]
pub struct Review<'a> {
    /// Who is asked.
    pub chain: &'a Chain,
    /// About what, without the old object.
    pub attributes: Attributes<'a>,
    /// What there is besides.
    pub cluster: &'a dyn Cluster,
}

impl Review<'_> {
    /// Lets all plugins change what was sent, with its defaults; null for a delete.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn mutate(&self, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let attributes = Attributes {
            old,
            ..self.attributes
        };
        for plugin in self.chain.asked(attributes.operation) {
            if let Some(mutate) = plugin.mutate {
                mutate(&attributes, object, self.cluster)?;
            }
        }
        Ok(())
    }

    /// Asks all plugins about what will be stored; null for a delete.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Result<(), Status> {
        let attributes = Attributes {
            old,
            ..self.attributes
        };
        for plugin in self.chain.asked(attributes.operation) {
            if let Some(validate) = plugin.validate {
                validate(&attributes, object, self.cluster)?;
            }
        }
        Ok(())
    }
}

/// Adds to a list, which is made where there is none.
fn push(object: &mut Value, list: &str, item: Value) {
    match object.field_mut(list) {
        Some(Value::Array(items)) => items.push(item),
        _ => object.set(list, vec![item]),
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::Request, *};
    use serde_json::json;

    /// The plugins of Kubernetes 1.35 that are here or whose places are named, in its order.
    const UPSTREAM: [&str; 28] = [
        "NamespaceLifecycle",
        "LimitRanger",
        "ServiceAccount",
        "NodeRestriction",
        "TaintNodesByCondition",
        "AlwaysPullImages",
        "ImagePolicyWebhook",
        "PodSecurity",
        "PodNodeSelector",
        "Priority",
        "DefaultTolerationSeconds",
        "PodTolerationRestriction",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "DefaultStorageClass",
        "StorageObjectInUseProtection",
        "OwnerReferencesPermissionEnforcement",
        "PersistentVolumeClaimResize",
        "RuntimeClass",
        "CertificateApproval",
        "CertificateSigning",
        "ClusterTrustBundleAttest",
        "CertificateSubjectRestriction",
        "DefaultIngressClass",
        "DenyServiceExternalIPs",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionWebhook",
        "ResourceQuota",
    ];

    #[test]
    fn the_order_is_upstreams() {
        let place = |plugin: &Plugin| UPSTREAM.iter().position(|name| *name == plugin.name);
        let places: Vec<_> = PLUGINS.iter().map(place).collect();
        assert!(places.iter().all(Option::is_some), "{places:?}");
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn plugins_are_chosen_by_name() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let check = |enable: &[&str], disable: &[&str], expect: Result<usize, ChainError>| {
            let chain = Chain::new(&names(enable), &names(disable));
            assert_eq!(chain.map(|chain| chain.0.len()), expect);
        };
        check(&[], &[], Ok(8));
        check(&["Priority"], &[], Ok(8));
        check(&["Priority"], &["ServiceAccount", "RuntimeClass"], Ok(6));
        let unknown = |name: &str| Err(ChainError::Unknown(name.to_owned()));
        check(&["PodSecurity"], &[], unknown("PodSecurity"));
        check(&[], &["priority"], unknown("priority"));
        check(
            &["Priority"],
            &["Priority"],
            Err(ChainError::Both("Priority".to_owned())),
        );
        let told = ChainError::Unknown("X".to_owned()).to_string();
        assert!(
            told.starts_with("\"X\" is no admission plugin of this server; there are NamespaceLifecycle, ServiceAccount, "),
            "{told}"
        );
    }

    #[test]
    fn what_is_refused_is_named() {
        let check = |name: &'static str, object: Value, expect: &str| {
            let request = Request {
                name,
                ..Request::create("", "pods", "n")
            };
            let status = request.attributes(|attributes| attributes.forbidden(&object, "no"));
            assert_eq!(
                status.message,
                format!("pods \"{expect}\" is forbidden: no")
            );
        };
        check("a", json!({"metadata": {"name": "b"}}), "a");
        check("", json!({"metadata": {"name": "b"}}), "b");
        check("", json!({"metadata": {"generateName": "c-"}}), "c-");
        check("", json!({}), "Unknown");
    }

    /// What the first sets, the later ones see; and what is asked twice says the same.
    #[test]
    fn a_pod_passes_the_whole_chain() {
        let request = Request::create("", "pods", "n");
        let cluster = [
            (Kind::Namespace, json!({"metadata": {"name": "n"}})),
            (
                Kind::ServiceAccount,
                json!({"metadata": {"namespace": "n", "name": "default"}}),
            ),
            (
                Kind::RuntimeClass,
                json!({
                    "metadata": {"name": "r"},
                    "scheduling": {"tolerations": [{"operator": "Exists"}]},
                }),
            ),
        ];
        let mut pod = json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c"}], "runtimeClassName": "r"},
        });
        request.through(&mut pod, &cluster).expect("admitted");
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(pod["spec"]["priority"], 0);
        // The class tolerates everything, so what was there by default is redundant.
        assert_eq!(pod["spec"]["tolerations"], json!([{"operator": "Exists"}]));
        let once = pod.clone();
        request.through(&mut pod, &cluster).expect("admitted again");
        assert_eq!(pod, once);
    }
}
