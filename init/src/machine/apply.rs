//! The plan, the volumes, and applying a config: what `plan` and `volumes` do at boot and what a
//! config apply does later are the same steps.

use super::{Machine, control::effect_name, stop::Ending};
use crate::executor::processes::End;
use crate::executor::{config_store, devices, mounts, time};
use crate::planner::options::kernel_value;
use crate::planner::supervisor::Event;
use init_proto::control::{ApplyEffect, EventKind, RefusalKind, Request, Response};
use init_proto::frame::{self, FRAME_MAX};
use init_proto::paths;
use init_proto::plan::{ConfigSource, Mode, PLAN_VERSION, Plan, Restart, ServiceKind, ServiceSpec};
use init_proto::services::{FETCH_CONFIG_USER, PLAN_USER, daemon};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::MemfdFlags;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

/// Time for `orlop plan`.
const PLAN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for one file system check; DATA's journal is replayed in seconds.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for the kernel to show partitions that the installer has made.
const PARTITIONS_WAIT: Duration = Duration::from_secs(10);
/// Time for volumes on a config apply.
const VOLUMES_TIMEOUT: Duration = Duration::from_secs(180);
const E2FSCK: &str = "/usr/sbin/e2fsck";

/// Small files that are handed to `orlop plan`, by their names there.
const SOURCES: [(&str, &str, bool); 8] = [
    // name, path, whole machine only
    ("state-config-a", paths::CONFIG_A, false),
    ("state-config-b", paths::CONFIG_B, false),
    ("sandbox-config", paths::SANDBOX_CONFIG, false),
    ("fw-cfg", paths::FW_CFG_CONFIG, true),
    ("smbios", paths::SMBIOS_OEM_STRINGS, true),
    ("machine-uuid", paths::SMBIOS_UUID, true),
    ("machine-serial", paths::SMBIOS_SERIAL, true),
    (CMDLINE, "/proc/cmdline", true),
];
/// Names a config by its URL; only where it is not sealed.
const CMDLINE: &str = "cmdline";

type Refusal = (RefusalKind, String);

impl Machine {
    /// Runs `orlop plan`. `pending` is a config that is being applied; it goes before all others.
    pub(super) fn run_planner(&mut self, pending: Option<&[u8]>) -> Result<Plan, String> {
        let mut sources: Vec<(String, OwnedFd)> = Vec::new();
        if let Some(pending) = pending {
            let copy = memory_file("config-pending", pending).map_err(|e| e.to_string())?;
            sources.push(("config-pending".into(), copy));
        }
        for (name, path, machine_only) in SOURCES {
            if machine_only && self.options.sandboxed {
                continue;
            }
            if name == CMDLINE && self.options.locked_down {
                self.say_what_is_sealed();
                continue;
            }
            // A copy: some of these can only be read by root, even through an open descriptor.
            if let Ok(bytes) = read_bounded(path) {
                let copy = memory_file(name, &bytes).map_err(|e| e.to_string())?;
                sources.push((name.to_owned(), copy));
            }
        }
        if !self.options.sandboxed {
            let found = devices::blocks();
            let esp = found.esp.iter().map(|name| ("block:esp".to_owned(), name));
            let others = found.candidates.iter().map(|n| (format!("block:{n}"), n));
            for (label, name) in esp.chain(others) {
                if let Some(device) = devices::open_block(name) {
                    sources.push((label, device));
                }
            }
        }
        let descriptors = sources
            .iter()
            .map(|(name, file)| (name.clone(), file.as_fd()))
            .collect();
        let finished = self.run_job(&plan_spec(self.options.sandboxed), descriptors, true)?;
        if finished.end != End::Code(0) {
            return Err(format!("orlop plan {}", ended(finished.end)));
        }
        let plan = frame::decode::<Plan>(&finished.output)
            .map_err(|error| format!("orlop plan gave no plan: {error}"))?;
        match plan {
            Some((plan, used)) if used == finished.output.len() && plan.version == PLAN_VERSION => {
                Ok(self.with_reason(plan))
            }
            Some((plan, _)) if plan.version != PLAN_VERSION => Err(format!(
                "orlop plan speaks version {}, init {PLAN_VERSION}: the image is broken",
                plan.version
            )),
            _ => Err("orlop plan was cut short".into()),
        }
    }

    fn say_what_is_sealed(&mut self) {
        let key = paths::CMDLINE_CONFIG_URL;
        if kernel_value(&self.cmdline, key).is_some() {
            let text =
                format!("the kernel is locked down: {key}= on its command line counts for nothing");
            self.say(4, &text);
        }
    }

    /// Adds to a maintenance reason what `orlop plan` cannot know.
    fn with_reason(&self, mut plan: Plan) -> Plan {
        if let (Mode::Maintenance { reason }, Some(problem)) = (&mut plan.mode, &self.state_problem)
        {
            reason.push_str(&format!(" (STATE cannot be used: {problem})"));
        }
        plan
    }

    /// Installer, STATE, DATA, identity and logs. Every step is tried whatever became of the others, so
    /// that a node whose disk fails can still be looked at; the first failure is the result.
    pub(super) fn prepare_volumes(
        &mut self,
        plan: &Plan,
        deadline: Duration,
    ) -> Result<(), String> {
        let installed = match &plan.installer {
            Some(installer) if !self.options.sandboxed => self.install(installer, deadline),
            _ => Ok(()),
        };
        let state = self.mount_state();
        let data = self.mount_data();
        let stored = self.store_found(plan);
        let identity = self.take_machine_id();
        let logs = self.open_log_files();
        [installed, state, data, stored, identity, logs]
            .into_iter()
            .collect()
    }

    fn store_found(&mut self, plan: &Plan) -> Result<(), String> {
        mounts::directory(paths::STATE_SERVICES, 0o711, 0, 0).map_err(|e| e.to_string())?;
        if let Some(config) = &plan.store_config {
            let number = self
                .store
                .write(config)
                .map_err(|error| format!("store config: {error}"))?;
            let place = if self.persistent {
                "stored"
            } else {
                "kept in memory only"
            };
            self.say(5, &format!("config {place} as generation {number}"));
        }
        self.generation = self.store.read().map_or(0, |stored| stored.number);
        Ok(())
    }

    fn open_log_files(&mut self) -> Result<(), String> {
        mounts::directory("/var/log", 0o755, 0, 0).map_err(|error| error.to_string())?;
        mounts::directory(paths::LOGS, 0o750, 0, 0).map_err(|error| error.to_string())?;
        self.log_to(Path::new(paths::LOGS));
        Ok(())
    }

    fn install(&mut self, installer: &ServiceSpec, deadline: Duration) -> Result<(), String> {
        let finished = self.run_job(installer, Vec::new(), false)?;
        if finished.end != End::Code(0) {
            let said = self.last_words(&installer.name);
            return Err(format!("installer {}{said}", ended(finished.end)));
        }
        let found = devices::blocks();
        if found.state.is_none() || found.data.is_none() {
            devices::reread_tables(&found.disks);
        }
        let until = deadline.min(time::monotonic() + PARTITIONS_WAIT);
        let there = self.wait(until, |_| {
            let found = devices::blocks();
            found.state.is_some() && found.data.is_some()
        });
        if there {
            Ok(())
        } else {
            Err(
                "the installer has ended well, but the kernel shows no ORLOP-STATE and ORLOP-DATA"
                    .into(),
            )
        }
    }

    /// The last warning or error that a job has logged, for its failure's message.
    fn last_words(&self, name: &str) -> String {
        let log = self.logs.get(name);
        let lines = log.into_iter().flat_map(|log| log.ring.iter());
        lines
            .filter(|line| line.level <= crate::planner::lines::WARNING)
            .last()
            .map(|line| format!(": {}", crate::planner::lines::readable(&line.text)))
            .unwrap_or_default()
    }

    /// Checks and mounts STATE, if there is one that is not mounted yet.
    pub(super) fn mount_state(&mut self) -> Result<(), String> {
        if self.persistent || self.options.sandboxed {
            return Ok(());
        }
        let Some(device) = devices::blocks().state else {
            return Ok(());
        };
        self.check_volume(&device)?;
        mounts::volume(&device, paths::STATE, false).map_err(|error| error.to_string())?;
        self.persistent = true;
        self.state_problem = None;
        Ok(())
    }

    fn mount_data(&mut self) -> Result<(), String> {
        if self.data_mounted {
            return Ok(());
        }
        let mounted = match devices::blocks().data.filter(|_| !self.options.sandboxed) {
            Some(device) => self.check_volume(&device).and_then(|()| {
                mounts::volume(&device, paths::DATA, true)
                    .map(|()| true)
                    .map_err(|error| error.to_string())
            }),
            None => Ok(false),
        };
        self.data_mounted = mounted == Ok(true);
        // A later DATA is mounted over the memory that stands in for it.
        if !self.data_mounted && !mounts::is_mounted(paths::DATA) {
            mounts::temporary(paths::DATA, "mode=0755,size=25%")
                .map_err(|error| error.to_string())?;
        }
        mounted.map(|_| ())
    }

    fn check_volume(&mut self, device: &str) -> Result<(), String> {
        if !Path::new(E2FSCK).exists() {
            self.say(4, "no e2fsck in this release: the journal alone must do");
            return Ok(());
        }
        let path = format!("/dev/{device}");
        let spec = ServiceSpec {
            command: vec![E2FSCK.into(), "-p".into(), path],
            ..one_shot("e2fsck", CHECK_TIMEOUT)
        };
        let finished = self.run_job(&spec, Vec::new(), false)?;
        // e2fsck(8): 0 clean, 1 corrected, 2 corrected and a reboot is wanted where it was mounted.
        match finished.end {
            End::Code(0..=2) => Ok(()),
            end => Err(format!(
                "e2fsck of {device} {}{}",
                ended(end),
                self.last_words("e2fsck")
            )),
        }
    }

    /// The node's identity: from STATE, or made once and kept there.
    fn take_machine_id(&mut self) -> Result<(), String> {
        let stored = fs::read_to_string(paths::STATE_MACHINE_ID)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let id = match (stored, self.machine_id.is_empty()) {
            (Some(id), _) => id,
            (None, known) => {
                let id = if known {
                    new_machine_id()?
                } else {
                    self.machine_id.clone()
                };
                let line = format!("{id}\n");
                config_store::replace(Path::new(paths::STATE_MACHINE_ID), line.as_bytes(), 0o644)
                    .map_err(|error| format!("store machine id: {error}"))?;
                id
            }
        };
        let line = format!("{id}\n");
        config_store::replace(Path::new(paths::MACHINE_ID), line.as_bytes(), 0o644)
            .map_err(|error| format!("{}: {error}", paths::MACHINE_ID))?;
        self.machine_id = id;
        Ok(())
    }

    /// Answers [`Request::ConfigApply`].
    pub(super) fn apply(&mut self, connection: u32, user: u32, request: Request) {
        let Request::ConfigApply {
            config,
            effect,
            only_in_maintenance,
        } = request
        else {
            return;
        };
        // Asked now and not when the request came: another config may have been applied meanwhile.
        if only_in_maintenance && !matches!(self.plan.mode, Mode::Maintenance { .. }) {
            let message = "the machine is not in maintenance mode (any more)".to_owned();
            let refusal = (RefusalKind::FailedPrecondition, message);
            return self.answer_late(connection, Err(refusal));
        }
        match self.store_and_plan(&config, effect) {
            Ok((mut plan, new_state)) => {
                if user == FETCH_CONFIG_USER {
                    plan.source = ConfigSource::Url;
                }
                let generation = self.generation;
                self.answer_late(connection, Ok(Response::Stored { generation }));
                self.record(EventKind::ConfigStored { generation });
                let how = effect_name(effect);
                self.say(5, &format!("config generation {generation} applied {how}"));
                match effect {
                    ApplyEffect::Reboot => self.begin_end(Ending::Reboot, "config applied"),
                    ApplyEffect::NoReboot => self.converge(plan, new_state),
                }
            }
            Err(refusal) => self.answer_late(connection, Err(refusal)),
        }
    }

    fn store_and_plan(
        &mut self,
        config: &[u8],
        effect: ApplyEffect,
    ) -> Result<(Plan, bool), Refusal> {
        let refuse = |kind| move |message: String| (kind, message);
        if self.stopping.is_some() {
            let message = "the machine is stopping".to_owned();
            return Err((RefusalKind::FailedPrecondition, message));
        }
        if effect == ApplyEffect::NoReboot
            && let Some(phase) = self.failed_beyond(&["plan", "volumes"])
        {
            let message = format!("boot phase {phase} has failed: apply with a reboot");
            return Err((RefusalKind::FailedPrecondition, message));
        }
        let plan = self
            .run_planner(Some(config))
            .map_err(refuse(RefusalKind::Internal))?;
        if let Mode::Maintenance { reason } = plan.mode {
            return Err((RefusalKind::InvalidArgument, reason));
        }
        let had_state = self.persistent;
        if !had_state {
            let deadline = time::monotonic() + VOLUMES_TIMEOUT;
            let volumes = Plan {
                store_config: None,
                ..plan.clone()
            };
            self.prepare_volumes(&volumes, deadline)
                .map_err(refuse(RefusalKind::FailedPrecondition))?;
        }
        if !self.persistent && effect == ApplyEffect::Reboot {
            let message = "there is no disk to keep the config over a reboot".to_owned();
            return Err((RefusalKind::FailedPrecondition, message));
        }
        self.generation = self.store.write(config).map_err(|error| {
            (
                RefusalKind::ResourceExhausted,
                format!("store config: {error}"),
            )
        })?;
        Ok((plan, self.persistent && !had_state))
    }

    /// Makes the running node what the plan says.
    fn converge(&mut self, plan: Plan, new_state: bool) {
        self.failure = None;
        self.apply_settings(&plan);
        let services = plan.services.clone();
        let old = self.supervisor.status(time::monotonic());
        self.set_mode(plan);
        if let Err(reason) = self.run_services(services.clone()) {
            self.fall_back(format!("the plan's services cannot be run: {reason}"));
            return;
        }
        if new_state {
            // They have begun on a STATE of memory only, which now lies hidden below the real one.
            let with_state = services.iter().filter(|service| service.state_directory);
            for service in with_state {
                if old.iter().any(|status| status.name == service.name) {
                    let name = service.name.clone();
                    self.supervise(Event::RestartRequest { name });
                }
            }
        }
    }
}

fn one_shot(name: &str, timeout: Duration) -> ServiceSpec {
    ServiceSpec {
        kind: ServiceKind::OneShot,
        health: None,
        restart: Restart::Never,
        start_timeout: timeout,
        ..daemon(name)
    }
}

/// `orlop plan`: an unprivileged user without capabilities, filtered, with nothing but its descriptors.
fn plan_spec(sandboxed: bool) -> ServiceSpec {
    let mut spec = ServiceSpec {
        user: PLAN_USER,
        group: PLAN_USER,
        ..one_shot("plan", PLAN_TIMEOUT)
    };
    if sandboxed {
        spec.command.push("--sandboxed".into());
    }
    spec
}

fn ended(end: End) -> String {
    match end {
        End::Code(code) => format!("ended with exit code {code}"),
        End::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

fn read_bounded(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(FRAME_MAX).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file in memory with these bytes, at its beginning.
fn memory_file(name: &str, bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

fn new_machine_id() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    if got != Ok(bytes.len()) {
        return Err("the kernel gives no random bytes for the machine id".into());
    }
    // machine-id(5) asks for a valid version 4 UUID.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids_are_random_uuids() {
        let (a, b) = (new_machine_id().unwrap(), new_machine_id().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 32);
        assert_eq!(&a[12..13], "4");
    }

    #[test]
    fn the_planner_has_no_privileges() {
        let spec = plan_spec(false);
        assert!(spec.capabilities.is_empty() && spec.no_new_privileges && spec.user != 0);
        assert_ne!(spec.seccomp, init_proto::plan::Seccomp::Unfiltered);
    }

    #[test]
    fn a_memory_file_is_read_from_its_beginning() {
        let mut text = String::new();
        let file = memory_file("x", b"kind: Machine").unwrap();
        File::from(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "kind: Machine");
    }
}
