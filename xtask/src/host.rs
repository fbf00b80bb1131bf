//! What the host itself must have: the little that mkosi needs to build the tools tree. Everything else comes
//! from that tree, so that nothing of the host's changes.

use crate::command;
use anyhow::{Context, Result};
use std::process::Command;

/// Debian packages with the reason for each, as it is shown before they are installed.
const PACKAGES: &[(&str, &str)] = &[
    ("ca-certificates", "mirrors may be reached by HTTPS"),
    (
        "debian-archive-keyring",
        "apt checks the archive's signatures with it",
    ),
    ("libcap2-bin", "tests give capabilities to files of images"),
    (
        "procps",
        "tests look for processes, on this machine and in containers",
    ),
    ("python3", "mkosi, the image builder, is a Python program"),
    ("zstd", "tests make layers of images with it"),
];

/// What `cargo xtask fuzz` needs besides.
const FUZZ_PACKAGES: &[(&str, &str)] = &[("g++", "libFuzzer is a C++ library")];

/// Installs what building a release needs and is missing, after saying what and why. Asks nothing.
///
/// # Errors
/// apt cannot install a package, for instance because this is not root.
pub fn ensure() -> Result<()> {
    install_missing(PACKAGES)
}

/// As [`ensure`], for fuzzing.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_for_fuzzing() -> Result<()> {
    install_missing(FUZZ_PACKAGES)
}

fn install_missing(packages: &'static [(&'static str, &'static str)]) -> Result<()> {
    let installed = command::output(Command::new("dpkg-query").args([
        "--show",
        "--showformat",
        "${Package} ${db:Status-Status}\\n",
    ]))
    .context("ask dpkg what is installed; this needs Debian 12 or 13")?;
    let missing = missing(packages, &installed);
    if missing.is_empty() {
        return Ok(());
    }
    for (name, reason) in &missing {
        println!("  .. installing {name}: {reason}");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet")
            .args(arguments);
        command
    };
    command::output(&mut apt(&["update"])).context("fetch the host's package lists")?;
    command::output(
        apt(&["install", "--yes", "--no-install-recommends"])
            .args(missing.iter().map(|(name, _)| name)),
    )
    .context("install the host's packages; run this as root")
    .map(drop)
}

/// The rows that dpkg does not list as installed.
fn missing(
    packages: &'static [(&'static str, &'static str)],
    installed: &str,
) -> Vec<(&'static str, &'static str)> {
    packages
        .iter()
        .copied()
        .filter(|(name, _)| {
            !installed
                .lines()
                .any(|line| line == format!("{name} installed"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_really_installed_counts() {
        let names = |installed: &str| -> Vec<&str> {
            const WANTED: &[(&str, &str)] = &[
                ("ca-certificates", ""),
                ("debian-archive-keyring", ""),
                ("python3", ""),
            ];
            let missing = missing(WANTED, installed);
            missing.iter().map(|(name, _)| *name).collect()
        };
        assert_eq!(
            names("ca-certificates installed\npython3 config-files\npython3-minimal installed\n"),
            ["debian-archive-keyring", "python3"]
        );
        assert!(
            names(
                "ca-certificates installed\ndebian-archive-keyring installed\npython3 installed\n"
            )
            .is_empty()
        );
    }
}
