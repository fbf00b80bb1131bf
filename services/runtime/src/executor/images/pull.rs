//! From a reference, or an archive, to an image on the disk.
//!
//! ```text
//!   claim what nobody makes ──> unpack, some at once ──> settle and name, from the lowest up ──> all there?
//!        ^                                                                                          │ no
//!        └── another pull has made a layer, or given up <───────────── wait <───────────────────────┘
//! ```
//!
//! Two pulls that share layers never wait for each other: layers that are shared are the lowest ones, and whoever has the
//! lowest that is missing waits for nobody, and names it before it waits for others.

use super::{
    Inner,
    body::{Body, Stream},
    error::{ImagesError, LayerError, StoreError},
    http::Http,
    import::Archive,
    layers::{Claim, Hold, Staging},
    registry::{RegistryError, Sent, Session},
    settle, unpack,
    unpack::Unpacked,
};
use crate::planner::images::{
    challenge::{AuthConfig, Credentials},
    config::ImageConfig,
    digest::{Digest, chain_ids},
    manifest::{self, Descriptor, Document, Manifest},
    reference::Reference,
    table::{Record, RecordUser},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
};

/// Chunks between network and disk: at 256 KiB each, 4 MiB for each layer.
const CHUNKS: usize = 16;
/// Indexes within indexes.
const NESTED_MAX: usize = 3;

/// Where an image comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Registry(Arc<Session>),
    Archive(Arc<Archive>),
}

/// An image whose documents are here, and verified.
#[derive(Debug)]
pub(super) struct Described {
    /// Of what the name leads to: an index, or the manifest itself.
    pub(super) top: Digest,
    pub(super) manifest_digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) manifest_text: String,
    pub(super) config: ImageConfig,
    pub(super) config_text: String,
}

/// Pulls an image, or only finds that it is here.
pub(super) async fn pull(
    inner: &Arc<Inner>,
    reference: &Reference,
    auth: &AuthConfig,
) -> Result<Record, ImagesError> {
    let credentials = Credentials::of(auth)?;
    let _permit = inner.pulls.acquire().await.expect("it is never closed");
    let options = &inner.options;
    let http = Http::new(
        options.resolv_conf.clone(),
        options.ca_bundle.clone(),
        options.timeouts.clone(),
    );
    let endpoints = options.registries.endpoints(reference)?;
    let session = Session::new(
        http,
        options.timeouts.clone(),
        endpoints,
        reference,
        &credentials,
    );
    let source = Source::Registry(Arc::new(session));
    let sent = source.manifest(reference.wanted()).await?;
    let top = digest_of(reference, &sent);
    let (digest, sent) = of_this_machine(inner, &source, top.clone(), sent).await?;
    let names = |record: Record| Record {
        repo_tags: reference.repo_tag().into_iter().collect(),
        repo_digests: [reference.repo_digest(&top)].into(),
        ..record
    };
    // The manifest names all else by digests: what is here by this one need not be looked at again.
    let known = inner
        .table()
        .records()
        .find(|record| record.manifest == digest)
        .cloned();
    if let Some(record) = known {
        let _hold = inner.layers.hold(&record.chain_ids);
        if inner.table().get(&record.id).is_some() {
            return inner.record(names(record), None).await;
        }
    }
    let described = describe(inner, &source, top.clone(), digest, sent).await?;
    let (record, _hold) = obtain(inner, &source, &described).await?;
    let documents = (described.manifest_text, described.config_text);
    inner.record(names(record), Some(documents)).await
}

/// By the algorithm that was asked for.
fn digest_of(reference: &Reference, sent: &Sent) -> Digest {
    match reference.digest() {
        Some(digest) => digest.clone(),
        None => Digest::of(&sent.bytes),
    }
}

/// The manifest behind an index; what was sent, where that is one.
async fn of_this_machine(
    inner: &Inner,
    source: &Source,
    mut digest: Digest,
    mut sent: Sent,
) -> Result<(Digest, Sent), ImagesError> {
    for _ in 0..NESTED_MAX {
        match manifest::document(&sent.bytes, sent.kind.as_deref())? {
            Document::Manifest(_) => return Ok((digest, sent)),
            Document::Index(index) => {
                let chosen = manifest::choose(&index, &inner.options.platform)?;
                sent = source.manifest(chosen.digest.as_str()).await?;
                digest = chosen.digest;
            }
        }
    }
    Err(ImagesError::FailedPrecondition(
        "the index leads to indexes only".to_owned(),
    ))
}

/// Reads and compares all documents of an image.
async fn describe(
    inner: &Inner,
    source: &Source,
    top: Digest,
    manifest_digest: Digest,
    sent: Sent,
) -> Result<Described, ImagesError> {
    let Document::Manifest(manifest) = manifest::document(&sent.bytes, sent.kind.as_deref())?
    else {
        return Err(ImagesError::FailedPrecondition(
            "an index where a manifest should be".to_owned(),
        ));
    };
    let bytes = source.config(&manifest.config).await?;
    let config = manifest::config(&bytes, &manifest, &inner.options.platform)?;
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .map_err(|_| ImagesError::FailedPrecondition("a document is no UTF-8".to_owned()))
    };
    Ok(Described {
        top,
        manifest_digest,
        manifest,
        manifest_text: text(sent.bytes)?,
        config,
        config_text: text(bytes)?,
    })
}

/// The image behind a descriptor of an archive.
pub(super) async fn described(
    inner: &Inner,
    source: &Source,
    top: &Descriptor,
) -> Result<Described, ImagesError> {
    let sent = source.manifest(top.digest.as_str()).await?;
    let (digest, sent) = of_this_machine(inner, source, top.digest.clone(), sent).await?;
    describe(inner, source, top.digest.clone(), digest, sent).await
}

type Made = BTreeMap<usize, (Claim, Staging, Unpacked)>;

/// Makes all layers be there, and the record of them, which has no names yet. They are held until the record is written.
pub(super) async fn obtain(
    inner: &Arc<Inner>,
    source: &Source,
    described: &Described,
) -> Result<(Record, Hold), ImagesError> {
    let chain = chain_ids(&described.config.diff_ids);
    let hold = inner.layers.hold(&chain);
    let (cancel, cancelled) = watch::channel(false);
    let mut made = Made::new();
    let mut tasks = JoinSet::new();
    loop {
        let changed = inner.layers.changed().notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        for claim in inner.layers.claim(&chain) {
            let at = chain
                .iter()
                .position(|chain_id| chain_id == claim.chain_id());
            let at = at.expect("it was claimed of the chain");
            let making = LayerTask {
                inner: Arc::clone(inner),
                source: source.clone(),
                descriptor: described.manifest.layers[at].clone(),
                diff_id: described.config.diff_ids[at].clone(),
                cancelled: cancelled.clone(),
            };
            tasks.spawn(async move {
                let (staging, unpacked) = making.run().await?;
                Ok::<_, ImagesError>((at, (claim, staging, unpacked)))
            });
        }
        let mut failed = None;
        while let Some(done) = tasks.join_next().await {
            match done.expect("a layer's task neither panics nor is aborted") {
                Ok((at, layer)) => drop(made.insert(at, layer)),
                // The first is the cause; the others end because of it.
                Err(error) => {
                    let _ = cancel.send(true);
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            // What was made is gone before anybody hears of it.
            spawn_blocking(move || drop(made))
                .await
                .expect("removing does not panic");
            return Err(error);
        }
        made = commit(inner, &chain, made).await?;
        if inner.layers.whole(&chain) == chain.len() {
            break;
        }
        changed.await;
    }
    let usages = chain
        .iter()
        .filter_map(|chain_id| inner.layers.usage(chain_id));
    let documents = described.manifest_text.len() + described.config_text.len();
    let record = Record {
        id: described.manifest.config.digest.clone(),
        manifest: described.manifest_digest.clone(),
        repo_tags: std::collections::BTreeSet::new(),
        repo_digests: std::collections::BTreeSet::new(),
        size: usages.map(|usage| usage.bytes).sum::<u64>() + documents as u64,
        user: RecordUser::from(&described.config),
        chain_ids: chain,
    };
    Ok((record, hold))
}

/// Settles and names what has all layers below it; the rest is given back.
async fn commit(inner: &Arc<Inner>, chain: &[Digest], mut made: Made) -> Result<Made, ImagesError> {
    let whole = inner.layers.whole(chain);
    let ready: Vec<_> = (whole..chain.len())
        .map_while(|at| made.remove(&at))
        .collect();
    if ready.is_empty() {
        return Ok(made);
    }
    let inner = Arc::clone(inner);
    let chain = chain.to_vec();
    let work = move || {
        // From the top down, as overlayfs has it.
        let mut below: Vec<_> = chain[..whole]
            .iter()
            .rev()
            .map(|chain_id| inner.layers.diff(chain_id))
            .collect();
        let mut settled = Vec::new();
        for (claim, staging, unpacked) in ready {
            let usage = settle::settle(unpacked, &below)?;
            below.insert(0, staging.diff());
            settled.push((claim, staging, usage));
        }
        inner.layers.name(settled)?;
        Ok::<_, ImagesError>(())
    };
    let done = spawn_blocking(work).await.expect("settling does not panic");
    if done.is_err() {
        spawn_blocking(move || drop(made))
            .await
            .expect("removing does not panic");
        return Err(done.expect_err("it was looked at"));
    }
    Ok(made)
}

/// One layer on its way from source to directory.
struct LayerTask {
    inner: Arc<Inner>,
    source: Source,
    descriptor: Descriptor,
    diff_id: Digest,
    cancelled: watch::Receiver<bool>,
}

impl LayerTask {
    async fn run(self) -> Result<(Staging, Unpacked), ImagesError> {
        let permit = Arc::clone(&self.inner.unpacking).acquire_owned();
        let mut cancelled = self.cancelled.clone();
        let permit = tokio::select! {
            permit = permit => permit.expect("it is never closed"),
            _ = cancelled.wait_for(|cancelled| *cancelled) => return Err(self.unwanted()),
        };
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let body = Body::new(
            receiver,
            self.descriptor.digest.clone(),
            self.descriptor.size,
        );
        let (layers, bounds) = (Arc::clone(&self.inner.layers), self.inner.options.bounds);
        let diff_id = self.diff_id.clone();
        let unpacking = spawn_blocking(move || -> Result<_, Failure> {
            // Another layer may have waited for this thread's place.
            let _permit = permit;
            let staging = layers.stage()?;
            let stream = Stream::new(body, diff_id, bounds)?;
            let unpacked = unpack::unpack(staging.open()?, stream, bounds)?;
            Ok((staging, unpacked))
        });
        let unwanted = self.unwanted();
        let fed = tokio::select! {
            biased;
            fed = self.source.layer(&self.descriptor, &sender) => fed,
            () = sender.closed() => Ok(()),
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(unwanted),
        };
        drop(sender);
        let unpacked = unpacking.await.expect("unpacking does not panic");
        let what = format!("layer {}", self.descriptor.digest);
        match (fed, unpacked) {
            // Without its bytes a layer cannot be whole: that it was cut off is no news.
            (Err(error), _) => Err(error.of(&what)),
            (Ok(()), Ok(unpacked)) => Ok(unpacked),
            (Ok(()), Err(Failure::Layer(error))) => Err(ImagesError::from(error).of(&what)),
            (Ok(()), Err(Failure::Store(error))) => Err(ImagesError::from(error).of(&what)),
        }
    }

    fn unwanted(&self) -> ImagesError {
        ImagesError::Unavailable("another layer of the image has failed".to_owned())
    }
}

enum Failure {
    Layer(LayerError),
    Store(StoreError),
}

impl From<LayerError> for Failure {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Source {
    async fn manifest(&self, wanted: &str) -> Result<Sent, ImagesError> {
        match self {
            Self::Registry(session) => Ok(session.manifest(wanted).await?),
            Self::Archive(archive) => {
                let bytes = archive.document(wanted, manifest::DOCUMENT_MAX).await?;
                Ok(Sent { bytes, kind: None })
            }
        }
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImagesError> {
        match self {
            Self::Registry(session) => Ok(session.config(descriptor).await?),
            Self::Archive(archive) => {
                archive
                    .document(descriptor.digest.as_str(), descriptor.size)
                    .await
            }
        }
    }

    async fn layer(
        &self,
        descriptor: &Descriptor,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), ImagesError> {
        match self {
            Self::Registry(session) => match session.layer(descriptor, to).await {
                // The other end says why.
                Ok(()) | Err(RegistryError::Unwanted) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Archive(archive) => archive.layer(&descriptor.digest, to).await,
        }
    }
}
