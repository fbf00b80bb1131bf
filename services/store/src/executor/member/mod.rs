//! One member of the cluster: what servers and gateways call.

mod types;

pub use types::{ClusterState, MemberError, MemberInfo, MemberStatus, Settings};
