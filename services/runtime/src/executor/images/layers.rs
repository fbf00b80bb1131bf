//! Layers on the disk.
//!
//! ```text
//!   ROOT/layers/<chain ID's digits>/diff      what overlayfs mounts
//!                                  /usage     JSON: what it takes
//!   ROOT/layers/tmp-N/..                      being made, or being removed: gone at the next start
//! ```
//!
//! A layer gets its name when it is whole and on the disk, and loses it before the first of its files: a name is the truth
//! after any crash.

use super::{error::StoreError, unpack::Usage};
use crate::planner::images::{digest::Digest, table::Table};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;

const TEMPORARY: &str = "tmp-";
const DIFF: &str = "diff";
const USAGE: &str = "usage";

/// All layers of a root.
#[derive(Debug)]
pub(super) struct Layers {
    path: PathBuf,
    numbers: AtomicU64,
    state: Mutex<State>,
    /// A layer is there, or is not being made any more.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    whole: BTreeMap<Digest, Usage>,
    making: BTreeSet<Digest>,
    held: BTreeMap<Digest, usize>,
}

/// Layers that are not garbage, named by an image or not, as long as this is there: of a pull, or of a container's mount.
#[derive(Debug)]
pub struct Hold {
    layers: Arc<Layers>,
    chain_ids: Vec<Digest>,
}

/// The right to make a layer. One has it at a time.
#[derive(Debug)]
pub(super) struct Claim {
    layers: Arc<Layers>,
    chain_id: Digest,
}

/// A layer that is being made. Its files are removed with it, unless it gets its name.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    named: bool,
}

impl Layers {
    /// Opens the directory, and removes what a crash has left.
    pub(super) fn open(root: &Path) -> Result<Arc<Self>, StoreError> {
        let path = root.join("layers");
        fs::create_dir_all(&path).map_err(StoreError::at("make", &path))?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(StoreError::at("set the permissions of", &path))?;
        let mut state = State::default();
        for entry in fs::read_dir(&path).map_err(StoreError::at("list", &path))? {
            let entry = entry.map_err(StoreError::at("list", &path))?;
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if name.starts_with(TEMPORARY) {
                fs::remove_dir_all(&path).map_err(StoreError::at("remove", &path))?;
                continue;
            }
            let Ok(chain_id) = Digest::parse(&format!("sha256:{name}")) else {
                tracing::warn!(path = %path.display(), "this is no layer, and is left alone");
                continue;
            };
            // Without it only the sum is wrong.
            let usage = fs::read(path.join(USAGE)).ok();
            let usage = usage.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            state.whole.insert(chain_id, usage.unwrap_or_default());
        }
        Ok(Arc::new(Self {
            path,
            numbers: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where layers are, for the file system's own figures.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that is mounted for a layer.
    pub(super) fn diff(&self, chain_id: &Digest) -> PathBuf {
        self.path.join(chain_id.hex()).join(DIFF)
    }

    /// What a layer takes, if it is there.
    pub(super) fn usage(&self, chain_id: &Digest) -> Option<Usage> {
        self.lock().whole.get(chain_id).copied()
    }

    /// What all of them take.
    pub(super) fn sum(&self) -> Usage {
        let state = self.lock();
        state
            .whole
            .values()
            .fold(Usage::default(), |sum, usage| Usage {
                bytes: sum.bytes + usage.bytes,
                inodes: sum.inodes + usage.inodes,
            })
    }

    /// Keeps layers from being garbage, also such as are not there yet.
    pub(super) fn hold(self: &Arc<Self>, chain_ids: &[Digest]) -> Hold {
        let mut state = self.lock();
        for chain_id in chain_ids {
            *state.held.entry(chain_id.clone()).or_default() += 1;
        }
        drop(state);
        Hold {
            layers: Arc::clone(self),
            chain_ids: chain_ids.to_vec(),
        }
    }

    /// The layers that are to be made by whoever asks: those of these that are not there, and that nobody makes.
    pub(super) fn claim(self: &Arc<Self>, chain_ids: &[Digest]) -> Vec<Claim> {
        let mut state = self.lock();
        let mut claims = Vec::new();
        for chain_id in chain_ids {
            if !state.whole.contains_key(chain_id) && state.making.insert(chain_id.clone()) {
                claims.push(Claim {
                    layers: Arc::clone(self),
                    chain_id: chain_id.clone(),
                });
            }
        }
        claims
    }

    /// How many of these are there, from the first on.
    pub(super) fn whole(&self, chain_ids: &[Digest]) -> usize {
        let state = self.lock();
        chain_ids
            .iter()
            .take_while(|chain_id| state.whole.contains_key(*chain_id))
            .count()
    }

    /// Told when layers have come, or are not being made any more.
    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// An empty place for a layer.
    pub(super) fn stage(&self) -> Result<Staging, StoreError> {
        let path = loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(format!("{TEMPORARY}{number}"));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::at("make", path)(error)),
            }
        };
        let staging = Staging { path, named: false };
        let diff = staging.diff();
        fs::create_dir(&diff).map_err(StoreError::at("make", &diff))?;
        fs::set_permissions(&diff, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(StoreError::at("set the permissions of", &diff))?;
        Ok(staging)
    }

    /// Gives layers that are whole their names, when all of their files are on the disk.
    pub(super) fn name(&self, made: Vec<(Claim, Staging, Usage)>) -> Result<(), StoreError> {
        for (_, staging, usage) in &made {
            let path = staging.path.join(USAGE);
            let text = serde_json::to_vec(usage).expect("two numbers are JSON");
            fs::write(&path, text).map_err(StoreError::at("write", &path))?;
        }
        let directory = open_directory(&self.path)?;
        rustix::fs::syncfs(&directory).map_err(StoreError::at("write to the disk", &self.path))?;
        for (claim, mut staging, usage) in made {
            let name = self.path.join(claim.chain_id.hex());
            fs::rename(&staging.path, &name).map_err(StoreError::at("name", &name))?;
            staging.named = true;
            self.lock().whole.insert(claim.chain_id.clone(), usage);
        }
        rustix::fs::fsync(&directory).map_err(StoreError::at("write to the disk", &self.path))
    }

    /// Removes layers that no image names and nobody holds.
    pub(super) fn collect(&self, table: &Table) -> Result<Vec<Staging>, StoreError> {
        let mut removed = Vec::new();
        let mut state = self.lock();
        let on_disk: Vec<_> = state.whole.keys().cloned().collect();
        let held = state.held.keys().cloned().collect();
        for chain_id in table.garbage(&on_disk, &held) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(format!("{TEMPORARY}{number}"));
            let name = self.path.join(chain_id.hex());
            // Under the lock: who makes the same layer anew must not find the old one at its name.
            fs::rename(&name, &path).map_err(StoreError::at("remove", &name))?;
            state.whole.remove(&chain_id);
            removed.push(Staging { path, named: false });
        }
        Ok(removed)
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(StoreError::at("open", path))
}

impl Staging {
    /// Where the layer's files go.
    pub(super) fn diff(&self) -> PathBuf {
        self.path.join(DIFF)
    }

    /// The same, opened.
    pub(super) fn open(&self) -> Result<OwnedFd, StoreError> {
        open_directory(&self.diff())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.named
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // It is gone at the next start.
            tracing::warn!(path = %self.path.display(), %error, "remove a layer that is not wanted");
        }
    }
}

impl Claim {
    pub(super) fn chain_id(&self) -> &Digest {
        &self.chain_id
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.layers.lock().making.remove(&self.chain_id);
        self.layers.changed.notify_waiters();
    }
}

impl Hold {
    /// The layers, the lowest first.
    #[must_use]
    pub fn chain_ids(&self) -> &[Digest] {
        &self.chain_ids
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.layers.lock();
        for chain_id in &self.chain_ids {
            if let Some(count) = state.held.get_mut(chain_id) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(chain_id);
                }
            }
        }
    }
}
