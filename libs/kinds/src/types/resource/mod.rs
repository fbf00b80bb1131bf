//! Rules of the group's types.

pub mod claim;
pub mod claim_template;
pub mod device_class;
pub mod slice;
