//! The schemas of Kubernetes' own types, as text: read from the sources of two crates, written for `libs/objects`.
//!
//! ```text
//!   xtask/kubernetes-types   pins the crates; compiles neither
//!     k8s-openapi ──tokens──> openapi::Type    names, JSON names, types, formats, required, descriptions, resources
//!     k8s-pb ──────syn──────> protobuf::Message  tags; markers in comments: list types, map keys, patch strategies, defaults
//!     facts                   what neither has, with the reason
//!            └──> merge::Model ──> text::files    libs/objects/schemas/*.txt
//! ```
//!
//! Everything is in the order of names, so that a new release of the crates is a diff that a person can read.

mod facts;
mod merge;
mod openapi;
mod protobuf;
mod text;

use crate::{cargo, command, workspace};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files are, below the work tree.
const DIRECTORY: &str = "libs/objects/schemas";

/// One group and version: where the crates have it, and the name of its file.
pub(crate) struct Package {
    /// Directory in both crates, below their tops.
    directory: &'static str,
    /// Of the file, without its ending.
    name: &'static str,
}

/// The groups at v1 that Orlop serves or refers to.
const PACKAGES: &[Package] = &[
    package("api/admissionregistration/v1", "admissionregistration.v1"),
    package(
        "apiextensions_apiserver/pkg/apis/apiextensions/v1",
        "apiextensions.v1",
    ),
    package(
        "kube_aggregator/pkg/apis/apiregistration/v1",
        "apiregistration.v1",
    ),
    package("api/apps/v1", "apps.v1"),
    package("api/authentication/v1", "authentication.v1"),
    package("api/authorization/v1", "authorization.v1"),
    package("api/autoscaling/v1", "autoscaling.v1"),
    package("api/autoscaling/v2", "autoscaling.v2"),
    package("api/batch/v1", "batch.v1"),
    package("api/certificates/v1", "certificates.v1"),
    package("api/coordination/v1", "coordination.v1"),
    package("api/core/v1", "core.v1"),
    package("api/discovery/v1", "discovery.v1"),
    package("api/events/v1", "events.v1"),
    package("api/flowcontrol/v1", "flowcontrol.v1"),
    package("apimachinery/pkg/util/intstr", "intstr"),
    package("apimachinery/pkg/apis/meta/v1", "meta.v1"),
    package("api/networking/v1", "networking.v1"),
    package("api/node/v1", "node.v1"),
    package("api/policy/v1", "policy.v1"),
    package("api/rbac/v1", "rbac.v1"),
    package("api/resource/v1", "resource.v1"),
    package("apimachinery/pkg/api/resource", "quantity"),
    package("apimachinery/pkg/runtime", "runtime"),
    package("api/scheduling/v1", "scheduling.v1"),
    package("api/storage/v1", "storage.v1"),
    package("apimachinery/pkg/version", "version"),
];

const fn package(directory: &'static str, name: &'static str) -> Package {
    Package { directory, name }
}

/// A generated file: its path in the work tree, and its text.
pub type File = (String, String);

/// Reads the crates' sources and makes the files.
///
/// # Errors
/// The crates are out of reach, their sources have a form that is not known, or a field has no tag and no fact
/// explains it.
pub fn files() -> Result<Vec<File>> {
    let openapi = source("k8s-openapi")?.join("src/v1_35");
    let protobuf = source("k8s-pb")?.join("src");
    let messages = protobuf::read(&protobuf).context("read k8s-pb")?;
    let types = openapi::read(&openapi, PACKAGES).context("read k8s-openapi")?;
    let model = merge::merge(types, &messages)?;
    Ok(text::files(&model, DIRECTORY))
}

/// Compares the committed files with what would be written, files that are too many included.
///
/// # Errors
/// Names every file that differs.
pub fn check_all() -> Result<()> {
    let files = files()?;
    let mut stale: Vec<String> = files
        .iter()
        .filter(|(path, text)| {
            fs::read_to_string(workspace::root().join(path))
                .ok()
                .as_ref()
                != Some(text)
        })
        .map(|(path, _)| path.clone())
        .collect();
    stale.extend(strangers(&files)?);
    if !stale.is_empty() {
        bail!(
            "schemas are not up to date: {}. Run `cargo xtask schemas`",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Writes the files, and removes those that are no longer made.
///
/// # Errors
/// The same as [`files`], or a file cannot be written.
pub fn write_all() -> Result<Vec<String>> {
    let files = files()?;
    let root = workspace::root();
    fs::create_dir_all(root.join(DIRECTORY)).with_context(|| format!("make {DIRECTORY}"))?;
    for stranger in strangers(&files)? {
        fs::remove_file(root.join(&stranger)).with_context(|| format!("remove {stranger}"))?;
    }
    for (path, text) in &files {
        fs::write(root.join(path), text).with_context(|| format!("write {path}"))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Files in the directory that the verb does not write.
fn strangers(files: &[File]) -> Result<Vec<String>> {
    let directory = workspace::root().join(DIRECTORY);
    Ok(workspace::sorted_entries(&directory)?
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .map(|name| format!("{DIRECTORY}/{name}"))
        .filter(|path| files.iter().all(|(ours, _)| ours != path))
        .collect())
}

/// The directory of a pinned crate's sources; cargo fetches them where they are missing.
fn source(name: &str) -> Result<PathBuf> {
    let manifest = workspace::root().join("xtask/kubernetes-types/Cargo.toml");
    let mut query = cargo::command();
    query
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--manifest-path")
        .arg(&manifest);
    let text = command::output(&mut query).context("find the sources of Kubernetes' types")?;
    let metadata = MetadataCommand::parse(text).context("read what cargo says of them")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == name)
        .with_context(|| format!("{name} is not pinned in {}", manifest.display()))?;
    let top = package
        .manifest_path
        .parent()
        .with_context(|| format!("{name} has no directory"))?;
    Ok(Path::new(top.as_str()).to_path_buf())
}
