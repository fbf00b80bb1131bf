//! Containers: created, started, stopped, removed, and found again.

use super::{
    super::{
        images::{Snapshot, overlay},
        keeper::{bundle, client::KeeperCallError},
        network::namespace_file,
        records::{remove_directory, unmount},
    },
    CONTAINERS_MAX, Entry, Pods, PodsError, blocking, facts, is_ready, new_id, now,
    sandboxes::NAMESPACES,
    text,
    users::{self, Users},
};
use crate::planner::{
    keeper::frames::{Exit, Known, Streams},
    records::{ContainerRecord, ContainerState, Found, VERSION, container_name, find},
    spec::{self, Facts, Namespaces, SandboxFiles},
};
use cri_proto::runtime::{ContainerConfig, ContainerEventType, NamespaceMode, PodSandboxConfig};
use oci_spec::{
    image::ImageConfiguration,
    runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process},
};
use rustix::process::Pid;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// From SIGKILL to the end. What waits for a disk takes its time.
const DIES_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const SIGKILL: i32 = 9;

/// What was started.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Its first process.
    pub pid: i32,
}

impl Pods {
    /// Makes a container in a sandbox; its ID.
    ///
    /// # Errors
    /// [`PodsError`]; nothing of it is left.
    pub async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: &PodSandboxConfig,
    ) -> Result<String, PodsError> {
        let sandbox = self.known_sandbox(sandbox)?;
        // It must not be stopped or removed meanwhile.
        let _sandbox_turn = sandbox.turn.lock().await;
        let within = sandbox.record();
        if !is_ready(within.state) {
            return Err(PodsError::FailedPrecondition(format!(
                "sandbox {:?} is not ready",
                within.id
            )));
        }
        let image = config.image.clone().unwrap_or_default().image;
        if image.is_empty() {
            return Err(PodsError::InvalidArgument(
                "ContainerConfig.image is missing".to_owned(),
            ));
        }
        let details = self.0.images.details(&image).await?;
        // By its ID: another pull may give the name to another image meanwhile.
        let snapshot = self
            .0
            .images
            .snapshot(&details.image.record.id.to_string())?;
        let image_config = ImageConfiguration::from_reader(details.config_text.as_bytes())
            .map_err(|error| {
                PodsError::FailedPrecondition(format!("the image's config: {error}"))
            })?;
        let log = match (
            sandbox_config.log_directory.as_str(),
            config.log_path.as_str(),
        ) {
            (_, "") | ("", _) => None,
            (directory, path) => Some(Path::new(directory).join(path)),
        };
        let id = new_id()?;
        let record = ContainerRecord {
            version: VERSION,
            sandbox: within.id.clone(),
            boot: self.0.boot.clone(),
            state: ContainerState::Making,
            created_at: now(),
            image: details.image.record.id.clone(),
            layers: details.image.record.chain_ids.clone(),
            log,
            stop_signal: 0,
            cgroup: PathBuf::new(),
            user: (0, 0, Vec::new()),
            id: id.clone(),
            config,
        };
        let name = container_name(&record.config, &within.id);
        let entry = Entry::new(record);
        let _turn = entry.turn.lock().await;
        {
            let mut table = self.table();
            if let Some(other) = table.names.get(&name) {
                return Err(PodsError::AlreadyExists(format!(
                    "name {name:?} is reserved for {other:?}"
                )));
            }
            if table.containers.len() >= CONTAINERS_MAX {
                return Err(PodsError::ResourceExhausted(format!(
                    "there are {CONTAINERS_MAX} containers already"
                )));
            }
            table.names.insert(name, id.clone());
            table.containers.insert(id.clone(), entry.clone());
        }
        match self
            .make_container(&entry, sandbox_config, snapshot, &image_config)
            .await
        {
            Ok(()) => {
                self.tell(&id, &within.id, ContainerEventType::ContainerCreatedEvent);
                Ok(id)
            }
            Err(error) => {
                self.discard_container(&id).await;
                Err(error)
            }
        }
    }

    async fn make_container(
        &self,
        entry: &Arc<Entry<ContainerRecord>>,
        sandbox_config: &PodSandboxConfig,
        snapshot: Snapshot,
        image: &ImageConfiguration,
    ) -> Result<(), PodsError> {
        let record = entry.record();
        let id = record.id.clone();
        let config = &record.config;
        self.write_container(&record)?;
        let bundle = self.0.bundle(&id);
        let rootfs = bundle.join("rootfs");
        let state = self.0.sandbox_state(&record.sandbox);
        let users = self.users(&record.sandbox)?;
        {
            let (directory, bundle) = (self.0.container_records.of(&id), bundle.clone());
            let (lower, users) = (snapshot.lower.clone(), users.clone());
            blocking(move || mount_root(&directory, &bundle, &lower, users.as_ref())).await?;
        }
        let volumes_of_images = self.image_volumes(config, &bundle, users.as_ref()).await?;
        let mut holds = volumes_of_images.holds;
        holds.push(snapshot.hold);
        self.table().holds.insert(id.clone(), holds);
        let databases = facts::databases(rootfs.clone()).await?;
        let mounts = facts::mounts(config, volumes_of_images.paths).await?;
        let devices = facts::devices(config).await?;
        let profile = match spec::seccomp_path(config)? {
            Some(path) => Some(facts::profile(path).await?),
            None => None,
        };
        let volumes = {
            let owner = users.as_ref().map_or((0, 0), |users| users.root);
            self.make_volumes(&id, &rootfs, owner, config, image)
                .await?
        };
        let files = self.0.sandbox_files(&record.sandbox);
        let [network, ipc, uts, user] = NAMESPACES.map(|name| {
            let path = namespace_file(&state, name);
            path.exists().then_some(path)
        });
        let pid = self.pid_namespace(config, &record.sandbox)?;
        let host = &self.0.host;
        let made = spec::container(
            config,
            sandbox_config,
            &Facts {
                id: &id,
                rootfs: &rootfs,
                image,
                passwd: &databases.passwd,
                group: &databases.group,
                namespaces: Namespaces {
                    network: network.as_deref(),
                    ipc: ipc.as_deref(),
                    uts: uts.as_deref(),
                    user: user.as_deref(),
                    pid: pid.as_deref(),
                },
                files: SandboxFiles {
                    hostname: &files.hostname,
                    hosts: &files.hosts,
                    resolv_conf: &files.resolv_conf,
                    shm: &files.shm,
                },
                mounts: &mounts,
                volumes: &volumes,
                devices: &devices,
                seccomp_profile: profile.as_deref(),
                kernel: host.kernel,
                capability_last: host.capability_last,
                cgroup_v2: host.cgroup_v2,
                swap_accounting: host.swap_accounting,
                apparmor: host.apparmor,
                node_name: &host.node_name,
            },
        )?;
        let filter = made.filter.map(|program| program.to_bytes());
        let device_program = made.devices.map(|program| program.to_bytes());
        let mut spec = made.spec;
        if let Some(process) = spec.process_mut() {
            lower_limits(process, host.open_files_max);
        }
        let mut cgroup = PathBuf::new();
        if let Some(linux) = spec.linux_mut() {
            // Ours is put on by the workload; libcontainer would warn that it has none.
            linux.set_seccomp(None);
            cgroup = linux.cgroups_path().clone().unwrap_or_default();
        }
        blocking(move || {
            if let Some(users) = users {
                users::bind_mounts(&mut spec, &bundle, &users)?;
            }
            let (filter, devices) = (
                filter.unwrap_or_default(),
                device_program.unwrap_or_default(),
            );
            bundle::write(&bundle, &spec, &filter, &devices)
                .map_err(PodsError::at("write a container's bundle"))
        })
        .await?;
        {
            let mut record = entry.lock();
            record.cgroup = cgroup;
            record.stop_signal = spec::signal_number(made.stop_signal);
            record.user = (
                made.user.uid,
                made.user.gid,
                made.user.supplemental_groups.clone(),
            );
            record.layers.extend(volumes_of_images.layers);
            record.state = ContainerState::Created;
        }
        self.write_container(&entry.record())
    }

    /// Starts a container.
    ///
    /// # Errors
    /// [`PodsError`]. One that cannot be started has ended, with the reason in its status.
    pub async fn start_container(&self, id: &str) -> Result<Started, PodsError> {
        let entry = self.known_container(id)?;
        let sandbox = self.known_sandbox(&entry.record().sandbox)?;
        // The sandbox's turn comes before the container's, as where it is removed.
        let _sandbox_turn = sandbox.turn.lock().await;
        let _turn = entry.turn.lock().await;
        let record = entry.record();
        if !is_ready(sandbox.record().state) {
            return Err(PodsError::FailedPrecondition(format!(
                "sandbox {:?} of container {:?} is not ready",
                record.sandbox, record.id
            )));
        }
        if record.state != ContainerState::Created {
            return Err(PodsError::FailedPrecondition(format!(
                "container {:?} is in state {:?}, and only one that was created can be started",
                record.id,
                super::container_state(&record.state).as_str_name()
            )));
        }
        if let Some(directory) = record.log.as_deref().and_then(Path::parent) {
            fs::create_dir_all(directory)
                .map_err(PodsError::at(format!("make {}", text(directory))))?;
        }
        let streams = Streams {
            log: record.log.as_deref().map(text),
            stdin: record.config.stdin,
            terminal: record.config.tty,
        };
        let bundle = self.0.bundle(&record.id);
        let running = match self.0.keeper.run(&record.id, &bundle, streams).await {
            Ok(running) => running,
            Err(error) => {
                if !matches!(error, KeeperCallError::Refused(_)) {
                    // It may run: what has no answer is no refusal.
                    self.delete_from_keeper(&record.id).await?;
                }
                let reason = service::chain(&error);
                entry.lock().not_started(now(), reason.clone());
                self.keep_container(&entry);
                entry.changed.send_replace(());
                self.tell(
                    &record.id,
                    &record.sandbox,
                    ContainerEventType::ContainerStoppedEvent,
                );
                return Err(PodsError::Internal(format!(
                    "failed to start container {:?}: {reason}",
                    record.id
                )));
            }
        };
        {
            let mut record = entry.lock();
            // Its end may have been told before this answer.
            if record.state == ContainerState::Created {
                record.state = ContainerState::Running {
                    pid: running.pid,
                    started_at: running.started_at,
                };
            } else if let ContainerState::Exited { started_at, .. } = &mut record.state {
                *started_at = running.started_at;
            }
        }
        self.keep_container(&entry);
        self.tell(
            &record.id,
            &record.sandbox,
            ContainerEventType::ContainerStartedEvent,
        );
        Ok(Started { pid: running.pid })
    }

    /// Asks a container to stop, and ends it when its time is over. One that does not run, or is unknown, has stopped.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), PodsError> {
        let Some(entry) = self.find_container(id) else {
            return Ok(());
        };
        let _turn = entry.turn.lock().await;
        let record = entry.record();
        if !record.runs() {
            return Ok(());
        }
        if !grace.is_zero() {
            self.signal(&record.id, record.stop_signal).await?;
            if timeout(grace, wait_for_end(&entry)).await.is_ok() {
                return Ok(());
            }
        }
        self.kill(&entry).await
    }

    pub(super) async fn kill_container(
        &self,
        entry: &Arc<Entry<ContainerRecord>>,
    ) -> Result<(), PodsError> {
        // Who stops it by and by must not hold this up: SIGKILL needs no turn.
        if entry.record().runs() {
            self.kill(entry).await?;
        }
        Ok(())
    }

    async fn kill(&self, entry: &Arc<Entry<ContainerRecord>>) -> Result<(), PodsError> {
        let id = entry.record().id;
        self.signal(&id, SIGKILL).await?;
        timeout(DIES_MAX, wait_for_end(entry)).await.map_err(|_| {
            PodsError::DeadlineExceeded(format!(
                "container {id:?} has not ended within {DIES_MAX:?} of SIGKILL"
            ))
        })
    }

    /// One that has ended meanwhile is none the worse for it.
    async fn signal(&self, id: &str, number: i32) -> Result<(), PodsError> {
        match self.0.keeper.signal(id, number).await {
            Ok(()) | Err(KeeperCallError::Unknown) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a container; one that runs is ended. One that is unknown is gone already.
    ///
    /// # Errors
    /// [`PodsError`]; it can be asked for again.
    pub async fn remove_container(&self, id: &str) -> Result<(), PodsError> {
        let Some(entry) = self.find_container(id) else {
            return Ok(());
        };
        self.kill_container(&entry).await?;
        let _turn = entry.turn.lock().await;
        let record = entry.record();
        if record.runs() {
            self.kill(&entry).await?;
        }
        self.take_container_down(&record.id).await?;
        self.forget_container(&record.id);
        self.tell(
            &record.id,
            &record.sandbox,
            ContainerEventType::ContainerDeletedEvent,
        );
        Ok(())
    }

    /// Begins a container's log anew, after it was moved away.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn reopen_log(&self, id: &str) -> Result<(), PodsError> {
        let record = self.container(id)?;
        if !record.runs() {
            return Err(PodsError::FailedPrecondition(format!(
                "container {:?} is not running",
                record.id
            )));
        }
        Ok(self.0.keeper.reopen_log(&record.id).await?)
    }

    /// A container's record.
    ///
    /// # Errors
    /// [`PodsError::NotFound`].
    pub fn container(&self, id: &str) -> Result<ContainerRecord, PodsError> {
        self.known_container(id).map(|entry| entry.record())
    }

    /// All of them.
    #[must_use]
    pub fn containers(&self) -> Vec<ContainerRecord> {
        let entries: Vec<_> = self.table().containers.values().cloned().collect();
        entries
            .iter()
            .map(|entry| entry.record())
            // What is half-made is nobody's yet.
            .filter(|record| record.state != ContainerState::Making)
            .collect()
    }

    pub(super) fn known_container(
        &self,
        id: &str,
    ) -> Result<Arc<Entry<ContainerRecord>>, PodsError> {
        self.find_container(id)
            .ok_or_else(|| PodsError::NotFound(format!("container {id:?} is not found")))
    }

    fn find_container(&self, id: &str) -> Option<Arc<Entry<ContainerRecord>>> {
        let table = self.table();
        let known = table.containers.keys().map(String::as_str);
        let id = spec::find_by_prefix(known, id)?;
        table.containers.get(id).cloned()
    }

    fn pid_namespace(
        &self,
        config: &ContainerConfig,
        sandbox: &str,
    ) -> Result<Option<PathBuf>, PodsError> {
        let options = config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.as_ref())
            .and_then(|security| security.namespace_options.clone())
            .unwrap_or_default();
        let of = |pid: i32| Some(PathBuf::from(format!("/proc/{pid}/ns/pid")));
        match NamespaceMode::try_from(options.pid) {
            Ok(NamespaceMode::Pod) => {
                let pause = self.known_sandbox(sandbox)?.record().pause;
                Ok(pause.and_then(of))
            }
            Ok(NamespaceMode::Target) => match self.container(&options.target_id)?.state {
                ContainerState::Running { pid, .. } => Ok(of(pid)),
                _ => Err(PodsError::FailedPrecondition(format!(
                    "target container {:?} is not running",
                    options.target_id
                ))),
            },
            _ => Ok(None),
        }
    }

    async fn make_volumes(
        &self,
        id: &str,
        rootfs: &Path,
        owner: (u32, u32),
        config: &ContainerConfig,
        image: &ImageConfiguration,
    ) -> Result<Vec<spec::Volume>, PodsError> {
        let destinations = spec::volumes(config, image)?;
        let directory = self.0.container_records.of(id).join("volumes");
        let rootfs = rootfs.to_owned();
        blocking(move || {
            let mut volumes = Vec::new();
            for (number, destination) in destinations.into_iter().enumerate() {
                let source = directory.join(number.to_string());
                let copied = super::super::copy::tree(&rootfs, &destination, &source, owner);
                copied.map_err(PodsError::at(format!(
                    "copy the image's volume {}",
                    text(&destination)
                )))?;
                volumes.push(spec::Volume {
                    source,
                    destination,
                });
            }
            Ok(volumes)
        })
        .await
    }

    pub(super) fn write_container(&self, record: &ContainerRecord) -> Result<(), PodsError> {
        self.0
            .container_records
            .write(&record.id, record)
            .map_err(PodsError::at("write a container's record"))
    }

    /// What the kernel and the disk have of a container goes.
    async fn take_container_down(&self, id: &str) -> Result<(), PodsError> {
        self.delete_from_keeper(id).await?;
        let bundle = self.0.bundle(id);
        let (records, of) = (self.0.container_records.clone(), id.to_owned());
        blocking(move || {
            users::unbind_mounts(&bundle)?;
            let rootfs = bundle.join("rootfs");
            unmount(&rootfs).map_err(PodsError::at(format!("unmount {}", text(&rootfs))))?;
            remove_directory(&bundle).map_err(PodsError::at("remove a container's bundle"))?;
            records
                .remove(&of)
                .map_err(PodsError::at("remove what a container has written"))
        })
        .await
    }

    /// Ends what the keeper and libcontainer have of a container, or a pause process.
    pub(super) async fn delete_from_keeper(&self, id: &str) -> Result<(), PodsError> {
        let deleted = async {
            loop {
                match self.0.keeper.delete(id).await {
                    // An earlier runtime has started it, and died before the keeper's answer.
                    Err(KeeperCallError::Busy) => {
                        self.signal(id, SIGKILL).await?;
                        sleep(LOOK_AGAIN).await;
                    }
                    result => return Ok::<(), PodsError>(result?),
                }
            }
        };
        timeout(DIES_MAX, deleted)
            .await
            .map_err(|_| PodsError::DeadlineExceeded(format!("container {id:?} does not end")))?
    }

    fn forget_container(&self, id: &str) {
        let mut table = self.table();
        table.containers.remove(id);
        table.holds.remove(id);
        table.names.retain(|_, named| named != id);
        drop(table);
        self.forget_usage(id);
    }

    /// Of one that is half-made. What cannot be removed now is at the next start.
    pub(super) async fn discard_container(&self, id: &str) {
        let _ = self.signal(id, SIGKILL).await;
        if let Err(error) = self.take_container_down(id).await {
            tracing::error!(%error, container = id, "a half-made container cannot be undone now");
        }
        self.forget_container(id);
    }

    pub(super) async fn recover_containers(
        &self,
        known: &BTreeMap<String, Known>,
    ) -> Result<(), PodsError> {
        let (records, rubbish) = self
            .0
            .container_records
            .read::<ContainerRecord>()
            .map_err(PodsError::at("read the records of containers"))?;
        for record in records {
            let id = record.id.clone();
            let bundle = self.0.bundle(&id);
            let entry = Entry::new(record.clone());
            {
                let mut table = self.table();
                let name = container_name(&record.config, &record.sandbox);
                table.names.insert(name, id.clone());
                table.containers.insert(id.clone(), entry.clone());
            }
            let noted = bundle::noted_exit(&bundle);
            match find(&record, &self.0.boot, known.get(&id), noted) {
                Found::AsRecorded => {}
                Found::Runs { pid, started_at } => {
                    entry.lock().state = ContainerState::Running { pid, started_at };
                }
                Found::Ended(exit) => self.found_ended(&entry, exit),
                Found::Lost => {
                    self.end_what_is_left(&record);
                    entry.lock().lost(now());
                }
                Found::Undo => {
                    tracing::warn!(container = id, "a half-made container is undone");
                    self.discard_container(&id).await;
                    continue;
                }
            }
            self.keep_container(&entry);
            match self.0.images.hold(&record.layers) {
                Ok(snapshot) => {
                    self.table().holds.insert(id, vec![snapshot.hold]);
                }
                Err(error) => tracing::warn!(%error, container = id, "its layers"),
            }
        }
        for name in rubbish {
            self.discard_container(&name).await;
        }
        Ok(())
    }

    fn found_ended(&self, entry: &Arc<Entry<ContainerRecord>>, exit: Exit) {
        let mut record = entry.lock();
        let out_of_memory = facts::out_of_memory(&record.cgroup, self.0.host.cgroup_v2);
        record.ended(exit, out_of_memory);
    }

    /// A container whose keeper has died may run still, and nobody would log it or see its end: it is ended. It is the process that
    /// the record names only if that one was started before the record was written, and is in the container's cgroup.
    pub(super) fn end_what_is_left(&self, record: &ContainerRecord) {
        let ContainerState::Running { pid, .. } = record.state else {
            return;
        };
        let in_cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|text| text.contains(&record.id));
        if record.boot == self.0.boot
            && in_cgroup
            && let Some(pid) = Pid::from_raw(pid)
        {
            tracing::warn!(
                container = record.id,
                "it runs without a keeper: it is ended"
            );
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// To what this machine lets us give.
fn lower_limits(process: &mut Process, open_files_max: u64) {
    let lowered = |limit: &PosixRlimit| match limit.typ() {
        PosixRlimitType::RlimitNofile => PosixRlimitBuilder::default()
            .typ(limit.typ())
            .hard(limit.hard().min(open_files_max))
            .soft(limit.soft().min(open_files_max))
            .build()
            .expect("no field of it is missing"),
        _ => *limit,
    };
    let limits = process.rlimits().iter().flatten().map(lowered).collect();
    process.set_rlimits(Some(limits));
}

async fn wait_for_end(entry: &Entry<ContainerRecord>) {
    let mut changed = entry.changed.subscribe();
    while entry.lock().runs() {
        // The entry, which is borrowed, holds the sender.
        let _ = changed.changed().await;
    }
}

/// Layers, and what the container writes over them.
fn mount_root(
    directory: &Path,
    bundle: &Path,
    lower: &[PathBuf],
    users: Option<&Users>,
) -> Result<(), PodsError> {
    let (upper, work) = (directory.join("upper"), directory.join("work"));
    let rootfs = bundle.join("rootfs");
    for made in [&upper, &work, &rootfs] {
        fs::create_dir_all(made).map_err(PodsError::at(format!("make {}", text(made))))?;
    }
    users::let_in(bundle, users.map(|users| users.root))
        .map_err(PodsError::at("make a container's bundle"))?;
    let empty = directory.join("empty");
    let lower = if lower.is_empty() {
        // overlayfs wants one.
        fs::create_dir_all(&empty).map_err(PodsError::at("make an empty layer"))?;
        vec![empty]
    } else {
        lower.to_vec()
    };
    let upper = overlay::Upper {
        upper: &upper,
        work: &work,
    };
    if let Some(users) = users {
        return users::mount_root(&lower, upper, bundle, users);
    }
    overlay::mount(&lower, Some(upper), &rootfs)
        .map_err(PodsError::at("mount the container's root"))
}
