//! The half that touches the machine: clocks, names, files.

mod adjtimex;
pub mod clock;
pub mod files;
pub mod names;
