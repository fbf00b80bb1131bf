//! Rules of the group's types.

pub mod disruption_budget;
