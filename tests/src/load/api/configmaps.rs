//! Creates and gets of ConfigMaps, as a closed loop sends them.

use super::client::{Client, Method, is_of};
use crate::load::calls::{Calls, Framing};
use crate::load::client::{Random, value};
use crate::load::closed::Operation;
use anyhow::{Context as _, Result};

/// Of the namespace that every cluster has.
pub(super) const PATH: &str = "/api/v1/namespaces/default/configmaps";
/// The kind.
pub(super) const KIND: &str = "ConfigMap";
/// Bytes of data.
pub(super) const DATA: usize = 256;

/// A ConfigMap with `length` bytes of data, as a request has it.
pub(super) fn body(name: &str, length: usize) -> Result<Vec<u8>> {
    let data = value(length);
    let data = std::str::from_utf8(&data).context("letters")?;
    Ok(with(name, data))
}

fn with(name: &str, data: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"v1","kind":"{KIND}","metadata":{{"name":"{name}"}},"data":{{"value":"{data}"}}}}"#
    )
    .into_bytes()
}

/// Creates of new names.
#[derive(Debug, Clone)]
pub(super) struct Create {
    client: Client,
    /// What the names of this load begin with.
    prefix: &'static str,
    data: String,
}

impl Create {
    pub(super) fn new(client: &Client, prefix: &'static str) -> Result<Self> {
        Ok(Self {
            client: client.clone(),
            prefix,
            data: String::from_utf8(value(DATA).to_vec()).context("letters")?,
        })
    }
}

impl Operation for Create {
    async fn connect(&self, _: usize) -> Result<Calls> {
        self.client.open(Method::Post, PATH, Framing::Whole).await
    }

    fn ask(&self, calls: &mut Calls, client: usize, random: &mut Random) -> Result<()> {
        let name = format!("{}-{:016x}", self.prefix, random.below(usize::MAX));
        calls.send(client, with(&name, &self.data))
    }

    fn check(&self, answer: &[u8]) -> Result<()> {
        is_of(KIND, answer)
    }
}

/// Gets of one object, or of a list.
#[derive(Debug, Clone)]
pub(super) struct Get {
    pub(super) client: Client,
    pub(super) path: String,
    pub(super) kind: &'static str,
}

impl Operation for Get {
    async fn connect(&self, _: usize) -> Result<Calls> {
        self.client
            .open(Method::Get, &self.path, Framing::Whole)
            .await
    }

    fn ask(&self, calls: &mut Calls, client: usize, _: &mut Random) -> Result<()> {
        calls.send(client, Vec::new())
    }

    fn check(&self, answer: &[u8]) -> Result<()> {
        is_of(self.kind, answer)
    }
}
