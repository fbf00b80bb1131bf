//! Rules of the group's types.

mod pem;
pub mod signing_request;
