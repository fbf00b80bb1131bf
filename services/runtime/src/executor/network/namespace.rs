//! Work in another network namespace.

use nix::sched::{CloneFlags, setns};
use std::{fs::File, io, path::Path, thread};

/// Does something in the namespace that is pinned at a path, in a thread that ends with it: a thread that has moved never serves anybody
/// else. Blocks until it is done.
pub(super) fn within<T: Send>(
    namespace: &Path,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = File::open(namespace)?;
    thread::scope(|scope| {
        let moved = thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, || {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                work()
            })?;
        moved
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace has panicked")))
    })
}
