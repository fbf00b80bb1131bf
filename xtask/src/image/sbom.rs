//! The software bill of materials: CycloneDX 1.5 in JSON, with the Debian packages that were unpacked and the
//! crates that were linked.

use crate::digest;
use crate::image::Artifacts;
use crate::image::base::Base;
use crate::image::programs;
use crate::image::release::derived_uuid;
use crate::workspace;
use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The platform whose dependencies count.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Writes `artifacts.sbom`.
///
/// # Errors
/// Cargo's metadata cannot be read, or the file cannot be written.
pub fn write(artifacts: &Artifacts, base: &Base, epoch: u64) -> Result<()> {
    let mut components = debian(base);
    components.extend(crates()?);
    let time = jiff::Timestamp::from_second(i64::try_from(epoch).context("the commit's time")?)
        .context("the commit's time")?;
    let release = digest::of_file(&artifacts.efi)?;
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", derived_uuid(&release)),
        "version": 1,
        "metadata": {
            "timestamp": time.to_string(),
            "component": {
                "type": "operating-system",
                "name": "orlop",
                "version": artifacts.version,
                "hashes": [{"alg": "SHA-256", "content": release}],
            },
        },
        "components": components,
    });
    let mut text = serde_json::to_string_pretty(&document).context("write the SBOM")?;
    text.push('\n');
    fs::write(&artifacts.sbom, text).with_context(|| format!("write {}", artifacts.sbom.display()))
}

/// The unpacked Debian packages.
fn debian(base: &Base) -> Vec<Value> {
    base.packages
        .iter()
        .map(|package| {
            let version = package.version.replace(':', "%3A").replace('+', "%2B");
            let purl = format!(
                "pkg:deb/debian/{}@{version}?arch={}&distro=debian-13",
                package.name, package.architecture
            );
            json!({
                "type": "library",
                "bom-ref": purl,
                "name": package.name,
                "version": package.version,
                "purl": purl,
                "hashes": [{"alg": "SHA-256", "content": package.sha256}],
            })
        })
        .collect()
}

/// The crates that the two programs link, ours included, sorted by name and version.
fn crates() -> Result<Vec<Value>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .other_options(vec![
            "--locked".into(),
            "--filter-platform".into(),
            PLATFORM.into(),
        ])
        .exec()
        .context("read cargo's metadata")?;
    let checksums = checksums(
        &fs::read_to_string(workspace::root().join("Cargo.lock")).context("read Cargo.lock")?,
    );
    let linked = linked(&metadata)?;
    let mut found = BTreeMap::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&package.id))
    {
        let name = package.name.to_string();
        let version = package.version.to_string();
        let purl = format!("pkg:cargo/{name}@{version}");
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
        });
        if let Some(license) = &package.license {
            component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
        }
        if let Some(checksum) = checksums.get(&(name.clone(), version.clone())) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        found.insert((name, version), component);
    }
    Ok(found.into_values().collect())
}

/// Everything that the programs depend on at run time.
fn linked(metadata: &Metadata) -> Result<BTreeSet<PackageId>> {
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo's metadata has no dependency graph")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut waiting: Vec<&PackageId> = metadata
        .packages
        .iter()
        .filter(|package| programs::PROGRAMS.contains(&package.name.as_str()))
        .map(|package| &package.id)
        .collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !linked.insert(id.clone()) {
            continue;
        }
        let node = nodes
            .get(id)
            .context("a package is missing in the dependency graph")?;
        for dependency in &node.deps {
            if dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal)
            {
                waiting.push(&dependency.pkg);
            }
        }
    }
    Ok(linked)
}

/// The checksums of Cargo.lock by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
                .map(|value| value.trim_matches('"').to_string())
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert((name, version), checksum);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("a".to_string(), "1.0.0".to_string())], "ff");
    }
}
