//! Leases: granted, kept, asked for, listed, revoked, and one that ends.

use crate::show::{self, Show, failure, say};
use crate::watch;
use anyhow::{Context as _, Result};
use etcd_client::{
    Client, GetOptions, LeaseGrantOptions, LeaseGrantResponse, LeaseLeasesResponse,
    LeaseRevokeResponse, LeaseTimeToLiveOptions, LeaseTimeToLiveResponse, PutOptions, WatchOptions,
};

/// Numbers that we choose.
const FIRST: i64 = 0x7000_0000_0000_0001;
const SECOND: i64 = 0x7000_0000_0000_0002;
const UNKNOWN: i64 = 0x7000_0000_0000_0404;

impl Show for LeaseGrantResponse {
    fn show(&self) -> String {
        format!(
            "{}, {} for {} s, error {:?}",
            show::revision(self.header()),
            show::lease(self.id()),
            self.ttl(),
            self.error()
        )
    }
}

impl Show for LeaseRevokeResponse {
    fn show(&self) -> String {
        show::revision(self.header())
    }
}

impl Show for LeaseTimeToLiveResponse {
    fn show(&self) -> String {
        let mut keys: Vec<String> = self.keys().iter().map(|key| show::bytes(key)).collect();
        // In no order.
        keys.sort();
        let left = match self.ttl() {
            left if left > 0 && left <= self.granted_ttl() => "some".to_owned(),
            left => left.to_string(),
        };
        format!(
            "{}, {}: {left} of {} s left, keys {}",
            show::revision(self.header()),
            show::lease(self.id()),
            self.granted_ttl(),
            keys.join(" ")
        )
    }
}

impl Show for LeaseLeasesResponse {
    fn show(&self) -> String {
        let mut ids: Vec<String> = self
            .leases()
            .iter()
            .map(|one| show::lease(one.id()))
            .collect();
        ids.sort();
        format!("{}: {}", show::revision(self.header()), ids.join(" "))
    }
}

pub(crate) async fn run(client: &Client) -> Result<()> {
    let mut leases = client.lease_client();
    let with = |id: i64| Some(LeaseGrantOptions::new().with_id(id));
    for (what, ttl, id) in [
        ("grant", 100, FIRST),
        ("grant again", 100, FIRST),
        ("grant another", 200, SECOND),
        ("grant no time", 0, UNKNOWN),
        ("grant less than no time", -1, UNKNOWN),
        ("grant too long", 9_000_000_001, UNKNOWN),
    ] {
        say(what, leases.grant(ttl, with(id)).await);
    }
    let chosen = leases.grant(100, None).await;
    if let Ok(granted) = &chosen {
        println!("a number is chosen: {}", granted.id() > 0);
        say("revoke", leases.revoke(granted.id()).await);
    }
    keys(client).await;
    keep(client).await;
    let with_keys = || Some(LeaseTimeToLiveOptions::new().with_keys());
    say("leases", leases.leases().await);
    say("revoke", leases.revoke(FIRST).await);
    say("revoke again", leases.revoke(FIRST).await);
    say(
        "time to live of the revoked",
        leases.time_to_live(FIRST, with_keys()).await,
    );
    say(
        "put to the revoked",
        client
            .kv_client()
            .put("l/a", "1", Some(PutOptions::new().with_lease(FIRST)))
            .await,
    );
    say(
        "what is left",
        client
            .kv_client()
            .get("l/", Some(GetOptions::new().with_prefix()))
            .await,
    );
    say("leases", leases.leases().await);
    say("revoke", leases.revoke(SECOND).await);
    say("leases", leases.leases().await);
    Ok(())
}

/// Keys come to a lease, go to another, and leave.
async fn keys(client: &Client) {
    let (mut kv, mut leases) = (client.kv_client(), client.lease_client());
    let with = |id: i64| PutOptions::new().with_lease(id);
    let with_keys = || Some(LeaseTimeToLiveOptions::new().with_keys());
    for (what, key, options) in [
        ("put", "l/a", with(FIRST)),
        ("put", "l/b", with(FIRST)),
        ("put", "l/c", with(FIRST)),
        ("put to another", "l/b", with(SECOND)),
        ("put to none", "l/c", PutOptions::new()),
        (
            "put, ignore lease",
            "l/a",
            PutOptions::new().with_ignore_lease().with_prev_key(),
        ),
    ] {
        say(what, kv.put(key, "1", Some(options)).await);
    }
    say("time to live", leases.time_to_live(FIRST, None).await);
    for id in [FIRST, SECOND, UNKNOWN] {
        say(
            "time to live with keys",
            leases.time_to_live(id, with_keys()).await,
        );
    }
    say(
        "get",
        kv.get("l/", Some(GetOptions::new().with_prefix())).await,
    );
    say("delete", kv.delete("l/b", None).await);
    say(
        "time to live with keys",
        leases.time_to_live(SECOND, with_keys()).await,
    );
}

async fn keep(client: &Client) {
    for id in [FIRST, UNKNOWN] {
        let kept = async {
            let (mut keeper, mut answers) = client.lease_client().keep_alive(id).await?;
            keeper.keep_alive().await?;
            let answer = answers.message().await?;
            Ok(answer.map_or("the stream ended".to_owned(), |answer| {
                let lease = show::lease(answer.id());
                format!(
                    "{}, {lease} for {} s",
                    show::revision(answer.header()),
                    answer.ttl()
                )
            }))
        };
        say("keep alive", kept.await);
    }
}

/// A lease whose time ends takes its keys along, in one revision. At the end: what comes meanwhile has no fixed revision.
pub(crate) async fn expiry(client: &Client) -> Result<()> {
    let options = || Some(LeaseGrantOptions::new().with_id(FIRST));
    // The shortest there is: more than was asked for.
    say("grant", client.lease_client().grant(1, options()).await);
    say("revoke", client.lease_client().revoke(FIRST).await);
    // Long enough for two puts on a machine that stalls.
    say("grant", client.lease_client().grant(6, options()).await);
    let watched = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = client.watch_client().watch("e/", Some(watched)).await;
    let stream = stream
        .as_mut()
        .map_err(|error| anyhow::anyhow!(failure(error)))?;
    watch::say_next("watch", stream).await?;
    for key in ["e/a", "e/b"] {
        let with = PutOptions::new().with_lease(FIRST);
        say("put", client.kv_client().put(key, "1", Some(with)).await);
    }
    watch::say_events("puts, and what its end deletes", stream, 4)
        .await
        .context("a lease ends")?;
    say(
        "time to live",
        client.lease_client().time_to_live(FIRST, None).await,
    );
    Ok(())
}
