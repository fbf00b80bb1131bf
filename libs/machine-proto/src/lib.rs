//! The machine API's wire types, its client and server, and the list of its RPCs.
//!
//! The interface is `proto/orlop/machine/v1alpha1/machine.proto`; everything here is generated from it
//! at build time. [`Rpc`] names each RPC once: tables over it are written as exhaustive matches, so
//! that an RPC without its row does not compile.
//!
//! This crate knows nothing of transport, certificates or roles.
//!
//! ```
//! use orlop_machine_proto::Rpc;
//! assert_eq!(Rpc::from_path("/orlop.machine.v1alpha1.Machine/Version"), Some(Rpc::Version));
//! ```

pub mod details;

/// Generated messages, client and server of `orlop.machine.v1alpha1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code; the documentation is the .proto"
)]
pub mod v1alpha1 {
    tonic::include_proto!("orlop.machine.v1alpha1");
}

include!(concat!(env!("OUT_DIR"), "/rpc.rs"));

/// TCP port of the machine API.
pub const PORT: u16 = 50_000;
/// Largest message in bytes, either way: a machine config with room for its envelope.
pub const MESSAGE_MAX: usize = 2 * 1024 * 1024;
