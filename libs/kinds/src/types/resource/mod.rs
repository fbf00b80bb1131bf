//! Rules of the group's types: devices, and claims to them.

mod capacity;
pub mod claim;
mod claim_spec;
mod claim_status;
pub mod claim_template;
mod device;
pub mod device_class;
mod list;
mod names;
pub mod slice;
