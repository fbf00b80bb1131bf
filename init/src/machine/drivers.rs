//! Drivers: at boot for every device that is there, later for those that come; and what goes on behind the
//! boot because the next phases need none of it.

use super::{Machine, Work};
use crate::executor::module_loader::Loader;
use crate::executor::poller::{Interest, Source};
use crate::executor::spawn::in_child;
use crate::executor::{devices, mounts, processes, time};
use crate::planner::modules::serves_network;
use rustix::fs::{Advice, Mode, OFlags};
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

/// Modules that no device asks for: config sources.
const ALWAYS: [&str; 2] = ["qemu_fw_cfg", "dmi_sysfs"];
/// The same where the firmware is UEFI.
const ALWAYS_EFI: &str = "efivarfs";
const EFI: &str = "/sys/firmware/efi";
/// The file system of volumes: loaded beside the search for disks, and mounting waits for it in the kernel.
const VOLUMES: &str = "ext4";
/// Modules that can wait until the services run: the power button.
const LATER: [&str; 2] = ["button", "evdev"];
/// The program of all services, and how much of it is asked for at once: the kernel gives no more for one
/// request than a device's usual read-ahead.
const SERVICES_PROGRAM: &str = "/usr/bin/orlop";
const READ_AHEAD: usize = 128 * 1024;
/// Processes that load modules at once: a machine has two processors or more.
const LOADERS: usize = 2;
/// Looks at all devices: a bus driver brings new devices, these may be buses again.
const COLDPLUG_PASSES: usize = 4;
/// Time for the drivers of devices that came later.
const DRIVERS_WAIT: Duration = Duration::from_secs(30);

impl Machine {
    pub(super) fn phase_modules(&mut self, deadline: Duration) -> Result<(), String> {
        // The kernel asks `init` for what it misses (a file system, a protocol).
        let _ = fs::write("/proc/sys/kernel/modprobe", "/usr/bin/init");
        let mut network = Vec::new();
        let loaded = self.coldplug(&mut network, deadline);
        self.coldplugged = true;
        // Whatever became of the others: without a network nobody could come and look.
        self.prepare_behind(&network)?;
        for name in LATER {
            self.queue(Work::Drivers(Some(name.into())));
        }
        self.watch_power_buttons();
        let efi = "/sys/firmware/efi/efivars";
        if Path::new(efi).is_dir() && !mounts::is_mounted(efi) {
            let flags = rustix::mount::MountFlags::NOSUID
                | rustix::mount::MountFlags::NODEV
                | rustix::mount::MountFlags::NOEXEC;
            let _ = rustix::mount::mount("efivarfs", efi, "efivarfs", flags, None);
        }
        // One that is found by its device only.
        if self.watchdog.is_none() && Path::new("/dev/watchdog").exists() {
            self.arm_watchdog()?;
        }
        loaded
    }

    /// Loads the drivers of all devices but network hardware, whose aliases are added to `network`.
    fn coldplug(&mut self, network: &mut Vec<String>, deadline: Duration) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for _ in 0..COLDPLUG_PASSES {
            let (links, mut news): (Vec<String>, Vec<String>) = Loader::device_aliases()
                .into_iter()
                .filter(|alias| seen.insert(alias.clone()))
                .partition(|alias| serves_network(alias));
            network.extend(links);
            let efi = Path::new(EFI).exists().then_some(ALWAYS_EFI);
            news.extend(
                ALWAYS
                    .into_iter()
                    .chain(efi)
                    .map(str::to_owned)
                    .filter(|name| seen.insert(name.clone())),
            );
            if news.is_empty() {
                break;
            }
            self.load_side_by_side(&news, deadline)?;
        }
        Ok(())
    }

    /// Starts what later phases and services need and the next phases do not: it goes on beside them. A driver
    /// that hangs there holds up nothing but its own device.
    fn prepare_behind(&mut self, network: &[String]) -> Result<(), String> {
        let failed = |error| format!("process for what goes on behind the boot: {error}");
        in_child(|| network.iter().for_each(|alias| self.load_one(alias))).map_err(failed)?;
        in_child(|| self.load_one(VOLUMES)).map_err(failed)?;
        in_child(|| read_ahead(SERVICES_PROGRAM)).map_err(failed)?;
        Ok(())
    }

    /// Loads the drivers of many devices in a few processes: checking signatures and probing devices takes
    /// most of the time, and the kernel does it in the caller's. Who needs a module that another process
    /// is loading waits for it in the kernel.
    fn load_side_by_side(&mut self, aliases: &[String], deadline: Duration) -> Result<(), String> {
        let mut workers = Vec::new();
        for worker in 0..LOADERS.min(aliases.len()) {
            let share = aliases.iter().skip(worker).step_by(LOADERS);
            let pid = in_child(|| share.for_each(|alias| self.load_one(alias)))
                .map_err(|error| format!("process for loading modules: {error}"))?;
            workers.push((pid, processes::start_time(pid).unwrap_or(0)));
        }
        let done = self.wait(deadline, |machine| {
            workers
                .iter()
                .all(|worker| machine.exits.exit_of(*worker).is_some())
        });
        self.loader.refresh();
        if done {
            Ok(())
        } else {
            Err("drivers were not loaded in time".into())
        }
    }

    fn load_one(&mut self, alias: &str) {
        for module in self.loader.wanted(alias) {
            let begun = time::monotonic();
            if let Err(error) = self.loader.load(&module, &[]) {
                self.say(4, &error);
            }
            let took = time::monotonic().saturating_sub(begun).as_millis();
            self.say(7, &format!("kernel module {module}: {took} ms"));
        }
    }

    /// Loads what a device asks for, or what all devices ask for.
    pub(super) fn load_drivers(&mut self, alias: Option<&str>) {
        self.loader.refresh();
        let aliases = match alias {
            Some(alias) => BTreeSet::from([alias.to_owned()]),
            None => Loader::device_aliases(),
        };
        let wanted: Vec<String> = aliases
            .into_iter()
            .filter(|alias| !self.loader.wanted(alias).is_empty())
            .collect();
        let deadline = time::monotonic() + DRIVERS_WAIT;
        if let Err(reason) = self.load_side_by_side(&wanted, deadline) {
            self.say(4, &reason);
        }
    }

    /// Watches power buttons that are not watched yet.
    pub(super) fn watch_power_buttons(&mut self) {
        for (path, device) in devices::power_buttons() {
            if self.inputs.values().any(|(known, _)| *known == path) {
                continue;
            }
            let number = self.number();
            if self
                .poller
                .add(Source::Input(number), &device, Interest::Read)
                .is_ok()
            {
                self.inputs.insert(number, (path, device));
            }
        }
    }
}

/// Brings a program into memory before it is run. The root is compressed, and a machine with two processors
/// has one to spare while the boot waits for devices.
fn read_ahead(program: &str) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(program, flags, Mode::empty()) else {
        return;
    };
    let size = rustix::fs::fstat(&file).map_or(0, |stat| stat.st_size.unsigned_abs());
    for offset in (0..size).step_by(READ_AHEAD) {
        let _ = rustix::fs::fadvise(
            &file,
            offset,
            NonZeroU64::new(READ_AHEAD as u64),
            Advice::WillNeed,
        );
    }
}
