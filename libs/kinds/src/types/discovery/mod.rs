//! Rules of the group's types.

pub mod endpoint_slice;
