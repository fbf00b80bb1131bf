//! PID 1: boots, supervises, reaps, shuts down. Nothing else.
//!
//! The program is `main.rs`; this library exists so that the pure half can be tested and simulated.

pub mod planner;
