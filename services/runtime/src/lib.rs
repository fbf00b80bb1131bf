//! The container runtime: images, sandboxes and containers behind CRI v1.

pub mod executor;
pub mod planner;
