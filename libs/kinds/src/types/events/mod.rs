//! Rules of the group's types.

pub mod event;
mod version;
