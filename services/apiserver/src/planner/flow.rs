//! Kinds of clients, for whom slots are kept apart: a flood of one leaves the others theirs.
//!
//! Source: the page on API priority and fairness, whose levels `system`, `leader-election` and `workload-high` are for the
//! cluster's own parts, `node-high` for kubelets, `global-default` for the rest.

use super::user::{MASTERS, NODES, SERVICE_ACCOUNTS, User};

/// Parts of the control plane, by the names in their certificates.
const SYSTEM: [&str; 3] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
];

/// A kind of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The control plane, those in `kube-system`, and who may do everything.
    System,
    /// Kubelets.
    Node,
    /// All others.
    User,
}

impl Client {
    /// What a user is.
    #[must_use]
    pub fn of(user: &User) -> Self {
        let own = format!("{SERVICE_ACCOUNTS}:kube-system");
        if user.is_in(MASTERS) || user.is_in(&own) || SYSTEM.contains(&user.name.as_str()) {
            Self::System
        } else if user.is_in(NODES) {
            Self::Node
        } else {
            Self::User
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_the_cluster_is_told_from_who_uses_it() {
        let of = |name: &str, groups: &[&str]| {
            Client::of(&User {
                name: name.to_owned(),
                groups: groups.iter().map(ToString::to_string).collect(),
                ..User::default()
            })
        };
        assert_eq!(of("ada", &["system:masters"]), Client::System);
        assert_eq!(of("system:kube-scheduler", &[]), Client::System);
        assert_eq!(of("system:node:one", &["system:nodes"]), Client::Node);
        assert_eq!(of("ada", &["system:authenticated"]), Client::User);
        assert_eq!(Client::of(&User::anonymous()), Client::User);
        let account = |namespace| Client::of(&User::service_account(namespace, "one", ""));
        assert_eq!(account("kube-system"), Client::System);
        assert_eq!(account("default"), Client::User);
    }
}
