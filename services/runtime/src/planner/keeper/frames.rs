//! What the runtime and the keeper say to each other.
//!
//! ```text
//!   one SOCK_SEQPACKET message = one postcard value, and the descriptors that come with it
//!
//!   runtime ──Request──> keeper        one at a time on a connection
//!   runtime <──Answer──  keeper
//!   runtime <──Event───  keeper        on a connection that has asked with Request::Events, and nothing else from then on
//! ```
//!
//! The keeper outlives the runtime that started it, also one of another release: a new field or variant comes last, and a
//! change of what is there raises [`VERSION`].

use serde::{Deserialize, Serialize};

/// Of this protocol. A runtime that meets another one says so and does not go on.
pub const VERSION: u32 = 2;
/// Largest message, either way. Requests carry paths, not specs.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Descriptors that come with one message: standard input, output and error.
pub const DESCRIPTORS_MAX: usize = 3;
/// Longest reason of a refusal; a longer one is cut.
pub const REASON_MAX: usize = 8 * 1024;

/// What a container has for standard input and output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Where its output is logged, in CRI's format. None: nowhere.
    pub log: Option<String>,
    /// Standard input stays open and can be asked for; else it is empty.
    pub stdin: bool,
    /// All three are one terminal.
    pub terminal: bool,
}

/// What the runtime wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you -> [`Answer::Keeper`].
    Hello,
    /// Makes a container of a bundle and starts it -> [`Answer::Running`].
    Run {
        /// Its number.
        id: String,
        /// Directory with `config.json`, see [`crate::executor::keeper::bundle`].
        bundle: String,
        /// Its streams.
        streams: Streams,
    },
    /// Runs one more process in a container that runs; its streams come along -> [`Answer::Running`], and later
    /// [`Answer::Ended`] on the same connection. It is ended if the connection is closed before.
    Exec {
        /// The container's.
        id: String,
        /// File with the OCI process.
        process: String,
        /// Where the terminal's master is sent to, if it is to have one.
        console: Option<String>,
    },
    /// Sends a signal -> [`Answer::Done`]; [`Answer::Unknown`] if it has ended.
    Signal {
        /// The container's.
        id: String,
        /// signal(7).
        number: i32,
    },
    /// Removes what libcontainer keeps of a container that has ended, and its cgroups -> [`Answer::Done`]. The keeper knows it
    /// no longer. [`Answer::Busy`] while it is being made or runs.
    Delete {
        /// The container's.
        id: String,
    },
    /// All containers -> [`Answer::Containers`], as many messages as it takes, the last one empty.
    List,
    /// A duplicate of what writes to the container's standard input -> [`Answer::Done`] with it; its terminal's master, if it
    /// has one.
    Input {
        /// The container's.
        id: String,
    },
    /// Nobody will write to its standard input again -> [`Answer::Done`].
    CloseInput {
        /// The container's.
        id: String,
    },
    /// Copies what it writes, from now on, to two descriptors that come along -> [`Answer::Done`]. They are closed when it writes no
    /// more; and when they do not take all at once, after a byte was written to a third, if one comes along.
    Attach {
        /// The container's.
        id: String,
    },
    /// The log has been moved away: begins a new one -> [`Answer::Done`].
    ReopenLog {
        /// The container's.
        id: String,
    },
    /// Makes namespaces and pins them at files -> [`Answer::Done`].
    Pin(Pin),
    /// Every end from now on -> [`Answer::Done`], then events.
    Events,
    /// Ends, if there is no container -> [`Answer::Done`].
    Stop,
}

/// New namespaces that stay without a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// File for the network namespace, which exists and is empty.
    pub network: Option<String>,
    /// File for the IPC namespace.
    pub ipc: Option<String>,
    /// File for the UTS namespace.
    pub uts: Option<String>,
    /// Host name in the new UTS namespace.
    pub hostname: Option<String>,
    /// Paths below /proc/sys, and values, set in the new namespaces.
    pub sysctls: Vec<(String, String)>,
    /// The user namespace that the others belong to. None: the keeper's own.
    pub user: Option<PinUser>,
}

/// A new user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinUser {
    /// File for it, which exists and is empty.
    pub file: String,
    /// Users: first ID inside, first ID outside, how many.
    pub uids: Vec<(u32, u32, u32)>,
    /// Groups.
    pub gids: Vec<(u32, u32, u32)>,
}

/// What the keeper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Hello`].
    Keeper {
        /// [`VERSION`].
        version: u32,
        /// Its process.
        pid: i32,
    },
    /// It is done.
    Done,
    /// It runs.
    Running {
        /// Its first process, as the keeper sees it.
        pid: i32,
        /// When it was started, nanoseconds since 1970.
        started_at: i64,
    },
    /// A process of [`Request::Exec`] has ended.
    Ended(Exit),
    /// Some containers.
    Containers(Vec<Known>),
    /// There is no such container.
    Unknown,
    /// It cannot be done.
    Refused(String),
    /// Not yet: the container is being made, or runs.
    Busy,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// When, nanoseconds since 1970.
    pub at: i64,
}

/// A container that the keeper has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its number.
    pub id: String,
    /// Its first process; it may have ended. 0: it is being made.
    pub pid: i32,
    /// When it was started, nanoseconds since 1970.
    pub started_at: i64,
    /// How it ended; None: it runs.
    pub exit: Option<Exit>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A container's first process has ended, and all that it wrote until then is in its log.
    Exited {
        /// The container's.
        id: String,
        /// How.
        exit: Exit,
    },
}

/// A reason that fits into a message.
#[must_use]
pub fn refused(reason: impl Into<String>) -> Answer {
    let mut reason = reason.into();
    if reason.len() > REASON_MAX {
        let mut end = REASON_MAX;
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
    }
    Answer::Refused(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let Answer::Refused(reason) = refused("ä".repeat(REASON_MAX)) else {
            unreachable!("a refusal")
        };
        assert!(reason.len() <= REASON_MAX && reason.ends_with('ä'));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = postcard::from_bytes::<Request>(&bytes);
            let _ = postcard::from_bytes::<Answer>(&bytes);
            let _ = postcard::from_bytes::<Event>(&bytes);
        }
    }
}
