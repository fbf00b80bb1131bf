//! Nothing: this package exists for its manifest, which pins the crates that `cargo xtask schemas` reads.
