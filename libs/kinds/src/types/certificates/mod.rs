//! Rules of the group's types.

pub mod signing_request;
