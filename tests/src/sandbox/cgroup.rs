//! A cgroup (v2) for each sandboxed node: the root of its cgroup namespace.
//!
//! On a hybrid host the v2 hierarchy has no controllers; the node then has no limits but still its own
//! tree. The host's own cgroups are not touched: no controller is enabled on behalf of a node.

use crate::leftovers;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where v2 is mounted on pure and on hybrid hosts.
const PLACES: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Rounds of killing and removing; each empties what was there at its start.
const ROUNDS_MAX: usize = 50;

/// A node's cgroup; removed with everything in it when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// Where the host has the v2 hierarchy, if it has one.
#[must_use]
pub fn hierarchy() -> Option<PathBuf> {
    PLACES.into_iter().map(PathBuf::from).find(|place| {
        place.join("cgroup.procs").exists() && place.join("cgroup.controllers").exists()
    })
}

impl Cgroup {
    /// Makes the cgroup `name`, and removes those that killed runs have left. None: no v2 hierarchy.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn create(name: &str) -> io::Result<Option<Self>> {
        let Some(hierarchy) = hierarchy() else {
            return Ok(None);
        };
        for leftover in leftovers::list(&hierarchy) {
            clear(&leftover);
        }
        let path = hierarchy.join(name);
        fs::create_dir(&path)?;
        Ok(Some(Self { path }))
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// The process is gone.
    pub fn admit(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        clear(&self.path);
    }
}

/// Kills what is in the cgroup at `path` and removes it, children first.
fn clear(path: &Path) {
    for _ in 0..ROUNDS_MAX {
        let _ = fs::write(path.join("cgroup.kill"), "1");
        remove_below(path);
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                // The killed are still on their way out; nothing announces the last one in a form that
                // works on every kernel.
                std::thread::sleep(crate::wait::LOOK_AGAIN);
            }
            _ => return,
        }
    }
}

fn remove_below(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}
