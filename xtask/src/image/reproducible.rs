//! Builds a release twice and compares the results byte by byte.

use crate::image::Artifacts;
use crate::image::build::{self, Options, Source};
use crate::image::programs::Programs;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Assembles the release a second time, in another directory, from the programs that the first was made
/// from, and compares everything that is published.
///
/// # Errors
/// A step fails, or the two differ; the message names the files.
pub fn assemble_twice(options: &Options) -> Result<()> {
    let inventory = build::gather(options)?;
    let before = build::stamp(options, &inventory)?;
    let first = build::build_from(options, &inventory)?;
    let directory = workspace::out().join(".second");
    let second = first.moved_to(&directory);
    build::assemble(options, &inventory, &second)?;
    let differences = compare(&first, &second)?;
    fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
    if build::stamp(options, &inventory)? != before {
        bail!("another build changed the programs while they were packed; run this again");
    }
    if !differences.is_empty() {
        bail!("two assemblies differ in {}", differences.join(", "));
    }
    Ok(())
}

/// Compiles everything twice from nothing and assembles both. Takes as long as two cold builds; what was
/// made is removed afterwards. Both builds use one target directory, one after the other: its path is in
/// the programs, as the work tree's is not.
///
/// # Errors
/// A step fails, or programs or releases differ.
pub fn rebuild_everything(options: &Options) -> Result<()> {
    let target = workspace::root().join("target/rebuild");
    let mut sides = Vec::new();
    for name in ["first", "second"] {
        remove(&target)?;
        let side = workspace::out().join(format!(".rebuild-{name}"));
        remove(&side)?;
        fs::create_dir_all(&side).with_context(|| format!("make {}", side.display()))?;
        let mut inventory = build::gather(&Options {
            programs: Source::BuildIn(target.clone()),
            ..options.clone()
        })
        .with_context(|| format!("the {name} cold build"))?;
        inventory.programs = keep(&inventory.programs, &side)?;
        let places = Artifacts::places(options.flavour, &options.version)?.moved_to(&side);
        build::assemble(options, &inventory, &places)?;
        sides.push((inventory.programs, places));
    }
    remove(&target)?;
    let [(one, first), (other, second)] = &sides[..] else {
        unreachable!("two names give two sides");
    };
    let mut differences = Vec::new();
    for (name, one, other) in [
        ("init", &one.init, &other.init),
        ("orlop", &one.orlop, &other.orlop),
    ] {
        if !same(one, other)? {
            differences.push(format!("{name} (before stripping)"));
        }
    }
    differences.extend(compare(first, second)?);
    if !differences.is_empty() {
        bail!(
            "two cold builds differ in {}; both are kept in out/.rebuild-*",
            differences.join(", ")
        );
    }
    remove(&first.directory)?;
    remove(&second.directory)
}

/// Copies the programs to where the next build does not remove them.
fn keep(programs: &Programs, directory: &Path) -> Result<Programs> {
    let copy = |program: &Path, name: &str| {
        let target = directory.join(name);
        fs::copy(program, &target)
            .with_context(|| format!("copy {}", program.display()))
            .map(|_| target)
    };
    Ok(Programs {
        init: copy(&programs.init, "orlop-init")?,
        orlop: copy(&programs.orlop, "orlop")?,
    })
}

/// Removes a tree if it is there.
fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// The names of the published files that differ.
fn compare(first: &Artifacts, second: &Artifacts) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (one, other) in first.published().into_iter().zip(second.published()) {
        if !same(one, other)? {
            differences.push(
                one.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    Ok(differences)
}

/// Whether two files hold the same bytes.
fn same(one: &Path, other: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    Ok(read(one)? == read(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_is_a_difference() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a"), [0; 100]).expect("written");
        fs::write(at("b"), [0; 100]).expect("written");
        assert!(same(&at("a"), &at("b")).expect("read"));
        let mut bytes = [0; 100];
        bytes[99] = 1;
        fs::write(at("b"), bytes).expect("written");
        assert!(!same(&at("a"), &at("b")).expect("read"));
    }
}
