//! The thin half: looks at the disks, does the planner's steps one by one, and looks again.

mod filesystems;
mod kernel;
mod meta_store;
mod observe;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use crate::planner::{Refusal, Verdict, choose, model::Step, next_step};
use machine_config::parts::{InstallTarget, InstallerPart};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Most steps of one run. A whole installation takes 13.
const STEPS_MAX: usize = 64;

/// Where things are on the machine.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// sysfs.
    pub sysfs: PathBuf,
    /// Device files.
    pub dev: PathBuf,
    /// mke2fs and e2fsck.
    pub programs: PathBuf,
    /// Directory on which DATA is mounted while it grows; made when needed.
    pub mount_point: PathBuf,
}

/// Why the disk is not as it shall be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The planner refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The system failed at something.
    #[error("{what}")]
    Io {
        /// Operation and object.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The partition table cannot be written.
    #[error("partition table of {device}")]
    Table {
        /// The disk.
        device: String,
        /// Why.
        #[source]
        source: table::TableError,
    },
    /// A file-system tool failed.
    #[error("{program} {device}: {why}")]
    Program {
        /// The tool.
        program: &'static str,
        /// The partition.
        device: String,
        /// Exit status and the last lines of its output.
        why: String,
    },
    /// A step changed nothing.
    #[error("step did not take: {0}")]
    NoProgress(String),
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What this run did that the disks do not show, by partition GUID.
#[derive(Debug, Default)]
struct Done {
    read_again: bool,
    made: BTreeSet<Uuid>,
    checked: BTreeSet<Uuid>,
    grown: BTreeSet<Uuid>,
}

/// Takes steps until the disk is as it shall be. Gives one line that says how it is.
///
/// # Errors
/// [`Failure`]; the next call goes on from what is then there.
pub(crate) fn converge(places: &Places, part: &InstallerPart) -> Result<String, Failure> {
    run(places, part, STEPS_MAX)
}

fn run(places: &Places, part: &InstallerPart, steps_max: usize) -> Result<String, Failure> {
    let part = resolved(part);
    let mut done = Done::default();
    let fresh = std::array::from_fn(|_| Uuid::new_v4());
    let mut last = None;
    for _ in 0..steps_max {
        let mut observed = observe::observe(places, fresh)?;
        if let Ok(disk) = choose::target(&observed, &part.target) {
            let device = disk.device.clone();
            observe::look_inside(places, &mut observed, &device)?;
        }
        observed.read_again = done.read_again;
        observed.made.clone_from(&done.made);
        observed.checked.clone_from(&done.checked);
        observed.grown.clone_from(&done.grown);
        let step = match next_step(&observed, &part)? {
            Verdict::Done(device) => return Ok(format!("disk {device} is ready")),
            Verdict::Step(step) => step,
        };
        if last.as_ref() == Some(&step) {
            return Err(Failure::NoProgress(describe(&step)));
        }
        tracing::info!(step = describe(&step), "step");
        execute(&step, places)?;
        match &step {
            Step::MakeEsp { id, .. } | Step::MakeExt { id, .. } => done.made.insert(*id),
            Step::Check { id, .. } => done.checked.insert(*id),
            Step::Grow { id, .. } => done.grown.insert(*id),
            Step::WriteTable { .. } | Step::ReadAgain { .. } => {
                done.read_again = matches!(step, Step::ReadAgain { .. });
                true
            }
            Step::TellKernel { .. } | Step::WriteMeta { .. } => true,
        };
        last = Some(step);
    }
    Err(Failure::NoProgress(format!(
        "not ready after {steps_max} steps"
    )))
}

/// The path behind a link such as `/dev/disk/by-id/...`, where there is one.
fn resolved(part: &InstallerPart) -> InstallerPart {
    let mut part = part.clone();
    if let InstallTarget::Path(path) = &mut part.target
        && let Ok(real) = fs::canonicalize(&*path)
    {
        *path = real.display().to_string();
    }
    part
}

fn execute(step: &Step, places: &Places) -> Result<(), Failure> {
    match step {
        Step::WriteTable {
            device,
            bytes,
            sector,
            table,
            clear,
        } => {
            let mut disk = open_for_writing(device)?;
            table::write(&mut disk, *bytes, *sector, table, clear).map_err(|source| {
                Failure::Table {
                    device: device.clone(),
                    source,
                }
            })
        }
        Step::ReadAgain { device } => {
            let read = kernel::read_again(&open_for_writing(device)?).map_err(Failure::io(
                format!("read the partitions of {device} again"),
            ))?;
            if !read {
                tracing::info!(device, "in use: its partitions are shown one by one");
            }
            Ok(())
        }
        Step::TellKernel {
            device,
            now,
            wanted,
        } => kernel::show_partitions(&open_for_writing(device)?, now, wanted)
            .map_err(Failure::io(format!("show the partitions of {device}"))),
        Step::WriteMeta { device, meta } => {
            let mut partition = open_for_writing(device)?;
            meta_store::write(&mut partition, meta)
                .map_err(Failure::io(format!("write META ({device})")))
        }
        Step::MakeEsp { device, sector, .. } => filesystems::make_esp(device, *sector),
        Step::MakeExt { device, label, id } => {
            filesystems::make_ext(&places.programs, device, label, *id)
        }
        Step::Check { device, .. } => filesystems::check(&places.programs, device),
        Step::Grow { device, .. } => filesystems::grow(device, &places.mount_point),
    }
}

fn open_for_writing(device: &str) -> Result<File, Failure> {
    open(Path::new(device), true).map_err(Failure::io(format!("open {device} for writing")))
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).open(path)
}

/// A step for people.
fn describe(step: &Step) -> String {
    match step {
        Step::WriteTable { device, .. } => format!("write the partition table of {device}"),
        Step::ReadAgain { device } => format!("read the partition table of {device} again"),
        Step::TellKernel { device, .. } => format!("show the partitions of {device}"),
        Step::WriteMeta { device, .. } => format!("write META ({device})"),
        Step::MakeEsp { device, .. } => format!("make a FAT file system on {device}"),
        Step::MakeExt { device, label, .. } => {
            format!("make an ext4 file system for {label} on {device}")
        }
        Step::Check { device, .. } => format!("check the file system on {device}"),
        Step::Grow { device, .. } => format!("grow the file system on {device}"),
    }
}
