//! The cache: all objects at one revision of the store, in bytes as they are served.
//!
//! ```text
//!   Objects (of one resource)
//!     ├── items      key -> Arc<Entry>           lists and gets share the entries' bytes
//!     └── history    the last events             watches that resume begin there
//!   apply(change) ─> Event{new, old} ─> told to watchers by their filters
//! ```
//!
//! A key is what follows the resource's prefix in the store: `namespace/name`, or `name`.

mod entry;
mod filter;
mod objects;
mod pick;

pub use entry::{Entry, EntryError};
pub use filter::{EventType, Filter};
pub use objects::{Event, HISTORY_MAX, HISTORY_MIN, HISTORY_SECONDS, Objects, TooOld};
pub use pick::Picker;
