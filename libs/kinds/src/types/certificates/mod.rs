//! Rules of the group's types.

pub(crate) mod pem;
pub mod signing_request;
