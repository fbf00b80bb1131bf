//! `orlop store snapshot save|status|restore`.

use super::{
    ToolError, block_on,
    endpoint::{Certificates, EndpointError},
    hex,
};
use crate::{
    arguments::{ArgumentsError, Cluster},
    executor::{
        member::{BUMP_DEFAULT, RestoreError, restore},
        snapshot_file::{Part, SnapshotFile, SnapshotFileError},
    },
};
use etcd_proto::etcdserverpb::{SnapshotRequest, maintenance_client::MaintenanceClient};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use tonic::Status;

/// What to do with a snapshot.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Snapshot {
    /// Saves everything that a running member holds.
    Save(Save),
    /// Tells what a file holds, and whether it is whole.
    Status(StatusOf),
    /// Makes the directory of one member of a new cluster that begins with what a file holds.
    Restore(Restore),
}

/// `snapshot save`.
#[derive(Debug, Clone, clap::Args)]
pub struct Save {
    /// The file to write; one that is there is replaced when the snapshot is whole.
    pub file: PathBuf,
    /// The member to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2379")]
    pub endpoints: String,
    #[command(flatten)]
    certificates: Certificates,
}

/// `snapshot status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusOf {
    /// The file.
    pub file: PathBuf,
    /// How it is told.
    #[arg(long, short, value_enum, default_value = "simple")]
    pub write_out: WriteOut,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WriteOut {
    /// Hash, revision, keys with history, size: separated by commas.
    Simple,
    /// One JSON object.
    Json,
}

/// `snapshot restore`.
#[derive(Debug, Clone, clap::Args)]
pub struct Restore {
    /// The file.
    pub file: PathBuf,
    #[command(flatten)]
    cluster: Cluster,
    /// Added to the revision, so that none that clients of the old cluster saw is served again; history before is compacted.
    #[arg(long, value_name = "COUNT", default_value_t = BUMP_DEFAULT)]
    pub bump_revision: i64,
    /// Takes a file whose checksum is wrong.
    #[arg(long)]
    pub skip_hash_check: bool,
}

/// Why a snapshot could not be saved, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The tool itself.
    #[error(transparent)]
    Tool(Box<ToolError>),
    /// The member cannot be reached.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The member's answer.
    #[error("ask {endpoint} for a snapshot: {}", status.message())]
    Refused {
        /// Whom.
        endpoint: String,
        /// What it said.
        status: Box<Status>,
    },
    /// The file system.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file's content.
    #[error("{path}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: SnapshotFileError,
    },
    /// Flags of the new member.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// The new member.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl Snapshot {
    /// Does it, and prints what came of it.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn run(self) -> Result<(), SnapshotError> {
        match self {
            Self::Save(save) => {
                let saved = block_on(save.run());
                saved.map_err(|error| SnapshotError::Tool(Box::new(error)))?
            }
            Self::Status(status) => status.run(),
            Self::Restore(restore) => restore.run(),
        }
    }
}

impl Save {
    async fn run(&self) -> Result<(), SnapshotError> {
        let refused = |status| SnapshotError::Refused {
            endpoint: self.endpoints.clone(),
            status: Box::new(status),
        };
        let channel = self.certificates.channel(&self.endpoints)?;
        let mut client = MaintenanceClient::new(channel).max_decoding_message_size(usize::MAX);
        let answer = client.snapshot(SnapshotRequest {}).await;
        let mut blobs = answer.map_err(refused)?.into_inner();
        // Beside the file, which is replaced in one step: a snapshot that broke off must not look like one.
        let mut part = self.file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        // It holds secrets.
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&part).map_err(failed("create", &part))?;
        while let Some(blob) = blobs.message().await.map_err(refused)? {
            file.write_all(&blob.blob).map_err(failed("write", &part))?;
        }
        file.sync_all().map_err(failed("flush", &part))?;
        drop(file);
        let summary = Summary::of(&part)?;
        fs::rename(&part, &self.file).map_err(failed("rename", &part))?;
        let parent = self.file.parent().filter(|path| *path != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        synced.map_err(failed("flush", parent))?;
        println!(
            "Snapshot saved at {}: revision {}, {} keys with history, {} bytes",
            self.file.display(),
            summary.revision,
            summary.records,
            summary.bytes
        );
        Ok(())
    }
}

/// What a file holds.
struct Summary {
    digest: String,
    revision: i64,
    records: u64,
    bytes: u64,
}

impl Summary {
    fn of(path: &Path) -> Result<Self, SnapshotError> {
        let content = |source| SnapshotError::Content {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed("open", path))?;
        let bytes = file.metadata().map_err(failed("measure", path))?.len();
        let mut snapshot = SnapshotFile::open(file).map_err(content)?;
        snapshot.verify().map_err(content)?;
        let mut summary = Self {
            digest: hex(snapshot.digest()),
            revision: 0,
            records: 0,
            bytes,
        };
        snapshot
            .read(|part| {
                match part {
                    Part::Begin(begin) => summary.revision = begin.revision,
                    Part::Records(_) => {}
                    Part::End(end) => summary.records = end.records,
                }
                Ok::<_, SnapshotFileError>(())
            })
            .map_err(content)?;
        Ok(summary)
    }
}

impl StatusOf {
    fn run(&self) -> Result<(), SnapshotError> {
        let summary = Summary::of(&self.file)?;
        match self.write_out {
            WriteOut::Simple => println!(
                "{}, {}, {}, {}",
                &summary.digest[..8],
                summary.revision,
                summary.records,
                summary.bytes
            ),
            WriteOut::Json => println!(
                "{}",
                serde_json::json!({
                    "hash": summary.digest,
                    "revision": summary.revision,
                    "totalKey": summary.records,
                    "totalSize": summary.bytes,
                })
            ),
        }
        Ok(())
    }
}

impl Restore {
    fn run(self) -> Result<(), SnapshotError> {
        let content = |source| SnapshotError::Content {
            path: self.file.clone(),
            source,
        };
        let file = File::open(&self.file).map_err(failed("open", &self.file))?;
        let mut snapshot = SnapshotFile::open(file).map_err(content)?;
        if !self.skip_hash_check {
            snapshot.verify().map_err(content)?;
        }
        let directory = self.cluster.directory();
        let settings = self.cluster.clone().check()?;
        let restored = restore(&mut snapshot, &directory, &settings, self.bump_revision)?;
        println!(
            "Restored {} keys with history into {}: member {:x} of the new cluster {:x}, at revision {}",
            restored.records,
            directory.display(),
            restored.member_id,
            restored.cluster_id,
            restored.revision
        );
        Ok(())
    }
}

fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> SnapshotError + use<'a> {
    move |source| SnapshotError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}
