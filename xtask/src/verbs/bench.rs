//! `cargo xtask bench image` measures the release; `cargo xtask bench store` runs `orlop-store-load`, which measures the
//! store against etcd, and `cargo xtask bench apiserver` runs `orlop-api-load`, which measures the API server over the store, and
//! `cargo xtask bench runtime` runs `orlop-runtime-load`, which measures the container runtime against containerd and crun: all are programs of the crate `tests`, so that this one stays quick to build.

use crate::image::{self, Artifacts, Flavour};
use crate::machine::{self, Machine};
use crate::{cargo, command, peers, tools, workspace};
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
/// What QEMU's user network gives its first guest, as the console shows the API's address.
const ADDRESS: &str = "https://10.0.2.15:";
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
    /// The store against etcd: `bench store --help` says more.
    #[command(disable_help_flag = true)]
    Store {
        /// Handed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The container runtime against containerd, crun and runc: `bench runtime --help` says more.
    #[command(disable_help_flag = true)]
    Runtime {
        /// Handed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The API server over the store: `bench apiserver --help` says more.
    #[command(disable_help_flag = true)]
    Apiserver {
        /// Handed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Runs the verb.
///
/// # Errors
/// Nothing was built yet, or a program fails.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask bench".to_string();
    match Arguments::parse_from(std::iter::once(&name).chain(arguments)).what {
        What::Image => image(),
        What::Store { arguments } => {
            peers::etcd()?;
            load("orlop-store-load", &[], &arguments)
        }
        What::Apiserver { arguments } => {
            peers::etcd()?;
            load("orlop-api-load", &[], &arguments)
        }
        What::Runtime { arguments } => {
            peers::containers()?;
            load("orlop-runtime-load", &["contained"], &arguments)
        }
    }
}

/// Builds the programs, those that it needs `besides` as well, and runs the one that measures.
fn load(program: &str, besides: &[&str], arguments: &[String]) -> Result<()> {
    let programs = [&["orlop", "orlop-guard", program], besides].concat();
    cargo::build(&programs, None)?;
    let program = workspace::release_directory().join(program);
    command::show(Command::new(program).args(arguments))
}

/// Sizes and boot times.
fn image() -> Result<()> {
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

/// Seconds from the kernel's first line to the machine API answering on its address, by the guest's clock; TCG,
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

/// The guest's own time of the line that tells the API's address, which comes when the API listens and the network
/// has its lease; then the API must really answer.
fn ready_after(machine: &Machine) -> Result<f64> {
    let orlopctl: PathBuf = workspace::release_directory().join("orlopctl");
    machine.wait(BOOT_WAIT, |console| {
        let (Some(seconds), Some(fingerprint)) =
            (address_told_at(console), machine::fingerprint(console))
        else {
            return Ok(None);
        };
        let asked = command::output(
            Command::new(&orlopctl)
                .args([
                    "--insecure",
                    "--fingerprint",
                    &fingerprint,
                    "--timeout",
                    "2s",
                ])
                .args([
                    "--node",
                    &format!("127.0.0.1:{}", machine.port),
                    "boot-phases",
                ]),
        );
        Ok(asked.is_ok().then_some(seconds))
    })
}

/// The kernel's time stamp of the first line with the API's IPv4 address.
fn address_told_at(console: &str) -> Option<f64> {
    let line = console
        .lines()
        .find(|line| line.contains("machine-api: ") && line.contains(ADDRESS))?;
    let stamp = line.trim_start().strip_prefix('[')?.split(']').next()?;
    stamp.trim().parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stamp_of_the_line_with_the_address_counts() {
        let console = "[    0.000000] Linux version 6.12\r\n\
             [    2.899771] orlop-init: machine-api: maintenance: no address yet, port 50000 fingerprint 31:ea\r\n\
             [    2.950000] orlop-init: machine-api: maintenance: https://[fec0::1]:50000 fingerprint 31:ea\r\n\
             [   13.000786] orlop-init: machine-api: maintenance: https://10.0.2.15:50000 fingerprint 31:ea\r\n\
             [   14.000000] orlop-init: machine-api: maintenance: https://10.0.2.15:50000 fingerprint 31:ea\r\n";
        assert_eq!(address_told_at(console), Some(13.000_786));
        assert_eq!(address_told_at("[ 1.0] orlop-init: boot took 1 ms"), None);
        assert_eq!(
            address_told_at("machine-api: https://10.0.2.15:50000"),
            None
        );
    }
}
