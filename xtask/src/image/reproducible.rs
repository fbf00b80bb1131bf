//! Builds a release twice and compares the results byte by byte.

use crate::command;
use crate::image::build::{self, Options, Source};
use crate::image::{Artifacts, programs};
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

/// Compiles everything twice from nothing, in two target directories, and assembles both. Takes as long as
/// two cold builds; the directories are removed afterwards.
///
/// # Errors
/// A step fails, or programs or releases differ.
pub fn rebuild_everything(options: &Options) -> Result<()> {
    let mut sides = Vec::new();
    for name in ["first", "second"] {
        let target = workspace::root().join("target/rebuild").join(name);
        if target.exists() {
            fs::remove_dir_all(&target).with_context(|| format!("remove {}", target.display()))?;
        }
        let options = Options {
            programs: Source::BuildIn(target.clone()),
            ..options.clone()
        };
        let inventory = command::step(&format!("the {name} cold build"), || {
            build::gather(&options)
        })?;
        let places = Artifacts::places(options.flavour, &options.version)?;
        let places = places.moved_to(&workspace::out().join(format!(".rebuild-{name}")));
        build::assemble(&options, &inventory, &places)?;
        sides.push((target, places));
    }
    let [(first_target, first), (second_target, second)] = &sides[..] else {
        unreachable!("two names give two sides");
    };
    let mut differences = Vec::new();
    let one = programs::existing(Some(first_target))?;
    let other = programs::existing(Some(second_target))?;
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
            "two cold builds differ in {}; both are kept in target/rebuild and out/.rebuild-*",
            differences.join(", ")
        );
    }
    for (target, places) in &sides {
        fs::remove_dir_all(target).with_context(|| format!("remove {}", target.display()))?;
        fs::remove_dir_all(&places.directory)
            .with_context(|| format!("remove {}", places.directory.display()))?;
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
