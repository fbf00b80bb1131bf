//! Rules of what is asked and not kept: who someone is, and what they may do.

pub mod access;
pub mod review;
pub mod token;
