//! All roles and bindings, by whom they are bound to.

use super::{
    super::user::{MASTERS, User, service_account_name},
    Attributes, Rule,
    rule::or_empty,
};
use objects::go::quote;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::ControlFlow,
    sync::Arc,
};

/// Which objects make the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `clusterroles`.
    ClusterRole,
    /// `clusterrolebindings`.
    ClusterRoleBinding,
    /// `roles`.
    Role,
    /// `rolebindings`.
    RoleBinding,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::Role,
        Self::RoleBinding,
    ];

    /// The plural name of the resource.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::ClusterRole => "clusterroles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
        }
    }
}

/// The role that a binding binds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role`, of the binding's namespace, or `ClusterRole`.
    pub kind: String,
    /// Which.
    pub name: String,
}

/// To whom a role is bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Which.
    pub name: String,
    /// Of a service account; empty: the binding's.
    pub namespace: String,
}

#[derive(Deserialize)]
struct RoleObject {
    #[serde(default, deserialize_with = "or_empty")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct BindingObject {
    #[serde(default, rename = "roleRef")]
    role: RoleRef,
    #[serde(default, deserialize_with = "or_empty")]
    subjects: Vec<Subject>,
}

#[derive(Debug)]
struct Binding {
    /// Empty: of the cluster.
    namespace: Box<str>,
    name: Box<str>,
    role: RoleRef,
    subjects: Vec<Subject>,
}

impl Binding {
    /// The user or group that a subject is; None: nobody.
    fn who(&self, subject: &Subject) -> Option<Who> {
        match subject.kind.as_str() {
            "User" => Some(Who::User(subject.name.as_str().into())),
            "Group" => Some(Who::Group(subject.name.as_str().into())),
            "ServiceAccount" => {
                let namespace = match subject.namespace.as_str() {
                    "" => &*self.namespace,
                    namespace => namespace,
                };
                let user = service_account_name(namespace, &subject.name);
                (!namespace.is_empty()).then(|| Who::User(user.into()))
            }
            _ => None,
        }
    }

    /// The first of its subjects that a user is.
    fn subject_of(&self, user: &User) -> Option<&Subject> {
        self.subjects
            .iter()
            .find(|subject| match self.who(subject) {
                Some(Who::User(name)) => *name == *user.name,
                Some(Who::Group(group)) => user.is_in(&group),
                None => false,
            })
    }
}

enum Who {
    User(Box<str>),
    Group(Box<str>),
}

/// Bindings by their names.
type Named = BTreeMap<Box<str>, Arc<Binding>>;
/// Rules of roles by the roles' names.
type Roles = HashMap<Box<str>, Arc<[Rule]>>;

/// Bindings of a namespace, or of the cluster.
#[derive(Debug, Default)]
struct Bindings {
    all: HashMap<Box<str>, Arc<Binding>>,
    users: HashMap<Box<str>, Named>,
    groups: HashMap<Box<str>, Named>,
}

impl Bindings {
    fn put(&mut self, binding: Binding) {
        self.remove(&binding.name.clone());
        let binding = Arc::new(binding);
        for who in binding
            .subjects
            .iter()
            .filter_map(|subject| binding.who(subject))
        {
            let named = match who {
                Who::User(name) => self.users.entry(name),
                Who::Group(name) => self.groups.entry(name),
            };
            let named = named.or_default();
            named.insert(binding.name.clone(), binding.clone());
        }
        self.all.insert(binding.name.clone(), binding);
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.all.remove(name) else {
            return;
        };
        for who in binding
            .subjects
            .iter()
            .filter_map(|subject| binding.who(subject))
        {
            let (index, who) = match &who {
                Who::User(name) => (&mut self.users, name),
                Who::Group(name) => (&mut self.groups, name),
            };
            if let Some(named) = index.get_mut(who) {
                named.remove(name);
                if named.is_empty() {
                    index.remove(who);
                }
            }
        }
    }

    /// Those of a user; one may come more than once.
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Binding>> {
        let own = self.users.get(user.name.as_str());
        let groups = user.groups.iter();
        let of_groups = groups.filter_map(|group| self.groups.get(group.as_str()));
        own.into_iter().chain(of_groups).flat_map(BTreeMap::values)
    }
}

/// All roles and bindings that there are.
#[derive(Debug, Default)]
pub struct Policy {
    cluster_roles: Roles,
    /// By namespace, then name.
    roles: HashMap<Box<str>, Roles>,
    cluster_bindings: Bindings,
    /// By namespace.
    bindings: HashMap<Box<str>, Bindings>,
}

/// What roles say of a request.
#[derive(Debug, Clone)]
pub enum Decision {
    /// They allow it.
    Allowed(Grant),
    /// They do not: it is refused unless somebody else allows it.
    NoOpinion {
        /// What went wrong on the way; mostly empty.
        reason: String,
    },
}

impl Decision {
    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Why, as reviews tell it; may be empty.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Allowed(grant) => grant.to_string(),
            Self::NoOpinion { reason } => reason.clone(),
        }
    }
}

/// Why something is allowed. It is put in words only when somebody asks.
#[derive(Debug, Clone)]
pub struct Grant(Option<(Arc<Binding>, Subject)>);

impl Grant {
    /// Of those who may do everything.
    pub const ALWAYS: Self = Self(None);
}

impl fmt::Display for Grant {
    /// `RBAC: allowed by RoleBinding "name/namespace" of ClusterRole "x" to User "y"`; empty for those who may do everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((binding, subject)) = &self.0 else {
            return Ok(());
        };
        let (kind, name) = match &*binding.namespace {
            "" => ("ClusterRoleBinding", binding.name.to_string()),
            namespace => ("RoleBinding", format!("{}/{namespace}", binding.name)),
        };
        let who = match (subject.kind.as_str(), subject.namespace.as_str()) {
            ("ServiceAccount", "") => format!("{}/{}", subject.name, binding.namespace),
            ("ServiceAccount", namespace) => format!("{}/{namespace}", subject.name),
            _ => subject.name.clone(),
        };
        write!(
            f,
            "RBAC: allowed by {kind} {} of {} {} to {} {}",
            quote(&name),
            binding.role.kind,
            quote(&binding.role.name),
            subject.kind,
            quote(&who)
        )
    }
}

/// What a user may do, by rules, and what went wrong when they were gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// In the order of their bindings.
    pub rules: Vec<Rule>,
    /// Roles that are bound and not there, in words.
    pub errors: Vec<String>,
}

impl Rules {
    /// Of those who may do everything.
    #[must_use]
    pub fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        let resources = Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        };
        let paths = Rule {
            verbs: all(),
            non_resource_urls: all(),
            ..Rule::default()
        };
        Self {
            rules: vec![resources, paths],
            errors: Vec::new(),
        }
    }
}

impl Policy {
    /// Takes an object in, instead of the one that was there. `key`: `name`, or `namespace/name`.
    ///
    /// # Errors
    /// Its JSON is no such object: it is then as if it was not there.
    pub fn put(&mut self, kind: Kind, key: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        self.remove(kind, key);
        let (namespace, name) = split(key);
        match kind {
            Kind::ClusterRole | Kind::Role => {
                let role: RoleObject = serde_json::from_slice(json)?;
                let roles = match kind {
                    Kind::Role => self.roles.entry(namespace.into()).or_default(),
                    _ => &mut self.cluster_roles,
                };
                roles.insert(name.into(), role.rules.into());
            }
            Kind::ClusterRoleBinding | Kind::RoleBinding => {
                let BindingObject { role, subjects } = serde_json::from_slice(json)?;
                let bindings = match kind {
                    Kind::RoleBinding => self.bindings.entry(namespace.into()).or_default(),
                    _ => &mut self.cluster_bindings,
                };
                bindings.put(Binding {
                    namespace: namespace.into(),
                    name: name.into(),
                    role,
                    subjects,
                });
            }
        }
        Ok(())
    }

    /// Takes an object out.
    pub fn remove(&mut self, kind: Kind, key: &str) {
        let (namespace, name) = split(key);
        match kind {
            Kind::ClusterRole => {
                self.cluster_roles.remove(name);
            }
            Kind::ClusterRoleBinding => self.cluster_bindings.remove(name),
            Kind::Role => {
                if let Some(roles) = self.roles.get_mut(namespace) {
                    roles.remove(name);
                    if roles.is_empty() {
                        self.roles.remove(namespace);
                    }
                }
            }
            Kind::RoleBinding => {
                if let Some(bindings) = self.bindings.get_mut(namespace) {
                    bindings.remove(name);
                    if bindings.all.is_empty() {
                        self.bindings.remove(namespace);
                    }
                }
            }
        }
    }

    /// Takes all objects of a kind out.
    pub fn clear(&mut self, kind: Kind) {
        match kind {
            Kind::ClusterRole => self.cluster_roles.clear(),
            Kind::ClusterRoleBinding => self.cluster_bindings = Bindings::default(),
            Kind::Role => self.roles.clear(),
            Kind::RoleBinding => self.bindings.clear(),
        }
    }

    /// Whether somebody may do something.
    #[must_use]
    pub fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let user = attributes.user;
        if user.is_in(MASTERS) {
            return Decision::Allowed(Grant(None));
        }
        let namespace = match attributes.action {
            super::Action::Resource { namespace, .. } => namespace,
            super::Action::Path { .. } => "",
        };
        let mut errors = BTreeSet::new();
        let found = self.visit(user, namespace, |binding, rules| {
            match rules {
                Err(error) => {
                    errors.insert(error);
                }
                Ok(rules) => {
                    if rules.iter().any(|rule| rule.allows(&attributes.action)) {
                        return ControlFlow::Break(binding.clone());
                    }
                }
            }
            ControlFlow::Continue(())
        });
        match found {
            ControlFlow::Break(binding) => {
                let subject = binding.subject_of(user).cloned().unwrap_or_default();
                Decision::Allowed(Grant(Some((binding, subject))))
            }
            ControlFlow::Continue(()) => Decision::NoOpinion {
                reason: match errors.is_empty() {
                    true => String::new(),
                    false => format!("RBAC: {}", aggregate(errors)),
                },
            },
        }
    }

    /// All rules of a user in a namespace, and those that hold in all of them; an empty namespace: only those.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let mut found = Rules::default();
        let mut seen = BTreeSet::new();
        let _: ControlFlow<()> = self.visit(user, namespace, |binding, rules| {
            if seen.insert((binding.namespace.clone(), binding.name.clone())) {
                match rules {
                    Ok(rules) => found.rules.extend_from_slice(rules),
                    Err(error) => found.errors.push(error),
                }
            }
            ControlFlow::Continue(())
        });
        found
    }

    /// The rules of a role that a binding in this namespace (empty: of the cluster) names.
    ///
    /// # Errors
    /// There is no such role: the kind's name in small letters, for the answer.
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Result<&Arc<[Rule]>, &'static str> {
        let name = role.name.as_str();
        match role.kind.as_str() {
            "Role" => {
                let roles = self.roles.get(namespace);
                roles.and_then(|roles| roles.get(name)).ok_or("role")
            }
            "ClusterRole" => self.cluster_roles.get(name).ok_or("clusterrole"),
            _ => Err("role"),
        }
    }

    fn visit<'a, B>(
        &'a self,
        user: &'a User,
        namespace: &str,
        mut each: impl FnMut(&Arc<Binding>, Result<&'a [Rule], String>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let local = (!namespace.is_empty()).then(|| self.bindings.get(namespace));
        let local = local.flatten().into_iter();
        let all = std::iter::once(&self.cluster_bindings).chain(local);
        for binding in all.flat_map(|bindings| bindings.of(user)) {
            let rules = match binding.role.kind.as_str() {
                "Role" | "ClusterRole" => self.role(&binding.namespace, &binding.role),
                other => {
                    let error = format!("unsupported role reference kind: {}", quote(other));
                    each(binding, Err(error))?;
                    continue;
                }
            };
            let rules = rules.map(|rules| &**rules).map_err(|kind| {
                format!(
                    "{kind}.{} {} not found",
                    super::GROUP,
                    quote(&binding.role.name)
                )
            });
            each(binding, rules)?;
        }
        ControlFlow::Continue(())
    }
}

/// Several errors as upstream writes them.
pub(super) fn aggregate(errors: impl IntoIterator<Item = String>) -> String {
    let mut errors: Vec<String> = errors.into_iter().collect();
    match errors.len() {
        1 => errors.remove(0),
        _ => format!("[{}]", errors.join(", ")),
    }
}

fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
