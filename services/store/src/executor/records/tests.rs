//! The file of records on a disk that forgets and tears: after a crash it holds the state of one log position, not before
//! the last durable one.

use super::*;
use crate::{
    executor::simulated::{Crash, Simulated},
    planner::{command::Command, hash::Hash, records::Records, state::Alarm},
};
use etcd_proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, LeaseCheckpoint,
    LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    alarm_request::AlarmAction,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Too small for all records, so that some come from the file.
const CACHE: CacheBytes = CacheBytes {
    pages: 1024 * 1024,
    records: 6 * 1024,
};

/// What a member knows that has applied some commands: enough to tell two of them apart.
#[derive(Debug, PartialEq)]
struct Picture {
    revision: i64,
    compacted: i64,
    hash: u32,
    leases: Vec<(i64, i64, Option<i64>, usize)>,
    alarms: BTreeSet<Alarm>,
}

fn picture(state: &State, records: &impl Records) -> Picture {
    let mut hash = Hash::begin(state, 0).expect("newest");
    let start = Revision { main: 0, sub: 0 };
    records
        .scan(start, &mut |revision, record| {
            hash.add(state, revision, &record);
            ControlFlow::Continue(())
        })
        .expect("readable");
    let leases = state.leases().iter();
    Picture {
        revision: state.revision(),
        compacted: state.compacted(),
        hash: hash.finish(state).expect("nothing between").hash,
        leases: leases
            .map(|(id, lease)| {
                (
                    id,
                    lease.time_to_live,
                    lease.remaining,
                    lease.keys().count(),
                )
            })
            .collect(),
        alarms: state.alarms().clone(),
    }
}

/// How far a commit goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Memory,
    Written,
    Durable,
}

/// A member: its state, its file, and how many commands it has applied.
struct Member {
    disk: Simulated,
    file: RecordFile,
    state: State,
    applied: u64,
}

impl Member {
    fn start(disk: Simulated) -> Result<Self, RecordsError> {
        let file = RecordFile::open(&disk, CACHE)?;
        let (state, applied) = file.restore()?;
        let applied = applied.map_or(0, |applied| {
            u64::from_be_bytes(applied.try_into().expect("a number"))
        });
        Ok(Self {
            disk,
            file,
            state,
            applied,
        })
    }

    fn apply(&mut self, command: &Command, how: How) -> Result<(), RecordsError> {
        let reader = self.file.reader();
        let applied = self.state.apply(command, &reader).expect("readable");
        self.applied += 1;
        self.commit(&applied.changes, &applied.bookkeeping, &[], how)
    }

    /// A step of compaction: some keys.
    fn compact(&mut self, how: How) -> Result<(), RecordsError> {
        let mut dropped = Vec::new();
        self.state.compact(None, 3, &mut dropped);
        self.commit(&[], &[], &dropped, how)
    }

    fn commit(
        &self,
        changes: &[Change],
        bookkeeping: &[Bookkeeping],
        dropped: &[Revision],
        how: How,
    ) -> Result<(), RecordsError> {
        self.file.commit(Commit {
            changes,
            bookkeeping,
            dropped,
            revision: self.state.revision(),
            applied: &self.applied.to_be_bytes(),
        });
        match how {
            How::Memory => Ok(()),
            How::Written => self.file.write(),
            How::Durable => self.file.write_durably(|| Ok(())),
        }
    }

    fn picture(&self) -> Picture {
        picture(&self.state, &self.file.reader())
    }
}

fn put(key: String, value: &str, lease: i64) -> Command {
    Command::Put(PutRequest {
        key: key.into(),
        value: value.to_owned().into(),
        lease,
        ..PutRequest::default()
    })
}

#[test]
fn everything_comes_back_after_a_restart() {
    let mut member = Member::start(Simulated::default()).expect("a new file");
    let commands = [
        Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 }),
        put("a".into(), "1", 7),
        put("b".into(), "1", 0),
        Command::DeleteRange(DeleteRangeRequest {
            key: "b".into(),
            ..DeleteRangeRequest::default()
        }),
        Command::LeaseCheckpoint(LeaseCheckpointRequest {
            checkpoints: vec![LeaseCheckpoint {
                id: 7,
                remaining_ttl: 30,
            }],
        }),
        Command::Alarm(AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: 5,
            alarm: AlarmType::Nospace.into(),
        }),
        Command::Compact(CompactionRequest {
            revision: 3,
            physical: false,
        }),
    ];
    for command in &commands {
        member.apply(command, How::Durable).expect("a good disk");
    }
    let before = member.picture();
    assert_eq!((before.revision, before.compacted), (4, 3));
    assert_eq!(before.leases, [(7, 60, Some(30), 1)]);
    let disk = member.disk.clone();
    drop(member);
    disk.crash(Crash::Clean);
    let mut member = Member::start(disk.clone()).expect("whole");
    assert_eq!((member.applied, member.picture()), (7, before));
    let clear = AlarmRequest {
        action: AlarmAction::Deactivate.into(),
        member_id: 5,
        alarm: AlarmType::Nospace.into(),
    };
    member
        .apply(&Command::Alarm(clear), How::Durable)
        .expect("a good disk");
    let revoke = LeaseRevokeRequest { id: 7 };
    member
        .apply(&Command::LeaseRevoke(revoke), How::Durable)
        .expect("a good disk");
    drop(member);
    let member = Member::start(disk).expect("whole");
    assert!(member.state.leases().iter().next().is_none());
    assert!(member.state.alarms().is_empty());
}

#[test]
fn a_commit_that_is_not_durable_costs_no_flush() {
    let mut member = Member::start(Simulated::default()).expect("a new file");
    let before = member.disk.syncs();
    for number in 0..50 {
        let command = put(format!("key {number}"), "1", 0);
        member.apply(&command, How::Written).expect("a good disk");
    }
    assert_eq!(member.disk.syncs(), before);
    member
        .apply(&put("last".into(), "1", 0), How::Durable)
        .expect("a good disk");
    let flushes = member.disk.syncs() - before;
    assert!((1..=3).contains(&flushes), "{flushes}");
    let disk = member.disk.clone();
    disk.crash(Crash::Clean);
    drop(member);
    assert_eq!(Member::start(disk).expect("whole").applied, 51);
}

#[test]
fn a_later_format_is_refused() {
    let disk = Simulated::default();
    drop(Member::start(disk.clone()).expect("a new file"));
    let file = RecordFile::open(&disk, CACHE).expect("whole");
    let write = file.shared.database.begin_write().expect("a good disk");
    {
        let mut facts = write.open_table(FACTS).expect("there");
        let later = 9_u64.to_be_bytes();
        facts
            .insert("format", later.as_slice())
            .expect("a good disk");
    }
    write.commit().expect("a good disk");
    drop(file);
    let error = RecordFile::open(&disk, CACHE)
        .map(|_| ())
        .expect_err("later");
    assert_eq!(
        error.to_string(),
        "records.redb has format 9, this release reads 1"
    );
}

/// redb by itself trusts the pages of a commit that was whole: it hands out what they have become, or panics.
#[test]
fn a_flipped_bit_is_named_or_makes_no_difference() {
    let mut member = Member::start(Simulated::default()).expect("a new file");
    for number in 0..300 {
        let command = put(format!("key {}", number % 70), &"v".repeat(number), 0);
        let how = if number % 50 == 49 {
            How::Durable
        } else {
            How::Written
        };
        member.apply(&command, how).expect("a good disk");
    }
    let expected = member.picture();
    let whole = member.disk.fork();
    whole.crash(Crash::Clean);
    let content = whole.content(NAME);
    // What was never written is of no use to anybody, and most of the file.
    let written = (0..content.len()).filter(|offset| content[*offset] != 0);
    let (mut named, mut harmless) = (0, 0);
    for offset in written.step_by(37) {
        let rotten = whole.fork();
        rotten.flip(NAME, offset * 8 + offset % 8);
        match Member::start(rotten) {
            Ok(member) => {
                assert_eq!(member.picture(), expected, "byte {offset}");
                harmless += 1;
            }
            Err(error) => {
                let text = error.to_string();
                let is_named = text.starts_with("records.redb is damaged: ");
                assert!(is_named, "byte {offset}: {text}");
                named += 1;
            }
        }
    }
    println!("{named} flipped bits are named, {harmless} make no difference");
    assert!(named > 100, "{named}");
}

#[derive(Debug, Clone)]
enum Act {
    Apply(Command, How),
    Compact(How),
    /// The power goes after so many operations, and tears what was under way as the seed has it.
    Power(usize, u64),
}

fn act() -> impl Strategy<Value = Act> {
    let key = || "[a-f]";
    let command = prop_oneof![
        6 => (key(), "[x-z]{0,600}", 0..3_i64).prop_map(|(key, value, lease)| put(key, &value, lease)),
        2 => key().prop_map(|key| Command::DeleteRange(DeleteRangeRequest {
            key: key.into(),
            range_end: "d".into(),
            ..DeleteRangeRequest::default()
        })),
        1 => (1..30_i64).prop_map(|revision| Command::Compact(CompactionRequest {
            revision,
            physical: false,
        })),
        1 => (1..3_i64).prop_map(|id| Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id })),
        1 => (1..3_i64).prop_map(|id| Command::LeaseRevoke(LeaseRevokeRequest { id })),
    ];
    let how =
        || prop_oneof![3 => Just(How::Memory), 2 => Just(How::Written), 1 => Just(How::Durable)];
    prop_oneof![
        12 => (command, how()).prop_map(|(command, how)| Act::Apply(command, how)),
        2 => how().prop_map(Act::Compact),
        1 => (0..30_usize, any::<u64>()).prop_map(|(left, seed)| Act::Power(left, seed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A power cut at any operation: the file is as it was after some number of commands, at least as many as were
    /// durable; and applying the rest of the log again brings back what was.
    #[test]
    fn a_crash_leaves_one_log_position(acts in proptest::collection::vec(act(), 1..60)) {
        let mut log = Vec::new();
        let mut pictures = vec![Member::start(Simulated::default()).expect("a new file").picture()];
        let (mut durable_to, mut seed) = (0, 0);
        let mut member = Member::start(Simulated::default()).expect("a new file");
        for act in acts {
            let alive = match act {
                Act::Apply(command, how) => {
                    log.push(command);
                    let written = member.apply(&log[log.len() - 1], how).is_ok();
                    if written {
                        pictures.push(member.picture());
                        if how == How::Durable {
                            durable_to = log.len();
                        }
                    } else {
                        log.pop();
                    }
                    written
                }
                Act::Compact(how) => {
                    let written = member.compact(how).is_ok();
                    if written && how == How::Durable {
                        durable_to = log.len();
                    }
                    written
                }
                Act::Power(left, torn) => {
                    member.disk.fail_after(left);
                    seed = torn;
                    true
                }
            };
            if alive {
                continue;
            }
            // The power went during that write.
            let disk = member.disk.clone();
            drop(member);
            disk.crash(Crash::Torn { seed });
            member = match Member::start(disk) {
                Ok(member) => member,
                Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
            };
            let applied = usize::try_from(member.applied).expect("small");
            // The write that failed may have come through: then it is not in the log of this test.
            prop_assert!((durable_to..=log.len() + 1).contains(&applied), "{} of {}", applied, log.len());
            if applied <= log.len() {
                prop_assert_eq!(&member.picture(), &pictures[applied]);
                for (index, command) in log.iter().enumerate().skip(applied) {
                    member.apply(command, How::Memory).expect("a good disk");
                    prop_assert_eq!(&member.picture(), &pictures[index + 1]);
                }
            } else {
                break;
            }
        }
    }
}
