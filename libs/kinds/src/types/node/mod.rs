//! Rules of the group's types.

pub mod runtime_class;
