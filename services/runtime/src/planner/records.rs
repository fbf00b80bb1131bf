//! What is kept of sandboxes and containers, so that the next runtime goes on where this one stopped.
//!
//! ```text
//!   sandbox    Making ──> Ready ──> NotReady ──> (gone)
//!   container  Making ──> Created ──> Running ──> Exited ──> (gone)
//! ```
//!
//! A record is written before the step that it tells of is answered. `Making` is what a crash has left half-made: it is undone.

use super::{
    images::digest::Digest,
    keeper::frames::{Exit, Known},
};
use cri_proto::{
    prost::Message,
    runtime::{ContainerConfig, PodSandboxConfig},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{net::IpAddr, path::PathBuf};

/// Of this form. One of another is not read.
pub const VERSION: u32 = 1;
/// Exit code of a container whose end nobody saw: of an earlier boot, or after a crash of the keeper. containerd's.
pub const CODE_UNKNOWN: i32 = 255;
/// Reasons, as kubelets know them.
pub const REASON_COMPLETED: &str = "Completed";
/// It ended with another code than 0.
pub const REASON_ERROR: &str = "Error";
/// The kernel ended it for want of memory.
pub const REASON_OOM: &str = "OOMKilled";
/// Nobody saw its end.
pub const REASON_UNKNOWN: &str = "Unknown";
/// It could not be started.
pub const REASON_START: &str = "StartError";
/// Exit code of one that could not be started; containerd's.
pub const CODE_START: i32 = 128;

/// Where a sandbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// Half-made.
    Making,
    /// It takes containers.
    Ready,
    /// It was stopped, or its namespaces are gone.
    NotReady,
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// [`VERSION`].
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Of which boot it is.
    pub boot: String,
    /// Where it stands.
    pub state: SandboxState,
    /// When it was asked for, nanoseconds since 1970.
    pub created_at: i64,
    /// As it was asked for.
    #[serde(serialize_with = "write_message", deserialize_with = "read_message")]
    pub config: PodSandboxConfig,
    /// Which handler was asked for; "" for the only one.
    pub handler: String,
    /// Its network's addresses, the first one first.
    pub addresses: Vec<IpAddr>,
    /// Its network is to be taken down when it stops.
    pub attached: bool,
    /// The process that holds the PID namespace, where its containers share one; 0: it is not known yet.
    pub pause: Option<i32>,
}

/// Where a container stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Half-made.
    Making,
    /// It was not started yet.
    Created,
    /// It runs, as far as is known.
    Running {
        /// Its first process.
        pid: i32,
        /// Nanoseconds since 1970.
        started_at: i64,
    },
    /// It has ended.
    Exited {
        /// Nanoseconds since 1970; 0: it never ran.
        started_at: i64,
        /// Nanoseconds since 1970.
        finished_at: i64,
        /// Exit code, or 128 + signal.
        code: i32,
        /// In a word.
        reason: String,
        /// In more words; may be empty.
        message: String,
    },
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// [`VERSION`].
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its sandbox's.
    pub sandbox: String,
    /// Of which boot it is.
    pub boot: String,
    /// Where it stands.
    pub state: ContainerState,
    /// When it was asked for, nanoseconds since 1970.
    pub created_at: i64,
    /// As it was asked for.
    #[serde(serialize_with = "write_message", deserialize_with = "read_message")]
    pub config: ContainerConfig,
    /// The image's ID.
    pub image: Digest,
    /// Its layers.
    pub layers: Vec<Digest>,
    /// Where it logs; None: nowhere.
    pub log: Option<PathBuf>,
    /// What asks it to stop: a signal's number.
    pub stop_signal: i32,
    /// Below the cgroup mount.
    pub cgroup: PathBuf,
    /// Who its first process is: user, group, others.
    pub user: (i64, i64, Vec<i64>),
}

impl ContainerRecord {
    /// Whether it runs, as far as is known.
    #[must_use]
    pub const fn runs(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// It has ended like this.
    pub fn ended(&mut self, exit: Exit, out_of_memory: bool) {
        let started_at = match self.state {
            ContainerState::Running { started_at, .. } => started_at,
            ContainerState::Exited { .. } => return,
            ContainerState::Making | ContainerState::Created => 0,
        };
        let reason = match exit.code {
            _ if out_of_memory => REASON_OOM,
            0 => REASON_COMPLETED,
            _ => REASON_ERROR,
        };
        self.state = ContainerState::Exited {
            started_at,
            finished_at: exit.at,
            code: exit.code,
            reason: reason.to_owned(),
            message: String::new(),
        };
    }

    /// It has ended, and nobody saw how.
    pub fn lost(&mut self, now: i64) {
        let started_at = match self.state {
            ContainerState::Running { started_at, .. } => started_at,
            _ => 0,
        };
        self.state = ContainerState::Exited {
            started_at,
            finished_at: now,
            code: CODE_UNKNOWN,
            reason: REASON_UNKNOWN.to_owned(),
            message: String::new(),
        };
    }

    /// It could not be started.
    pub fn not_started(&mut self, now: i64, message: String) {
        self.state = ContainerState::Exited {
            started_at: 0,
            finished_at: now,
            code: CODE_START,
            reason: REASON_START.to_owned(),
            message,
        };
    }
}

/// What to do with a container at the runtime's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is as the record says.
    AsRecorded,
    /// It was started, and the record does not say so.
    Runs {
        /// Its first process.
        pid: i32,
        /// Nanoseconds since 1970.
        started_at: i64,
    },
    /// It has ended.
    Ended(Exit),
    /// It has ended, and nobody saw how.
    Lost,
    /// It is half-made.
    Undo,
}

/// What has become of a container: by its record, by the keeper's, and by the end that was noted in its bundle.
#[must_use]
pub fn find(
    record: &ContainerRecord,
    boot: &str,
    known: Option<&Known>,
    noted: Option<Exit>,
) -> Found {
    match (&record.state, known) {
        (ContainerState::Exited { .. }, _) => Found::AsRecorded,
        (ContainerState::Making, None) => Found::Undo,
        (ContainerState::Making | ContainerState::Created, Some(known)) => match known.exit {
            Some(exit) => Found::Ended(exit),
            None => Found::Runs {
                pid: known.pid,
                started_at: known.started_at,
            },
        },
        (ContainerState::Running { .. }, Some(known)) => match known.exit {
            Some(exit) => Found::Ended(exit),
            None => Found::AsRecorded,
        },
        // Its file systems are gone with the boot.
        (ContainerState::Created, None) if record.boot != boot => Found::Lost,
        (ContainerState::Created, None) => Found::AsRecorded,
        (ContainerState::Running { .. }, None) => match noted {
            Some(exit) if record.boot == boot => Found::Ended(exit),
            _ => Found::Lost,
        },
    }
}

/// By what a sandbox is told from others: no two that are there have the same.
#[must_use]
pub fn sandbox_name(config: &PodSandboxConfig) -> String {
    let metadata = config.metadata.clone().unwrap_or_default();
    format!(
        "{}_{}_{}_{}",
        metadata.name, metadata.namespace, metadata.uid, metadata.attempt
    )
}

/// The same for a container of a sandbox.
#[must_use]
pub fn container_name(config: &ContainerConfig, sandbox: &str) -> String {
    let metadata = config.metadata.clone().unwrap_or_default();
    format!("{}_{sandbox}_{}", metadata.name, metadata.attempt)
}

fn write_message<S: Serializer>(message: &impl Message, serializer: S) -> Result<S::Ok, S::Error> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    serializer.serialize_str(&STANDARD.encode(message.encode_to_vec()))
}

fn read_message<'de, M: Message + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<M, D::Error> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
    M::decode(bytes.as_slice()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: ContainerState) -> ContainerRecord {
        ContainerRecord {
            version: VERSION,
            id: "c".to_owned(),
            sandbox: "s".to_owned(),
            boot: "now".to_owned(),
            state,
            created_at: 1,
            config: ContainerConfig {
                log_path: "a.log".to_owned(),
                ..ContainerConfig::default()
            },
            image: format!("sha256:{}", "0".repeat(64))
                .parse()
                .expect("a digest"),
            layers: Vec::new(),
            log: None,
            stop_signal: 15,
            cgroup: PathBuf::new(),
            user: (0, 0, Vec::new()),
        }
    }

    const RUNNING: ContainerState = ContainerState::Running {
        pid: 5,
        started_at: 2,
    };
    const EXIT: Exit = Exit { code: 3, at: 9 };

    fn known(exit: Option<Exit>) -> Known {
        Known {
            id: "c".to_owned(),
            pid: 5,
            started_at: 2,
            exit,
        }
    }

    #[test]
    fn a_record_comes_back() {
        let mut record = record(RUNNING);
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(
            serde_json::from_str::<ContainerRecord>(&text).expect("the same"),
            record
        );
        record.ended(EXIT, false);
        record.ended(Exit { code: 4, at: 10 }, true);
        let ContainerState::Exited {
            started_at,
            finished_at,
            code,
            reason,
            ..
        } = &record.state
        else {
            unreachable!("it has ended")
        };
        assert_eq!((*started_at, *finished_at, *code), (2, 9, 3));
        assert_eq!(reason, REASON_ERROR);
    }

    #[test]
    fn what_is_found_at_a_start() {
        let check = |state: ContainerState, boot: &str, known: Option<&Known>, noted, expect| {
            assert_eq!(find(&record(state), boot, known, noted), expect);
        };
        let (runs, ended) = (known(None), known(Some(EXIT)));
        check(RUNNING, "now", Some(&runs), None, Found::AsRecorded);
        check(RUNNING, "now", Some(&ended), None, Found::Ended(EXIT));
        check(RUNNING, "now", None, Some(EXIT), Found::Ended(EXIT));
        check(RUNNING, "now", None, None, Found::Lost);
        check(RUNNING, "next", None, Some(EXIT), Found::Lost);
        check(
            ContainerState::Created,
            "now",
            None,
            None,
            Found::AsRecorded,
        );
        check(ContainerState::Created, "next", None, None, Found::Lost);
        let started = Found::Runs {
            pid: 5,
            started_at: 2,
        };
        check(ContainerState::Created, "now", Some(&runs), None, started);
        check(
            ContainerState::Created,
            "now",
            Some(&ended),
            None,
            Found::Ended(EXIT),
        );
        check(ContainerState::Making, "now", None, None, Found::Undo);
    }
}
