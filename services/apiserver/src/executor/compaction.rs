//! Forgets the store's history, an interval at a time, together with other API servers.
//!
//! ```text
//!   each interval:  "compact_rev_key" is as I last saw it ──> write my revision there, compact to the one of an interval ago
//!                   another server was faster             ──> take over what it wrote
//! ```
//! So history is kept for one interval at least and two at most, however many servers there are. The key is upstream's.

use super::store::{Outcome, Store, StoreError, Transaction, Write};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::sleep;

const KEY: &[u8] = b"compact_rev_key";

/// Compacts for ever.
pub async fn run(store: Store, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    let mut known = Known::default();
    loop {
        sleep(interval).await;
        match round(&store, &mut known).await {
            Ok(()) => {}
            // Another server has compacted further.
            Err(StoreError::Compacted) => {}
            Err(error) => tracing::warn!(%error, "the store is not compacted"),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// Which write of the key was seen last.
    written: u64,
    /// The store's revision an interval ago.
    revision: u64,
}

async fn round(store: &Store, known: &mut Known) -> Result<(), StoreError> {
    let revision = store.standing().await?.revision;
    let key = Bytes::from_static(KEY);
    let transaction = Transaction {
        expect: vec![(key.clone(), known.written)],
        writes: vec![Write::Put(key, revision.to_string().into())],
    };
    match store.commit(&transaction).await? {
        Outcome::Done(written) => {
            let before = std::mem::replace(known, Known { written, revision });
            if before.revision > 0 {
                store.compact(before.revision).await?;
            }
        }
        Outcome::Lost(found, _) => {
            let found = found.into_iter().next().flatten();
            *known = found.map_or(Known::default(), |found| Known {
                written: found.revision,
                revision,
            });
        }
    }
    Ok(())
}
