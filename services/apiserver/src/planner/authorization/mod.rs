//! May they? RBAC: what roles allow to whom roles are bound.
//!
//! ```text
//!   cached roles and bindings ──put, remove──> Policy ──decide(Attributes)──> Allowed(Grant) | NoOpinion{reason}
//!                                                │
//!                                                ├──rules_for──> SelfSubjectRulesReview
//!                                                └──escalation──> may a role, or a binding, be written?
//! ```
//!
//! A [`Policy`] knows bindings by their subjects: a decision looks at the bindings of one user and his groups, however many
//! there are of others. A change costs as much as the object that has changed.
//!
//! Sources: the pages on authorization and on RBAC; texts as upstream's (`forbidden: User "x" cannot ...`).

pub mod aggregation;
mod attributes;
pub mod bootstrap;
mod cover;
pub mod escalation;
mod policy;
mod rule;

pub use attributes::{Action, Attributes};
pub use cover::{COMBINATIONS_MAX, TooMany, missing};
pub use policy::{Decision, Grant, Kind, Policy, RoleRef, Rules, Subject};
pub use rule::Rule;
pub(super) use rule::quote_list;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
