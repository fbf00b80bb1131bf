//! Rules of the group's types.

pub mod v1;
pub mod v2;
