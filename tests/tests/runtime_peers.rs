//! The runtime beside programs of others: Debian's containerd, which is asked the same; Debian's docker-registry, with TLS and
//! passwords.

#[path = "runtime_peers/registry.rs"]
mod registry;
#[path = "runtime_peers/script.rs"]
mod script;
#[path = "runtime_peers/swap.rs"]
mod swap;
