//! A member's beginning and end.

use super::{
    Answer, ClusterState, Inner, Leader, Member, MemberError, Settings,
    identity::{self, Identity},
    reads::Reads,
    types::chain,
};
use crate::executor::{
    disk::{Directory, Disk},
    peer::{client::Peers, network::Network, service::Peering, transport::Connector},
    raft::{
        machine::{self, Machine},
        state_machine::StateMachine,
    },
    random,
    records::CacheBytes,
    watch,
};
use etcd_client::Dialer;
use http_server::{Count, Listener, Traffic};
use openraft::{
    Config, Raft, SnapshotPolicy,
    async_runtime::WatchReceiver,
    error::{InitializeError, RaftError},
};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Entries that one message to a peer holds at most, whatever their size.
const APPEND_ENTRIES_MAX: u64 = 4096;
/// A step of an orderly end that takes longer is left undone.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

impl Member {
    /// Starts a member on a directory, which is made if need be. `listeners` are where its peers reach it; one that is
    /// alone needs none.
    ///
    /// # Errors
    /// [`MemberError::Configuration`], [`MemberError::Storage`].
    pub fn open<'a>(
        directory: &'a Path,
        settings: Settings,
        listeners: Vec<Listener>,
    ) -> Answer<'a, Self> {
        Box::pin(Self::open_directory(directory, settings, listeners))
    }

    async fn open_directory(
        directory: &Path,
        settings: Settings,
        listeners: Vec<Listener>,
    ) -> Result<Self, MemberError> {
        let disk = Directory::open(directory)?;
        let lock = lock(directory)?;
        let segments = Directory::open(&directory.join("log"))?;
        let dialer = Dialer::new(
            settings.peer_certificates.clone(),
            settings.resolv_conf.clone(),
        );
        let dialer = dialer.map_err(|error| MemberError::Configuration(chain(&error)))?;
        let surroundings = Surroundings {
            disk: Arc::new(disk),
            segments: Arc::new(segments),
            connector: Arc::new(dialer),
        };
        Self::start(surroundings, settings, listeners, Some(lock)).await
    }
}

/// What a member stands on: real disks and connections, or simulated ones.
pub struct Surroundings {
    /// For records, and small values.
    pub disk: Arc<dyn Disk>,
    /// For the log.
    pub segments: Arc<dyn Disk>,
    /// To the other members.
    pub connector: Connector,
}

/// Two processes on one directory would ruin it.
fn lock(directory: &Path) -> Result<fs::File, MemberError> {
    let path = directory.join("lock");
    let file = fs::File::create(&path)?;
    file.try_lock().map_err(|error| {
        let directory = directory.display();
        MemberError::Configuration(format!("another process uses {directory}: {error}"))
    })?;
    Ok(file)
}

fn configuration(settings: &Settings) -> Result<Config, MemberError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "store".to_owned(),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: millis(settings.election),
        election_timeout_max: millis(settings.election) * 2,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.checkpoint_entries),
        max_in_snapshot_log_to_keep: settings.log_entries_kept,
        // Each purge is a flush of its own.
        purge_batch_size: settings.log_entries_kept.max(1),
        enable_pre_vote: Some(true),
        // A leader that is one again without an election would confirm reads by the index of its last checkpoint: what it
        // had committed and answered after that is in its log, but it does not know that it is committed until an entry of a new
        // term is.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| MemberError::Configuration(error.to_string()))
}

impl Member {
    /// Starts a member. Who gives it no listener has [`Peering`] answer its peers.
    ///
    /// # Errors
    /// [`MemberError::Configuration`], [`MemberError::Storage`].
    pub fn start(
        surroundings: Surroundings,
        settings: Settings,
        listeners: Vec<Listener>,
        lock: Option<fs::File>,
    ) -> Answer<'static, Self> {
        Box::pin(Self::start_on(surroundings, settings, listeners, lock))
    }

    async fn start_on(
        surroundings: Surroundings,
        settings: Settings,
        listeners: Vec<Listener>,
        lock: Option<fs::File>,
    ) -> Result<Self, MemberError> {
        let Surroundings {
            disk,
            segments,
            connector,
        } = surroundings;
        let config = Arc::new(configuration(&settings)?);
        let identity = match identity::kept(&*disk)? {
            Some(identity) => identity,
            None => identity::choose(&*disk, &settings, &connector).await?,
        };
        let machine = machine::Settings {
            cache: CacheBytes {
                pages: settings.cache_bytes,
                records: settings.record_cache_bytes,
            },
            checkpoint_entries: settings.checkpoint_entries,
            segment_bytes: settings.segment_bytes,
        };
        let machine = Machine::open(disk.clone(), segments, machine, Box::new(random::number))?;
        let machine = Arc::new(machine);
        let peers = Peers::new(identity.cluster, identity.member, connector);
        let network = Network {
            peers: peers.clone(),
            disk,
        };
        let state_machine = StateMachine(machine.clone());
        let raft = Raft::new(
            identity.member,
            config,
            network,
            machine.log(),
            state_machine,
        )
        .await
        .map_err(|error| super::lead::fatal(&error))?;
        let member = Self {
            inner: Arc::new(Inner {
                settings,
                cluster: identity.cluster,
                id: identity.member,
                machine,
                metrics: raft.metrics(),
                raft,
                peers,
                reads: Reads::default(),
                leaders_seen: Count::default(),
                proposals_failed: Count::default(),
                reads_failed: Count::default(),
                published: watch::Sender::new(false),
                stopping: watch::Sender::new(false),
                tasks: Mutex::default(),
                changing: tokio::sync::Mutex::new(()),
                _lock: lock,
            }),
        };
        member.serve_peers(listeners);
        member.begin_cluster(identity).await?;
        member.lead_alone().await?;
        member.start_tasks();
        Ok(member)
    }

    /// A member that is the only voter has nobody to wait for: it stands for election at once.
    async fn lead_alone(&self) -> Result<(), MemberError> {
        let position = self.machine().position();
        let mut voters = position.membership.voter_ids();
        if voters.next() == Some(self.id()) && voters.next().is_none() {
            let elected = self.raft().trigger().elect(false).await;
            elected.map_err(|error| super::lead::fatal(&error))?;
        }
        Ok(())
    }

    /// At the first start of a new cluster, every member writes the same first entry.
    async fn begin_cluster(&self, identity: Identity) -> Result<(), MemberError> {
        let raft = self.raft();
        let begun = raft.is_initialized().await;
        let begun = begun.map_err(|error| super::lead::fatal(&error))?;
        if begun || self.inner.settings.cluster_state == ClusterState::Existing {
            return Ok(());
        }
        let members = identity::initial_members(&self.inner.settings)?;
        if !members.contains_key(&identity.member) {
            let name = &self.inner.settings.name;
            return Err(MemberError::Configuration(format!(
                "the initial cluster is not the one that {name} first started with"
            )));
        }
        match raft.initialize(members).await {
            // A peer was faster: what it wrote is the same.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(super::lead::fatal(&error)),
            Err(RaftError::APIError(error)) => Err(MemberError::Configuration(error.to_string())),
        }
    }

    fn serve_peers(&self, listeners: Vec<Listener>) {
        let peering = Peering::new(self.clone());
        let traffic = Arc::<Traffic>::default();
        for listener in listeners {
            let stopping = watch::done(self.inner.stopping.subscribe());
            let serving = listener.serve(peering.clone(), traffic.clone(), stopping);
            self.keep(tokio::spawn(serving));
        }
    }

    /// Keeps a task until the member stops.
    pub(super) fn keep(&self, task: JoinHandle<()>) {
        let tasks = self.inner.tasks.lock();
        tasks.unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Gives leadership away, makes everything durable, and stops. Requests that wait are told so.
    ///
    /// # Errors
    /// [`MemberError::Storage`]: the last checkpoint failed; the next start applies the log again from the one before.
    pub fn stop(&self) -> Answer<'_, ()> {
        Box::pin(self.end())
    }

    async fn end(&self) -> Result<(), MemberError> {
        self.give_leadership_away().await;
        self.inner.stopping.send_replace(true);
        self.machine().stop_waiting();
        self.watches().stop();
        let stopped = self.raft().shutdown().await;
        let tasks = {
            let mut tasks = self
                .inner
                .tasks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for task in tasks {
            task.abort();
            // It was told to end, or failed and has said so.
            let _ = task.await;
        }
        self.machine().checkpoint().await?;
        Ok(stopped?)
    }

    /// To the voter whose log is longest. If it does not work out, the others elect one as after a crash.
    async fn give_leadership_away(&self) {
        let Leader::Me = self.leader() else { return };
        let successor = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
            let replication = metrics.replication.clone().unwrap_or_default();
            replication
                .into_iter()
                .filter(|(id, matched)| {
                    *id != self.id() && voters.contains(id) && matched.is_some()
                })
                .max_by_key(|(_, matched)| *matched)
                .map(|(id, _)| id)
        };
        let Some(successor) = successor else { return };
        match tokio::time::timeout(STEP_TIMEOUT, self.move_leader(successor)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "give leadership away"),
            Err(_) => tracing::warn!("giving leadership away took too long"),
        }
    }
}
