//! Maintenance: status, alarms, hashes, defragmentation, a snapshot, leadership; and that there are no users.

use crate::show::{self, Show, failure, say};
use anyhow::{Context as _, Result, anyhow};
use etcd_client::{
    AlarmAction, AlarmOptions, AlarmResponse, AlarmType, Client, ConnectOptions,
    DefragmentResponse, Error, HashKvResponse, MoveLeaderResponse, StatusResponse,
};

/// Bytes by which a snapshot is longer than whole blocks: its SHA-256.
const DIGEST_BYTES: usize = 32;
const BLOCK_BYTES: usize = 512;

impl Show for StatusResponse {
    fn show(&self) -> String {
        let own = self.header().map(|header| header.member_id());
        let mut errors = self.errors().to_vec();
        for error in &mut errors {
            // Etcd's text ends with a blank or not, by a random bit of its library.
            *error = error.trim().replace("  ", " ");
        }
        format!(
            "{}, version {}, learner {}, leads {}, has a term {}, an index {}, applied {}, a size {}, in use {}, errors {errors:?}",
            show::revision(self.header()),
            self.version(),
            self.is_learner(),
            own == Some(self.leader()),
            self.raft_term() > 0,
            self.raft_index() > 0,
            self.raft_applied_index() > 0 && self.raft_applied_index() <= self.raft_index(),
            self.db_size() > 0,
            self.raft_used_db_size() > 0 && self.raft_used_db_size() <= self.db_size(),
        )
    }
}

impl Show for AlarmResponse {
    fn show(&self) -> String {
        let alarms = self.alarms().iter();
        let alarms: Vec<String> = alarms
            .map(|alarm| format!("{:?} of {}", alarm.alarm(), show::number(alarm.member_id())))
            .collect();
        format!("{}, [{}]", show::revision(self.header()), alarms.join(", "))
    }
}

impl Show for HashKvResponse {
    fn show(&self) -> String {
        format!(
            "{}, a hash {}",
            show::revision(self.header()),
            self.hash() != 0
        )
    }
}

impl Show for DefragmentResponse {
    fn show(&self) -> String {
        "done".to_owned()
    }
}

impl Show for MoveLeaderResponse {
    fn show(&self) -> String {
        "done".to_owned()
    }
}

pub(crate) async fn run(client: &Client) -> Result<()> {
    let mut maintenance = client.maintenance_client();
    let status = maintenance.status().await;
    let header = status.as_ref().ok().and_then(|status| status.header());
    let (member, revision) = header
        .map(|header| (header.member_id(), header.revision()))
        .context("a status with a header")?;
    say("status", status);
    alarms(client, member).await;
    hashes(client, revision).await;
    say("defragment", maintenance.defragment().await);
    say("status", maintenance.status().await);
    say("snapshot", snapshot(client).await);
    say(
        "move the leader to nobody",
        maintenance.move_leader(404).await,
    );
    say(
        "move the leader to itself",
        maintenance.move_leader(member).await,
    );
    Ok(())
}

/// Each alarm is raised, seen in what is refused, and cleared.
async fn alarms(client: &Client, member: u64) {
    let (mut maintenance, mut kv) = (client.maintenance_client(), client.kv_client());
    let of_member = || {
        let mut options = AlarmOptions::new();
        options.with_member(member);
        Some(options)
    };
    say(
        "alarms",
        maintenance
            .alarm(AlarmAction::Get, AlarmType::None, None)
            .await,
    );
    for kind in [AlarmType::Nospace, AlarmType::Corrupt] {
        say(
            "raise",
            maintenance
                .alarm(AlarmAction::Activate, kind, of_member())
                .await,
        );
        say(
            "raise again",
            maintenance
                .alarm(AlarmAction::Activate, kind, of_member())
                .await,
        );
        say(
            "alarms",
            maintenance
                .alarm(AlarmAction::Get, AlarmType::None, None)
                .await,
        );
        say("status", maintenance.status().await);
        say("put", kv.put("m", "1", None).await);
        // Of what is corrupt, etcd lets linearizable reads through, and the store does not.
        if kind == AlarmType::Nospace {
            say("get", kv.get("m", None).await);
        }
        say("grant", client.lease_client().grant(100, None).await);
        say("delete", kv.delete("m", None).await);
        say(
            "clear",
            maintenance
                .alarm(AlarmAction::Deactivate, kind, of_member())
                .await,
        );
        say(
            "clear again",
            maintenance
                .alarm(AlarmAction::Deactivate, kind, of_member())
                .await,
        );
        say("put", kv.put("m", "1", None).await);
    }
    say(
        "alarms",
        maintenance
            .alarm(AlarmAction::Get, AlarmType::None, None)
            .await,
    );
}

async fn hashes(client: &Client, revision: i64) {
    let mut maintenance = client.maintenance_client();
    let first = maintenance.hash_kv(revision).await;
    let again = maintenance.hash_kv(revision).await;
    let same = matches!((&first, &again), (Ok(first), Ok(again)) if first.hash() == again.hash());
    say("hash of keys", first);
    println!("the same again: {same}");
    say("hash of keys now", maintenance.hash_kv(0).await);
    say("hash of the compacted", maintenance.hash_kv(1).await);
    say(
        "hash of the future",
        maintenance.hash_kv(revision + 1000).await,
    );
    let hash = maintenance.hash().await;
    say(
        "hash",
        hash.map(|hash| format!("{}, {}", show::revision(hash.header()), hash.hash() != 0)),
    );
}

/// A snapshot to its end: whether it has a length that a file of etcdctl may have, and what was left each time.
async fn snapshot(client: &Client) -> Result<String, Error> {
    let mut stream = client.maintenance_client().snapshot().await?;
    let (mut length, mut last, mut downward) = (0, None, true);
    while let Some(part) = stream.message().await? {
        length += part.blob().len();
        downward &= last.is_none_or(|last| part.remaining_bytes() <= last);
        last = Some(part.remaining_bytes());
    }
    Ok(format!(
        "something {}, whole blocks and a digest {}, what remains goes down {downward} to {last:?}",
        length > DIGEST_BYTES,
        length % BLOCK_BYTES == DIGEST_BYTES,
    ))
}

/// Who has a name and a password is told that none are asked for.
pub(crate) async fn authentication(endpoint: &str) {
    let options = ConnectOptions::new().with_user("name", "password");
    let connected = Client::connect([endpoint], Some(options)).await;
    let connected = connected
        .map(|_| ())
        .map_err(|error| anyhow!(failure(&error)));
    println!("with a password: {connected:?}");
}
