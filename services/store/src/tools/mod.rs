//! What an operator does with a store beside running it: `orlop store snapshot ...`, `orlop store copy`.

mod copy;
mod endpoint;
mod snapshot;

use std::{fmt::Write as _, future::Future, io};

/// One of the tools.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Tool {
    /// Snapshots: save one of a running member, look at one, make a new cluster of one.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Copies keys and their leases from one running cluster to another, either of which may be etcd's.
    Copy(copy::Copy),
}

/// Why a tool did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// No runtime to be had.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] snapshot::SnapshotError),
    /// A copy.
    #[error(transparent)]
    Copy(#[from] copy::CopyError),
}

impl Tool {
    /// Does it, and prints what came of it.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn run(self) -> Result<(), ToolError> {
        match self {
            Self::Snapshot(snapshot) => Ok(snapshot.run()?),
            Self::Copy(copy) => Ok(block_on(copy.run())??),
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, ToolError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ToolError::Runtime)?;
    Ok(runtime.block_on(work))
}

/// A digest in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
