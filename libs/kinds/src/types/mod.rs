//! The types' own rules: a folder for each group, a file for each type.

pub mod apps;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod events;
pub mod flow_control;
pub mod networking;
pub mod node;
pub mod policy;
pub mod rbac;
pub mod resource;
pub mod reviews;
pub mod scheduling;
pub mod storage;

#[cfg(test)]
mod tests;
