//! Log, cell and records together, as one member alone has them: what was acknowledged is there after any power cut,
//! wherever between log and records it came. (etcd once lost such writes on a single node: they were applied and
//! answered before they were durable.)

use super::{
    cell::Cell,
    log::{Log, Settings},
    records::{CacheBytes, Commit, RecordFile},
    simulated::{Crash, Simulated},
};
use crate::planner::{command::Command, index::Found, state::State};
use etcd_proto::etcdserverpb::PutRequest;
use proptest::prelude::*;
use std::{error::Error, sync::Arc};

const PURGED: Cell = Cell::new("purged");

const CACHE: CacheBytes = CacheBytes {
    pages: 1024 * 1024,
    records: 1024,
};

type Failure = Box<dyn Error>;

fn number(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(0, |bytes| {
        u64::from_be_bytes(bytes.try_into().expect("a number"))
    })
}

/// A member that puts its n-th key with its n-th entry.
struct Member {
    disk: Simulated,
    log: Log,
    file: RecordFile,
    state: State,
    /// Entries before this are applied.
    applied: u64,
}

impl Member {
    fn start(disk: Simulated) -> Result<Self, Failure> {
        let purged = number(PURGED.read(&disk)?);
        let file = RecordFile::open(&disk, CACHE)?;
        let (state, applied) = file.restore()?;
        let applied = number(applied);
        let mut salt = 0;
        let settings = Settings {
            segment_bytes: 600,
            purged,
            checkpointed: applied,
            random: Box::new(move || {
                salt += 1;
                salt
            }),
        };
        let (log, _) = Log::open(Arc::new(disk.clone()), settings)?;
        let mut member = Self {
            disk,
            log,
            file,
            state,
            applied,
        };
        member.apply(false)?;
        Ok(member)
    }

    fn append(&mut self) -> Result<(), Failure> {
        let index = self.log.next();
        let command = Command::Put(PutRequest {
            key: format!("key {index:05}").into(),
            value: vec![b'x'; 100].into(),
            ..PutRequest::default()
        });
        self.log.append(index, &[command.encode()])?;
        Ok(())
    }

    /// Applies everything in the log, as one commit.
    fn apply(&mut self, durable: bool) -> Result<(), Failure> {
        let reader = self.file.reader();
        let mut changes = Vec::new();
        for index in self.applied..self.log.next() {
            let command = Command::decode(self.log.read(index)?.into())?;
            changes.extend(self.state.apply(&command, &reader)?.changes);
        }
        self.applied = self.log.next();
        self.file.commit(Commit {
            changes: &changes,
            bookkeeping: &[],
            dropped: &[],
            revision: self.state.revision(),
            applied: &self.applied.to_be_bytes(),
        });
        if durable {
            self.file.write_durably(|| Ok(()))?;
        } else {
            self.file.write()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        // What a checkpoint holds must never be ahead of what the log can vouch for.
        self.log.unsynced().sync()?;
        self.apply(true)?;
        self.log.checkpointed(self.applied);
        PURGED.replace(&self.disk, &self.applied.to_be_bytes())?;
        self.log.purge(self.applied)?;
        Ok(())
    }

    /// Whether exactly the keys of the first so many entries are there, each with its revision.
    fn has_exactly(&self, entries: u64) -> bool {
        let index = self.state.index();
        let found = (0..entries).all(|entry| {
            let key = format!("key {entry:05}");
            let revision = i64::try_from(entry).expect("small") + 2;
            index
                .get_at(key.as_bytes(), i64::MAX)
                .map(Found::revision)
                .is_some_and(|found| found.main == revision)
        });
        found && u64::try_from(index.len()) == Ok(entries)
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Append,
    Sync,
    Apply,
    Checkpoint,
    Power(usize, u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Append),
        4 => Just(Act::Sync),
        3 => Just(Act::Apply),
        2 => Just(Act::Checkpoint),
        1 => (0..25_usize, any::<u64>()).prop_map(|(left, seed)| Act::Power(left, seed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_was_acknowledged_is_there_after_a_power_cut(acts in proptest::collection::vec(act(), 1..80)) {
        let mut member = Member::start(Simulated::default()).expect("a new member");
        let (mut acknowledged, mut seed) = (0, 0);
        for act in acts {
            let done = match act {
                Act::Append => member.append(),
                Act::Sync | Act::Apply => {
                    // A command is applied, and its client answered, only when it is durable.
                    match member.log.unsynced().sync() {
                        Ok(()) => {
                            acknowledged = member.log.next();
                            if matches!(act, Act::Apply) { member.apply(false) } else { Ok(()) }
                        }
                        Err(error) => Err(error.into()),
                    }
                }
                Act::Checkpoint => member.checkpoint(),
                Act::Power(left, torn) => {
                    member.disk.fail_after(left);
                    seed = torn;
                    Ok(())
                }
            };
            if done.is_ok() {
                continue;
            }
            let appended = member.log.next();
            let disk = member.disk.clone();
            drop(member);
            disk.crash(if seed % 3 == 0 { Crash::Clean } else { Crash::Torn { seed } });
            member = match Member::start(disk) {
                Ok(member) => member,
                Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
            };
            let there = member.log.next();
            prop_assert!((acknowledged..=appended + 1).contains(&there), "{} of {}", there, acknowledged);
            prop_assert!(member.has_exactly(there), "{} entries", there);
            acknowledged = there;
        }
    }
}
