//! The layer test: who may depend on whom, over `cargo metadata`.
//!
//! ```text
//!   tests, fuzz, services/orlop    on top: may import services
//!   init, services/*, cli          programs: never each other
//!   libs/* (domain)                may import the bottom
//!   libs/service, libs/*-proto     bottom: only other crates of the bottom
//!   xtask                          a tool: libraries only, and only tests may import it
//! ```

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::path::Path;

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Bottom,
    Library,
    Program,
    Top,
    Tests,
    Tool,
}

/// Which layer a crate's directory belongs to; None for a directory that has no layer.
fn layer(directory: &str) -> Option<Layer> {
    match directory {
        "libs/service" => Some(Layer::Bottom),
        "services/orlop" => Some(Layer::Top),
        "init" | "cli" => Some(Layer::Program),
        "tests" | "fuzz" => Some(Layer::Tests),
        "xtask" => Some(Layer::Tool),
        _ if directory.starts_with("libs/") && directory.ends_with("-proto") => Some(Layer::Bottom),
        _ if directory.starts_with("libs/") => Some(Layer::Library),
        _ if directory.starts_with("services/") => Some(Layer::Program),
        _ => None,
    }
}

/// Whether a crate of layer `from` may import one of layer `to`.
fn allowed(from: Layer, to: Layer) -> bool {
    match from {
        Layer::Bottom => to == Layer::Bottom,
        Layer::Library | Layer::Program => matches!(to, Layer::Bottom | Layer::Library),
        // The tool may use libraries, for example to print the reference pages that they generate.
        Layer::Tool => matches!(to, Layer::Bottom | Layer::Library),
        Layer::Top => matches!(to, Layer::Bottom | Layer::Library | Layer::Program),
        Layer::Tests => true,
    }
}

/// Every breach, one line each; empty when the layers hold.
///
/// # Errors
/// `cargo metadata` fails.
pub fn breaches(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .context("read the workspace by cargo metadata")?;
    let edges = edges(&metadata);
    Ok(check(&edges))
}

/// (from directory, to directory) for each dependency between crates of the workspace.
fn edges(metadata: &Metadata) -> Vec<(String, String)> {
    let relative = |path: &str| {
        path.strip_prefix(metadata.workspace_root.as_str())
            .unwrap_or(path)
            .trim_start_matches('/')
            .to_owned()
    };
    let mut edges = Vec::new();
    for package in &metadata.packages {
        let from = package
            .manifest_path
            .parent()
            .map(|directory| relative(directory.as_str()));
        for dependency in &package.dependencies {
            if let (Some(from), Some(to)) = (&from, &dependency.path) {
                let to = relative(to.as_str());
                // Tests of a room may ask the tool for programs of others.
                if dependency.kind != DependencyKind::Development || layer(&to) != Some(Layer::Tool)
                {
                    edges.push((from.clone(), to));
                }
            }
        }
    }
    edges
}

fn check(edges: &[(String, String)]) -> Vec<String> {
    edges
        .iter()
        .filter_map(|(from, to)| match (layer(from), layer(to)) {
            (Some(above), Some(below)) if allowed(above, below) => None,
            (Some(_), Some(_)) => Some(format!(
                "{from} imports {to}: move the shared piece to libs/ or meet at a wire protocol"
            )),
            (None, _) => Some(format!(
                "{from} has no layer: give it one in xtask/src/layers.rs"
            )),
            (_, None) => Some(format!(
                "{to} has no layer: give it one in xtask/src/layers.rs"
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(from: &str, to: &str) -> bool {
        !check(&[(from.to_owned(), to.to_owned())]).is_empty()
    }

    #[test]
    fn the_rules() {
        assert!(!breach("services/network", "libs/service"));
        assert!(!breach("libs/pki", "libs/machine-config"));
        assert!(!breach("services/orlop", "services/network"));
        assert!(!breach("libs/service", "libs/init-proto"));
        assert!(!breach("tests", "xtask"));
        assert!(
            breach("services/network", "services/time"),
            "programs meet at a wire protocol"
        );
        assert!(breach("init", "services/network"));
        assert!(breach("cli", "services/machine-api"));
        assert!(
            breach("libs/service", "libs/machine-config"),
            "the bottom knows no domain"
        );
        assert!(breach("libs/pki", "services/network"));
        assert!(
            breach("services/network", "elsewhere/thing"),
            "a crate without a layer is refused"
        );
    }

    #[test]
    fn this_workspace_holds_them() {
        let found = breaches(&crate::workspace::root()).expect("cargo metadata works");
        assert!(found.is_empty(), "{found:#?}");
    }
}
