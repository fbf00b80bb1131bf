//! One QEMU machine for a person: started in the background, found again, stopped.
//!
//! The tests' harness has more (power cuts, networks, direct boot); this one is what `up` needs.

use crate::image::Artifacts;
use crate::qmp::Qmp;
use crate::{command, tools};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The machine's serial console, in its directory.
pub const CONSOLE: &str = "console.log";
const DISK: &str = "disk.raw";
const PID: &str = "pid";
const PORT: &str = "port";
const QMP: &str = "qmp.sock";
const VARIABLES: &str = "firmware-variables.fd";
/// The disk's size: sparse, so it costs what is written.
const DISK_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Memory of a machine with a disk.
const MEMORY_MIB: u32 = 1024;
/// The machine API's usual port, tried first on the host too.
const API_PORT: u16 = 50_000;
/// Time for an ordered power-off before the machine is killed.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// The word on the console before the fingerprint of the maintenance certificate.
const FINGERPRINT: &str = "fingerprint ";
const POLL: Duration = Duration::from_millis(500);
const CONSOLE_TAIL: usize = 4000;

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    directory: PathBuf,
    pid: u32,
    /// Port on 127.0.0.1 that leads to the machine API.
    pub port: u16,
}

impl Machine {
    /// The machine of this directory, if it is running.
    ///
    /// # Errors
    /// Its files are there but cannot be read.
    pub fn running(directory: &Path) -> Result<Option<Self>> {
        let (Some(pid), Some(port)) = (number(directory, PID)?, number(directory, PORT)?) else {
            return Ok(None);
        };
        // A pid may have been given to another program since: QEMU's command line names our pid file.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let ours = directory.join(PID);
        let found = String::from_utf8_lossy(&line).contains(&*ours.to_string_lossy());
        Ok(found.then(|| Self {
            directory: directory.to_path_buf(),
            pid,
            port,
        }))
    }

    /// Polls `condition` with the console's text until it gives a value.
    ///
    /// # Errors
    /// The machine ended or `bound` passed; both show the end of the console.
    pub fn wait<T>(
        &self,
        bound: Duration,
        mut condition: impl FnMut(&str) -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let console = fs::read(self.directory.join(CONSOLE)).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            if let Some(value) = condition(&console)? {
                return Ok(value);
            }
            let tail = || {
                console
                    .chars()
                    .skip(console.chars().count().saturating_sub(CONSOLE_TAIL))
                    .collect::<String>()
            };
            if Self::running(&self.directory)?.is_none() {
                bail!("the machine has ended; the end of its console:\n{}", tail());
            }
            if start.elapsed() > bound {
                bail!(
                    "not within {} s; the end of the console:\n{}",
                    bound.as_secs(),
                    tail()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends it at once, as a power cut does.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(self) -> Result<()> {
        command::output(Command::new("kill").args(["-KILL", &self.pid.to_string()])).map(drop)
    }

    /// Asks for an ordered power-off by the power button, then kills.
    ///
    /// # Errors
    /// It cannot be killed either.
    pub fn stop(self) -> Result<()> {
        let start = Instant::now();
        let asked = Qmp::connect(&self.directory.join(QMP))
            .and_then(|mut qmp| qmp.execute("system_powerdown", json!({})))
            .is_ok();
        while Self::running(&self.directory)?.is_some() {
            if !asked || start.elapsed() > STOP_WAIT {
                println!("  -- no ordered power-off, killing the machine");
                return self.kill();
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

/// Boots the machine of this directory by firmware, from its disk or from a new one made of `raw_zst`.
///
/// # Errors
/// The disk cannot be made, or QEMU does not start.
pub fn start(directory: &Path, raw_zst: &Path) -> Result<Machine> {
    let disk = directory.join(DISK);
    if !disk.exists() {
        let partial = directory.join("disk.partial");
        command::output(
            tools::program("zstd")?
                .args(["-d", "-f", "-q", "--sparse", "-o"])
                .arg(&partial)
                .arg(raw_zst),
        )?;
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&partial)
            .context("open the new disk")?;
        let length = file.metadata().context("measure the new disk")?.len();
        file.set_len(length.max(DISK_BYTES))
            .context("grow the new disk")?;
        fs::rename(&partial, &disk).context("put the new disk in place")?;
    }
    let firmware = tools::firmware()?;
    let variables = directory.join(VARIABLES);
    if !variables.exists() {
        fs::copy(&firmware.variables, &variables).context("copy the firmware's variables")?;
    }
    launch(directory, MEMORY_MIB, |qemu| {
        for drive in [
            format!(
                "if=pflash,format=raw,readonly=on,file={}",
                firmware.code.display()
            ),
            format!("if=pflash,format=raw,file={}", variables.display()),
            format!("if=virtio,format=raw,discard=unmap,file={}", disk.display()),
        ] {
            qemu.arg("-drive").arg(drive);
        }
    })
}

/// Boots kernel and initrd of a release without firmware, with an empty disk: the node stays in
/// maintenance mode.
///
/// # Errors
/// The disk cannot be made, or QEMU does not start.
pub fn start_direct(directory: &Path, release: &Artifacts, memory_mib: u32) -> Result<Machine> {
    let disk = directory.join(DISK);
    fs::File::create(&disk)
        .and_then(|file| file.set_len(DISK_BYTES))
        .context("make an empty disk")?;
    launch(directory, memory_mib, |qemu| {
        qemu.arg("-drive")
            .arg(format!("if=virtio,format=raw,file={}", disk.display()));
        qemu.arg("-kernel")
            .arg(&release.kernel)
            .arg("-initrd")
            .arg(&release.initrd)
            .args(["-append", &release.command_line]);
    })
}

/// Starts QEMU in the background with what every machine has, and what `more` adds.
fn launch(directory: &Path, memory_mib: u32, more: impl FnOnce(&mut Command)) -> Result<Machine> {
    let port = free_port()?;
    let mut qemu = tools::program("qemu-system-x86_64")?;
    qemu.args([
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
    ])
    .args(["-m", &memory_mib.to_string()])
    .args(["-nodefaults", "-display", "none", "-daemonize"])
    .args(["-device", "i6300esb", "-action", "watchdog=reset"])
    .args(["-device", "virtio-rng-pci"])
    .arg("-netdev")
    .arg(format!(
        "user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:{API_PORT}"
    ))
    .args(["-device", "virtio-net-pci,netdev=net0"])
    .arg("-serial")
    .arg(format!("file:{}", directory.join(CONSOLE).display()))
    .arg("-qmp")
    .arg(format!(
        "unix:{},server=on,wait=off",
        directory.join(QMP).display()
    ))
    .arg("-pidfile")
    .arg(directory.join(PID));
    more(&mut qemu);
    command::output(&mut qemu)?;
    fs::write(directory.join(PORT), port.to_string()).context("keep the machine's port")?;
    Machine::running(directory)?.context("QEMU ended at once")
}

/// The last fingerprint of a maintenance certificate that a console shows: 32 bytes in hex with colons.
#[must_use]
pub fn fingerprint(console: &str) -> Option<String> {
    console.rmatch_indices(FINGERPRINT).find_map(|(at, _)| {
        let rest = &console[at + FINGERPRINT.len()..];
        rest.split(|character: char| character.is_whitespace() || character == ',')
            .find(|word| {
                word.len() == 95
                    && word
                        .split(':')
                        .all(|byte| u8::from_str_radix(byte, 16).is_ok())
            })
            .map(str::to_owned)
    })
}

/// The API's own port where it is free, else any.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", API_PORT))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
        .context("find a free port on 127.0.0.1")?;
    Ok(listener.local_addr().context("read the port")?.port())
}

fn number<T: std::str::FromStr>(directory: &Path, name: &str) -> Result<Option<T>> {
    let path = directory.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_fingerprint_on_the_console_counts() {
        let print = |byte: &str| vec![byte; 32].join(":");
        let console = format!(
            "orlop-init: machine-api: maintenance: fingerprint sha256 {}\n[ 1.0] noise\nfingerprint {}\nfingerprint 12:34",
            print("aa"),
            print("bb"),
        );
        assert_eq!(fingerprint(&console), Some(print("bb")));
        assert_eq!(fingerprint("no print here"), None);
    }
}
