//! The pure half: no I/O, no clock, no randomness. What happened comes in as values, what to do goes
//! out as values.

pub(crate) mod blocks;
pub(crate) mod exits;
pub(crate) mod filters;
pub(crate) mod harden;
pub(crate) mod history;
pub(crate) mod lines;
pub(crate) mod modules;
pub(crate) mod notify;
pub(crate) mod options;
pub(crate) mod ring;
pub(crate) mod supervisor;
pub(crate) mod uevents;
