//! Rules of the group's types.

pub mod flow_schema;
pub mod priority_level;
