//! `cargo xtask bench image`: measures the release.

use crate::image::{self, Flavour};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::Path;

/// Measure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sizes of the release that was built last.
    Image,
}

/// Runs the verb.
///
/// # Errors
/// Nothing was built yet.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask bench".to_string();
    let Arguments { what: What::Image } =
        Arguments::parse_from(std::iter::once(&name).chain(arguments));
    let vm = image::built(Flavour::Vm)?;
    println!("{:<28} {:>10}", "what", "MiB");
    row("release file, vm", &vm.efi)?;
    row("disk image, vm, compressed", &vm.raw_zst)?;
    row("init", &vm.root_tree.join("usr/bin/init"))?;
    row("orlop", &vm.root_tree.join("usr/bin/orlop"))?;
    if let Ok(metal) = image::built(Flavour::Metal) {
        row("release file, metal", &metal.efi)?;
    }
    Ok(())
}

/// Prints the size of one file.
fn row(what: &str, path: &Path) -> Result<()> {
    let size = path
        .metadata()
        .with_context(|| format!("look at {}", path.display()))?
        .len();
    let tenths = size * 10 / (1024 * 1024);
    println!("{what:<28} {:>8}.{}", tenths / 10, tenths % 10);
    Ok(())
}
