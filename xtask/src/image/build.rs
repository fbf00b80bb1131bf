//! The order of a build, and when nothing is to be done.

use crate::command;
use crate::digest::Inputs;
use crate::image::base::{self, Base};
use crate::image::modules::{self, Choice};
use crate::image::programs::{self, Programs};
use crate::image::root::{self, Release};
use crate::image::{Artifacts, Flavour, disk, firmware, listing, release, sbom, signing, version};
use crate::packages;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which flavour.
    pub flavour: Flavour,
    /// Whether `metal` carries the firmware files of `image/firmware.metal`.
    pub firmware: bool,
    /// The version in names and in os-release.
    pub version: String,
    /// Where the programs come from.
    pub programs: Source,
}

/// Where `init` and `orlop` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// cargo builds them in the shared target directory, as far as they changed.
    Build,
    /// What the last build left in the shared target directory, whatever the sources are now.
    LastBuild,
    /// cargo builds them in a target directory of their own.
    BuildIn(PathBuf),
}

/// Everything that a build reads, ready.
#[derive(Debug)]
pub struct Inventory {
    /// Debian's part.
    pub base: Base,
    /// Our part.
    pub programs: Programs,
    /// The modules that enter.
    pub choice: Choice,
    /// The commit's time.
    pub epoch: u64,
}

/// Builds `flavour` in the workspace's version, as [`build_with`] does.
///
/// # Errors
/// Those of [`build_with`].
pub fn build(flavour: Flavour) -> Result<Artifacts> {
    build_with(&Options {
        flavour,
        firmware: false,
        version: version()?,
        programs: Source::Build,
    })
}

/// Builds a release unless it is there already with the same inputs, and returns its places.
///
/// # Errors
/// Any step fails; the message says which.
pub fn build_with(options: &Options) -> Result<Artifacts> {
    build_from(options, &gather(options)?)
}

/// The half of [`build_with`] behind [`gather`].
///
/// # Errors
/// Any step fails.
pub fn build_from(options: &Options, inventory: &Inventory) -> Result<Artifacts> {
    let artifacts = Artifacts::places(options.flavour, &options.version)?;
    let name = stamp(options, inventory)?;
    let _lock = workspace::lock(&artifacts.directory.join(".lock"))?;
    if is_complete(&artifacts, &name) {
        println!("  ok {} is up to date", artifacts.efi.display());
        return Ok(artifacts);
    }
    assemble(options, inventory, &artifacts)?;
    signing::sign(&artifacts)?;
    fs::write(&artifacts.stamp, name).context("note what was built")?;
    Ok(artifacts)
}

/// Makes all inputs ready: packages, tools, programs.
///
/// # Errors
/// A download, mkosi or cargo fails.
pub fn gather(options: &Options) -> Result<Inventory> {
    let base = base::unpack(options.flavour, options.firmware)?;
    let programs = match &options.programs {
        Source::Build => command::step("build init and orlop", || programs::build(None))?,
        Source::LastBuild => programs::existing(None)?,
        Source::BuildIn(target) => {
            command::step("build init and orlop", || programs::build(Some(target)))?
        }
    };
    Ok(Inventory {
        choice: modules::choose(options.flavour, &base)?,
        base,
        programs,
        epoch: workspace::source_date_epoch()?,
    })
}

/// Stages, packs and describes a release at `artifacts`. What was there before is replaced.
///
/// # Errors
/// Any step fails; the stamp is gone then, so that nobody takes the rest for complete.
pub fn assemble(options: &Options, inventory: &Inventory, artifacts: &Artifacts) -> Result<()> {
    let Inventory {
        base,
        programs,
        choice,
        epoch,
    } = inventory;
    remove(&artifacts.stamp)?;
    fs::create_dir_all(&artifacts.directory).context("make the output directory")?;
    let scratch = artifacts
        .directory
        .join(format!(".scratch-{}", options.flavour.name()));
    remove(&scratch)?;
    fs::create_dir_all(&scratch).context("make the scratch directory")?;
    let tree = scratch.join("root");
    command::step("stage the root", || {
        let described = Release {
            flavour: options.flavour,
            version: &options.version,
            firmware: options.firmware,
            epoch: *epoch,
        };
        root::stage(&tree, described, base, programs, choice)
    })?;
    command::step("pack the root as erofs, and read it back", || {
        release::pack_root(&tree, &artifacts.erofs, *epoch)?;
        release::read_back(&tree, &artifacts.erofs, &scratch.join("read-back"))
    })?;
    let initrd = scratch.join("initrd");
    release::stage_initrd(&initrd, &tree, &artifacts.erofs, base, choice)?;
    if options.firmware {
        firmware::stage_microcode(base, &initrd)?;
    }
    command::step("seal the unified kernel image with mkosi", || {
        release::seal(artifacts, base, &initrd, &scratch, *epoch)
    })?;
    command::step("write and compress the disk image", || {
        disk::write(artifacts, base, &scratch, *epoch)
    })?;
    command::step("describe: file list, SBOM", || {
        let mut text = listing::format("the read-only root", &listing::walk(&tree)?);
        text.push_str(&listing::format("the initrd", &listing::walk(&initrd)?));
        fs::write(&artifacts.files, text).context("write the file list")?;
        sbom::write(artifacts, base, *epoch)
    })?;
    remove(&artifacts.root_tree)?;
    fs::rename(&tree, &artifacts.root_tree).context("keep the root for sandboxed nodes")?;
    remove(&scratch)
}

/// The name of everything that this build depends on.
///
/// # Errors
/// An input cannot be read.
pub fn stamp(options: &Options, inventory: &Inventory) -> Result<String> {
    let top = workspace::root();
    let mut inputs = Inputs::default();
    inputs.value("version", &options.version);
    inputs.value("flavour", options.flavour.name());
    inputs.value("firmware", &options.firmware.to_string());
    inputs.value("epoch", &inventory.epoch.to_string());
    inputs.file(&packages::lock_file())?;
    inputs.file(&top.join("mkosi.conf"))?;
    inputs.file(&top.join("Cargo.lock"))?;
    for name in ["modules.vm", "modules.metal", "firmware.metal"] {
        inputs.file(&top.join("image").join(name))?;
    }
    let keys = top.join("image/keys");
    if keys.exists() {
        inputs.directory(&keys)?;
    }
    inputs.value("development key", &signing::development_public_key()?);
    inputs.directory(&top.join("xtask/src/image"))?;
    inputs.file(&inventory.programs.init)?;
    inputs.file(&inventory.programs.orlop)?;
    Ok(inputs.name())
}

/// Whether the stamp is `name` and every file is there.
fn is_complete(artifacts: &Artifacts, name: &str) -> bool {
    let noted = fs::read_to_string(&artifacts.stamp).unwrap_or_default();
    noted == name
        && artifacts.root_tree.exists()
        && artifacts.erofs.exists()
        && artifacts.published().iter().all(|path| path.exists())
}

/// Removes a file or tree if it is there.
fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    result.with_context(|| format!("remove {}", path.display()))
}
