//! Pure half: what to do next. No I/O, no clock; randomness comes in.
//!
//! - [`Fetcher`]: from event to action, one for one.
//! - [`target`]: URLs, their redirects, and what of them may be shown.
//! - [`variables`]: what stands in a URL for a fact of the machine.

mod fetcher;
pub mod target;
pub mod variables;

pub use fetcher::{Action, Answer, Event, Fetcher, REDIRECTS_MAX, RETRY_CAP, RETRY_INITIAL};
pub use target::Target;
pub use variables::Facts;
