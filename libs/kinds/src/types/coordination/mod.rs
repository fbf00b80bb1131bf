//! Rules of the group's types.

pub mod lease;
