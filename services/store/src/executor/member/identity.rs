//! Who a member is: numbers of cluster and member, chosen once and kept.

use super::{ClusterState, MemberError, Settings, types::chain};
use crate::executor::{
    cell::Cell,
    disk::Disk,
    peer::{client::list_members, transport::Connector},
    raft::NodeInfo,
};
use aws_lc_rs::digest::{Context, SHA256};
use etcd_client::MemberUrl;
use std::{collections::BTreeMap, time::Duration};

const IDENTITY: Cell = Cell::new("identity");
/// How long one member is asked for the others.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Who a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: u64,
    pub(super) member: u64,
}

/// The members of a new cluster, by number; the same on each of them.
pub(super) fn initial_members(settings: &Settings) -> Result<BTreeMap<u64, NodeInfo>, MemberError> {
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, url) in &settings.initial_cluster {
        MemberUrl::parse(url).map_err(MemberError::Configuration)?;
        by_name.entry(name).or_default().push(url.clone());
    }
    if !by_name.contains_key(settings.name.as_str()) {
        return Err(MemberError::Configuration(format!(
            "the initial cluster does not name this member, {}",
            settings.name
        )));
    }
    let mut members = BTreeMap::new();
    for (name, mut peer_urls) in by_name {
        peer_urls.sort_unstable();
        let urls = peer_urls.iter().map(String::as_bytes);
        let id = number(std::iter::once(settings.token.as_bytes()).chain(urls));
        let node = NodeInfo {
            name: name.to_owned(),
            peer_urls,
            ..NodeInfo::default()
        };
        if members.insert(id, node).is_some() {
            return Err(MemberError::Configuration(format!(
                "member {name} has the peer URLs of another"
            )));
        }
    }
    Ok(members)
}

/// The number of a member that is added.
pub(super) fn added_member(peer_urls: &[String], salt: u64) -> u64 {
    let salt = salt.to_be_bytes();
    number(std::iter::once(salt.as_slice()).chain(peer_urls.iter().map(String::as_bytes)))
}

/// A number that is not 0, of whatever tells its bearer apart.
fn number<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let length = u64::try_from(part.len()).expect("64 bits");
        context.update(&length.to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.as_ref()[..8]);
    u64::from_be_bytes(bytes).max(1)
}

/// What was chosen at an earlier start.
pub(super) fn kept(disk: &dyn Disk) -> Result<Option<Identity>, MemberError> {
    let bytes = IDENTITY
        .read(disk)
        .map_err(|error| MemberError::Storage(chain(&error)))?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let (cluster, member) = bytes
        .split_first_chunk::<8>()
        .and_then(|(cluster, rest)| Some((*cluster, rest.try_into().ok()?)))
        .ok_or_else(|| MemberError::Storage("identity has a wrong length".to_owned()))?;
    Ok(Some(Identity {
        cluster: u64::from_be_bytes(cluster),
        member: u64::from_be_bytes(member),
    }))
}

/// Chooses, and keeps what was chosen.
pub(super) async fn choose(
    disk: &dyn Disk,
    settings: &Settings,
    connector: &Connector,
) -> Result<Identity, MemberError> {
    let members = initial_members(settings)?;
    let identity = match settings.cluster_state {
        ClusterState::New => begun(&members, settings, &[]),
        ClusterState::Existing => joined(settings, connector).await?,
    };
    keep(disk, identity)?;
    Ok(identity)
}

/// Keeps what was chosen.
pub(super) fn keep(disk: &dyn Disk, identity: Identity) -> Result<(), MemberError> {
    let mut bytes = identity.cluster.to_be_bytes().to_vec();
    bytes.extend_from_slice(&identity.member.to_be_bytes());
    IDENTITY
        .replace(disk, &bytes)
        .map_err(|error| MemberError::Storage(chain(&error)))
}

/// A new cluster of these members, told apart by the token, and by what it begins with where that is not nothing.
pub(super) fn begun(
    members: &BTreeMap<u64, NodeInfo>,
    settings: &Settings,
    content: &[u8],
) -> Identity {
    let ids: Vec<_> = members.keys().map(|id| id.to_be_bytes()).collect();
    let parts = std::iter::once(settings.token.as_bytes());
    let content = (!content.is_empty()).then_some(content);
    let ids = ids.iter().map(<[u8; 8]>::as_slice);
    let cluster = number(parts.chain(ids).chain(content));
    let member = members
        .iter()
        .find(|(_, node)| node.name == settings.name)
        .map_or(0, |(id, _)| *id);
    Identity { cluster, member }
}

/// Asks the others which number they gave to the one with our peer URLs.
async fn joined(settings: &Settings, connector: &Connector) -> Result<Identity, MemberError> {
    let ours: Vec<_> = settings
        .initial_cluster
        .iter()
        .filter(|(name, _)| *name == settings.name)
        .map(|(_, url)| url)
        .collect();
    let others = settings
        .initial_cluster
        .iter()
        .filter(|(name, _)| *name != settings.name);
    let mut faults = Vec::new();
    for (name, url) in others {
        match list_members(connector, url, ASK_TIMEOUT).await {
            Ok(members) => {
                let nodes = members.membership.unwrap_or_default().nodes;
                let found = nodes
                    .iter()
                    .find(|node| node.peer_urls.iter().any(|url| ours.contains(&url)));
                match found {
                    Some(node) => {
                        return Ok(Identity {
                            cluster: members.cluster_id,
                            member: node.id,
                        });
                    }
                    None => faults.push(format!("{name} knows no member with our peer URLs")),
                }
            }
            Err(status) => faults.push(format!("{name} at {url}: {}", status.message())),
        }
    }
    Err(MemberError::Configuration(format!(
        "cannot join the cluster: {}",
        faults.join("; ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, cluster: &[(&str, &str)]) -> Settings {
        Settings {
            name: name.to_owned(),
            initial_cluster: cluster
                .iter()
                .map(|(name, url)| ((*name).to_owned(), (*url).to_owned()))
                .collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn members_agree_on_numbers_whatever_their_order() {
        let (a, b) = (("a", "https://a:1"), ("b", "https://b:1"));
        let here = initial_members(&settings("a", &[a, b])).expect("named");
        let there = initial_members(&settings("b", &[b, a])).expect("named");
        assert_eq!(here, there);
        assert_eq!(here.len(), 2);
        let (one, other) = (
            begun(&here, &settings("a", &[a, b]), &[]),
            begun(&there, &settings("b", &[b, a]), &[]),
        );
        assert_eq!(one.cluster, other.cluster);
        assert_ne!(one.member, other.member);
        let restored = begun(&here, &settings("a", &[a, b]), b"a snapshot");
        assert_ne!(one.cluster, restored.cluster);
    }

    #[test]
    fn what_is_no_cluster_is_refused() {
        let check = |name, cluster: &[(&str, &str)], expect: &str| {
            let error = initial_members(&settings(name, cluster)).expect_err("refused");
            assert_eq!(error.to_string(), expect);
        };
        check(
            "c",
            &[("a", "https://a:1")],
            "the initial cluster does not name this member, c",
        );
        check(
            "a",
            &[("a", "https://a:1"), ("b", "https://a:1")],
            "member b has the peer URLs of another",
        );
        check(
            "a",
            &[("a", "http://a:1")],
            "http://a:1: plain HTTP between members is for loopback only: use https",
        );
        check("a", &[("a", "a:1")], "a:1 is no http or https URL");
    }
}
