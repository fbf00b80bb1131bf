//! Rules of the group's types.

mod binding;
pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
mod rule;

/// The group that roles are in.
const GROUP: &str = "rbac.authorization.k8s.io";
