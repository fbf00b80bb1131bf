//! Whether all members hold the same: the leader compares hashes of one revision, again and again.
//!
//! ```text
//!   leader: own hash at R ──> others: theirs at R ──> planner::corruption ──> CORRUPT alarm for who differs
//! ```
//!
//! A member that is behind R, or out of reach, is compared the next time.

use super::{Leader, Member, MemberError};
use crate::{
    executor::server::hashing::hash,
    planner::{command::Command, corruption::suspects, state::Alarm},
};
use etcd_proto::etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How long a peer may take to hash what it holds.
const HASH_MAX: Duration = Duration::from_secs(120);

impl Member {
    /// Compares for ever, where this member leads.
    pub(super) async fn check_corruption(&self) -> Result<(), MemberError> {
        let Some(every) = self.inner.settings.corruption_check else {
            return Ok(());
        };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is now, when there is nobody yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if !matches!(self.leader(), Leader::Me) {
                continue;
            }
            for member in self.compare().await? {
                self.raise_corrupt(member).await;
            }
        }
    }

    /// Members whose data differ. Faults of our own disk are errors; others' are theirs to tell.
    async fn compare(&self) -> Result<Vec<u64>, MemberError> {
        let others: Vec<_> = {
            let members = self.members();
            members
                .into_iter()
                .filter(|member| member.id != self.id())
                .collect()
        };
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let own = match hash(self, 0).await {
            Ok(own) => own,
            Err(MemberError::Refused(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut hashes = vec![(self.id(), own)];
        for other in others {
            let node = crate::executor::raft::NodeInfo {
                peer_urls: other.peer_urls,
                ..Default::default()
            };
            let peer = self.inner.peers.peer(other.id, &node);
            match peer.hash(own.revision, HASH_MAX).await {
                Ok(hashed) => hashes.push((other.id, hashed)),
                Err(error) => {
                    let member = format!("{:x}", other.id);
                    tracing::debug!(member, %error, "a member was not compared");
                }
            }
        }
        Ok(suspects(&hashes))
    }

    async fn raise_corrupt(&self, member: u64) {
        let alarm = Alarm {
            member,
            kind: i32::from(AlarmType::Corrupt),
        };
        let raised = self.read(|state, _| state.alarms().contains(&alarm));
        if raised.unwrap_or(false) {
            return;
        }
        tracing::error!(
            member = format!("{member:x}"),
            "this member holds other keys or values than most: remove it and add it anew, then clear the alarm"
        );
        let mut request = AlarmRequest {
            member_id: member,
            ..AlarmRequest::default()
        };
        request.set_action(AlarmAction::Activate);
        request.set_alarm(AlarmType::Corrupt);
        let raise = Command::Alarm(request);
        if let Err(error) = self.commit(&raise, self.deadline()).await {
            tracing::warn!(%error, "raise the alarm: it is tried again after the next comparison");
        }
    }
}
