//! Rules of the group's types.

mod metrics;
pub mod v1;
pub mod v2;
mod version;
