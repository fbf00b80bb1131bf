//! Log storage and machine as openraft uses them: its own suite, and what only we promise.

use super::{
    Entry, Proposal, TypeConfig,
    encoding::{Position, log_id},
    machine::{Machine, Settings},
    state_machine::StateMachine,
    storage::LogStorage,
};
use crate::{
    executor::{
        disk::Disk,
        durations::Durations,
        log::SEGMENT_BYTES,
        records::CacheBytes,
        simulated::{Crash, Simulated},
    },
    planner::command::Command,
};
use etcd_proto::etcdserverpb::PutRequest;
use openraft::{
    EntryPayload,
    storage::{RaftLogStorage, RaftLogStorageExt},
    testing::log::{StoreBuilder, Suite},
};
use std::{io, sync::Arc};
use tokio::runtime::{Builder, Runtime};

const SETTINGS: Settings = Settings {
    cache: CacheBytes {
        pages: 1024 * 1024,
        records: 1024 * 1024,
    },
    checkpoint_entries: u64::MAX,
    segment_bytes: SEGMENT_BYTES,
};

pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(super) fn open(disk: &Simulated, segments: &Simulated) -> io::Result<Arc<Machine>> {
    let mut number = 0;
    let random = move || {
        number += 1;
        number
    };
    let disk = Arc::new(disk.clone());
    let segments = Arc::new(segments.clone());
    Machine::open(disk, segments, SETTINGS, Box::new(random)).map(Arc::new)
}

pub(super) fn put(index: u64) -> Entry {
    let command = Command::Put(PutRequest {
        key: format!("key {index}").into(),
        ..PutRequest::default()
    });
    entry(index, &command)
}

pub(super) fn entry(index: u64, command: &Command) -> Entry {
    Entry {
        log_id: log_id(1, 1, index),
        payload: EntryPayload::Normal(Proposal {
            origin: 0,
            sequence: 0,
            command: command.encode(),
        }),
    }
}

struct Stores;

type Store = LogStorage;
type States = StateMachine;

impl StoreBuilder<TypeConfig, Store, States> for Stores {
    async fn build(&self) -> Result<((), Store, States), openraft::StorageError<TypeConfig>> {
        let machine = open(&Simulated::default(), &Simulated::default()).expect("good disks");
        Ok(((), machine.log(), StateMachine(machine)))
    }
}

/// openraft's suite, one test of it each on new disks. Not those that begin a log at 1, or purge what was not applied: Raft does
/// neither, and this log refuses both.
#[test]
fn openrafts_own_suite() {
    type All = Suite<TypeConfig, Store, States, Stores, ()>;
    macro_rules! run {
        ($($test:ident)*) => {$(
            runtime().block_on(async {
                let ((), store, states) = Stores.build().await.expect("good disks");
                All::$test(store, states).await.expect(stringify!($test));
            });
        )*};
    }
    run! {
        last_membership_in_log_initial
        get_membership_initial
        get_membership_from_empty_log_and_sm
        get_initial_state_without_init
        get_initial_state_with_state
        get_initial_state_last_log_gt_sm
        save_vote
        leader_bounded_stream
        entries_stream
        log_reader_reads_new_entries
        initial_logs
        last_applied_state
        delete_logs_after_11
        delete_logs_after_5
        delete_logs_after_0
        delete_logs_after_none
        snapshot_meta
        snapshot_meta_optional
        apply_single
        apply_multiple
    }
}

#[test]
fn the_log_is_purged_only_up_to_a_durable_checkpoint() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    runtime().block_on(async {
        let machine = open(&disk, &segments).expect("good disks");
        let mut log = machine.log();
        log.blocking_append((0..10).map(put))
            .await
            .expect("appended");
        let entries: Vec<_> = (0..10).map(put).collect();
        machine.apply(&entries[..8]).await.expect("applied");
        let early = log.purge(log_id(1, 1, 5)).await.expect_err("refused");
        assert!(early.to_string().contains("durable checkpoint"), "{early}");
        assert_eq!(
            log.get_log_state().await.expect("kept").last_purged_log_id,
            None
        );
        machine.checkpoint().await.expect("durable");
        log.purge(log_id(1, 1, 5)).await.expect("purged");
        let beyond = log.purge(log_id(1, 1, 8)).await;
        assert!(beyond.is_err(), "entry 8 was not applied");
    });
    for disk in [&disk, &segments] {
        disk.crash(Crash::Clean);
    }
    runtime().block_on(async {
        let machine = open(&disk, &segments).expect("what was durable");
        assert_eq!(machine.position().next_index(), 8);
        let state = machine.log().get_log_state().await.expect("kept");
        assert_eq!(state.last_purged_log_id, Some(log_id(1, 1, 5)));
        assert_eq!(state.last_log_id, Some(log_id(1, 1, 9)));
    });
}

#[test]
fn a_log_that_begins_behind_the_records_is_refused() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    runtime().block_on(async {
        let machine = open(&disk, &segments).expect("good disks");
        let mut log = machine.log();
        log.blocking_append((0..10).map(put))
            .await
            .expect("appended");
        let entries: Vec<_> = (0..10).map(put).collect();
        machine.apply(&entries).await.expect("applied");
        machine.checkpoint().await.expect("durable");
        log.purge(log_id(1, 1, 7)).await.expect("purged");
    });
    disk.remove(crate::executor::records::NAME).expect("there");
    let error = open(&disk, &segments).err().expect("refused");
    assert!(
        error
            .to_string()
            .starts_with("the log lacks entries 0 to 8"),
        "{error}"
    );
}

#[test]
fn a_vote_is_durable_when_it_is_saved() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    for term in 1..4 {
        runtime().block_on(async {
            let mut log = open(&disk, &segments).expect("good disks").log();
            log.blocking_append([put(term - 1)])
                .await
                .expect("appended");
            let vote = super::Vote::new(term, 7);
            log.save_vote(&vote).await.expect("saved");
        });
        for disk in [&disk, &segments] {
            disk.crash(Crash::Clean);
        }
        runtime().block_on(async {
            use openraft::RaftLogReader;
            let mut log = open(&disk, &segments).expect("what was durable").log();
            let vote = log.read_vote().await.expect("kept");
            assert_eq!(vote, Some(super::Vote::new(term, 7)));
        });
    }
}

#[test]
fn a_snapshot_that_was_installed_says_nothing_of_the_log() {
    let position = Position {
        applied: Some(log_id(1, 1, 100)),
        installed: true,
        ..Position::default()
    };
    let (disk, segments) = (
        Arc::new(Simulated::default()),
        Arc::new(Simulated::default()),
    );
    let open = |position: &Position| {
        LogStorage::open(
            disk.clone(),
            segments.clone(),
            SEGMENT_BYTES,
            position,
            Box::new(|| 7),
            Durations::of_disk(),
        )
    };
    assert!(
        open(&position).is_ok(),
        "a crash came before the log was purged"
    );
    let ours = Position {
        installed: false,
        ..position
    };
    assert!(open(&ours).is_err(), "a log that lost a hundred entries");
}
