//! What a member is told at its start, what it says of itself, and why it may have no answer.

use crate::executor::log::SEGMENT_BYTES;
use crate::planner::{compaction::Policy, records::StorageError, state::Alarm};
use etcd_proto::errors::Refusal;
use http_server::tls::Files;
use std::{collections::BTreeSet, io, path::PathBuf, time::Duration};

/// Why a member has no answer. [`MemberError::refusal`] is what etcd's clients are told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MemberError {
    /// etcd refuses this: the client's mistake, or a condition that it must handle.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody leads, or the leader is out of reach.
    #[error("nobody leads")]
    NoLeader,
    /// No answer in time; a proposal may still be carried out.
    #[error("no answer in time")]
    Timeout,
    /// The leader changed while the request waited; a proposal may still be carried out.
    #[error("the leader changed")]
    LeaderChanged,
    /// The member is stopping.
    #[error("the member is stopping")]
    Stopped,
    /// It is at it already, or something came between; to be asked again later.
    #[error("{0}")]
    Busy(String),
    /// The disk is nearly full. Nothing was written.
    #[error(
        "the disk of the member is full: {free_bytes} bytes are free, {needed_bytes} are kept for what is under way; make space on it"
    )]
    DiskFull {
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that must be free for such a request.
        needed_bytes: u64,
    },
    /// What it was told at its start cannot be.
    #[error("{0}")]
    Configuration(String),
    /// The member's disk does not give back what was written, or takes nothing more. It must start again.
    #[error("storage: {0}")]
    Storage(String),
}

impl MemberError {
    /// What a client of etcd is told; None for faults of disk and configuration, which have no text of etcd's.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(*refusal),
            Self::NoLeader => Some(Refusal::NoLeader),
            Self::Timeout => Some(Refusal::Timeout),
            Self::LeaderChanged => Some(Refusal::LeaderChanged),
            Self::Stopped => Some(Refusal::Stopped),
            Self::Busy(_) | Self::DiskFull { .. } | Self::Storage(_) | Self::Configuration(_) => {
                None
            }
        }
    }
}

impl From<StorageError> for MemberError {
    fn from(error: StorageError) -> Self {
        Self::Storage(chain(&error))
    }
}

impl From<io::Error> for MemberError {
    fn from(error: io::Error) -> Self {
        Self::Storage(chain(&error))
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

/// One member as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its number.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where its clients reach it; empty until it has started for the first time.
    pub client_urls: Vec<String>,
    /// It takes the log and has no vote.
    pub is_learner: bool,
}

/// Where a member stands at one moment: what every answer says of who gave it. Cheap to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Of the cluster.
    pub cluster_id: u64,
    /// Of this member.
    pub member_id: u64,
    /// Of the leader; 0: nobody leads, as far as this member knows.
    pub leader_id: u64,
    /// Raft's term.
    pub term: u64,
    /// It has no vote.
    pub is_learner: bool,
    /// The store's revision.
    pub revision: i64,
}

/// What a member knows of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Where it stands.
    pub standing: Standing,
    /// Index of the last entry of its log.
    pub log_index: u64,
    /// Index of the last entry that its log has forgotten; 0: none.
    pub purged_index: u64,
    /// Index of the last entry that it has applied.
    pub applied_index: u64,
    /// Bytes of the file of records.
    pub database_bytes: u64,
    /// What of it the records take; deletes and compaction make it less.
    pub database_bytes_in_use: u64,
    /// Raised alarms.
    pub alarms: BTreeSet<Alarm>,
}

/// Whether a cluster begins with this member's first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// All members of [`Settings::initial_cluster`] begin it together.
    New,
    /// It is there, and has been told of this member.
    Existing,
}

/// How a member runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, one of those in the initial cluster.
    pub name: String,
    /// Names and peer URLs of all members at the first start. A name may come several times, once per URL.
    pub initial_cluster: Vec<(String, String)>,
    /// Whether the cluster is there.
    pub cluster_state: ClusterState,
    /// Tells clusters of equal members apart.
    pub token: String,
    /// Certificates for https between members.
    pub peer_certificates: Option<Files>,
    /// Whose nameservers look up the names of peers.
    pub resolv_conf: PathBuf,
    /// Told to clients in the list of members.
    pub client_urls: Vec<String>,
    /// Between two signs of life of the leader.
    pub heartbeat: Duration,
    /// Without a sign of life, an election begins after this or up to twice as long.
    pub election: Duration,
    /// Bytes of records in use beyond which puts are refused.
    pub quota_bytes: u64,
    /// Which history is compacted by itself.
    pub auto_compaction: Policy,
    /// Between two comparisons of all members' data; None: never.
    pub corruption_check: Option<Duration>,
    /// Bytes that are kept free on the disk, for the log and checkpoints of what is under way: with less, puts are
    /// refused; with a quarter of it, so are deletes.
    pub free_bytes_min: u64,
    /// Entries after which a durable checkpoint is made.
    pub checkpoint_entries: u64,
    /// Entries before the last checkpoint that the log keeps, for members that are a little behind.
    pub log_entries_kept: u64,
    /// Bytes after which a segment of the log gets a successor; what was purged is given back by the segment.
    pub segment_bytes: u64,
    /// Bytes of the file's pages that are kept in memory.
    pub cache_bytes: usize,
    /// Bytes of records that are kept in memory beside it: those that were written or read last.
    pub record_cache_bytes: usize,
    /// How long a request may wait.
    pub request_timeout: Duration,
    /// Between notices to watches that asked for them.
    pub watch_progress: Duration,
}

impl Default for Settings {
    /// One member alone, with etcd's times and quota.
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            initial_cluster: vec![("default".to_owned(), "http://127.0.0.1:2380".to_owned())],
            cluster_state: ClusterState::New,
            token: "etcd-cluster".to_owned(),
            peer_certificates: None,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            client_urls: Vec::new(),
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(1000),
            quota_bytes: 2 * 1024 * 1024 * 1024,
            auto_compaction: Policy::Off,
            // A hash reads every record: a second or so for a million of them.
            corruption_check: Some(Duration::from_secs(600)),
            // Four segments of the log, or a checkpoint of everything that the caches hold.
            free_bytes_min: 64 * 1024 * 1024,
            // What a restart applies again: some hundred milliseconds of it.
            checkpoint_entries: 50_000,
            log_entries_kept: 5_000,
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 16 * 1024 * 1024,
            // Some 150,000 records of 256 bytes: what the watch caches of an API server read when they start.
            record_cache_bytes: 64 * 1024 * 1024,
            // etcd's: 5 s, and two elections.
            request_timeout: Duration::from_secs(7),
            watch_progress: Duration::from_secs(600),
        }
    }
}
