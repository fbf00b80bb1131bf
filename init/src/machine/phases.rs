//! What each boot phase does.

use super::Machine;
use crate::executor::cgroups::{Cgroups, ROOT};
use crate::executor::console::Console;
use crate::executor::module_loader::{EARLY, EARLY_MODULES, EARLY_WATCHDOG, Loader, load_early};
use crate::executor::mounts;
use crate::executor::poller::{Interest, Source};
use crate::executor::spawn::{in_child, raise_limit};
use crate::executor::watchdog::Watchdog;
use crate::executor::{connections, devices, notify_socket, time, uevents};
use crate::planner::harden::{SYSCTLS, allowed_in_sandbox, path};
use crate::planner::options::{kernel_value, merge_kernel};
use init_proto::paths;
use init_proto::plan::Mode;
use init_proto::services::{close, maintenance_of};
use rustix::process::Resource;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Descriptors of `init` itself: every service may store a thousand.
const OPEN_FILES: u64 = 65_536;
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

    pub(super) fn arm_watchdog(&mut self) -> Result<(), String> {
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
