//! `cargo xtask schemas`: the schemas of Kubernetes' own types, from the crates that carry them.

use crate::schemas;
use anyhow::{Result, bail};

const HELP: &str = "cargo xtask schemas [--check]

Reads the sources of k8s-openapi and k8s-pb, which xtask/kubernetes-types pins, and writes
libs/objects/schemas; --check only compares.
";

/// Runs the verb.
///
/// # Errors
/// The sources cannot be read, a file cannot be written, or one differs with `--check`.
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            for path in schemas::write_all()? {
                println!("  ok {path}");
            }
            println!("\nNext: git diff libs/objects/schemas");
            Ok(())
        }
        [check] if check == "--check" => schemas::check_all(),
        [help] if matches!(help.as_str(), "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        [unknown, ..] => bail!("`schemas` does not know `{unknown}`\n\n{HELP}"),
    }
}
