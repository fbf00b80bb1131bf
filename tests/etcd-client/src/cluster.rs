//! Members: one that never comes is added, changed and removed.

use crate::show::{self, Show, failure, say};
use anyhow::{Result, bail};
use etcd_client::{
    Client, Error, Member, MemberAddOptions, MemberAddResponse, MemberListResponse,
    MemberPromoteResponse, MemberRemoveResponse, MemberUpdateResponse,
};
use std::time::{Duration, Instant};

/// Where nobody listens.
const PEER: &str = "http://127.0.0.1:9";
/// Etcd refuses changes until it has seen all members for five seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

impl Show for Vec<String> {
    fn show(&self) -> String {
        self.join("; ")
    }
}

fn member(member: &Member) -> String {
    format!(
        "name {:?} number {} peers {} clients {}",
        member.name(),
        show::number(member.id()),
        member.peer_urls().join(","),
        member.client_urls().join(",")
    )
}

/// In the order of their names: that of their numbers is each program's own.
fn members(members: &[Member]) -> String {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.name().to_owned()));
    let members: Vec<String> = members.into_iter().map(member).collect();
    members.join("; ")
}

impl Show for MemberListResponse {
    fn show(&self) -> String {
        members(self.members())
    }
}

impl Show for MemberAddResponse {
    fn show(&self) -> String {
        let added = self
            .member()
            .map(|added| (member(added), added.is_learner()));
        let learners = self
            .member_list()
            .iter()
            .filter(|member| member.is_learner());
        format!(
            "{added:?} of {}, {} learners",
            members(self.member_list()),
            learners.count()
        )
    }
}

impl Show for MemberUpdateResponse {
    fn show(&self) -> String {
        members(self.members())
    }
}

impl Show for MemberRemoveResponse {
    fn show(&self) -> String {
        members(self.members())
    }
}

impl Show for MemberPromoteResponse {
    fn show(&self) -> String {
        members(self.members())
    }
}

pub(crate) async fn run(client: &Client) -> Result<()> {
    let mut cluster = client.cluster_client();
    say("members", cluster.member_list().await);
    let added = add(client).await?;
    let Some(id) = added.member().map(Member::id) else {
        bail!("nobody was added");
    };
    say("add a learner", Ok(added));
    let learner = || Some(MemberAddOptions::new().with_is_learner());
    let urls = |url: &str| vec![url.to_owned()];
    say(
        "add another learner",
        cluster
            .member_add(urls("http://127.0.0.1:10"), learner())
            .await,
    );
    say(
        "add without URL",
        cluster.member_add(urls("nonsense"), learner()).await,
    );
    say("promote", cluster.member_promote(id).await);
    say("promote nobody", cluster.member_promote(404).await);
    say(
        "update",
        cluster.member_update(id, urls("http://127.0.0.1:11")).await,
    );
    say(
        "update nobody",
        cluster
            .member_update(404, urls("http://127.0.0.1:12"))
            .await,
    );
    say("members", cluster.member_list().await);
    say("remove", cluster.member_remove(id).await);
    say("remove again", cluster.member_remove(id).await);
    say("remove nobody", cluster.member_remove(404).await);
    say(
        "update the removed",
        cluster.member_update(id, urls(PEER)).await,
    );
    say("members", cluster.member_list().await);
    Ok(())
}

async fn add(client: &Client) -> Result<MemberAddResponse> {
    let begun = Instant::now();
    loop {
        let learner = MemberAddOptions::new().with_is_learner();
        let added = client
            .cluster_client()
            .member_add(vec![PEER.to_owned()], Some(learner))
            .await;
        match added {
            Ok(added) => return Ok(added),
            Err(Error::GRpcStatus(_)) if begun.elapsed() < TAKEN_WITHIN => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => bail!("add a learner: {}", failure(&error)),
        }
    }
}
