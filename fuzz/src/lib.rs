//! Every parser that meets the outside, as a function of bytes that must hold its properties for any bytes.
//!
//! ```text
//!                        ┌── tests/seeds.rs       all seeds, and seeded mutations of them: in CI
//!   TARGETS ── run(&[u8])┤
//!                        └── guided/              libFuzzer, guided by coverage: `cargo xtask fuzz`
//! ```
//!
//! A target returns for whatever it was given, or panics: then the parser, or a property that it promises,
//! is broken. Seeds are files in `seeds/<target>/` where a person can write them, and made by the format's
//! own writer where not.

mod init;
pub mod mutate;
mod targets;

use std::path::{Path, PathBuf};

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its directory of seeds.
    pub name: &'static str,
    /// What it reads, and from whom.
    pub about: &'static str,
    /// Tries the bytes; panics where a property does not hold.
    pub run: fn(&[u8]),
    /// Seeds that its format's writer makes.
    pub made: fn() -> Vec<Vec<u8>>,
    /// Mutated inputs in CI: some tenths of a second each target.
    pub runs: u32,
}

pub use targets::TARGETS;

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// All seeds, the committed ones first, in a fixed order.
    ///
    /// # Errors
    /// A committed seed cannot be read.
    pub fn seeds(&self) -> std::io::Result<Vec<Vec<u8>>> {
        let directory = committed().join(self.name);
        let mut paths: Vec<PathBuf> = Vec::new();
        if directory.is_dir() {
            for entry in std::fs::read_dir(&directory)? {
                paths.push(entry?.path());
            }
        }
        paths.sort();
        let mut seeds: Vec<Vec<u8>> = paths
            .iter()
            .map(std::fs::read)
            .collect::<std::io::Result<_>>()?;
        seeds.extend((self.made)());
        Ok(seeds)
    }
}

/// Where the committed seeds are.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}
