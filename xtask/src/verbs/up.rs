//! `cargo xtask up` and `cargo xtask down`: one node from the disk image in QEMU, for a person.
//!
//! ```text
//!   image ──> .orlop/up/disk.raw ──firmware──> maintenance mode ──orlopctl apply-config──> control plane
//!                                     │ serial log: fingerprint of the maintenance certificate
//! ```
//! The fingerprint is read from the machine's own console, so that the config (which carries the
//! cluster's keys) is given to this machine and to no other.

use crate::machine::{self, Machine};
use crate::{cargo, command, image, tools, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// TCG on a loaded machine has taken 60 s to the API; ten times the usual 20 s.
const BOOT_WAIT: Duration = Duration::from_secs(200);

const UP_HELP: &str = "cargo xtask up

Builds the release, boots its disk image in QEMU (firmware, 2 CPUs, 1 GiB), gives it a control-plane
config over the API, and says how to talk to it. Run again, it says so again. The machine's files are
in .orlop/up/. `cargo xtask down` stops the machine and removes them.
";

const DOWN_HELP: &str = "cargo xtask down [--keep]

Stops the machine of `cargo xtask up` and removes its files; --keep leaves disk and keys for the next up.
";

/// Runs `up`.
///
/// # Errors
/// A build or the boot failed; the message shows the end of the machine's console.
pub fn up(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [help] if matches!(help.as_str(), "--help" | "-h") => {
            print!("{UP_HELP}");
            return Ok(());
        }
        [unknown, ..] => bail!("`up` takes no argument `{unknown}`\n\n{UP_HELP}"),
    }
    let directory = workspace::private().join("up");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let _lock = workspace::lock(&workspace::private().join("up.lock"))?;
    let orlopctl = build_client()?;
    let machine = match Machine::running(&directory)? {
        Some(machine) => {
            println!("  ok the machine is running");
            machine
        }
        None => boot(&directory)?,
    };
    let client = Client {
        program: orlopctl,
        directory,
        port: machine.port,
    };
    client.make_config()?;
    if !client.answers()? {
        configure(&client, &machine)?;
    }
    client.say_how_to_talk();
    Ok(())
}

/// Runs `down`.
///
/// # Errors
/// The machine does not end, or its files cannot be removed.
pub fn down(arguments: &[String]) -> Result<()> {
    let keep = match arguments {
        [] => false,
        [keep] if keep == "--keep" => true,
        [help] if matches!(help.as_str(), "--help" | "-h") => {
            print!("{DOWN_HELP}");
            return Ok(());
        }
        [unknown, ..] => bail!("`down` does not know `{unknown}`\n\n{DOWN_HELP}"),
    };
    let directory = workspace::private().join("up");
    let _lock = workspace::lock(&workspace::private().join("up.lock"))?;
    match Machine::running(&directory)? {
        Some(machine) => {
            command::step("stop the machine", || machine.stop())?;
        }
        None => println!("  -- no machine is running"),
    }
    if !keep && directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("remove {}", directory.display()))?;
    }
    println!("\nNext: cargo xtask up");
    Ok(())
}

fn build_client() -> Result<PathBuf> {
    command::step("tools tree", || tools::tree().map(drop))?;
    command::step("orlopctl", || cargo::build(&["orlopctl"], None))?;
    Ok(workspace::release_directory().join("orlopctl"))
}

fn boot(directory: &Path) -> Result<Machine> {
    let artifacts = command::step("release image, flavour vm", || {
        image::build(image::Flavour::Vm)
    })?;
    command::step("boot in QEMU", || {
        machine::start(directory, &artifacts.raw_zst)
    })
}

fn configure(client: &Client, machine: &Machine) -> Result<()> {
    // Both ends of this wait are fine: maintenance mode on a new disk, the API on a configured one.
    let fingerprint = command::step("wait for the machine API (TCG: about 20 s)", || {
        machine.wait(BOOT_WAIT, |console| {
            if client.answers()? {
                return Ok(Some(None));
            }
            Ok(machine::fingerprint(console).map(Some))
        })
    })?;
    if let Some(fingerprint) = fingerprint {
        command::step("apply the control-plane config", || {
            client.apply(&fingerprint)
        })?;
        command::step("wait for the configured node", || {
            machine.wait(BOOT_WAIT, |_| Ok(client.answers()?.then_some(())))
        })?;
    }
    Ok(())
}

/// orlopctl with this machine's files.
struct Client {
    program: PathBuf,
    directory: PathBuf,
    port: u16,
}

impl Client {
    fn node(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("ORLOPCONFIG", self.directory.join("orlopconfig"));
        command
    }

    /// Secrets and configs of a cluster of one, made once per disk.
    fn make_config(&self) -> Result<()> {
        if self.directory.join("orlopconfig").exists() {
            return Ok(());
        }
        command::step("keys and config of a cluster of one", || {
            command::output(
                self.command()
                    .args([
                        "gen",
                        "config",
                        "up",
                        "https://10.0.2.15:6443",
                        "--force",
                        "--output-dir",
                    ])
                    .arg(&self.directory),
            )
            .map(drop)
        })
    }

    /// Whether the node answers as a configured one to our own certificate.
    fn answers(&self) -> Result<bool> {
        let output = self
            .command()
            .args(["--node", &self.node(), "--timeout", "5s", "version"])
            .output()
            .context("start orlopctl")?;
        Ok(output.status.success())
    }

    fn apply(&self, fingerprint: &str) -> Result<()> {
        command::output(
            self.command()
                .args([
                    "--node",
                    &self.node(),
                    "--insecure",
                    "--fingerprint",
                    fingerprint,
                    "apply-config",
                ])
                .arg(self.directory.join("controlplane.yaml")),
        )
        .map(drop)
    }

    fn say_how_to_talk(&self) {
        let node = self.node();
        println!(
            "\nThe node is up. Talk to it:\n\n  \
             export ORLOPCONFIG={}\n  alias orlopctl='{} --node {node}'\n  \
             orlopctl version\n  orlopctl services\n  orlopctl get links\n  orlopctl dmesg\n\n\
             Its console: {}\nNext: cargo xtask test    (and `cargo xtask down` when you are done)",
            self.directory.join("orlopconfig").display(),
            self.program.display(),
            self.directory.join(machine::CONSOLE).display(),
        );
    }
}
