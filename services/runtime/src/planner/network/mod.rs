//! Pods' networks: which addresses, which ports, which plugins.

pub mod bandwidth;
pub mod cni_attachment;
pub mod cni_config;
pub mod cni_result;
pub mod ipam;
pub mod ports;
pub mod ruleset;
