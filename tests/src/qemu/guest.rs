//! A running virtual machine, seen from the test.

use super::machine::{Boot, Machine, Network, tap};
use super::{accelerator, turn};
use crate::guard::Guarded;
use crate::leftovers::{self, Scratch};
use crate::programs;
use crate::sandbox::{Lab, lab};
use crate::wait::{Lines, PATIENCE, eventually};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::qmp::Qmp;

/// Usual time from QEMU's start to its control socket.
const QMP_ANSWERS: Duration = Duration::from_secs(2);
/// Usual time for QEMU to end.
const QEMU_ENDS: Duration = Duration::from_secs(2);

/// A guest; killed when dropped.
#[derive(Debug)]
pub struct Guest {
    serial: Lines,
    qmp: Qmp,
    process: Guarded,
    port: Option<u16>,
    scratch: Scratch,
    _turn: turn::Turn,
}

impl Guest {
    /// Starts a machine.
    ///
    /// # Errors
    /// QEMU does not start; the error shows what it said.
    pub fn start(machine: &Machine) -> Result<Self> {
        Self::launch(machine, Guarded::start)
    }

    /// Starts a machine with devices of [`Network::Lab`], inside the lab's network namespace.
    ///
    /// # Errors
    /// As [`Guest::start`], and where a device cannot be plugged.
    pub fn start_in(lab: &Lab, machine: &Machine) -> Result<Self> {
        let guest = Self::launch(machine, |command| lab.inside(|| Guarded::start(command)))?;
        for network in &machine.networks {
            if let Network::Lab(place) = network {
                // QEMU has made the device; it goes with QEMU.
                let plug = ["link", "set", &tap(place), "master", lab::BRIDGE, "up"];
                let plugged = lab.output(programs::tool("ip")?.args(plug))?;
                if !plugged.status.success() {
                    bail!(
                        "plug {}: {}",
                        tap(place),
                        String::from_utf8_lossy(&plugged.stderr)
                    );
                }
            }
        }
        Ok(guest)
    }

    fn launch(machine: &Machine, start: impl FnOnce(&Command) -> Result<Guarded>) -> Result<Self> {
        let turn = turn::take()?;
        let scratch = leftovers::scratch("guest")?;
        let socket = scratch.path().join("qmp");
        let mut command = programs::tool("qemu-system-x86_64")?;
        command.args(machine.arguments(accelerator::choose()?, &socket));
        let mut process = start(&command)?;
        let serial = Lines::follow(
            "serial",
            process.stdout()?,
            &scratch.path().join("serial.log"),
        )?;
        let errors = Lines::follow("qemu", process.stderr()?, &scratch.path().join("qemu.log"))?;
        let connected = eventually("QEMU's control socket", QMP_ANSWERS, || {
            if process.wait(Duration::ZERO)?.is_some() {
                errors.wait_end(QEMU_ENDS)?;
                bail!("QEMU has ended:\n{}", errors.tail());
            }
            Ok(Qmp::connect(&socket).ok())
        });
        let mut guest = Self {
            serial,
            qmp: connected?,
            process,
            port: None,
            scratch,
            _turn: turn,
        };
        if machine
            .networks
            .iter()
            .any(|network| matches!(network, Network::User))
        {
            guest.port = Some(forwarded_port(&guest.qmp.human("info usernet")?)?);
        }
        Ok(guest)
    }

    /// The serial console.
    #[must_use]
    pub fn serial(&self) -> &Lines {
        &self.serial
    }

    /// The loopback port that leads to the guest's machine API.
    ///
    /// # Errors
    /// It has no user-mode network.
    pub fn port(&self) -> Result<u16> {
        self.port.context("this machine has no user-mode network")
    }

    /// QEMU's control connection.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Files of this guest; removed with it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp.execute("system_reset", json!({})).map(drop)
    }

    /// Presses the ACPI power button.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn press_power_button(&mut self) -> Result<()> {
        self.qmp.execute("system_powerdown", json!({})).map(drop)
    }

    /// Waits until the machine has reset itself or was reset.
    ///
    /// # Errors
    /// Not in time; the error shows the end of the serial log.
    pub fn wait_reset(&mut self, expected: Duration) -> Result<()> {
        self.qmp
            .wait_event("RESET", expected * PATIENCE)
            .map(drop)
            .with_context(|| format!("serial log:\n{}", self.serial.tail()))
    }

    /// Waits until the machine has powered itself off.
    ///
    /// # Errors
    /// Not in time; the error shows the end of the serial log.
    pub fn wait_off(&mut self, expected: Duration) -> Result<()> {
        match self.process.wait(expected * crate::wait::PATIENCE)? {
            Some(_) => Ok(()),
            None => bail!(
                "the machine is not off. Serial log:\n{}",
                self.serial.tail()
            ),
        }
    }

    /// Cuts the power: QEMU is killed. Writes that it has acknowledged are kept by the host; for lost
    /// ones, record the disk and replay a part.
    ///
    /// # Errors
    /// The system refuses to wait for QEMU.
    pub fn cut_power(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Ends QEMU in order, so that it writes out what it keeps (the log of a recorded disk).
    ///
    /// # Errors
    /// It does not end.
    pub fn quit(mut self) -> Result<()> {
        // QEMU may close the connection before it has answered.
        let _ = self.qmp.execute("quit", json!({}));
        match self.process.wait(QEMU_ENDS * crate::wait::PATIENCE)? {
            Some(_) => Ok(()),
            None => bail!("QEMU does not end"),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "serial log (files stay in {}):\n{}",
                self.scratch.path().display(),
                self.serial.tail()
            );
        }
    }
}

/// The host's port in what QEMU says of its user-mode network.
fn forwarded_port(text: &str) -> Result<u16> {
    text.lines()
        .find(|line| line.contains("HOST_FORWARD"))
        .and_then(|line| {
            let mut words = line
                .split_ascii_whitespace()
                .skip_while(|word| *word != "127.0.0.1");
            words.nth(1)?.parse().ok()
        })
        .with_context(|| format!("QEMU forwards no port: {text}"))
}

/// Direct boot of the release with `extra` words at the end of its command line.
///
/// # Errors
/// There is no release.
pub fn direct(extra: &str) -> Result<Boot> {
    let release = programs::release()?;
    Ok(Boot::Direct {
        kernel: release.kernel,
        initrd: release.initrd,
        command_line: format!("{} {extra}", release.command_line),
    })
}

/// Firmware boot with fresh variables, kept in `directory`.
///
/// # Errors
/// The firmware is missing.
pub fn firmware(directory: &Path) -> Result<Boot> {
    let firmware = xtask::tools::firmware()?;
    let variables: PathBuf = directory.join("variables.fd");
    if !variables.exists() {
        fs::copy(&firmware.variables, &variables)
            .with_context(|| format!("copy {}", firmware.variables.display()))?;
    }
    Ok(Boot::Firmware {
        code: firmware.code,
        variables,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_port_is_the_hosts() {
        let text = "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]   8       127.0.0.1 39521       10.0.2.15 50000     0     0\r\n";
        assert_eq!(forwarded_port(text).unwrap(), 39521);
        assert!(forwarded_port("").is_err());
    }
}
