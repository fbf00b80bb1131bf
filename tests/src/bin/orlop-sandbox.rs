//! Launches one sandboxed node; see `orlop_tests::sandbox::launcher` for what it says and obeys.

use anyhow::{Context as _, Result};
use orlop_tests::sandbox::{Specification, launcher};

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context(
        "usage: orlop-sandbox SPECIFICATION; it is started by the sandbox library with a JSON object",
    )?;
    let specification: Specification =
        serde_json::from_str(&argument).context("read the specification")?;
    std::process::exit(launcher::run(&specification)?);
}
