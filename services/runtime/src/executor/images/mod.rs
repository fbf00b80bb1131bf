//! Images: registries, layers on disk, records.
//!
//! ```text
//!   pull, import ──> pull ──> registry ──> http            body ──> unpack ──> tree
//!                     │       or import                      └────────┬─────────┘
//!                     └──────────────────────────────> layers <── settle <── overlay
//!                                                      records
//! ```
//!
//! [`Images`] is all that others need. Its calls may be dropped at any moment: what they have begun then ends, and leaves
//! nothing behind.

mod body;
mod error;
mod http;
mod import;
mod layers;
pub mod overlay;
mod pull;
mod records;
mod registry;
mod settle;
mod tree;
mod unpack;

pub use error::ImagesError;
pub use http::Timeouts;
pub use layers::Hold;
pub use unpack::Usage;

use crate::planner::images::{
    challenge::AuthConfig,
    config::ImageConfig,
    digest::Digest,
    layer::LayerBounds,
    manifest::Platform,
    mirrors::Registries,
    reference::Reference,
    table::{Record, Table, is_pinned},
};
use error::StoreError;
use layers::Layers;
use records::{Records, Stored};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Pulls at once; others wait.
pub const PULLS_MAX: usize = 8;
/// Layers at once, of all pulls, on a machine with few processors; with more, one for each, to [`LAYERS_AT_ONCE_MAX`].
pub const LAYERS_AT_ONCE: usize = 3;
/// Layers at once on large machines: a registry's patience, and 4 MiB for each.
pub const LAYERS_AT_ONCE_MAX: usize = 8;

/// What the images of a machine depend on.
#[derive(Debug, Clone)]
pub struct ImagesOptions {
    /// Where they are: a directory of a file system that overlayfs takes for a lower layer, with extended attributes.
    pub root: PathBuf,
    /// Nameservers, in resolv.conf(5)'s form.
    pub resolv_conf: PathBuf,
    /// Authorities that registries are verified by, in PEM.
    pub ca_bundle: PathBuf,
    /// Mirrors, and what else is known of registries.
    pub registries: Registries,
    /// Images that are never offered for removal.
    pub pinned: Vec<Reference>,
    /// Of requests.
    pub timeouts: Timeouts,
    /// Of each layer.
    pub bounds: LayerBounds,
    /// Which images run here.
    pub platform: Platform,
}

impl ImagesOptions {
    /// The usual ones.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            resolv_conf: "/etc/resolv.conf".into(),
            ca_bundle: "/etc/ssl/certs/ca-certificates.crt".into(),
            registries: Registries::default(),
            pinned: Vec::new(),
            timeouts: Timeouts::default(),
            bounds: LayerBounds::default(),
            platform: Platform::host(),
        }
    }
}

/// The images of a machine.
#[derive(Debug, Clone)]
pub struct Images(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: ImagesOptions,
    layers: Arc<Layers>,
    records: Records,
    table: Mutex<Table>,
    /// Held while records and layers change together.
    writing: tokio::sync::Mutex<()>,
    pulls: Semaphore,
    unpacking: Arc<Semaphore>,
    /// Locked: a root has one owner.
    _lock: rustix::fd::OwnedFd,
}

/// An image, as CRI lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What is kept of it.
    pub record: Record,
    /// Never offered for removal.
    pub pinned: bool,
}

/// An image with its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetails {
    /// The image.
    pub image: Image,
    /// What a container of it is by default.
    pub config: ImageConfig,
    /// The config as it was sent.
    pub config_text: String,
    /// The manifest as it was sent; empty for archives that have none.
    pub manifest_text: String,
}

/// Layers for a container, which stay as long as this does.
#[derive(Debug)]
pub struct Snapshot {
    /// Directories for overlayfs, from the top down; none for an image without layers.
    pub lower: Vec<PathBuf>,
    /// To be kept with the container, and to be taken again by [`Images::hold`] after a restart.
    pub hold: Hold,
}

/// The file system of images, as CRI's `ImageFsInfo` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsInfo {
    /// A directory on it.
    pub path: PathBuf,
    /// What images take.
    pub usage: Usage,
    /// Bytes of the whole file system.
    pub capacity_bytes: u64,
    /// Of these, free for others than root.
    pub available_bytes: u64,
}

impl Images {
    /// Opens a root: makes what is missing of it, and removes what a crash has left half-made. Layers without an image stay
    /// until [`Self::collect`]: containers may have them, whom the caller knows.
    ///
    /// # Errors
    /// [`ImagesError::FailedPrecondition`] where another process has it; [`ImagesError::Internal`].
    pub async fn open(options: ImagesOptions) -> Result<Self, ImagesError> {
        spawn_blocking(move || Inner::open(options))
            .await
            .expect("opening does not panic")
            .map(|inner| Self(Arc::new(inner)))
    }

    /// Pulls an image by a reference, also where one of this name is here: a tag may have moved.
    ///
    /// # Errors
    /// [`ImagesError`], each of its variants.
    pub async fn pull(&self, reference: &str, auth: &AuthConfig) -> Result<Image, ImagesError> {
        let reference = Reference::parse(reference)?;
        let pulled = pull::pull(&self.0, &reference, auth).await;
        let pulled = pulled.map_err(|error| error.of(&format!("pull {reference}")));
        self.ended(pulled).await.map(|record| self.image(record))
    }

    /// Imports the images of an archive: an OCI layout, or what `docker save` writes.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub async fn import(&self, archive: &Path) -> Result<Vec<Image>, ImagesError> {
        let imported = import::import(&self.0, archive).await;
        let imported = imported.map_err(|error| error.of(&format!("import {}", archive.display())));
        let records = self.ended(imported).await?;
        Ok(records
            .into_iter()
            .map(|record| self.image(record))
            .collect())
    }

    /// Layers that were named before the image failed are garbage, and so are those of an image whose names have moved.
    async fn ended<T>(&self, done: Result<T, ImagesError>) -> Result<T, ImagesError> {
        if done.is_err()
            && let Err(error) = self.collect().await
        {
            tracing::warn!(%error, "remove layers of an image that failed");
        }
        done
    }

    /// All images.
    #[must_use]
    pub fn list(&self) -> Vec<Image> {
        let records: Vec<Record> = self.0.table().records().cloned().collect();
        records
            .into_iter()
            .map(|record| self.image(record))
            .collect()
    }

    /// One image by its ID, the begin of it, or a name.
    ///
    /// # Errors
    /// [`ImagesError::NotFound`], [`ImagesError::InvalidArgument`].
    pub fn status(&self, name: &str) -> Result<Image, ImagesError> {
        let record = self.0.table().find(name).cloned()?;
        Ok(self.image(record))
    }

    /// The same, with its documents.
    ///
    /// # Errors
    /// As [`Self::status`], and [`ImagesError::Internal`].
    pub async fn details(&self, name: &str) -> Result<ImageDetails, ImagesError> {
        let image = self.status(name)?;
        let inner = Arc::clone(&self.0);
        let record = image.record.clone();
        let read = spawn_blocking(move || inner.records.read(&record));
        let stored = read.await.expect("reading does not panic")?;
        let config = ImageConfig::read(stored.config.as_bytes());
        Ok(ImageDetails {
            image,
            config: config.map_err(|error| ImagesError::Internal(service::chain(&error)))?,
            config_text: stored.config,
            manifest_text: stored.manifest,
        })
    }

    /// Removes an image with all its names, and the layers that no other image and no container has. One that is not there is
    /// removed already.
    ///
    /// # Errors
    /// [`ImagesError::InvalidArgument`], [`ImagesError::Internal`].
    pub async fn remove(&self, name: &str) -> Result<(), ImagesError> {
        let _writing = self.0.writing.lock().await;
        let found = self.0.table().find(name).cloned();
        let record = match found.map_err(ImagesError::from) {
            Ok(record) => record,
            Err(ImagesError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let inner = Arc::clone(&self.0);
        let work = move || {
            inner.records.remove(&record)?;
            inner.table().remove(&record.id);
            inner.collect()
        };
        Ok(spawn_blocking(work)
            .await
            .expect("removing does not panic")?)
    }

    /// Removes layers that are of no image and not held. To be called when containers have gone, and once after the start,
    /// when those that are still there hold theirs again.
    ///
    /// # Errors
    /// [`ImagesError::Internal`].
    pub async fn collect(&self) -> Result<(), ImagesError> {
        let _writing = self.0.writing.lock().await;
        let inner = Arc::clone(&self.0);
        let work = move || inner.collect();
        Ok(spawn_blocking(work)
            .await
            .expect("removing does not panic")?)
    }

    /// The layers of an image, for a container.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn snapshot(&self, name: &str) -> Result<Snapshot, ImagesError> {
        let table = self.0.table();
        let record = table.find(name)?;
        // While the table is locked nobody finds that these layers are garbage.
        Ok(self.0.snapshot(&record.chain_ids))
    }

    /// The layers of a container that was there before this process, by the chain IDs of its [`Hold`].
    ///
    /// # Errors
    /// [`ImagesError::NotFound`]: one of them is gone.
    pub fn hold(&self, chain_ids: &[Digest]) -> Result<Snapshot, ImagesError> {
        let snapshot = self.0.snapshot(chain_ids);
        let whole = self.0.layers.whole(chain_ids);
        match chain_ids.get(whole) {
            None => Ok(snapshot),
            Some(missing) => Err(ImagesError::NotFound(format!(
                "layer {missing} is not on this machine"
            ))),
        }
    }

    /// What the images take.
    ///
    /// # Errors
    /// [`ImagesError::Internal`].
    pub fn fs_info(&self) -> Result<FsInfo, ImagesError> {
        let path = self.0.layers.path();
        let found = rustix::fs::statvfs(path).map_err(StoreError::at("look at", path))?;
        Ok(FsInfo {
            path: path.to_owned(),
            usage: self.0.layers.sum(),
            capacity_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            available_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn image(&self, record: Record) -> Image {
        Image {
            pinned: is_pinned(&record, &self.0.options.pinned),
            record,
        }
    }
}

impl Inner {
    fn open(options: ImagesOptions) -> Result<Self, ImagesError> {
        let root = &options.root;
        fs::create_dir_all(root).map_err(StoreError::at("make", root))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock =
            rustix::fs::open(root, flags, Mode::empty()).map_err(StoreError::at("open", root))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            ImagesError::FailedPrecondition(format!(
                "another process has {}: {error}",
                root.display()
            ))
        })?;
        let layers = Layers::open(root)?;
        let (records, found) = Records::open(root)?;
        let mut table = Table::default();
        for record in found {
            if layers.whole(&record.chain_ids) < record.chain_ids.len() {
                tracing::warn!(image = %record.id, "an image has lost a layer, and is removed");
                records.remove(&record)?;
                continue;
            }
            table.load(record);
        }
        let processors = available_parallelism().map_or(1, std::num::NonZero::get);
        let at_once = processors.clamp(LAYERS_AT_ONCE, LAYERS_AT_ONCE_MAX);
        Ok(Self {
            layers,
            records,
            table: Mutex::new(table),
            writing: tokio::sync::Mutex::default(),
            pulls: Semaphore::new(PULLS_MAX),
            unpacking: Arc::new(Semaphore::new(at_once)),
            options,
            _lock: lock,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes garbage, its files too.
    fn collect(&self) -> Result<(), StoreError> {
        let garbage = self.layers.collect(&self.table())?;
        drop(garbage);
        Ok(())
    }

    fn snapshot(&self, chain_ids: &[Digest]) -> Snapshot {
        let hold = self.layers.hold(chain_ids);
        let lower = chain_ids
            .iter()
            .rev()
            .map(|chain_id| self.layers.diff(chain_id))
            .collect();
        Snapshot { lower, hold }
    }

    /// Writes the record of an image, with further names; its documents, where it is new.
    async fn record(
        self: &Arc<Self>,
        record: Record,
        documents: Option<(String, String)>,
    ) -> Result<Record, ImagesError> {
        let _writing = self.writing.lock().await;
        let inner = Arc::clone(self);
        let work = move || {
            let changes = inner.table().add(record)?;
            let mut documents = documents;
            for changed in &changes {
                let stored = match documents.take() {
                    Some((manifest, config)) => Stored::new(changed.clone(), manifest, config),
                    None => {
                        let stored = inner.records.read(changed)?;
                        Stored::new(changed.clone(), stored.manifest, stored.config)
                    }
                };
                inner.records.write(&stored)?;
                inner.table().load(changed.clone());
            }
            Ok::<_, ImagesError>(
                changes
                    .into_iter()
                    .next()
                    .expect("the image itself is first"),
            )
        };
        spawn_blocking(work).await.expect("writing does not panic")
    }
}
