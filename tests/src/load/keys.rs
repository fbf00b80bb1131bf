//! Puts and gets of a store's keys, as a closed loop sends them.

use super::calls::Calls;
use super::client::{self, Random};
use super::closed::Operation;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use etcd_proto::prost::Message as _;

/// What each client does.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Puts `value` under one of `keys` keys.
    Put {
        /// What is put.
        value: Bytes,
        /// How many keys there are to choose from.
        keys: usize,
    },
    /// A linearizable read of one of `keys` keys that are there.
    Get {
        /// How many keys there are to choose from.
        keys: usize,
    },
}

/// The same with the members of a cluster.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Where members are.
    pub endpoints: Vec<String>,
    /// What each client does.
    pub deed: Deed,
}

impl Operation for Keys {
    async fn connect(&self, number: usize) -> Result<Calls> {
        let path = match self.deed {
            Deed::Put { .. } => "/etcdserverpb.KV/Put",
            Deed::Get { .. } => "/etcdserverpb.KV/Range",
        };
        Calls::connect(&self.endpoints[number % self.endpoints.len()], path).await
    }

    fn servers(&self) -> usize {
        self.endpoints.len()
    }

    fn ask(&self, calls: &mut Calls, client: usize, random: &mut Random) -> Result<()> {
        match &self.deed {
            Deed::Put { value, keys } => {
                let request = PutRequest {
                    key: client::key("load", random.below(*keys)),
                    value: value.clone(),
                    ..PutRequest::default()
                };
                calls.call(client, &request)
            }
            Deed::Get { keys } => {
                let request = RangeRequest {
                    key: client::key("load", random.below(*keys)),
                    ..RangeRequest::default()
                };
                calls.call(client, &request)
            }
        }
    }

    fn check(&self, answer: &[u8]) -> Result<()> {
        match &self.deed {
            Deed::Put { .. } => {
                let answer = PutResponse::decode(answer).context("an answer to a put")?;
                ensure!(answer.header.is_some(), "a put without a revision");
            }
            Deed::Get { .. } => {
                let answer = RangeResponse::decode(answer).context("an answer to a get")?;
                ensure!(answer.count == 1, "a key is not there");
            }
        }
        Ok(())
    }
}
