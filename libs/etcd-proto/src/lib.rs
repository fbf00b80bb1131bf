//! etcd v3's wire format: messages, clients and servers, generated at build time from `proto/`.
//!
//! Service, message and field names and numbers are etcd's published facts. `bytes` fields are
//! [`bytes::Bytes`]: keys and values share the buffer of the message that they came in.
//!
//! This crate knows nothing of transport, storage or what a call does; [`errors`] holds the answers that clients
//! recognise by their text.
//!
//! ```
//! use orlop_etcd_proto::{etcdserverpb::PutRequest, prost::Message};
//! let put = PutRequest { key: "a".into(), value: "1".into(), ..PutRequest::default() };
//! assert_eq!(put.encode_to_vec(), b"\x0a\x01a\x12\x011");
//! ```

pub mod codec;
pub mod encoded;
pub mod errors;

pub use prost;

/// The descriptors of all messages and services (`google.protobuf.FileDescriptorSet`), for those who treat messages as
/// data. `json_name` of every field is the name that etcd's JSON gateway uses.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/etcd.descriptors"));

/// Keys, values and events.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code; the documentation is the .proto"
)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Permissions of etcd's own authentication.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code; the documentation is the .proto"
)]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// Requests, responses, clients and servers.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code; the documentation is the .proto"
)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
    include!(concat!(env!("OUT_DIR"), "/servers/etcdserverpb.rs"));
}
