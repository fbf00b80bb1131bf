//! `cargo xtask bench image`: measures the release.

use crate::image::{self, Artifacts, Flavour};
use crate::machine::{self, Machine};
use crate::{cargo, command, tools, workspace};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Boots of which the median counts.
const BOOTS: usize = 5;
/// Memory of an ordinary guest, and of the smallest that must boot, in MiB.
const MEMORY_MIB: u32 = 512;
const MEMORY_SMALLEST_MIB: u32 = 192;
/// Ten times the expected time.
const BOOT_WAIT: Duration = Duration::from_secs(100);

/// Measure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sizes and boot times of the release that was built last.
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
    boots(&vm)
}

/// Seconds from the kernel's first line to the answering machine API, as the node tells them; TCG,
/// 2 CPUs, direct boot with an empty disk.
fn boots(release: &Artifacts) -> Result<()> {
    tools::tree()?;
    cargo::build(&["orlopctl"], None)?;
    let mut times = Vec::new();
    for _ in 0..BOOTS {
        times.push(boot(release, MEMORY_MIB)?);
    }
    times.sort_by(f64::total_cmp);
    println!("\n{:<28} {:>10}", "kernel to machine API", "seconds");
    println!(
        "{:<28} {:>10.1}   ({:.1} to {:.1}, {BOOTS} boots)",
        format!("-m {MEMORY_MIB}, median"),
        times[BOOTS / 2],
        times[0],
        times[BOOTS - 1]
    );
    let smallest = boot(release, MEMORY_SMALLEST_MIB)?;
    println!(
        "{:<28} {smallest:>10.1}",
        format!("-m {MEMORY_SMALLEST_MIB}")
    );
    println!("\nNext: put the figures into README.md");
    Ok(())
}

/// One boot; the machine is gone afterwards.
fn boot(release: &Artifacts, memory_mib: u32) -> Result<f64> {
    let directory = workspace::private().join("bench");
    std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let machine = machine::start_direct(&directory, release, memory_mib)?;
    let ready = ready_after(&machine);
    machine.kill()?;
    std::fs::remove_dir_all(&directory)
        .with_context(|| format!("remove {}", directory.display()))?;
    ready
}

fn ready_after(machine: &Machine) -> Result<f64> {
    let orlopctl: PathBuf = workspace::release_directory().join("orlopctl");
    machine.wait(BOOT_WAIT, |console| {
        let Some(fingerprint) = machine::fingerprint(console) else {
            return Ok(None);
        };
        // The console may show the fingerprint a moment before the network leads to the port.
        let asked = command::output(
            Command::new(&orlopctl)
                .args([
                    "--insecure",
                    "--fingerprint",
                    &fingerprint,
                    "--timeout",
                    "2s",
                    "--output",
                    "json",
                ])
                .args([
                    "--node",
                    &format!("127.0.0.1:{}", machine.port),
                    "boot-phases",
                ]),
        );
        let Ok(text) = asked else { return Ok(None) };
        let answer: serde_json::Value = serde_json::from_str(&text).context("read boot-phases")?;
        answer["apiReadyAfter"]
            .as_f64()
            .map(Some)
            .context("boot-phases has no apiReadyAfter")
    })
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
