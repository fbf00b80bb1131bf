//! The base tree: the locked Debian packages of a flavour, unpacked as they are, without running any of
//! their scripts, plus the module index that the kernel package would make when installed.

use crate::command;
use crate::digest::Inputs;
use crate::image::Flavour;
use crate::packages::lock::Locked;
use crate::packages::{self, fetch, lock};
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An unpacked base.
#[derive(Debug, Clone)]
pub struct Base {
    /// The tree.
    pub tree: PathBuf,
    /// The kernel's version, the name of the directory below `usr/lib/modules`.
    pub kernel_version: String,
    /// What was unpacked, for the SBOM.
    pub packages: Vec<Locked>,
}

impl Base {
    /// The kernel image.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.tree
            .join(format!("boot/vmlinuz-{}", self.kernel_version))
    }

    /// The directory with the kernel's modules.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.tree.join("usr/lib/modules").join(&self.kernel_version)
    }

    /// A file of the boot loader: `systemd-bootx64.efi` or `linuxx64.efi.stub`.
    #[must_use]
    pub fn boot_file(&self, name: &str) -> PathBuf {
        self.tree.join("usr/lib/systemd/boot/efi").join(name)
    }
}

/// The sets of `image/packages` that make the base of a flavour.
fn sets(flavour: Flavour, firmware: bool) -> Vec<&'static str> {
    let mut sets = vec!["boot", "root", flavour.name()];
    if firmware {
        sets.push("firmware");
    }
    sets
}

/// The base of `flavour`, unpacked if it is not in the cache yet.
///
/// # Errors
/// A package cannot be fetched or unpacked.
pub fn unpack(flavour: Flavour, firmware: bool) -> Result<Base> {
    let cache = workspace::cache()?;
    let lock = lock::read(&packages::lock_file())?;
    let wanted = sets(flavour, firmware);
    let locked: Vec<&Locked> = lock
        .iter()
        .filter(|package| {
            package
                .sets
                .iter()
                .any(|set| wanted.contains(&set.as_str()))
        })
        .collect();
    let mut inputs = Inputs::default();
    for package in &locked {
        inputs.value(&package.name, &package.sha256);
    }
    let tree = cache.join("base").join(inputs.name());
    // Two work trees share a cache; the second to come finds the tree made.
    let _lock = workspace::lock(&cache.join("base.lock"))?;
    if !tree.exists() {
        fetch::all(&cache, &locked)?;
        let partial = tree.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("make {}", partial.display()))?;
        command::step(&format!("unpack the base of {}", flavour.name()), || {
            for package in &locked {
                let file = fetch::store(&cache).join(package.file_name());
                command::output(Command::new("dpkg-deb").arg("-x").arg(file).arg(&partial))?;
            }
            let version = kernel_version(&partial)?;
            command::output(
                tools::program("depmod")?
                    .arg("-b")
                    .arg(partial.join("usr"))
                    .arg(version),
            )
            .map(drop)
        })?;
        fs::rename(&partial, &tree).with_context(|| format!("make {}", tree.display()))?;
    }
    Ok(Base {
        kernel_version: kernel_version(&tree)?,
        packages: locked.into_iter().cloned().collect(),
        tree,
    })
}

/// The one kernel version in `tree`.
fn kernel_version(tree: &Path) -> Result<String> {
    let directory = tree.join("usr/lib/modules");
    let entries = fs::read_dir(&directory)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("list {}", directory.display()))?;
    let [entry] = &entries[..] else {
        bail!(
            "{} kernels in {} instead of one",
            entries.len(),
            directory.display()
        );
    };
    Ok(entry.file_name().to_string_lossy().into_owned())
}
