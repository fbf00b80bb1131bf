//! A full disk. Writes are refused while some space is left ([`super::member`]); should it run out all the same, because
//! somebody else filled it, what is under way waits until there is space again. It never fails: Raft could not go on, and
//! redb would have to be opened again.

use std::{
    error::Error,
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Between two attempts.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// Whether writes wait for space. At first, and when the member stops, they fail.
#[derive(Debug, Default)]
pub(super) struct Patience(AtomicBool);

impl Patience {
    /// From now on, they wait.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Those that wait fail, and those that come.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether what failed is to be tried again, a little later.
    pub(super) fn lasts(&self, error: &(dyn Error + 'static)) -> bool {
        self.0.load(Ordering::Acquire) && is_full(error)
    }

    /// Tries until there is space, on a thread that may block.
    pub(super) fn wait(&self, mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut told = false;
        loop {
            match write() {
                Err(error) if self.lasts(&error) => {
                    tell(&mut told, "the file of records");
                    thread::sleep(AGAIN);
                }
                written => return written,
            }
        }
    }
}

/// Says once that something waits.
pub(super) fn tell(told: &mut bool, what: &str) {
    if !std::mem::replace(told, true) {
        tracing::error!("the disk is full: {what} waits until there is space");
    }
}

/// Whether the disk has no space, or gives its owner no more.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let full = error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        });
        if full {
            return true;
        }
        next = error.source();
    }
    false
}
