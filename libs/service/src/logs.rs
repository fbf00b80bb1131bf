//! Structured logs: one JSON object per line on standard output, which the supervisor keeps.
//!
//! A person at a terminal gets plain lines on standard error instead.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging. `filter` is a level or an `EnvFilter` directive list.
///
/// # Errors
/// The text of what is wrong with `filter`.
pub fn start(filter: &str) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("log level {filter:?}: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let started = if std::io::stdout().is_terminal() {
        builder.with_writer(std::io::stderr).try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_writer(std::io::stdout)
            .try_init()
    };
    // A second start (tests in one process) keeps the first one's settings.
    drop(started);
    Ok(())
}
