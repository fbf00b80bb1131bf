//! What the services need of a member. They know no Raft, and no disk.

use crate::{
    executor::{
        member::{MemberError, MemberInfo, MemberStatus, Standing},
        snapshot_file::Blobs,
    },
    planner::{
        command::Command,
        records::Records,
        state::{Reply, State},
    },
};
use etcd_proto::etcdserverpb::{WatchRequest, WatchResponse};
use std::{future::Future, time::Duration};

/// A member of the cluster. Cheap to clone; all clones are the same member.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Its records.
    type Records: Records;
    /// One client's stream of watches.
    type WatchStream: WatchStream;

    /// Proposes a change: committed, and applied here, when this returns.
    fn propose(&self, command: Command) -> impl Future<Output = Result<Reply, MemberError>> + Send;

    /// Waits until everything that was committed before the call is applied here.
    fn linearize(&self) -> impl Future<Output = Result<(), MemberError>> + Send;

    /// Looks at the state of one moment, with its records. Blocks writes while it runs.
    ///
    /// # Errors
    /// The disk's.
    fn read<T>(&self, look: impl FnOnce(&State, &Self::Records) -> T) -> Result<T, MemberError>;

    /// Opens a stream of watches.
    fn watch(&self) -> Self::WatchStream;

    /// Renews a lease; returns its granted life in seconds.
    fn renew_lease(&self, id: i64) -> impl Future<Output = Result<i64, MemberError>> + Send;

    /// Granted life of a lease in seconds, and how long it still lives.
    fn lease_remaining(
        &self,
        id: i64,
    ) -> impl Future<Output = Result<(i64, Duration), MemberError>> + Send;

    /// Where this member stands; asked for with every call.
    fn standing(&self) -> Standing;

    /// What this member knows of itself.
    ///
    /// # Errors
    /// The disk's.
    fn status(&self) -> Result<MemberStatus, MemberError>;

    /// Gives back the space in this member's file that deleted records took. Reads and writes go on.
    fn defragment(&self) -> impl Future<Output = Result<(), MemberError>> + Send;

    /// Everything as of a moment after the call, as the bytes of a file.
    ///
    /// # Errors
    /// The disk's.
    fn snapshot(&self) -> impl Future<Output = Result<Blobs, MemberError>> + Send;

    /// The members, as this one knows them.
    fn members(&self) -> Vec<MemberInfo>;

    /// Adds a member; returns it and all members.
    fn add_member(
        &self,
        peer_urls: Vec<String>,
        learner: bool,
    ) -> impl Future<Output = Result<(MemberInfo, Vec<MemberInfo>), MemberError>> + Send;

    /// Gives a learner a vote.
    fn promote_member(
        &self,
        id: u64,
    ) -> impl Future<Output = Result<Vec<MemberInfo>, MemberError>> + Send;

    /// Changes a member's peer URLs.
    fn update_member(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> impl Future<Output = Result<Vec<MemberInfo>, MemberError>> + Send;

    /// Removes a member.
    fn remove_member(
        &self,
        id: u64,
    ) -> impl Future<Output = Result<Vec<MemberInfo>, MemberError>> + Send;

    /// Gives leadership away; refused where this member does not lead.
    fn move_leader(&self, to: u64) -> impl Future<Output = Result<(), MemberError>> + Send;
}

/// One client's stream of watches, which end when it is dropped.
pub trait WatchStream: Send + Sync + 'static {
    /// Takes a request. Waits while the stream's responses are not taken.
    fn request(&self, request: WatchRequest) -> impl Future<Output = ()> + Send;

    /// The next response, its header without cluster, member and term. None: the member has stopped.
    fn next(&self) -> impl Future<Output = Option<WatchResponse>> + Send;
}
