//! The Kubernetes API: one generic server over one table of resources. The README has the path of a request.

mod arguments;
pub mod executor;
pub mod planner;
mod wiring;

pub use arguments::Args;
pub use wiring::{NAME, WiringError, run};
