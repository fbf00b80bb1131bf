//! Sandboxes and containers: made, started, stopped and removed, and found again after a crash.
//!
//! ```text
//!   a call ──> the one's turn ──> record "Making" ──> steps ──> record ──> answer
//!                                     └ a crash here: undone at the next start
//!   the keeper's events ──> "Exited" ──> record, watchers
//! ```
//!
//! One call at a time has its turn with a sandbox, and one with a container; many sandboxes and containers go on at once.

mod attach;
mod containers;
mod exec;
mod facts;
mod files;
mod image_volumes;
mod resources;
mod sandboxes;
mod statistics;
mod users;

pub use attach::Attached;
pub use containers::Started;
pub use exec::{Process, Ran, Streams};
pub use statistics::Sample;

use super::{
    images::{Images, ImagesError},
    keeper::{
        bundle,
        client::{Keeper, KeeperCallError},
    },
    network::{Network, NetworkError},
    records::Records,
};
use crate::planner::{
    images::digest::Digest,
    keeper::frames::{Event, Exit, Known},
    network::{ipam::IpamError, ports::PortError},
    records::{ContainerRecord, ContainerState, SandboxRecord, SandboxState},
    spec,
};
use cri_proto::runtime::ContainerEventType;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{broadcast, watch};

/// Sandboxes that there may be.
pub const SANDBOXES_MAX: usize = 512;
/// Containers that there may be.
pub const CONTAINERS_MAX: usize = 1024;
/// Events that a reader may be behind by.
const EVENTS_BEHIND_MAX: usize = 1024;
/// From the begin of a container until the keeper says what became of it.
const MAKES_MAX: Duration = Duration::from_secs(60);
/// Until the keeper is asked again.
const KEEPER_AGAIN: Duration = Duration::from_millis(200);

/// Why not. Each variant is the gRPC code of its name.
#[derive(Debug, thiserror::Error)]
pub enum PodsError {
    /// There is no such sandbox or container.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be as it was asked for.
    #[error("{0}")]
    InvalidArgument(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// Its state is another.
    #[error("{0}")]
    FailedPrecondition(String),
    /// A bound.
    #[error("{0}")]
    ResourceExhausted(String),
    /// Its time was over.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// Something that has been left out.
    #[error("{0}")]
    Unimplemented(String),
    /// Of its image.
    #[error(transparent)]
    Image(#[from] ImagesError),
    /// This machine.
    #[error("{0}")]
    Internal(String),
}

impl PodsError {
    fn at(doing: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => {
                Self::ResourceExhausted(format!("{doing}: {error}"))
            }
            _ => Self::Internal(format!("{doing}: {error}")),
        }
    }
}

impl From<KeeperCallError> for PodsError {
    fn from(error: KeeperCallError) -> Self {
        Self::Internal(service::chain(&error))
    }
}

impl From<NetworkError> for PodsError {
    fn from(error: NetworkError) -> Self {
        let text = service::chain(&error);
        match error {
            NetworkError::Addresses(IpamError::Exhausted { .. }) => Self::ResourceExhausted(text),
            NetworkError::Addresses(_)
            | NetworkError::Invalid(_)
            | NetworkError::Ports(PortError::Invalid { .. } | PortError::TooMany) => {
                Self::InvalidArgument(text)
            }
            NetworkError::Ports(PortError::Taken { .. }) => Self::FailedPrecondition(text),
            _ => Self::Internal(text),
        }
    }
}

impl From<spec::Error> for PodsError {
    fn from(error: spec::Error) -> Self {
        Self::InvalidArgument(service::chain(&error))
    }
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Place {
    /// What survives a reboot.
    pub root: PathBuf,
    /// What does not.
    pub state: PathBuf,
    /// The program, which is the keeper and the pause process too.
    pub program: PathBuf,
    /// The node's resolv.conf(5), for pods that bring none.
    pub resolv_conf: PathBuf,
}

/// A sandbox or a container that something is done with.
#[derive(Debug)]
pub struct Entry<R> {
    record: Mutex<R>,
    /// Who does something with it.
    turn: tokio::sync::Mutex<()>,
    /// Who writes it down: the latest record is the last that is written.
    writing: Mutex<()>,
    /// Changes with each change of the record.
    changed: watch::Sender<()>,
}

impl<R: Clone> Entry<R> {
    fn new(record: R) -> Arc<Self> {
        Arc::new(Self {
            record: Mutex::new(record),
            turn: tokio::sync::Mutex::new(()),
            writing: Mutex::new(()),
            changed: watch::Sender::new(()),
        })
    }

    /// The record, as it is now.
    pub fn record(&self) -> R {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, R> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something has become of a container.
#[derive(Debug, Clone)]
pub struct ContainerEvent {
    /// The container's, or the sandbox's own ID.
    pub id: String,
    /// The sandbox's.
    pub sandbox: String,
    /// What.
    pub kind: ContainerEventType,
    /// Nanoseconds since 1970.
    pub at: i64,
}

/// All of them. Clones are the same.
#[derive(Debug, Clone)]
pub struct Pods(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    boot: String,
    keeper: Keeper,
    images: Images,
    network: Network,
    host: facts::Host,
    sandbox_records: Records,
    container_records: Records,
    table: Mutex<Table>,
    seen: Mutex<statistics::Seen>,
    events: broadcast::Sender<ContainerEvent>,
}

#[derive(Debug, Default)]
struct Table {
    sandboxes: BTreeMap<String, Arc<Entry<SandboxRecord>>>,
    containers: BTreeMap<String, Arc<Entry<ContainerRecord>>>,
    /// Layers of containers.
    holds: BTreeMap<String, Vec<super::images::Hold>>,
    /// By [`crate::planner::records::sandbox_name`] and [`crate::planner::records::container_name`].
    names: BTreeMap<String, String>,
}

impl Pods {
    /// All that is there: what an earlier runtime has left is found again, or undone.
    ///
    /// # Errors
    /// The machine's.
    pub async fn open(
        place: Place,
        keeper: Keeper,
        images: Images,
        network: Network,
    ) -> Result<Self, PodsError> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(PodsError::at("read the boot's ID"))?;
        let records = |name: &str| {
            Records::open(place.root.join(name)).map_err(PodsError::at("open the records"))
        };
        let pods = Self(Arc::new(Inner {
            boot: boot.trim().to_owned(),
            sandbox_records: records("sandboxes")?,
            container_records: records("containers")?,
            host: facts::Host::look().map_err(PodsError::at("look at the host"))?,
            place,
            keeper,
            images,
            network,
            table: Mutex::default(),
            seen: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
        }));
        pods.recover().await?;
        Ok(pods)
    }

    /// Collects what CNI plugins have of sandboxes that are no more, and looks at the networks of the others. Which they are is found out at
    /// once, before any new one comes; the rest may take as long as plugins do.
    pub fn collect_networks(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut gone = self.0.network.attached();
        for record in self.sandboxes() {
            gone.remove(&record.id);
        }
        let pods = self.clone();
        async move { pods.0.network.collect(gone).await }
    }

    /// Follows the keeper for ever.
    pub async fn follow(&self) {
        loop {
            let followed: Result<(), KeeperCallError> = async {
                let events = self.0.keeper.events().await?;
                // What ended before, or while nobody followed.
                let ran: Vec<ContainerRecord> = self
                    .containers()
                    .into_iter()
                    .filter(ContainerRecord::runs)
                    .collect();
                let known = self.0.keeper.list().await?;
                for one in &known {
                    if let Some(exit) = one.exit {
                        self.ended(&one.id, exit);
                    }
                }
                self.lose_unknown(ran, &known);
                loop {
                    let Event::Exited { id, exit } = events.next().await?;
                    self.ended(&id, exit);
                }
            }
            .await;
            if let Err(error) = followed {
                tracing::error!(error = %service::chain(&error), "the keeper is not followed");
            }
            let Place { state, program, .. } = &self.0.place;
            if let Err(error) = Keeper::find_or_start(state, program).await {
                tracing::error!(error = %service::chain(&error), "there is no keeper");
            }
            tokio::time::sleep(KEEPER_AGAIN).await;
        }
    }

    /// What becomes of containers, from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.0.events.subscribe()
    }

    /// Whether pods can be given a network; why not, else.
    ///
    /// # Errors
    /// Why not.
    pub async fn network_ready(&self) -> Result<(), String> {
        self.0.network.ready().await
    }

    /// Which addresses this node's pods have, from now on.
    ///
    /// # Errors
    /// [`PodsError::InvalidArgument`].
    pub async fn set_pod_cidr(&self, cidr: &str) -> Result<(), PodsError> {
        Ok(self.0.network.set_cidr(cidr).await?)
    }

    /// Whether the keeper answers; why not, else.
    ///
    /// # Errors
    /// Why not.
    pub async fn keeper_answers(&self) -> Result<(), String> {
        let answered = self.0.keeper.hello().await;
        answered.map(drop).map_err(|error| service::chain(&error))
    }

    /// Where what containers write is kept.
    #[must_use]
    pub fn written(&self) -> PathBuf {
        self.0.place.root.join("containers")
    }

    /// What people call an image: a tag, or a digest; None: it is gone.
    #[must_use]
    pub fn image_name(&self, id: &Digest) -> Option<String> {
        let record = self.0.images.status(&id.to_string()).ok()?.record;
        let mut names = record.repo_tags.into_iter().chain(record.repo_digests);
        names.next()
    }

    /// By which digest an image was pulled; None: it is gone, or was imported.
    #[must_use]
    pub fn image_digest(&self, id: &Digest) -> Option<String> {
        let record = self.0.images.status(&id.to_string()).ok()?.record;
        record.repo_digests.into_iter().next()
    }

    async fn recover(&self) -> Result<(), PodsError> {
        let inner = &self.0;
        let begun = tokio::time::Instant::now();
        let known = loop {
            let known = inner.keeper.list().await?;
            // What an earlier runtime has begun ends in milliseconds, one way or the other.
            if known.iter().all(|one| one.pid != 0) || begun.elapsed() > MAKES_MAX {
                break known;
            }
            tokio::time::sleep(KEEPER_AGAIN).await;
        };
        let known: BTreeMap<String, Known> = known
            .into_iter()
            .map(|known| (known.id.clone(), known))
            .collect();
        self.recover_sandboxes(&known).await?;
        inner.network.settle().await;
        self.recover_containers(&known).await?;
        // Of containers without a record.
        for id in known.keys() {
            let recorded = {
                let table = self.table();
                table.containers.contains_key(id) || table.sandboxes.contains_key(id)
            };
            if !recorded {
                tracing::warn!(
                    container = id,
                    "a container without a record: it is removed"
                );
                self.discard_container(id).await;
            }
        }
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, id: &str, sandbox: &str, kind: ContainerEventType) {
        // Without readers nobody is told.
        let _ = self.0.events.send(ContainerEvent {
            id: id.to_owned(),
            sandbox: sandbox.to_owned(),
            kind,
            at: now(),
        });
    }

    fn ended(&self, id: &str, exit: Exit) {
        let entry = self.table().containers.get(id).cloned();
        let Some(entry) = entry else {
            return self.pause_ended(id);
        };
        let out_of_memory = facts::out_of_memory(&entry.lock().cgroup, self.0.host.cgroup_v2);
        let (record, before) = {
            let mut record = entry.lock();
            let before = record.state.clone();
            record.ended(exit, out_of_memory);
            (record.clone(), before)
        };
        if record.state == before {
            return;
        }
        self.keep_container(&entry);
        entry.changed.send_replace(());
        self.tell(
            id,
            &record.sandbox,
            ContainerEventType::ContainerStoppedEvent,
        );
    }

    /// A keeper that was replaced knows nothing of what ran before it was asked: nobody logs it, and nobody will see its end.
    fn lose_unknown(&self, ran: Vec<ContainerRecord>, known: &[Known]) {
        for record in ran {
            let entry = self.table().containers.get(&record.id).cloned();
            let Some(entry) = entry.filter(|entry| entry.lock().runs()) else {
                continue;
            };
            if known.iter().any(|one| one.id == record.id) {
                continue;
            }
            match bundle::noted_exit(&self.0.bundle(&record.id)) {
                Some(exit) => self.ended(&record.id, exit),
                None => {
                    self.end_what_is_left(&record);
                    entry.lock().lost(now());
                    self.keep_container(&entry);
                    entry.changed.send_replace(());
                    let kind = ContainerEventType::ContainerStoppedEvent;
                    self.tell(&record.id, &record.sandbox, kind);
                }
            }
        }
        for sandbox in self.sandboxes() {
            if sandbox.pause.is_some() && !known.iter().any(|one| one.id == sandbox.id) {
                self.pause_ended(&sandbox.id);
            }
        }
    }

    /// A record that cannot be written is a lie after a crash only, and is found out then.
    fn keep_container(&self, entry: &Entry<ContainerRecord>) {
        let _writing = entry.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = entry.record();
        if let Err(error) = self.0.container_records.write(&record.id, &record) {
            tracing::error!(%error, container = record.id, "a record cannot be written");
        }
    }
}

impl Inner {
    /// Of a sandbox, on the tmpfs.
    fn sandbox_state(&self, id: &str) -> PathBuf {
        self.place.state.join("sandboxes").join(id)
    }

    /// A container's bundle.
    fn bundle(&self, id: &str) -> PathBuf {
        self.place.state.join("containers").join(id)
    }
}

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// 64 hexadecimal digits, as containerd's.
fn new_id() -> Result<String, PodsError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| PodsError::Internal("there are no random numbers".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PodsError> + Send + 'static,
) -> Result<T, PodsError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PodsError::Internal(error.to_string()))?
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a sandbox takes containers.
const fn is_ready(state: SandboxState) -> bool {
    matches!(state, SandboxState::Ready)
}

/// CRI's number for a container's state.
#[must_use]
pub fn container_state(state: &ContainerState) -> cri_proto::runtime::ContainerState {
    use cri_proto::runtime::ContainerState as Cri;
    match state {
        ContainerState::Making | ContainerState::Created => Cri::ContainerCreated,
        ContainerState::Running { .. } => Cri::ContainerRunning,
        ContainerState::Exited { .. } => Cri::ContainerExited,
    }
}
