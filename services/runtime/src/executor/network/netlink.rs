//! A connection to the kernel's rtnetlink, here or in another network namespace.

use super::namespace;
use rtnetlink::{Error, Handle};
use std::{future::Future, io, path::Path, time::Duration};
use tokio::{runtime, task::JoinHandle};

/// Longest wait for the kernel's answer to one request. It answers at once; only a broken connection takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the kernel could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No connection.
    #[error("open a netlink socket in {place}")]
    Open {
        /// Which namespace.
        place: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{what}")]
    Refused {
        /// What was asked.
        what: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The connection broke or spoke nonsense.
    #[error("{what}")]
    Broken {
        /// What was asked.
        what: String,
        /// What went wrong.
        #[source]
        source: Error,
    },
    /// No answer within [`ANSWER_TIMEOUT`].
    #[error("{what}: no answer from the kernel within {ANSWER_TIMEOUT:?}")]
    Timeout {
        /// What was asked.
        what: String,
    },
    /// A setting of the kernel.
    #[error("set {name} to {value}")]
    Sysctl {
        /// Which, below /proc/sys.
        name: String,
        /// To what.
        value: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl NetlinkError {
    /// The kernel's error.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// A connection; it ends when this does.
#[derive(Debug)]
pub(super) struct Netlink {
    pub handle: Handle,
    task: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    /// In the runtime's own namespace.
    pub(super) fn here() -> Result<Self, NetlinkError> {
        let opened = rtnetlink::new_connection();
        let (connection, handle, _) = opened.map_err(|source| NetlinkError::Open {
            place: "the node's network namespace".to_owned(),
            source,
        })?;
        let task = tokio::spawn(connection);
        Ok(Self { handle, task })
    }

    /// In the one that is pinned at a path: a socket belongs to the namespace in which it was opened.
    pub(super) async fn within(namespace: &Path) -> Result<Self, NetlinkError> {
        let open = |source| NetlinkError::Open {
            place: namespace.display().to_string(),
            source,
        };
        let (path, runtime) = (namespace.to_owned(), runtime::Handle::current());
        let opened = tokio::task::spawn_blocking(move || {
            namespace::within(&path, || {
                let _entered = runtime.enter();
                rtnetlink::new_connection()
            })
        });
        let opened = opened
            .await
            .map_err(|error| open(io::Error::other(error)))?;
        let (connection, handle, _) = opened.map_err(open)?;
        let task = tokio::spawn(connection);
        Ok(Self { handle, task })
    }
}

/// Waits for what was asked.
pub(super) async fn asked<T>(
    what: impl Into<String>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, NetlinkError> {
    let what = what.into();
    match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
        Err(_) => Err(NetlinkError::Timeout { what }),
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Error::NetlinkError(message))) => Err(NetlinkError::Refused {
            what,
            source: io::Error::from_raw_os_error(message.raw_code().saturating_neg()),
        }),
        Ok(Err(source)) => Err(NetlinkError::Broken { what, source }),
    }
}
