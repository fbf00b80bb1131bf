//! etcd's answers to requests that it refuses.
//!
//! Clients recognise them by gRPC code and exact text (etcd: `api/v3rpc/rpctypes`), so both are part of the
//! wire format.

use tonic::{Code, Status};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $code:ident $text:literal,)*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The gRPC code that etcd answers with.
            #[must_use]
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }

            /// The text that etcd answers with.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusals! {
    /// A request without a key.
    EmptyKey => InvalidArgument "etcdserver: key is not provided",
    /// `ignore_value` or `ignore_lease` for a key that does not exist; also an operation of a transaction
    /// that says nothing.
    KeyNotFound => InvalidArgument "etcdserver: key not found",
    /// A value together with `ignore_value`.
    ValueProvided => InvalidArgument "etcdserver: value is provided",
    /// A lease together with `ignore_lease`.
    LeaseProvided => InvalidArgument "etcdserver: lease is provided",
    /// More operations in one transaction than the server takes.
    TooManyOperations => InvalidArgument "etcdserver: too many operations in txn request",
    /// One key written twice by one transaction.
    DuplicateKey => InvalidArgument "etcdserver: duplicate key given in txn request",
    /// A sort order or target that does not exist.
    InvalidSortOption => InvalidArgument "etcdserver: invalid sort option",
    /// The revision's history is gone.
    Compacted => OutOfRange "etcdserver: mvcc: required revision has been compacted",
    /// The store has not come so far.
    FutureRevision => OutOfRange "etcdserver: mvcc: required revision is a future revision",
    /// The quota is used up.
    NoSpace => ResourceExhausted "etcdserver: mvcc: database space exceeded",
    /// There is no such lease, or no longer.
    LeaseNotFound => NotFound "etcdserver: requested lease not found",
    /// The lease's number is taken.
    LeaseExists => FailedPrecondition "etcdserver: lease already exists",
    /// A lease that would last for ever.
    LeaseTimeToLiveTooLarge => OutOfRange "etcdserver: too large lease TTL",
    /// The member is one already.
    MemberExists => FailedPrecondition "etcdserver: member ID already exist",
    /// Another member has this peer URL.
    PeerUrlExists => FailedPrecondition "etcdserver: Peer URLs already exists",
    /// The change would leave the cluster without a quorum of started members.
    MemberNotEnoughStarted => FailedPrecondition "etcdserver: re-configuration failed due to not enough started members",
    /// A URL that is none.
    MemberBadUrls => InvalidArgument "etcdserver: given member URLs are invalid",
    /// There is no such member.
    MemberNotFound => NotFound "etcdserver: member not found",
    /// Promotion of a member that votes already.
    MemberNotLearner => FailedPrecondition "etcdserver: can only promote a learner member",
    /// Promotion of a learner that lags.
    LearnerNotReady => FailedPrecondition "etcdserver: can only promote a learner member which is in sync with leader",
    /// One learner at a time.
    TooManyLearners => FailedPrecondition "etcdserver: too many learner members in cluster",
    /// A request of more bytes than the server takes.
    RequestTooLarge => InvalidArgument "etcdserver: request is too large",
    /// More requests wait than the server takes.
    TooManyRequests => ResourceExhausted "etcdserver: too many requests",
    /// etcd's own authentication is off, as it always is here.
    AuthNotEnabled => FailedPrecondition "etcdserver: authentication is not enabled",
    /// The certificate does not allow this.
    PermissionDenied => PermissionDenied "etcdserver: permission denied",
    /// Nobody leads.
    NoLeader => Unavailable "etcdserver: no leader",
    /// Only the leader can do this.
    NotLeader => FailedPrecondition "etcdserver: not leader",
    /// The leader changed while the request waited; it may have been carried out.
    LeaderChanged => Unavailable "etcdserver: leader changed",
    /// The cluster's version does not have this.
    NotCapable => Unavailable "etcdserver: not capable",
    /// The server is stopping.
    Stopped => Unavailable "etcdserver: server stopped",
    /// No answer in time; the request may have been carried out.
    Timeout => Unavailable "etcdserver: request timed out",
    /// As [`Refusal::Timeout`], after the leader was lost.
    TimeoutLeaderFailure => Unavailable "etcdserver: request timed out, possibly due to previous leader failure",
    /// As [`Refusal::Timeout`], after the connection to the leader was lost.
    TimeoutConnectionLost => Unavailable "etcdserver: request timed out, possibly due to connection lost",
    /// Too many members are out of reach.
    Unhealthy => Unavailable "etcdserver: unhealthy cluster",
    /// Members disagree about keys and values.
    Corrupt => DataLoss "etcdserver: corrupt cluster",
    /// A learner answers only some requests.
    NotSupportedForLearner => Unavailable "etcdserver: rpc not supported for learner",
    /// Leadership cannot be given to this member.
    BadLeaderTransferee => FailedPrecondition "etcdserver: bad leader transferee",
    /// A downgrade to something that is no version.
    WrongDowngradeVersionFormat => InvalidArgument "etcdserver: wrong downgrade target version format",
    /// A downgrade to a version that is not the one before.
    InvalidDowngradeTargetVersion => InvalidArgument "etcdserver: invalid downgrade target version",
    /// There is no downgrade to cancel.
    NoInflightDowngrade => FailedPrecondition "etcdserver: no inflight downgrade job",
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.text())
    }
}

/// Why a watch was refused at its creation: texts of `cancel_reason`, where etcd has no gRPC status.
pub mod watch {
    /// `range_end` is not after `key`.
    pub const RANGE_EMPTY: &str = "mvcc: watcher range is empty";
    /// The stream has a watch of this number.
    pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_the_status_that_clients_match() {
        let status = Status::from(Refusal::Compacted);
        assert_eq!(status.code(), Code::OutOfRange);
        assert_eq!(
            status.message(),
            "etcdserver: mvcc: required revision has been compacted"
        );
    }

    #[test]
    fn texts_are_distinct() {
        let mut texts: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Refusal::ALL.len());
    }
}
