//! Which accelerator QEMU uses: KVM only where our own kernel has booted under it once, else TCG.
//!
//! `/dev/kvm` says little: under some hypervisors it exists and stock kernels hang in it. So the release's
//! kernel is booted once, and the outcome is kept in the cache for this host kernel and this release.

use crate::guard::Guarded;
use crate::programs;
use crate::wait::Lines;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;
use xtask::workspace;

/// Time for the kernel's first line under KVM; a tenth of what the probe waits.
const FIRST_LINE: Duration = Duration::from_millis(800);
/// What the kernel says first.
const BANNER: &str = "Linux version";

/// The value for QEMU's `accel=`.
///
/// # Errors
/// There is no release to boot, or the cache cannot be written. A failed probe is no error.
pub fn choose() -> Result<&'static str> {
    if !Path::new("/dev/kvm").exists() {
        return Ok("tcg");
    }
    let release = programs::release()?;
    let kernel = fs::metadata(&release.kernel)
        .with_context(|| format!("look at {}", release.kernel.display()))?;
    let host = fs::read_to_string("/proc/version").context("read /proc/version")?;
    let key = format!("{}{}\n", host, kernel.len());
    let cache = workspace::cache()?.join("accelerator");
    if let Some(rest) = fs::read_to_string(&cache)
        .ok()
        .as_deref()
        .and_then(|text| text.strip_prefix(&key))
    {
        return Ok(if rest.trim() == "kvm" { "kvm" } else { "tcg" });
    }
    let choice = if probe(&release.kernel)? {
        "kvm"
    } else {
        "tcg"
    };
    fs::write(&cache, format!("{key}{choice}\n"))
        .with_context(|| format!("write {}", cache.display()))?;
    Ok(choice)
}

/// Whether the kernel says anything under KVM.
fn probe(kernel: &Path) -> Result<bool> {
    let scratch = crate::leftovers::scratch("probe")?;
    let mut command = programs::tool("qemu-system-x86_64")?;
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args([
            "-machine",
            "q35,accel=kvm",
            "-m",
            "256",
            "-serial",
            "stdio",
            "-kernel",
        ])
        .arg(kernel)
        .args(["-append", "console=ttyS0 panic=-1"]);
    let mut process = Guarded::start(&command)?;
    let lines = Lines::follow(
        "KVM probe",
        process.stdout()?,
        &scratch.path().join("serial"),
    )?;
    Ok(lines.wait(BANNER, FIRST_LINE).is_ok())
}
