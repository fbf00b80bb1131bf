//! The Kubernetes API: one generic server over one table of resources. The README has the path of a request.

pub mod executor;
pub mod planner;
