//! Rules of the group's types.

pub mod ingress;
mod ingress_backend;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;
