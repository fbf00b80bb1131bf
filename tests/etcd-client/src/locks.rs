//! The services of locks and elections, which etcd has and the store does not: clients that want them build them on
//! leases and transactions, as etcdctl does.

use crate::show::{Show, say_code};
use etcd_client::{
    CampaignResponse, Client, LeaderKey, LeaderResponse, LockResponse, ProclaimOptions,
    ProclaimResponse, ResignOptions, ResignResponse, UnlockResponse,
};

macro_rules! answered {
    ($($answer:ty),*) => {
        $(impl Show for $answer {
            fn show(&self) -> String {
                "answered".to_owned()
            }
        })*
    };
}

answered!(
    CampaignResponse,
    LeaderResponse,
    LockResponse,
    ProclaimResponse,
    ResignResponse,
    UnlockResponse
);

pub(crate) async fn run(client: &Client) {
    let granted = client.lease_client().grant(100, None).await;
    let lease = granted.map_or(0, |granted| granted.id());
    let (mut locks, mut elections) = (client.lock_client(), client.election_client());
    say_code("lock", locks.lock("lock", None).await);
    say_code("unlock", locks.unlock("lock").await);
    say_code("campaign", elections.campaign("election", "1", lease).await);
    say_code("leader", elections.leader("election").await);
    let observed = match elections.observe("election").await {
        Ok(mut stream) => stream.message().await,
        Err(error) => Err(error),
    };
    say_code(
        "observe",
        observed.map(|seen| seen.map_or("ended".to_owned(), |_| "answered".to_owned())),
    );
    let key = LeaderKey::new()
        .with_name("election")
        .with_key("election/1");
    let proclaim = ProclaimOptions::new().with_leader(key.clone());
    say_code("proclaim", elections.proclaim("2", Some(proclaim)).await);
    let resign = ResignOptions::new().with_leader(key);
    say_code("resign", elections.resign(Some(resign)).await);
}
