//! Rules of the group's types.

pub mod priority_class;
