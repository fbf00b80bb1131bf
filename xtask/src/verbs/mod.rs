//! The verbs: each reads its arguments and calls the library. The table is in `main.rs`.

pub mod bench;
pub mod docs;
pub mod fuzz;
pub mod image;
pub mod schemas;
pub mod seeds;
pub mod soak;
pub mod test;
pub mod up;
pub mod verify;
