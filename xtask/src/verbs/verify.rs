//! `cargo xtask verify`: format, clippy, rustdoc, cargo-deny, layer test, generated pages and schemas.

use crate::{cargo, command, layers, workspace};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The version that is installed into the cache where none is found; its lock file pins the rest.
const CARGO_DENY: &str = "0.20.2";

/// Runs the verb.
///
/// # Errors
/// The first check that does not pass.
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.first() {
        bail!("`verify` takes no arguments, got `{unknown}`");
    }
    let lines = [
        (
            "format (`cargo fmt --all` puts it right)",
            vec!["fmt", "--all", "--check", "--", "-l"],
        ),
        (
            "clippy, workspace lints as errors",
            vec![
                "clippy",
                "--release",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        ),
        (
            "rustdoc without warnings",
            vec!["doc", "--release", "--workspace", "--no-deps", "--quiet"],
        ),
    ];
    for (what, arguments) in lines {
        command::step(what, || {
            command::show(
                cargo::command()
                    .args(&arguments)
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        })?;
    }
    command::step("layers", || {
        match layers::breaches(&workspace::root())?.as_slice() {
            [] => Ok(()),
            breaches => bail!("layers are broken:\n  {}", breaches.join("\n  ")),
        }
    })?;
    command::step("generated pages", super::docs::check_all)?;
    command::step("schemas of Kubernetes' types", crate::schemas::check_all)?;
    deny()?;
    println!("\nverified. Next: cargo xtask test");
    Ok(())
}

/// Licences, sources and bans always; advisories where their database can be reached.
fn deny() -> Result<()> {
    let program = cargo_deny()?;
    let run = |checks: &[&str]| {
        let mut command = Command::new(&program);
        command
            .current_dir(workspace::root())
            .args(["--log-level", "error", "check"])
            .args(checks);
        command
    };
    command::step("cargo-deny: bans, licences, sources", || {
        command::show(&mut run(&["bans", "licenses", "sources"]))
    })?;
    let advisories = command::output(&mut run(&["advisories"]));
    match advisories {
        Ok(_) => println!("  ok cargo-deny: advisories"),
        // The database is a git repository elsewhere: an offline machine cannot have it, and says so.
        Err(error) if format!("{error:#}").contains("advisory database") => {
            println!("  -- cargo-deny: advisories not checked, their database is out of reach");
        }
        Err(error) => return Err(error.context("cargo-deny: advisories")),
    }
    Ok(())
}

/// cargo-deny from the PATH, or built once into the cache.
fn cargo_deny() -> Result<PathBuf> {
    let found = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let root = workspace::cache()?.join("cargo-tools");
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        command::step(
            "build cargo-deny into the cache (once, some minutes)",
            || {
                command::show(
                    cargo::command()
                        .args([
                            "install",
                            "cargo-deny",
                            "--locked",
                            "--quiet",
                            "--no-default-features",
                        ])
                        .args(["--version", CARGO_DENY, "--root"])
                        .arg(&root),
                )
            },
        )
        .context("install cargo-deny")?;
    }
    Ok(program)
}
