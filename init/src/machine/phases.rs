//! What each boot phase does.

use super::{Machine, Work};
use crate::executor::cgroups::{Cgroups, ROOT};
use crate::executor::console::Console;
use crate::executor::module_loader::{EARLY, EARLY_MODULES, EARLY_WATCHDOG, Loader, load_early};
use crate::executor::mounts;
use crate::executor::poller::{Interest, Source};
use crate::executor::spawn::{in_child, raise_limit};
use crate::executor::watchdog::Watchdog;
use crate::executor::{connections, devices, notify_socket, processes, time, uevents};
use crate::planner::harden::{SYSCTLS, allowed_in_sandbox, path};
use crate::planner::options::{kernel_value, merge_kernel};
use init_proto::paths;
use init_proto::plan::Mode;
use init_proto::services::{close, maintenance_of};
use rustix::process::Resource;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Descriptors of `init` itself: every service may store a thousand.
const OPEN_FILES: u64 = 65_536;
/// Modules that no device asks for: config sources and the file system of volumes.
const ALWAYS: [&str; 3] = ["qemu_fw_cfg", "dmi_sysfs", "ext4"];
/// The same where the firmware is UEFI.
const ALWAYS_EFI: &str = "efivarfs";
const EFI: &str = "/sys/firmware/efi";
/// Modules that can wait until the services run: the power button.
const LATER: [&str; 2] = ["button", "evdev"];
/// Processes that load modules at once: a machine has two processors or more.
const LOADERS: usize = 2;
/// Looks at all devices: a bus driver brings new devices, these may be buses again.
const COLDPLUG_PASSES: usize = 4;
/// Block devices count as settled after this much silence, with and without a disk.
const SETTLED: Duration = Duration::from_millis(200);
const SETTLED_WITHOUT_DISK: Duration = Duration::from_millis(1500);
/// Longest wait for the partition that the firmware has booted from (a slow USB stick).
const BOOT_DISK_WAIT: Duration = Duration::from_secs(15);
/// Set by systemd-boot when it has booted from a disk.
const BOOT_DISK_VARIABLE: &str =
    "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const SECURITY_LOCKDOWN: &str = "/sys/kernel/security/lockdown";

impl Machine {
    pub(super) fn phase_mount(&mut self, _deadline: Duration) -> Result<(), String> {
        let sandboxed = self.options.sandboxed;
        let mounted = mounts::kernel_file_systems(sandboxed);
        self.console = Console::open(sandboxed);
        let limited = raise_limit(Resource::Nofile, OPEN_FILES);
        self.read_identity();
        if !sandboxed {
            self.take_the_console();
        }
        self.say(5, &format!("Orlop {}", self.version));
        let mounted = mounted.map_err(|error| error.to_string())?;
        for missing in mounted.missing {
            self.say(6, &format!("left out: {missing}"));
        }
        if let Err(error) = limited {
            self.say(
                4,
                &format!("the limit of open files is not raised: {error}"),
            );
        }
        if !sandboxed {
            gather_entropy();
        }
        self.persistent = mounted.state_given;
        self.open_sockets()?;
        self.open_cgroups()
    }

    fn read_identity(&mut self) {
        let word = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        if let Ok(text) = fs::read_to_string("/usr/lib/os-release")
            && let Some(version) = ["IMAGE_VERSION=", "VERSION_ID="]
                .iter()
                .find_map(|key| text.lines().find_map(|line| line.strip_prefix(key)))
        {
            self.version = version.trim_matches('"').to_owned();
        }
        if self.options.sandboxed {
            self.boot_id = word("/proc/sys/kernel/random/uuid").unwrap_or_default();
            return;
        }
        self.boot_id = word("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        self.cmdline = word("/proc/cmdline").unwrap_or_default();
        let locked =
            fs::read_to_string(SECURITY_LOCKDOWN).is_ok_and(|text| !text.contains("[none]"));
        merge_kernel(&mut self.options, &self.cmdline.clone(), locked);
    }

    /// The console shows notices and worse; nothing of ours is rate-limited away; Ctrl-Alt-Del comes to
    /// `init` as a signal.
    fn take_the_console(&mut self) {
        let asked = kernel_value(&self.cmdline, "loglevel").is_some()
            || self
                .cmdline
                .split(' ')
                .any(|w| w == "debug" || w == "ignore_loglevel");
        if !asked {
            let _ = fs::write("/proc/sys/kernel/printk", "6 4 1 7");
        }
        // With its newline: the kernel refuses the bare word, and then drops lines beyond ten in 5 s.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
    }

    fn open_sockets(&mut self) -> Result<(), String> {
        for (path, mode) in [("/run/orlop", 0o755), (paths::RUN_SERVICES, 0o755)] {
            mounts::directory(path, mode, 0, 0).map_err(|error| error.to_string())?;
        }
        let control = connections::bind(paths::CONTROL_SOCKET)
            .map_err(|error| format!("bind {}: {error}", paths::CONTROL_SOCKET))?;
        let notify = notify_socket::bind(paths::NOTIFY_SOCKET)
            .map_err(|error| format!("bind {}: {error}", paths::NOTIFY_SOCKET))?;
        let watch = |source, socket| {
            self.poller
                .add(source, socket, Interest::Read)
                .map_err(|error| format!("watch sockets: {error}"))
        };
        watch(Source::Control, &control)?;
        watch(Source::Notify, &notify)?;
        if !self.options.sandboxed {
            let uevents = uevents::open().map_err(|error| format!("uevent socket: {error}"))?;
            watch(Source::Uevents, &uevents)?;
            self.uevents = Some(uevents);
        }
        (self.control, self.notify) = (Some(control), Some(notify));
        Ok(())
    }

    fn open_cgroups(&mut self) -> Result<(), String> {
        // The root of a hierarchy has no such file: a sandbox there would rearrange its host.
        if self.options.sandboxed && !Path::new(ROOT).join("cgroup.events").exists() {
            self.say(
                4,
                "this sandbox has no cgroup of its own: services run without limits",
            );
            return Ok(());
        }
        let (cgroups, missing) =
            Cgroups::set_up(Path::new(ROOT)).map_err(|error| format!("cgroups: {error}"))?;
        self.cgroups = Some(cgroups);
        if !missing.is_empty() {
            let missing = missing.join(", ");
            self.say(
                4,
                &format!("cgroup controllers missing, limits not enforced: {missing}"),
            );
        }
        Ok(())
    }

    pub(super) fn phase_watchdog(&mut self, _deadline: Duration) -> Result<(), String> {
        for failure in load_early(EARLY_WATCHDOG, &self.cmdline) {
            self.say(4, &failure);
        }
        self.arm_watchdog()
    }

    fn arm_watchdog(&mut self) -> Result<(), String> {
        if self.watchdog.is_none() {
            self.watchdog = Watchdog::arm().map_err(|error| format!("/dev/watchdog: {error}"))?;
            match self.watchdog.as_ref().map(|watchdog| watchdog.seconds) {
                Some(seconds) => self.say(5, &format!("hardware watchdog armed, {seconds} s")),
                None => self.say(5, "no hardware watchdog"),
            }
        }
        Ok(())
    }

    pub(super) fn phase_root(&mut self, _deadline: Duration) -> Result<(), String> {
        for failure in load_early(EARLY_MODULES, &self.cmdline) {
            self.say(4, &failure);
        }
        mounts::switch_root(&[EARLY]).map_err(|error| error.to_string())?;
        self.read_identity();
        self.loader = Loader::open(&self.cmdline);
        Ok(())
    }

    pub(super) fn phase_harden(&mut self, _deadline: Duration) -> Result<(), String> {
        let mut failures = Vec::new();
        for (key, value) in SYSCTLS {
            match write_sysctl(key, value) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    failures.push(format!("{key}={value}: {error}"));
                }
                _ => {}
            }
        }
        // Only ever tightened: "[none] integrity confidentiality".
        if fs::read_to_string(SECURITY_LOCKDOWN).is_ok_and(|text| text.contains("[none]")) {
            if !self.loader.signed() {
                self.say(
                    4,
                    "kernel not locked down: this release's modules are not signed",
                );
            } else if let Err(error) = fs::write(SECURITY_LOCKDOWN, "integrity") {
                failures.push(format!("lockdown: {error}"));
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures.join("; "))
        }
    }

    pub(super) fn phase_modules(&mut self, deadline: Duration) -> Result<(), String> {
        // The kernel asks `init` for what it misses (a file system, a protocol).
        let _ = fs::write("/proc/sys/kernel/modprobe", "/usr/bin/init");
        let mut seen = BTreeSet::new();
        for _ in 0..COLDPLUG_PASSES {
            let mut news: Vec<String> = Loader::device_aliases()
                .into_iter()
                .filter(|alias| seen.insert(alias.clone()))
                .collect();
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
        Ok(())
    }

    /// Loads the drivers of many devices in a few processes: checking signatures and probing devices takes
    /// most of the time, and the kernel does it in the caller's. Who needs a module that another process
    /// is loading waits for it in the kernel.
    fn load_side_by_side(&mut self, aliases: &[String], deadline: Duration) -> Result<(), String> {
        let mut workers = Vec::new();
        for worker in 0..LOADERS {
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
        let aliases = match alias {
            Some(alias) => BTreeSet::from([alias.to_owned()]),
            None => Loader::device_aliases(),
        };
        for alias in aliases {
            self.load_one(&alias);
            self.breathe();
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

    pub(super) fn phase_devices(&mut self, deadline: Duration) -> Result<(), String> {
        self.block_change = time::monotonic();
        let begun = self.block_change;
        let from_disk = Path::new(BOOT_DISK_VARIABLE).exists();
        let until = deadline.min(begun + BOOT_DISK_WAIT);
        let settled = |machine: &mut Self| {
            let found = devices::blocks();
            if found.state.is_some() {
                return true;
            }
            let quiet = time::monotonic().saturating_sub(machine.block_change);
            if found.disks.is_empty() {
                !from_disk && quiet >= SETTLED_WITHOUT_DISK
            } else {
                (!from_disk || found.esp.is_some()) && quiet >= SETTLED
            }
        };
        // The last look decides: a machine without a disk is not a failure.
        while time::monotonic() < until && !settled(self) {
            self.turn(Some((time::monotonic() + SETTLED / 4).min(until)));
        }
        if let Err(reason) = self.mount_state() {
            // An installation that was cut short looks like this; the installer finishes it.
            self.say(4, &format!("STATE cannot be used: {reason}"));
            self.state_problem = Some(reason);
        }
        if !self.persistent {
            mounts::temporary(paths::STATE, "mode=0755,size=16m")
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub(super) fn phase_plan(&mut self, _deadline: Duration) -> Result<(), String> {
        let planned = self.run_planner(None);
        if planned.is_err() && self.store.read().is_some() {
            // There is a config, and nobody can say whom it trusts.
            close(&mut self.plan);
        }
        if self.failure.is_some() {
            // The reason for maintenance mode is there already. A config that can be read all the same says
            // whom the node trusts meanwhile.
            if let (Ok(planned), Mode::Maintenance { reason }) = (planned, &self.plan.mode) {
                let sandboxed = self.options.sandboxed;
                self.plan = maintenance_of(&planned, reason.clone(), sandboxed);
            }
            return Ok(());
        }
        let plan = planned?;
        self.apply_settings(&plan);
        self.plan = plan;
        self.announce_mode();
        Ok(())
    }

    pub(super) fn phase_volumes(&mut self, deadline: Duration) -> Result<(), String> {
        let plan = self.plan.clone();
        self.prepare_volumes(&plan, deadline)
    }

    pub(super) fn phase_services(&mut self, _deadline: Duration) -> Result<(), String> {
        self.run_services(self.plan.services.clone())
    }

    /// Applies a plan's sysctls and modules. What the kernel refuses is said and left out: the node is
    /// worth more with the rest than without.
    pub(super) fn apply_settings(&mut self, plan: &init_proto::plan::Plan) {
        let sandboxed = self.options.sandboxed;
        for (key, value) in &plan.sysctls {
            if sandboxed && !allowed_in_sandbox(key) {
                self.say(
                    5,
                    &format!("sysctl {key} belongs to the host of this node: left out"),
                );
            } else if let Err(error) = write_sysctl(key, value) {
                self.say(4, &format!("sysctl {key}={value}: {error}"));
            }
        }
        if sandboxed {
            return;
        }
        for request in &plan.modules {
            let wanted = self.loader.wanted(&request.name);
            if wanted.is_empty() && !self.loader.knows(&request.name) {
                let name = &request.name;
                self.say(4, &format!("kernel module {name} is not in this release"));
            }
            let last = wanted.len().saturating_sub(1);
            for (index, module) in wanted.iter().enumerate() {
                let parameters = if index == last {
                    &request.parameters[..]
                } else {
                    &[]
                };
                if let Err(error) = self.loader.load(module, parameters) {
                    self.say(4, &error);
                }
            }
        }
    }
}

/// Makes the kernel begin to gather entropy: it does so only while somebody waits for it, and keys and
/// identities are wanted in a second or two. The child waits and ends; it is reaped like any other.
fn gather_entropy() {
    let _ = in_child(|| {
        let mut byte = [0_u8; 1];
        let _ = rustix::rand::getrandom(&mut byte[..], rustix::rand::GetRandomFlags::empty());
    });
}

fn write_sysctl(key: &str, value: &str) -> std::io::Result<()> {
    let path = path(key).ok_or_else(|| std::io::Error::other("not a sysctl key"))?;
    // One write(2), as the kernel wants it.
    fs::write(path, value)
}
