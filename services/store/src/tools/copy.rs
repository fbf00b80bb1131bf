//! `orlop store copy`: keys, values and leases of one running cluster into another, through etcd's own interface.
//!
//! ```text
//!   from: range at one revision, page by page ──> to: leases of the same numbers, then transactions of puts
//! ```
//!
//! What is copied is as of one revision; what is written meanwhile is not followed. Values come over, history and
//! revisions do not. Either side may be etcd. Copying again writes the same again: a copy that broke off is simply repeated.

use super::endpoint::{Certificates, EndpointError};
use bytes::Bytes;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        kv_client::KvClient, lease_client::LeaseClient, request_op::Request,
    },
    mvccpb::KeyValue,
};
use std::collections::BTreeSet;
use tonic::{Status, transport::Channel};

/// Keys of one page, and of one transaction at most: what etcd takes without being told otherwise.
const PAGE_KEYS: i64 = 100;
/// Bytes of one transaction: half of what etcd takes.
const TRANSACTION_BYTES: usize = 700 * 1024;

/// `copy`.
#[derive(Debug, Clone, clap::Args)]
pub struct Copy {
    /// A member of the cluster to read.
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// A member of the cluster to write.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Only keys that begin with this.
    #[arg(long, default_value = "")]
    pub prefix: String,
    #[command(flatten)]
    certificates: Certificates,
}

/// Why not everything was copied. What was is there to stay.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A side cannot be reached.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A side's answer.
    #[error("{operation} at {endpoint}: {}", status.message())]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Where.
        endpoint: String,
        /// What it said.
        status: Box<Status>,
    },
}

impl Copy {
    /// Copies, and prints what came of it.
    pub(super) async fn run(&self) -> Result<(), CopyError> {
        let source = self.certificates.channel(&self.from)?;
        let target = self.certificates.channel(&self.to)?;
        let (mut revision, mut keys, mut leases) = (0, 0_u64, BTreeSet::new());
        let end = end_of_prefix(self.prefix.as_bytes());
        let mut start = Bytes::copy_from_slice(self.prefix.as_bytes());
        if start.is_empty() {
            start = Bytes::from_static(b"\0");
        }
        loop {
            let page = RangeRequest {
                key: start.clone(),
                range_end: end.clone(),
                revision,
                limit: PAGE_KEYS,
                ..RangeRequest::default()
            };
            let page = client(&source).range(page).await;
            let page = page
                .map_err(self.failed("read keys", &self.from))?
                .into_inner();
            if revision == 0 {
                revision = page.header.map_or(0, |header| header.revision);
            }
            for pair in &page.kvs {
                if pair.lease != 0 && leases.insert(pair.lease) {
                    self.copy_lease(&source, &target, pair.lease).await?;
                }
            }
            for puts in transactions(&page.kvs) {
                let put = client(&target).txn(puts).await;
                put.map_err(self.failed("write keys", &self.to))?;
            }
            keys += u64::try_from(page.kvs.len()).expect("64 bits");
            match page.kvs.last() {
                Some(last) if page.more => start = [last.key.as_ref(), b"\0"].concat().into(),
                _ => break,
            }
        }
        println!(
            "Copied {keys} keys and {} leases, as of revision {revision}",
            leases.len()
        );
        Ok(())
    }

    /// Grants a lease of the same number and life, which begins anew. One that has ended meanwhile would have taken its keys
    /// along: it is granted for the shortest time there is.
    async fn copy_lease(
        &self,
        source: &Channel,
        target: &Channel,
        id: i64,
    ) -> Result<(), CopyError> {
        let ask = LeaseTimeToLiveRequest { id, keys: false };
        let asked = LeaseClient::new(source.clone())
            .lease_time_to_live(ask)
            .await;
        let asked = asked
            .map_err(self.failed("read a lease", &self.from))?
            .into_inner();
        let grant = LeaseGrantRequest {
            id,
            ttl: asked.granted_ttl.max(1),
        };
        match LeaseClient::new(target.clone()).lease_grant(grant).await {
            Ok(_) => Ok(()),
            // An earlier copy granted it.
            Err(status) if status.message() == Refusal::LeaseExists.text() => Ok(()),
            Err(status) => Err(self.failed("grant a lease", &self.to)(status)),
        }
    }

    fn failed(
        &self,
        operation: &'static str,
        endpoint: &str,
    ) -> impl Fn(Status) -> CopyError + use<> {
        let endpoint = endpoint.to_owned();
        move |status| CopyError::Refused {
            operation,
            endpoint: endpoint.clone(),
            status: Box::new(status),
        }
    }
}

fn client(channel: &Channel) -> KvClient<Channel> {
    KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX)
}

/// Puts of these pairs, in as few transactions as the bounds allow.
fn transactions(pairs: &[KeyValue]) -> Vec<TxnRequest> {
    let mut all = Vec::new();
    let mut current = TxnRequest::default();
    let mut bytes = 0;
    for pair in pairs {
        let size = pair.key.len() + pair.value.len();
        if bytes + size > TRANSACTION_BYTES && !current.success.is_empty() {
            all.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes += size;
        let put = PutRequest {
            key: pair.key.clone(),
            value: pair.value.clone(),
            lease: pair.lease,
            ..PutRequest::default()
        };
        current.success.push(RequestOp {
            request: Some(Request::RequestPut(put)),
        });
    }
    if !current.success.is_empty() {
        all.push(current);
    }
    all
}

/// The first key behind all that begin so; a zero byte: there is none.
fn end_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_prefixes() {
        assert_eq!(end_of_prefix(b"a"), "b");
        assert_eq!(end_of_prefix(b"a\xff"), "b");
        assert_eq!(end_of_prefix(b"\xff\xff"), "\0");
        assert_eq!(end_of_prefix(b""), "\0");
    }

    #[test]
    fn large_values_travel_alone() {
        let pair = |bytes: usize| KeyValue {
            key: "k".into(),
            value: vec![0; bytes].into(),
            ..KeyValue::default()
        };
        let sizes = |pairs: &[KeyValue]| -> Vec<usize> {
            transactions(pairs)
                .iter()
                .map(|puts| puts.success.len())
                .collect()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[pair(1), pair(2), pair(3)]), [3]);
        let large = TRANSACTION_BYTES;
        assert_eq!(
            sizes(&[pair(1), pair(large), pair(large), pair(1)]),
            [1, 1, 1, 1]
        );
    }
}
