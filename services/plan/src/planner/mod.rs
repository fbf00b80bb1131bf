//! Pure half: from what the sources hold to the plan. No I/O but over `Read + Seek` values that the
//! caller brings, no clock.

mod authority;
mod build;
pub(crate) mod cmdline;
pub(crate) mod fat;
pub(crate) mod iso9660;
mod maintenance;
mod search;
pub(crate) mod smbios;
pub(crate) mod state;
pub(crate) mod volume;

pub(crate) use build::plan;
pub use maintenance::REASON_MAX;
pub use search::SourceId;
pub(crate) use search::{Content, Hardware, Search, order};
