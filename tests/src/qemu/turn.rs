//! Turns: two cores do not make two suites of guests faster, so guests of one process run at a time, held
//! by a lock file in the cache. And a budget: how many guests each suite starts, so that the whole of CI
//! stays within [`GUESTS_MAX`].

use anyhow::{Context as _, Result, bail};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use xtask::workspace::{self, Lock};

/// Guests that all suites together may start.
pub const GUESTS_MAX: usize = 40;
/// Guests that each suite may start. The image's own bench has none of these.
pub const GUESTS: &[(&str, usize)] = &[
    ("qemu_direct", 16),
    ("qemu_sources", 6),
    ("qemu_boot", 6),
    ("qemu_power_cut", 4),
    ("qemu_runtime", 1),
    ("image", 4),
];

static STARTED: AtomicUsize = AtomicUsize::new(0);
static HOLDER: Mutex<Weak<Lock>> = Mutex::new(Weak::new());

/// Held by each guest; the last one of a process gives the turn back.
#[derive(Debug)]
pub struct Turn {
    _lock: Arc<Lock>,
}

/// Takes one guest off the suite's budget and waits for this process's turn.
///
/// # Errors
/// The budget is used up, or the lock cannot be made.
pub fn take() -> Result<Turn> {
    let suite = suite();
    let budget = GUESTS
        .iter()
        .find(|(name, _)| *name == suite)
        .map_or(1, |(_, guests)| *guests);
    let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
    if number > budget {
        bail!(
            "suite {suite} starts guest {number}, but its budget in tests/src/qemu/turn.rs is {budget}"
        );
    }
    let mut holder = HOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = match holder.upgrade() {
        Some(lock) => lock,
        None => Arc::new(
            workspace::lock(&workspace::cache()?.join("guests.lock"))
                .context("wait for the turn")?,
        ),
    };
    *holder = Arc::downgrade(&lock);
    Ok(Turn { _lock: lock })
}

/// The name of the test program without cargo's hash.
fn suite() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let stem = program
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
        .to_owned();
    stem.rsplit_once('-')
        .map_or(stem.clone(), |(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_together_stay_in_the_budget() {
        let sum: usize = GUESTS.iter().map(|(_, guests)| guests).sum();
        assert!(sum <= GUESTS_MAX, "{sum}");
    }
}
