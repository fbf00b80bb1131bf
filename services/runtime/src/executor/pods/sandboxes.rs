//! Sandboxes: run, stopped, removed, and found again.

use super::{
    super::{
        keeper::bundle,
        network::{Ask, is_pinned, namespace_file},
        records::{remove_directory, unmount},
    },
    Entry, Pods, PodsError, SANDBOXES_MAX, blocking, new_id, now, text, users,
};
use crate::planner::{
    keeper::frames::{Known, Pin, PinUser, Streams},
    records::{ContainerRecord, SandboxRecord, SandboxState, VERSION, sandbox_name},
    spec,
};
use cri_proto::runtime::{ContainerEventType, PodSandboxConfig};
use oci_spec::runtime::LinuxIdMapping;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Those that a sandbox may have of its own, by the names of their files.
pub(super) const NAMESPACES: [&str; 4] = ["net", "ipc", "uts", "user"];

impl Pods {
    /// Makes a sandbox; its ID.
    ///
    /// # Errors
    /// [`PodsError`]; nothing of it is left.
    pub async fn run_sandbox(
        &self,
        config: PodSandboxConfig,
        handler: &str,
    ) -> Result<String, PodsError> {
        if !handler.is_empty() {
            return Err(PodsError::NotFound(format!(
                "no runtime for {handler:?} is configured"
            )));
        }
        let wanted = spec::sandbox(&config)?;
        let record = SandboxRecord {
            version: VERSION,
            id: new_id()?,
            boot: self.0.boot.clone(),
            state: SandboxState::Making,
            created_at: now(),
            handler: handler.to_owned(),
            addresses: Vec::new(),
            attached: false,
            pause: wanted.shared_pid.then_some(0),
            config,
        };
        let id = record.id.clone();
        let name = sandbox_name(&record.config);
        let entry = Entry::new(record);
        let _turn = entry.turn.lock().await;
        {
            let mut table = self.table();
            if let Some(other) = table.names.get(&name) {
                return Err(PodsError::AlreadyExists(format!(
                    "name {name:?} is reserved for {other:?}"
                )));
            }
            if table.sandboxes.len() >= SANDBOXES_MAX {
                return Err(PodsError::ResourceExhausted(format!(
                    "there are {SANDBOXES_MAX} sandboxes already"
                )));
            }
            table.names.insert(name.clone(), id.clone());
            table.sandboxes.insert(id.clone(), entry.clone());
        }
        match self.make_sandbox(&entry, &wanted).await {
            Ok(()) => {
                self.tell(&id, &id, ContainerEventType::ContainerCreatedEvent);
                self.tell(&id, &id, ContainerEventType::ContainerStartedEvent);
                Ok(id)
            }
            Err(error) => {
                match self.take_down(&entry).await {
                    Ok(()) => self.forget_sandbox(&id).await?,
                    // It stays, so that somebody finds it and removes it.
                    Err(error) => {
                        tracing::error!(%error, sandbox = id, "a half-made sandbox cannot be undone now");
                        entry.lock().state = SandboxState::NotReady;
                        self.keep_sandbox(&entry.record())?;
                    }
                }
                Err(error)
            }
        }
    }

    async fn make_sandbox(
        &self,
        entry: &Arc<Entry<SandboxRecord>>,
        wanted: &spec::Sandbox,
    ) -> Result<(), PodsError> {
        let record = entry.record();
        let id = &record.id;
        self.keep_sandbox(&record)?;
        let directory = self.0.sandbox_state(id);
        let pin = pin(&directory, wanted)?;
        if pin != Pin::default() {
            self.0.keeper.pin(pin).await?;
        }
        if wanted.shared_pid {
            self.start_pause(entry, wanted).await?;
        }
        let mut addresses = Vec::new();
        if wanted.network {
            let ask = self.ask(&record);
            let reserved = self.0.network.reserve(&ask).await;
            // Before it is done: a crash in between must not leave one behind.
            entry.lock().attached = true;
            let reserved = reserved?;
            entry.lock().addresses.clone_from(&reserved.addresses);
            self.keep_sandbox(&entry.record())?;
            addresses = self.0.network.attach(&ask, reserved).await?;
        }
        let inner = Arc::clone(&self.0);
        let (of, config, hostname, own_ipc) = (
            id.clone(),
            record.config.clone(),
            wanted.hostname.clone(),
            wanted.ipc,
        );
        let own = addresses.clone();
        blocking(move || inner.write_sandbox_files(&of, &config, &hostname, own_ipc, &own)).await?;
        if wanted.shared_pid && !self.keeps(id).await? {
            return Err(PodsError::Internal(
                "the pause process has ended".to_owned(),
            ));
        }
        {
            let mut record = entry.lock();
            record.addresses = addresses;
            record.state = SandboxState::Ready;
        }
        self.keep_sandbox(&entry.record())
    }

    /// Starts the process that holds the PID namespace, as a container with the sandbox's ID.
    async fn start_pause(
        &self,
        entry: &Arc<Entry<SandboxRecord>>,
        wanted: &spec::Sandbox,
    ) -> Result<(), PodsError> {
        let id = entry.record().id;
        let directory = self.0.sandbox_state(&id);
        let (bundle, rootfs) = (directory.join("pause"), directory.join("pause/rootfs"));
        let pinned = NAMESPACES.map(|name| namespace_file(&directory, name));
        let [network, ipc, uts, user] = pinned
            .each_ref()
            .map(|path| path.exists().then_some(path.as_path()));
        let spec = spec::pause(&spec::Pause {
            rootfs: &rootfs,
            program: &self.0.place.program,
            argument: super::super::pause::NAME,
            namespaces: spec::Namespaces {
                network,
                ipc,
                uts,
                user,
                pid: None,
            },
            cgroup: &wanted.cgroup_parent.join(&id),
        });
        let root = wanted
            .user
            .as_ref()
            .map(spec::UserMappings::root)
            .transpose()?;
        let made = || {
            for name in ["proc", "dev"] {
                fs::create_dir_all(rootfs.join(name))?;
            }
            // Who is root there has to reach it, and the program.
            users::let_in(&bundle, root)?;
            fs::write(rootfs.join("orlop"), "")?;
            bundle::write(&bundle, &spec, &[], &[])
        };
        made().map_err(PodsError::at("write the bundle of the pause process"))?;
        let streams = Streams {
            log: None,
            stdin: false,
            terminal: false,
        };
        let running = self.0.keeper.run(&id, &bundle, streams).await?;
        entry.lock().pause = Some(running.pid);
        Ok(())
    }

    /// Whether the keeper has a container of this ID that runs.
    async fn keeps(&self, id: &str) -> Result<bool, PodsError> {
        let known = self.0.keeper.list().await?;
        Ok(known.iter().any(|one| one.id == id && one.exit.is_none()))
    }

    /// Without its pause process a sandbox has no PID namespace for new containers.
    pub(super) fn pause_ended(&self, id: &str) {
        let entry = self.table().sandboxes.get(id).cloned();
        let Some(entry) = entry else { return };
        let was_ready = {
            let mut record = entry.lock();
            let was_ready = record.state == SandboxState::Ready;
            if was_ready {
                record.state = SandboxState::NotReady;
            }
            was_ready
        };
        if was_ready {
            if let Err(error) = self.keep_sandbox(&entry.record()) {
                tracing::error!(%error, sandbox = id, "a record cannot be written");
            }
            self.tell(id, id, ContainerEventType::ContainerStoppedEvent);
        }
    }

    /// Stops a sandbox and its containers, and takes its network away. One that is unknown, or stopped, is none the worse for it.
    ///
    /// # Errors
    /// [`PodsError`]; it can be asked for again.
    pub async fn stop_sandbox(&self, id: &str) -> Result<(), PodsError> {
        let Some(entry) = self.find_sandbox(id) else {
            return Ok(());
        };
        let _turn = entry.turn.lock().await;
        self.stop_all_of(&entry).await
    }

    async fn stop_all_of(&self, entry: &Arc<Entry<SandboxRecord>>) -> Result<(), PodsError> {
        let id = entry.record().id;
        for container in self.containers_of(&id) {
            self.kill_container(&container).await?;
        }
        let before = entry.record().state;
        self.take_down(entry).await?;
        entry.lock().state = SandboxState::NotReady;
        self.keep_sandbox(&entry.record())?;
        if before == SandboxState::Ready {
            self.tell(&id, &id, ContainerEventType::ContainerStoppedEvent);
        }
        Ok(())
    }

    /// Removes a sandbox with its containers. One that is unknown is gone already.
    ///
    /// # Errors
    /// [`PodsError`]; it can be asked for again.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), PodsError> {
        let Some(entry) = self.find_sandbox(id) else {
            return Ok(());
        };
        let _turn = entry.turn.lock().await;
        let id = entry.record().id;
        self.stop_all_of(&entry).await?;
        for container in self.containers_of(&id) {
            let of = container.record().id;
            self.remove_container(&of).await?;
        }
        self.forget_sandbox(&id).await?;
        self.tell(&id, &id, ContainerEventType::ContainerDeletedEvent);
        Ok(())
    }

    /// A sandbox's record.
    ///
    /// # Errors
    /// [`PodsError::NotFound`].
    pub fn sandbox(&self, id: &str) -> Result<SandboxRecord, PodsError> {
        self.known_sandbox(id).map(|entry| entry.record())
    }

    /// All of them.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<SandboxRecord> {
        let entries: Vec<_> = self.table().sandboxes.values().cloned().collect();
        entries.iter().map(|entry| entry.record()).collect()
    }

    /// Where a sandbox's network namespace is; None: it has the node's.
    #[must_use]
    pub fn network_namespace(&self, record: &SandboxRecord) -> Option<PathBuf> {
        record
            .attached
            .then(|| namespace_file(&self.0.sandbox_state(&record.id), "net"))
    }

    pub(super) fn known_sandbox(&self, id: &str) -> Result<Arc<Entry<SandboxRecord>>, PodsError> {
        self.find_sandbox(id)
            .ok_or_else(|| PodsError::NotFound(format!("sandbox {id:?} is not found")))
    }

    fn find_sandbox(&self, id: &str) -> Option<Arc<Entry<SandboxRecord>>> {
        let table = self.table();
        let known = table.sandboxes.keys().map(String::as_str);
        let id = spec::find_by_prefix(known, id)?;
        table.sandboxes.get(id).cloned()
    }

    fn containers_of(&self, sandbox: &str) -> Vec<Arc<Entry<ContainerRecord>>> {
        let all: Vec<_> = self.table().containers.values().cloned().collect();
        all.into_iter()
            .filter(|entry| entry.lock().sandbox == sandbox)
            .collect()
    }

    fn ask(&self, record: &SandboxRecord) -> Ask {
        Ask {
            sandbox: record.id.clone(),
            namespace: namespace_file(&self.0.sandbox_state(&record.id), "net"),
            config: record.config.clone(),
            asked_at: record.created_at,
        }
    }

    /// Everything that the kernel has of a sandbox goes.
    async fn take_down(&self, entry: &Arc<Entry<SandboxRecord>>) -> Result<(), PodsError> {
        let record = entry.record();
        if record.pause.is_some() {
            self.delete_from_keeper(&record.id).await?;
        }
        if record.attached {
            self.0.network.detach(&self.ask(&record)).await?;
            // They are another's next.
            entry.lock().addresses.clear();
        }
        let directory = self.0.sandbox_state(&record.id);
        let shm = self.0.sandbox_files(&record.id).shm;
        blocking(move || {
            let namespaces = NAMESPACES.map(|name| namespace_file(&directory, name));
            for mounted in namespaces.iter().chain([&shm]) {
                unmount(mounted).map_err(PodsError::at(format!("unmount {}", text(mounted))))?;
            }
            remove_directory(&directory)
                .map_err(PodsError::at(format!("remove {}", text(&directory))))
        })
        .await
    }

    async fn forget_sandbox(&self, id: &str) -> Result<(), PodsError> {
        let records = self.0.sandbox_records.clone();
        let of = id.to_owned();
        blocking(move || {
            records
                .remove(&of)
                .map_err(PodsError::at("remove a sandbox's record"))
        })
        .await?;
        let mut table = self.table();
        table.sandboxes.remove(id);
        table.names.retain(|_, named| named != id);
        drop(table);
        self.forget_usage(id);
        Ok(())
    }

    /// One that cannot be taken down now must not keep all others from being served: it is for whoever removes it.
    async fn not_ready(
        &self,
        entry: &Entry<SandboxRecord>,
        error: &PodsError,
    ) -> Result<(), PodsError> {
        let id = entry.record().id;
        tracing::error!(%error, sandbox = id, "a sandbox cannot be taken down now");
        entry.lock().state = SandboxState::NotReady;
        let record = entry.record();
        // What it still has is nobody else's.
        self.0.network.keep(&record).await;
        self.keep_sandbox(&record)
    }

    pub(super) fn keep_sandbox(&self, record: &SandboxRecord) -> Result<(), PodsError> {
        self.0
            .sandbox_records
            .write(&record.id, record)
            .map_err(PodsError::at("write a sandbox's record"))
    }

    pub(super) async fn recover_sandboxes(
        &self,
        known: &BTreeMap<String, Known>,
    ) -> Result<(), PodsError> {
        let (records, rubbish) = self
            .0
            .sandbox_records
            .read::<SandboxRecord>()
            .map_err(PodsError::at("read the records of sandboxes"))?;
        for record in records {
            let id = record.id.clone();
            let pinned = namespace_file(&self.0.sandbox_state(&id), "net");
            let paused = known.get(&id).is_some_and(|one| one.exit.is_none());
            let gone = record.boot != self.0.boot
                || (record.attached && !is_pinned(&pinned))
                || (record.pause.is_some() && !paused);
            let entry = Entry::new(record.clone());
            {
                let mut table = self.table();
                table.names.insert(sandbox_name(&record.config), id.clone());
                table.sandboxes.insert(id.clone(), entry.clone());
            }
            match record.state {
                SandboxState::Making => {
                    tracing::warn!(sandbox = id, "a half-made sandbox is undone");
                    match self.take_down(&entry).await {
                        Ok(()) => self.forget_sandbox(&id).await?,
                        Err(error) => self.not_ready(&entry, &error).await?,
                    }
                }
                SandboxState::Ready if gone => match self.take_down(&entry).await {
                    Ok(()) => {
                        entry.lock().state = SandboxState::NotReady;
                        self.keep_sandbox(&entry.record())?;
                    }
                    Err(error) => self.not_ready(&entry, &error).await?,
                },
                SandboxState::Ready => self.0.network.keep(&record).await,
                // One that could not be taken down has them still.
                SandboxState::NotReady => self.0.network.keep(&record).await,
            }
        }
        for name in rubbish {
            let directory = self.0.sandbox_state(&name);
            for namespace in NAMESPACES {
                let _ = unmount(&namespace_file(&directory, namespace));
            }
            let _ = unmount(&self.0.sandbox_files(&name).shm);
            let _ = remove_directory(&directory);
            self.0
                .sandbox_records
                .remove(&name)
                .map_err(PodsError::at("remove an unreadable record"))?;
        }
        Ok(())
    }
}

/// Files for the namespaces, which are made.
fn pin(directory: &Path, wanted: &spec::Sandbox) -> Result<Pin, PodsError> {
    let file = |name: &str, own: bool| -> Result<Option<String>, PodsError> {
        if !own {
            return Ok(None);
        }
        let path = namespace_file(directory, name);
        let made = fs::create_dir_all(path.parent().unwrap_or(directory))
            .and_then(|()| fs::write(&path, ""));
        made.map_err(PodsError::at(format!("make {}", text(&path))))?;
        Ok(Some(text(&path)))
    };
    // The pause process is in it, and may be of another user; nothing in it is secret.
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o711)))
        .map_err(PodsError::at(format!("make {}", text(directory))))?;
    Ok(Pin {
        network: file("net", wanted.network)?,
        ipc: file("ipc", wanted.ipc)?,
        uts: file("uts", wanted.network)?,
        hostname: (!wanted.hostname.is_empty()).then(|| wanted.hostname.clone()),
        sysctls: wanted
            .sysctls
            .iter()
            .map(|sysctl| (text(&sysctl.path), sysctl.value.clone()))
            .collect(),
        user: match &wanted.user {
            None => None,
            Some(users) => file("user", true)?.map(|file| PinUser {
                file,
                uids: triples(&users.uids),
                gids: triples(&users.gids),
            }),
        },
    })
}

fn triples(mappings: &[LinuxIdMapping]) -> Vec<(u32, u32, u32)> {
    let triple = |one: &LinuxIdMapping| (one.container_id(), one.host_id(), one.size());
    mappings.iter().map(triple).collect()
}
