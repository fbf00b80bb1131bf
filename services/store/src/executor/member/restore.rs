//! A new cluster with the content of an old one's snapshot.
//!
//! ```text
//!   file ──verified──> DIR.restoring: records, identity ──renamed──> DIR ──started as usual──> a member of the new cluster
//! ```
//!
//! Every member of the new cluster is made of the same file with the same flags, each in its own directory. They then agree on who
//! they are without a word: the cluster's number comes from token, members and the file's digest, so that no member of the old
//! cluster, nor one that was started empty, is taken for one of them.
//!
//! Clients of the old cluster may have seen revisions after the snapshot's. So that none is served twice, the new
//! cluster goes on far behind them, and history before is compacted: a watch that asks for it learns that it is gone.

use super::{
    MemberError, Settings,
    identity::{begun, initial_members, keep},
    types::chain,
};
use crate::{
    executor::{
        disk::{Directory, Disk},
        peer::snapshot::decode_begin,
        raft::{
            Membership, StoredMembership,
            encoding::{Position, log_id},
        },
        records::{CacheBytes, INCOMING, Incoming, RecordFile, RecordsError},
        snapshot_file::{Part, SnapshotFile, SnapshotFileError},
    },
    planner::{revision::Revision, state::Kept},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// How far a restored cluster's revision is ahead of its snapshot's: years of writes at a thousand a second would not be enough
/// for the old cluster to have come that far.
pub const BUMP_DEFAULT: i64 = 1_000_000_000;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The number of the new cluster.
    pub cluster_id: u64,
    /// The number of this member.
    pub member_id: u64,
    /// The revision that the new cluster begins with.
    pub revision: i64,
    /// Records that were taken over.
    pub records: u64,
}

/// Why a cluster cannot be made of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file.
    #[error(transparent)]
    File(#[from] SnapshotFileError),
    /// There is something where the member would be.
    #[error(
        "data-dir {0:?} not empty or could not be read: a member is restored into a new directory only"
    )]
    Exists(PathBuf),
    /// The file system's.
    #[error("{operation} {path}")]
    Directory {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The flags or the disk.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The revision would leave the numbers that there are.
    #[error("a revision of {revision} cannot be raised by {bump}")]
    Bump {
        /// The snapshot's.
        revision: i64,
        /// Asked for.
        bump: i64,
    },
}

/// Makes a member's directory of a snapshot. `settings` names the members of the new cluster and this one among them; `bump` is
/// added to the revision.
///
/// # Errors
/// [`RestoreError`]; `directory` is then as it was.
pub fn restore(
    file: &mut SnapshotFile,
    directory: &Path,
    settings: &Settings,
    bump: i64,
) -> Result<Restored, RestoreError> {
    let members = initial_members(settings)?;
    let identity = begun(&members, settings, file.digest());
    if !is_new(directory) {
        return Err(RestoreError::Exists(directory.to_owned()));
    }
    let mut making = directory.as_os_str().to_owned();
    making.push(".restoring");
    let making = PathBuf::from(making);
    // An attempt that was broken off.
    match fs::remove_dir_all(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &making)(error));
        }
        _ => {}
    }
    let disk = Directory::open(&making).map_err(failed("make", &making))?;
    let (kept, records) = copy(file, &disk, settings, bump, members)?;
    keep(&disk, identity)?;
    // An empty directory may be there: a mount point's, or one that somebody made beforehand.
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", directory)(error));
        }
        _ => {}
    }
    fs::rename(&making, directory).map_err(failed("make", directory))?;
    let parent = directory.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(failed("flush", parent))?;
    Ok(Restored {
        cluster_id: identity.cluster,
        member_id: identity.member,
        revision: kept.revision,
        records,
    })
}

/// The records, in a file of a new cluster.
fn copy(
    file: &mut SnapshotFile,
    disk: &dyn Disk,
    settings: &Settings,
    bump: i64,
    members: BTreeMap<u64, crate::executor::raft::NodeInfo>,
) -> Result<(Kept, u64), RestoreError> {
    let cache = CacheBytes {
        pages: settings.cache_bytes,
        records: settings.record_cache_bytes,
    };
    let mut incoming = Incoming::begin(disk, cache)?;
    let mut kept = None;
    let mut count = 0;
    file.read(|part| -> Result<(), RestoreError> {
        match part {
            Part::Begin(begin) => {
                let (snapshot, _) = decode_begin(begin)
                    .map_err(|_| SnapshotFileError::Damaged("its beginning cannot be used"))?;
                kept = Some(bumped(snapshot, bump)?);
            }
            Part::Records(records) => incoming.add(records.iter().map(|record| {
                let revision = Revision {
                    main: record.main,
                    sub: record.sub,
                };
                (revision, record.pair.as_ref())
            }))?,
            Part::End(end) => count = end.records,
        }
        Ok(())
    })?;
    let kept = kept.ok_or(SnapshotFileError::Damaged("it has no beginning"))?;
    // As if every member had applied the same first entry and forgotten it: one that is added later gets a snapshot.
    let first = Some(log_id(0, 0, 1));
    let voters: BTreeSet<u64> = members.keys().copied().collect();
    let membership = Membership::new(vec![voters], members)
        .map_err(|error| MemberError::Configuration(chain(&error)))?;
    let position = Position {
        applied: first,
        membership: StoredMembership::new(first, membership),
        installed: true,
    };
    incoming.finish(&kept, &position.encode(), count)?;
    RecordFile::take_place(disk, INCOMING)?;
    disk.sync()
        .map_err(|error| RestoreError::Member(error.into()))?;
    Ok((kept, count))
}

/// What is kept beside records: alarms are of members that no longer are.
fn bumped(mut kept: Kept, bump: i64) -> Result<Kept, RestoreError> {
    let revision = kept.revision;
    kept.alarms.clear();
    if bump != 0 {
        let raised = revision.checked_add(bump).filter(|_| bump > 0);
        kept.revision = raised.ok_or(RestoreError::Bump { revision, bump })?;
        kept.compacted = kept.revision;
    }
    Ok(kept)
}

/// Whether nothing is there, or an empty directory.
fn is_new(directory: &Path) -> bool {
    match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> RestoreError + use<'a> {
    move |source| RestoreError::Directory {
        operation,
        path: path.to_owned(),
        source,
    }
}
