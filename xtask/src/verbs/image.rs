//! `cargo xtask image`: builds a release.

use crate::command;
use crate::image::{self, Flavour, Options, Source, check, reproducible};
use crate::packages::{self, apt::Apt, lock, sets};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Build the release: one bootable file, disk image, checksums, signature, SBOM and file list.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask image")]
struct Arguments {
    /// Which kernel and drivers: `vm` for virtual machines, `metal` for machines.
    #[arg(long, default_value = "vm")]
    flavour: Flavour,
    /// Version of the release instead of the workspace's, to have two to upgrade between.
    #[arg(long, value_name = "X.Y.Z")]
    release: Option<String>,
    /// Put firmware of common network cards and CPU microcode into a `metal` release (non-free).
    #[arg(long)]
    firmware: bool,
    /// Resolve image/packages anew at the host's mirror and write image/packages.lock.
    #[arg(long)]
    update_lock: bool,
    /// Pack the programs that the last cargo build left, without building them.
    #[arg(long)]
    no_build: bool,
    /// Take the release apart and fail on anything that should not be inside.
    #[arg(long)]
    check: bool,
    /// Assemble the release twice from the same programs and compare.
    #[arg(long)]
    check_reproducible: bool,
    /// Compile everything twice from nothing, assemble both, and compare. Takes as long as two cold builds.
    #[arg(long)]
    rebuild_everything: bool,
}

/// Runs the verb.
///
/// # Errors
/// The arguments are wrong or a step of the build fails.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask image".to_string();
    let arguments = Arguments::parse_from(std::iter::once(&name).chain(arguments));
    if arguments.update_lock {
        return update_lock();
    }
    ensure!(
        !arguments.firmware || arguments.flavour == Flavour::Metal,
        "--firmware is for machines: add --flavour metal"
    );
    let version = match arguments.release {
        Some(version) => version,
        None => image::version()?,
    };
    let options = Options {
        flavour: arguments.flavour,
        firmware: arguments.firmware,
        version,
        programs: if arguments.no_build {
            Source::LastBuild
        } else {
            Source::Build
        },
    };
    if arguments.rebuild_everything {
        reproducible::rebuild_everything(&options)?;
        println!("\ntwo builds from nothing are bit-identical\nnext: cargo xtask image");
        return Ok(());
    }
    let artifacts = image::build_with(&options)?;
    if arguments.check {
        let findings = command::step("check what is inside", || check::check(&artifacts))?;
        ensure!(
            findings.is_empty(),
            "the release is not as it should be:\n  {}",
            findings.join("\n  ")
        );
    }
    if arguments.check_reproducible {
        command::step("assemble again and compare", || {
            reproducible::assemble_twice(&options)
        })?;
    }
    println!("\n{}", artifacts.efi.display());
    println!("{}", artifacts.raw_zst.display());
    println!("next: cargo xtask up");
    Ok(())
}

/// Resolves all sets and writes the lock.
fn update_lock() -> Result<()> {
    let cache = workspace::cache()?;
    let wanted = sets::read(&packages::sets_file())?;
    let apt = Apt::open(&cache)?;
    command::step("fetch the package lists", || apt.update())?;
    let locked = command::step("resolve", || apt.resolve(&wanted))?;
    let path = packages::lock_file();
    std::fs::write(&path, lock::format(&locked))
        .with_context(|| format!("write {}", path.display()))?;
    println!("\n{} packages in {}", locked.len(), path.display());
    println!("next: cargo xtask image");
    Ok(())
}
