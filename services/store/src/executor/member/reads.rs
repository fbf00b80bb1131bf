//! Read indices for many reads at once.
//!
//! ```text
//!   read ──┐
//!   read ──┼──> waiting ──> round: one read index, confirmed by a quorum ──> all who waited when it began
//!   read ──┘                  └── whoever comes meanwhile waits for the next
//! ```
//!
//! An index was asked for after the read came, never before: what was committed before the read is below it.

use super::MemberError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

type Answer = Result<u64, MemberError>;

/// Reads that wait. There are never more than calls that clients have under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Mutex<Vec<oneshot::Sender<Answer>>>,
    came: Notify,
}

impl Reads {
    /// Index of the last entry that a read of now must see.
    ///
    /// # Errors
    /// Whatever the round met.
    pub(super) async fn index(&self) -> Answer {
        let (sender, answer) = oneshot::channel();
        self.lock().push(sender);
        self.came.notify_one();
        answer.await.unwrap_or(Err(MemberError::Stopped))
    }

    /// Waits until somebody waits; all who do then are in this round.
    pub(super) async fn round(&self) -> Round {
        loop {
            let waiting = std::mem::take(&mut *self.lock());
            if !waiting.is_empty() {
                return Round(waiting);
            }
            self.came.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads whose index may be asked for now.
#[derive(Debug)]
pub(super) struct Round(Vec<oneshot::Sender<Answer>>);

impl Round {
    /// Tells all of them.
    pub(super) fn end(self, answer: &Answer) {
        for sender in self.0 {
            // Its time may be over.
            let _ = sender.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        pin::{Pin, pin},
        task::Poll,
    };

    /// Polls once.
    async fn once(future: &mut (impl Future<Output = Answer> + Unpin)) -> Poll<Answer> {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    #[tokio::test]
    async fn who_comes_during_a_round_waits_for_the_next() {
        let reads = Reads::default();
        let mut first = pin!(reads.index());
        let mut second = pin!(reads.index());
        assert!(once(&mut first).await.is_pending());
        assert!(once(&mut second).await.is_pending());
        let round = reads.round().await;
        let mut late = pin!(reads.index());
        assert!(once(&mut late).await.is_pending());
        round.end(&Ok(1));
        assert!(matches!(first.await, Ok(1)));
        assert!(matches!(second.await, Ok(1)));
        assert!(once(&mut late).await.is_pending());
        reads.round().await.end(&Err(MemberError::NoLeader));
        assert!(matches!(late.await, Err(MemberError::NoLeader)));
    }

    #[tokio::test]
    async fn a_round_that_is_given_up_answers_those_who_wait() {
        let reads = Reads::default();
        let mut read = pin!(reads.index());
        assert!(once(&mut read).await.is_pending());
        drop(reads.round().await);
        assert!(matches!(read.await, Err(MemberError::Stopped)));
    }
}
