//! Images: references, manifests, layers, and which of them are in use.
//!
//! ```text
//!   reference ──> mirrors ──> manifest ──> archive ──> layer         table
//!   what is      whom to     which bytes   entries    steps on     which images there are,
//!   meant        ask         make it       of a tar   the disk     and what is garbage
//!                  └─ challenge: with which credentials
//! ```

pub mod archive;
pub mod challenge;
pub mod config;
pub mod digest;
pub mod layer;
pub mod manifest;
pub mod mirrors;
pub mod path;
pub mod reference;
pub mod table;
