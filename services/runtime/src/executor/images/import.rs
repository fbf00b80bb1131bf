//! Images from a file: an OCI image layout in a tar archive (`skopeo copy .. oci-archive:`, `docker save`, `buildah push`), or
//! Docker's older form with a `manifest.json` alone.
//!
//! The file is read where it is: first its entries, then each blob by its place.

use super::{
    Inner,
    error::ImagesError,
    pull::{self, Described, Source},
};
use crate::planner::images::{
    archive::{Archive as Entries, BLOCK, Kind, Next},
    digest::Digest,
    manifest::{self, DOCUMENT_MAX, Descriptor, LAYERS_MAX, Manifest},
    path::LayerPath,
    reference::Reference,
    table::Record,
};
use bytes::Bytes;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};
use tokio::{sync::mpsc, task::spawn_blocking};

/// Most entries of an archive.
const ENTRIES_MAX: usize = 16 * 1024;
/// Most images of an archive.
const IMAGES_MAX: usize = 64;
/// Bytes read at once.
const READ: u64 = 256 * 1024;
/// Names of images in an index: containerd's, and the spec's own.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];

/// An archive that is open.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    /// Where each file is, and how long.
    entries: BTreeMap<LayerPath, (u64, u64)>,
    /// Blobs that do not have the name of their digest.
    blobs: BTreeMap<Digest, LayerPath>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Imports all images of an archive that are for this machine.
pub(super) async fn import(inner: &Arc<Inner>, path: &Path) -> Result<Vec<Record>, ImagesError> {
    let opening = path.to_owned();
    let archive = spawn_blocking(move || Archive::open(&opening))
        .await
        .expect("reading does not panic")?;
    if archive.entries.contains_key(&name("index.json")?) {
        return import_oci(inner, archive).await;
    }
    import_docker(inner, archive).await
}

async fn import_oci(inner: &Arc<Inner>, archive: Archive) -> Result<Vec<Record>, ImagesError> {
    let bytes = archive.read(&name("index.json")?, DOCUMENT_MAX).await?;
    let manifest::Document::Index(index) = manifest::document(&bytes, None)? else {
        return Err(wrong("its index.json is no index"));
    };
    if index.len() > IMAGES_MAX {
        return Err(wrong("it has more than 64 images"));
    }
    let source = Source::Archive(Arc::new(archive));
    let mut records = Vec::new();
    for descriptor in index {
        let annotation = |key: &&str| descriptor.annotations.as_ref()?.get(*key);
        let named = NAMES.iter().find_map(annotation);
        // The spec's own annotation may have a tag alone, which names nothing.
        let reference = named.and_then(|named| match named.contains([':', '/']) {
            true => Reference::parse(named).ok(),
            false => None,
        });
        let described = pull::described(inner, &source, &descriptor).await?;
        records.push(
            add(
                inner,
                &source,
                described,
                &reference.into_iter().collect::<Vec<_>>(),
            )
            .await?,
        );
    }
    Ok(records)
}

async fn import_docker(
    inner: &Arc<Inner>,
    mut archive: Archive,
) -> Result<Vec<Record>, ImagesError> {
    let bytes = archive.read(&name("manifest.json")?, DOCUMENT_MAX).await?;
    let images: Vec<DockerImage> = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(&format!("its manifest.json cannot be read: {error}")))?;
    if images.len() > IMAGES_MAX {
        return Err(wrong("it has more than 64 images"));
    }
    let mut all = Vec::new();
    for image in images {
        let layers = image.layers.unwrap_or_default();
        if layers.len() > LAYERS_MAX {
            return Err(manifest::ManifestError::Layers(layers.len()).into());
        }
        let config = archive.read(&name(&image.config)?, DOCUMENT_MAX).await?;
        let digest = Digest::of(&config);
        let mut manifest = Manifest {
            config: Descriptor::new(digest.clone(), config.len() as u64),
            layers: layers
                .iter()
                .map(|_| Descriptor::new(digest.clone(), 0))
                .collect(),
        };
        let read = manifest::config(&config, &manifest, &inner.options.platform)?;
        for (at, layer) in layers.iter().enumerate() {
            // Docker saves layers as they are unpacked.
            let (path, diff_id) = (name(layer)?, read.diff_ids[at].clone());
            let (_, size) = archive
                .entries
                .get(&path)
                .ok_or_else(|| wrong(&format!("it has no {path}")))?;
            manifest.layers[at] = Descriptor::new(diff_id.clone(), *size);
            archive.blobs.insert(diff_id, path);
        }
        let references = image.repo_tags.unwrap_or_default();
        let references: Vec<_> = references
            .iter()
            .filter_map(|tag| Reference::parse(tag).ok())
            .collect();
        let described = Described {
            top: digest.clone(),
            manifest_digest: digest,
            manifest,
            manifest_text: String::new(),
            config: read,
            config_text: String::from_utf8(config).map_err(|_| wrong("a config is no UTF-8"))?,
        };
        all.push((described, references));
    }
    let source = Source::Archive(Arc::new(archive));
    let mut records = Vec::new();
    for (described, references) in all {
        records.push(add(inner, &source, described, &references).await?);
    }
    Ok(records)
}

async fn add(
    inner: &Arc<Inner>,
    source: &Source,
    described: Described,
    references: &[Reference],
) -> Result<Record, ImagesError> {
    let (record, _hold) = pull::obtain(inner, source, &described).await?;
    // Docker's older form has no manifest, and so nothing that a registry knows by its digest.
    let digest = |reference: &Reference| match described.manifest_text.is_empty() {
        true => None,
        false => Some(reference.repo_digest(&described.top)),
    };
    let record = Record {
        repo_tags: references.iter().filter_map(Reference::repo_tag).collect(),
        repo_digests: references
            .iter()
            .filter_map(digest)
            .collect::<BTreeSet<_>>(),
        ..record
    };
    inner
        .record(
            record,
            Some((described.manifest_text, described.config_text)),
        )
        .await
}

impl Archive {
    fn open(path: &Path) -> Result<Self, ImagesError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => {
                ImagesError::NotFound(format!("archive {}: {error}", path.display()))
            }
            io::ErrorKind::UnexpectedEof => wrong("it is cut off"),
            _ => ImagesError::Internal(format!("archive {}: {error}", path.display())),
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut entries = BTreeMap::new();
        let mut reader = Entries::default();
        let mut at = 0;
        while at < length {
            let mut block = [0; BLOCK];
            file.read_exact_at(&mut block, at).map_err(unreadable)?;
            at += BLOCK as u64;
            let next = reader
                .block(&block)
                .map_err(|error| wrong(&error.to_string()))?;
            let data = match next {
                Next::Block => 0,
                Next::Extension(bytes) => {
                    let mut extension =
                        vec![0; usize::try_from(bytes).expect("bounded by the archive")];
                    file.read_exact_at(&mut extension, at).map_err(unreadable)?;
                    reader
                        .extension(&extension)
                        .map_err(|error| wrong(&error.to_string()))?;
                    bytes
                }
                Next::Skip(bytes) => bytes,
                Next::Entry(entry) => {
                    if entry.kind == Kind::File && entry.pieces.is_none() {
                        let path = LayerPath::parse(&entry.name)
                            .map_err(|error| wrong(&error.to_string()))?;
                        entries.insert(path, (at, entry.stored));
                    }
                    if entries.len() > ENTRIES_MAX {
                        return Err(wrong("it has more than 16,384 files"));
                    }
                    entry.stored
                }
                Next::End => break,
            };
            let data = data
                .checked_next_multiple_of(BLOCK as u64)
                .and_then(|data| at.checked_add(data));
            at = data
                .filter(|end| *end <= length)
                .ok_or_else(|| wrong("it is cut off"))?;
        }
        Ok(Self {
            file: Arc::new(file),
            entries,
            blobs: BTreeMap::new(),
        })
    }

    async fn read(&self, path: &LayerPath, most: u64) -> Result<Vec<u8>, ImagesError> {
        let (at, length) = *self
            .entries
            .get(path)
            .ok_or_else(|| wrong(&format!("it has no {path}")))?;
        if length > most {
            return Err(wrong(&format!("its {path} has more than {most} bytes")));
        }
        let file = Arc::clone(&self.file);
        let work = move || {
            let mut bytes = vec![0; usize::try_from(length).expect("a document")];
            file.read_exact_at(&mut bytes, at).map(|()| bytes)
        };
        let read = spawn_blocking(work).await.expect("reading does not panic");
        read.map_err(|error| ImagesError::Internal(format!("read {path} of the archive: {error}")))
    }

    fn path_of(&self, digest: &Digest) -> Result<LayerPath, ImagesError> {
        if let Some(path) = self.blobs.get(digest) {
            return Ok(path.clone());
        }
        name(&format!("blobs/{}", digest.as_str().replacen(':', "/", 1)))
    }

    /// A blob that is a document, verified.
    pub(super) async fn document(&self, digest: &str, most: u64) -> Result<Vec<u8>, ImagesError> {
        let digest = Digest::parse(digest).map_err(|error| wrong(&error.to_string()))?;
        let bytes = self.read(&self.path_of(&digest)?, most).await?;
        match digest.fits(&bytes) {
            true => Ok(bytes),
            false => Err(wrong(&format!("its blob {digest} has another digest"))),
        }
    }

    /// Sends the bytes of a layer.
    pub(super) async fn layer(
        &self,
        digest: &Digest,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), ImagesError> {
        let path = self.path_of(digest)?;
        let (mut at, length) = *self
            .entries
            .get(&path)
            .ok_or_else(|| wrong(&format!("it has no {path}")))?;
        let end = at + length;
        while at < end {
            let part = READ.min(end - at);
            let file = Arc::clone(&self.file);
            let work = move || {
                let mut bytes = vec![0; usize::try_from(part).expect("256 KiB")];
                file.read_exact_at(&mut bytes, at).map(|()| bytes)
            };
            let bytes = spawn_blocking(work).await.expect("reading does not panic");
            let bytes = bytes.map_err(|error| {
                ImagesError::Internal(format!("read {path} of the archive: {error}"))
            })?;
            at += part;
            // The other end says why it takes no more.
            if to.send(bytes.into()).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> Result<LayerPath, ImagesError> {
    LayerPath::parse(text.as_bytes()).map_err(|error| wrong(&format!("the name {text:?} {error}")))
}

fn wrong(what: &str) -> ImagesError {
    ImagesError::FailedPrecondition(format!("the archive is no image: {what}"))
}
