//! The pure half: settings, what the kernel has, leases and the time come in as values; operations,
//! packets and deadlines come out.
//!
//! - [`settings`]: what is wanted, in the planner's words.
//! - [`model`]: what the kernel has, and the operations that change it.
//! - [`plan`]: the difference between the two.
//! - [`resolv`]: resolvers, host name and time servers from config and leases.
//! - [`dhcp`]: the DHCPv4 client.
//! - [`frame`]: IPv4 and UDP headers around its messages.

pub mod dhcp;
pub mod frame;
pub mod model;
pub mod plan;
pub mod resolv;
pub mod settings;

#[cfg(test)]
mod tests;
