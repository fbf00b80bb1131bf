//! Members: who is there, and how that changes.
//!
//! ```text
//!   add ──> learner, meant to vote ──caught up──> voter          the leader sees to it
//!   add as learner ──> learner ──promote──> learner, meant to vote, caught up already ──> voter
//!   remove ──> gone
//! ```
//!
//! A new member gets its vote only when it has nearly all of the log: so an addition never costs the cluster its quorum, even
//! if the new member never starts. One change at a time.

use super::{Answer, Leader, Member, MemberError, MemberInfo, identity::added_member, lead::fatal};
use crate::executor::{
    peer::proto::{ChangeMembersRequest, Members, Node, change_members_request::Change},
    raft::{Membership, NodeInfo},
};
use etcd_client::{MemberUrl, URLS_MAX};
use etcd_proto::errors::Refusal;
use openraft::{
    ChangeMembers,
    async_runtime::WatchReceiver,
    error::{ClientWriteError, RaftError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the leader looks whether somebody can be given a vote. Who cannot tell his name tries no more often in the end.
const VOTERS_INTERVAL: Duration = Duration::from_millis(500);

type ChangeOf = ChangeMembers<u64, NodeInfo>;

impl Member {
    /// The members, as this one knows them.
    #[must_use]
    pub fn members(&self) -> Vec<MemberInfo> {
        infos(&self.membership())
    }

    /// Adds a member; returns it, and all. It is there for its peers at once, and votes when it has caught up.
    ///
    /// # Errors
    /// [`Refusal::PeerUrlExists`], [`Refusal::TooManyLearners`], [`Refusal::MemberBadUrls`], or as for a proposal.
    pub async fn add_member(
        &self,
        peer_urls: Vec<String>,
        learner: bool,
    ) -> Result<(MemberInfo, Vec<MemberInfo>), MemberError> {
        check_urls(&peer_urls)?;
        let node = Node {
            peer_urls,
            learner,
            ..Node::default()
        };
        let changed = self.change(Change::Add(node)).await?;
        let members = infos(&changed);
        let added = members.iter().find(|member| member.id == changed.added);
        match added {
            Some(added) => Ok((added.clone(), members)),
            // It was removed before the answer came.
            None => Err(Refusal::MemberNotFound.into()),
        }
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// [`Refusal::MemberNotFound`], [`Refusal::MemberNotLearner`], [`Refusal::LearnerNotReady`], or as for a proposal.
    pub async fn promote_member(&self, id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Ok(infos(&self.change(Change::Promote(id)).await?))
    }

    /// Changes where a member is reached by its peers.
    ///
    /// # Errors
    /// [`Refusal::MemberNotFound`], [`Refusal::PeerUrlExists`], [`Refusal::MemberBadUrls`], or as for a proposal.
    pub async fn update_member(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<Vec<MemberInfo>, MemberError> {
        check_urls(&peer_urls)?;
        let node = Node {
            id,
            peer_urls,
            ..Node::default()
        };
        Ok(infos(&self.change(Change::Update(node)).await?))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`Refusal::MemberNotFound`], [`Refusal::MemberNotEnoughStarted`], or as for a proposal.
    pub async fn remove_member(&self, id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Ok(infos(&self.change(Change::Remove(id)).await?))
    }

    /// Gives leadership to another member, and waits until that one leads. To the leader itself there is nothing to give.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`], [`Refusal::BadLeaderTransferee`], [`MemberError::Timeout`].
    pub fn move_leader(&self, to: u64) -> Answer<'_, ()> {
        Box::pin(self.give_leadership(to))
    }

    async fn give_leadership(&self, to: u64) -> Result<(), MemberError> {
        let Leader::Me = self.leader() else {
            return Err(Refusal::NotLeader.into());
        };
        if !self.raft().voter_ids().any(|id| id == to) {
            return Err(Refusal::BadLeaderTransferee.into());
        }
        // Openraft would take no proposal until the one whom it has asked has an election, which the leader itself never has.
        if to == self.inner.id {
            return Ok(());
        }
        let mut metrics = self.raft().server_metrics();
        let moved = pin!(async {
            let trigger = self.raft().trigger();
            trigger
                .transfer_leader(to)
                .await
                .map_err(|error| fatal(&error))?;
            while metrics.borrow_watched().current_leader != Some(to) {
                metrics.changed().await.map_err(|_| MemberError::Stopped)?;
            }
            Ok(())
        });
        self.until(self.deadline(), moved).await
    }

    fn change(&self, change: Change) -> Answer<'_, Members> {
        let timeout = self.inner.settings.request_timeout;
        let change = ChangeMembersRequest {
            change: Some(change),
        };
        Box::pin(async move {
            self.ask_leader(
                || self.lead_member_change(change.clone()),
                |peer| {
                    let change = change.clone();
                    async move { peer.change_members(change, timeout).await }
                },
            )
            .await
        })
    }

    /// Carries out a change as the leader.
    pub(crate) async fn lead_member_change(
        &self,
        request: ChangeMembersRequest,
    ) -> Result<Members, MemberError> {
        let Some(change) = request.change else {
            return Err(Refusal::MemberNotFound.into());
        };
        let _alone = self.inner.changing.lock().await;
        // Whoever leads no longer must not decide by what he last knew.
        let index = self.lead_read_index().await?;
        self.machine().wait_applied(index).await;
        let membership = self.machine().position().membership.membership().clone();
        let mut added = 0;
        let change = match change {
            Change::Add(node) => {
                let node = NodeInfo::from(node);
                admit_addition(&membership, &node)?;
                added = added_member(&node.peer_urls, index);
                ChangeOf::AddNodes([(added, node)].into())
            }
            Change::Promote(id) => {
                let node = self.admit_promotion(&membership, id)?;
                ChangeOf::SetNodes([(id, node)].into())
            }
            Change::Update(node) => {
                let id = node.id;
                let node = updated(&membership, node)?;
                ChangeOf::SetNodes([(id, node)].into())
            }
            Change::Remove(id) => {
                self.admit_removal(&membership, id)?;
                let gone = BTreeSet::from([id]);
                if membership.voter_ids().any(|voter| voter == id) {
                    self.write_membership(ChangeOf::RemoveVoters(gone.clone()))
                        .await?;
                }
                // Where it had a vote, it is no learner now either.
                if self.raft().learner_ids().any(|learner| learner == id) {
                    self.write_membership(ChangeOf::RemoveNodes(gone)).await?;
                }
                return Ok(self.membership());
            }
        };
        self.write_membership(change).await?;
        Ok(Members {
            added,
            ..self.membership()
        })
    }

    async fn write_membership(&self, change: ChangeOf) -> Result<(), MemberError> {
        match self.raft().change_membership(change, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(fatal(&error)),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(MemberError::NoLeader)
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                tracing::warn!(%error, "a change of membership was refused");
                Err(Refusal::Unhealthy.into())
            }
            Err(RaftError::APIError(_)) => Err(MemberError::LeaderChanged),
        }
    }

    fn admit_promotion(&self, membership: &Membership, id: u64) -> Result<NodeInfo, MemberError> {
        let node = membership.get_node(&id).ok_or(Refusal::MemberNotFound)?;
        if !node.learner || membership.voter_ids().any(|voter| voter == id) {
            return Err(Refusal::MemberNotLearner.into());
        }
        if !self.has_caught_up(id) {
            return Err(Refusal::LearnerNotReady.into());
        }
        Ok(NodeInfo {
            learner: false,
            ..node.clone()
        })
    }

    /// The voters that are left must be able to decide: more than half of them answer now.
    fn admit_removal(&self, membership: &Membership, id: u64) -> Result<(), MemberError> {
        if membership.get_node(&id).is_none() {
            return Err(Refusal::MemberNotFound.into());
        }
        let voters: Vec<_> = membership
            .voter_ids()
            .filter(|voter| *voter != id)
            .collect();
        let answering = voters
            .iter()
            .filter(|voter| **voter == self.id() || self.has_caught_up(**voter))
            .count();
        if answering * 2 <= voters.len() {
            return Err(Refusal::MemberNotEnoughStarted.into());
        }
        Ok(())
    }

    /// Whether a member's log is at least nine tenths of the leader's, as etcd asks of learners.
    fn has_caught_up(&self, id: u64) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|replication| *replication.get(&id)?)
            .map_or(0, |matched| matched.index);
        let last = metrics.last_log_index.unwrap_or(0);
        matched > 0 && matched >= last - last / 10
    }

    /// Gives those who are meant to vote their vote when they have caught up. For ever.
    pub(super) async fn keep_voters(&self) -> Result<(), MemberError> {
        let mut ticks = interval(VOTERS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Leader::Me = self.leader() else { continue };
            let Some(id) = self.next_voter() else {
                continue;
            };
            let _alone = self.inner.changing.lock().await;
            let voter = ChangeOf::AddVoterIds([id].into());
            match self.write_membership(voter).await {
                Ok(()) => tracing::info!(member = format!("{id:x}"), "a member has a vote now"),
                Err(error) => tracing::info!(%error, "give a member its vote"),
            }
        }
    }

    fn next_voter(&self) -> Option<u64> {
        let meant: Vec<u64> = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            let learners: BTreeSet<u64> = membership.learner_ids().collect();
            let nodes = membership.nodes();
            nodes
                .filter(|(id, node)| learners.contains(*id) && !node.learner)
                .map(|(id, _)| *id)
                .collect()
        };
        meant.into_iter().find(|id| self.has_caught_up(*id))
    }

    /// Tells the cluster this member's name and client URLs, which it learns at his first start.
    pub(super) async fn publish(&self) -> Result<(), MemberError> {
        let settings = &self.inner.settings;
        let ours = Node {
            id: self.id(),
            name: settings.name.clone(),
            client_urls: settings.client_urls.clone(),
            ..Node::default()
        };
        let mut pause = super::AGAIN;
        loop {
            let known = self.members().into_iter().find(|known| known.id == ours.id);
            if let Some(known) = known {
                let same = known.name == ours.name
                    && (ours.client_urls.is_empty() || known.client_urls == ours.client_urls);
                if same {
                    return Ok(());
                }
                match self.change(Change::Update(ours.clone())).await {
                    Ok(_) => return Ok(()),
                    Err(MemberError::Stopped) => return Err(MemberError::Stopped),
                    Err(error) => tracing::debug!(%error, "tell the cluster our name"),
                }
            }
            sleep(pause).await;
            pause = VOTERS_INTERVAL.min(pause * 2);
        }
    }
}

fn infos(members: &Members) -> Vec<MemberInfo> {
    let membership = members.membership.clone().unwrap_or_default();
    let voters: BTreeSet<u64> = membership
        .configs
        .iter()
        .flat_map(|voters| voters.ids.iter().copied())
        .collect();
    let nodes = membership.nodes.into_iter();
    nodes
        .map(|node| MemberInfo {
            is_learner: node.learner && !voters.contains(&node.id),
            id: node.id,
            name: node.name,
            peer_urls: node.peer_urls,
            client_urls: node.client_urls,
        })
        .collect()
}

fn check_urls(urls: &[String]) -> Result<(), MemberError> {
    let fits = (1..=URLS_MAX).contains(&urls.len());
    if !fits || urls.iter().any(|url| MemberUrl::parse(url).is_err()) {
        return Err(Refusal::MemberBadUrls.into());
    }
    Ok(())
}

fn admit_addition(membership: &Membership, node: &NodeInfo) -> Result<(), MemberError> {
    let known: BTreeMap<_, _> = membership.nodes().collect();
    let taken = |url: &String| known.values().any(|other| other.peer_urls.contains(url));
    if node.peer_urls.iter().any(taken) {
        return Err(Refusal::PeerUrlExists.into());
    }
    if node.learner && known.values().any(|other| other.learner) {
        return Err(Refusal::TooManyLearners.into());
    }
    Ok(())
}

fn updated(membership: &Membership, change: Node) -> Result<NodeInfo, MemberError> {
    let taken = membership
        .nodes()
        .filter(|(id, _)| **id != change.id)
        .any(|(_, other)| {
            let mut urls = change.peer_urls.iter();
            urls.any(|url| other.peer_urls.contains(url))
        });
    if taken {
        return Err(Refusal::PeerUrlExists.into());
    }
    let known = membership.get_node(&change.id);
    let mut node = known.ok_or(Refusal::MemberNotFound)?.clone();
    if !change.name.is_empty() {
        node.name = change.name;
    }
    if !change.peer_urls.is_empty() {
        node.peer_urls = change.peer_urls;
    }
    if !change.client_urls.is_empty() {
        node.client_urls = change.client_urls;
    }
    Ok(node)
}
