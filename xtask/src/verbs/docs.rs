//! `cargo xtask docs`: the pages that are generated from types and tables.

use crate::suites::SUITES;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;

const HELP: &str = "cargo xtask docs [--check]

Writes the pages under docs/ that are generated from types and tables; --check only compares.
";

/// A generated page: its path in the work tree, and its text.
type Page = (&'static str, String);

fn pages() -> Result<Vec<Page>> {
    let schema = serde_json::to_string_pretty(&machine_config::json_schema())
        .context("write the schema as JSON")?;
    Ok(vec![
        ("docs/reference/kinds.md", kinds::reference()),
        (
            "docs/reference/machine-config.md",
            machine_config::reference_page(),
        ),
        ("docs/reference/machine-config.schema.json", schema + "\n"),
        ("docs/reference/suites.md", suites()),
    ])
}

/// Runs the verb.
///
/// # Errors
/// A page cannot be written, or differs with `--check`.
pub fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [check] if check == "--check" => true,
        [help] if matches!(help.as_str(), "--help" | "-h") => {
            print!("{HELP}");
            return Ok(());
        }
        [unknown, ..] => bail!("`docs` does not know `{unknown}`\n\n{HELP}"),
    };
    if check {
        check_all()?;
    } else {
        for (path, text) in pages()? {
            let file = workspace::root().join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
            }
            fs::write(&file, text).with_context(|| format!("write {path}"))?;
            println!("  ok {path}");
        }
        println!("\nNext: git diff docs");
    }
    Ok(())
}

/// Compares the committed pages with what would be written.
///
/// # Errors
/// Names every page that differs.
pub fn check_all() -> Result<()> {
    let stale: Vec<&str> = pages()?
        .into_iter()
        .filter(|(path, text)| {
            fs::read_to_string(workspace::root().join(path))
                .ok()
                .as_ref()
                != Some(text)
        })
        .map(|(path, _)| path)
        .collect();
    if !stale.is_empty() {
        bail!(
            "generated pages are not up to date: {}. Run `cargo xtask docs`",
            stale.join(", ")
        );
    }
    Ok(())
}

fn suites() -> String {
    let mut page = String::from(
        "# Test suites\n\nGenerated from `xtask/src/suites.rs` by `cargo xtask docs`. Run one: `cargo xtask test NAME`.\n\n\
         | suite | what it shows | budget |\n| --- | --- | --- |\n",
    );
    for suite in SUITES {
        page.push_str(&format!(
            "| `{}` | {} | {} s |\n",
            suite.name, suite.about, suite.budget_seconds
        ));
    }
    page
}
