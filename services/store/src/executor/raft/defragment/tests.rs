use super::*;
use crate::{
    executor::{
        raft::{
            Entry,
            tests::{entry, open, put, runtime},
        },
        records::NAME,
        simulated::{Crash, Simulated},
    },
    planner::{command::Command, hash::Hash, records::Records, revision::Revision},
};
use etcd_proto::etcdserverpb::{CompactionRequest, LeaseGrantRequest, PutRequest};
use openraft::storage::RaftLogStorageExt;
use std::{ops::ControlFlow, time::Duration};

/// Ten times what a copy takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a client could see: revision, hash of keys and values, and number of leases.
fn picture(machine: &Machine) -> (i64, u32, usize) {
    machine
        .read(|state, records| {
            let mut hash = Hash::begin(state, 0).expect("newest");
            let start = Revision { main: 0, sub: 0 };
            records
                .scan(start, &mut |revision, record| {
                    hash.add(state, revision, &record);
                    ControlFlow::Continue(())
                })
                .expect("readable");
            let hash = hash.finish(state).expect("nothing between").hash;
            (state.revision(), hash, state.leases().iter().count())
        })
        .expect("readable")
}

/// Twenty keys written thirty times with values of 4 KiB, a lease, and a compaction that leaves little.
fn history() -> Vec<Entry> {
    let puts = (0..600).map(|number| {
        Command::Put(PutRequest {
            key: format!("key {}", number % 20).into(),
            value: vec![b'v'; 4096].into(),
            ..PutRequest::default()
        })
    });
    let grant = Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 });
    let compact = Command::Compact(CompactionRequest {
        revision: 590,
        physical: true,
    });
    let commands = puts.chain([grant, compact]);
    (0..)
        .zip(commands)
        .map(|(index, command)| entry(index, &command))
        .collect()
}

async fn append_and_apply(machine: &Machine, entries: &[Entry]) -> io::Result<()> {
    let mut log = machine.log();
    log.blocking_append(entries.to_vec()).await?;
    machine.apply(entries).await
}

async fn grown(disk: &Simulated, segments: &Simulated) -> Arc<Machine> {
    let machine = open(disk, segments).expect("good disks");
    append_and_apply(&machine, &history())
        .await
        .expect("applied");
    let compacting = machine.clone();
    let compaction = tokio::spawn(async move { compacting.compact().await });
    let compacted = machine.wait_compacted(590);
    tokio::time::timeout(PATIENCE, compacted)
        .await
        .expect("in time");
    compaction.abort();
    machine.checkpoint().await.expect("durable");
    machine
}

#[test]
fn the_file_shrinks_while_writes_go_on() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    let (before, bytes) = runtime().block_on(async {
        let machine = grown(&disk, &segments).await;
        let before = machine.bytes().expect("measured");
        let first = history().len();
        let writing = machine.clone();
        let writes = tokio::spawn(async move {
            for index in first..first + 200 {
                let index = u64::try_from(index).expect("small");
                append_and_apply(&writing, &[put(index)]).await?;
            }
            io::Result::Ok(())
        });
        // Two at once: one does it, and the other is told so, or comes after it.
        let (one, other) = tokio::join!(machine.defragment(), machine.defragment());
        one.expect("good disks");
        if let Err(error) = other {
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        }
        writes.await.expect("no panic").expect("good disks");
        let after = machine.bytes().expect("measured");
        assert!(after < before / 2, "{before} bytes became {after}");
        assert!(machine.bytes_in_use() <= after);
        machine.checkpoint().await.expect("durable");
        (picture(&machine), before)
    });
    for disk in [&disk, &segments] {
        disk.crash(Crash::Clean);
    }
    let machine = open(&disk, &segments).expect("what was durable");
    assert_eq!(picture(&machine), before);
    let reopened = machine.bytes().expect("measured");
    assert!(reopened < bytes / 2, "{bytes} bytes became {reopened}");
}

#[test]
fn a_second_defragmentation_is_refused_while_one_runs() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    runtime().block_on(async {
        let machine = grown(&disk, &segments).await;
        let _running = machine.defragmenting.lock().await;
        let error = machine.defragment().await.expect_err("one at a time");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(
            error.to_string(),
            "the records are being defragmented already"
        );
    });
}

/// The power goes at each operation in turn: what was applied comes back from file and log, whichever file it is, and the
/// copy is gone.
#[test]
fn a_power_cut_at_any_operation_leaves_one_file_whole() {
    for operations in 0.. {
        let (disk, segments) = (Simulated::default(), Simulated::default());
        let (before, done) = runtime().block_on(async {
            let machine = grown(&disk, &segments).await;
            // Not in a checkpoint, so that file and log must go together.
            let last = u64::try_from(history().len()).expect("small");
            append_and_apply(&machine, &[put(last)])
                .await
                .expect("applied");
            disk.fail_after(operations);
            (picture(&machine), machine.defragment().await.is_ok())
        });
        let seed = u64::try_from(operations).expect("small");
        for disk in [&disk, &segments] {
            disk.crash(match operations % 3 {
                0 => Crash::Clean,
                _ => Crash::Torn { seed },
            });
        }
        runtime().block_on(async {
            let machine = open(&disk, &segments).expect("one file, whole");
            let next = machine.position().next_index();
            let log = machine.log();
            let mut reader = log.clone();
            let rest = openraft::RaftLogReader::try_get_log_entries(&mut reader, next..log.next());
            machine
                .apply(&rest.await.expect("readable"))
                .await
                .expect("applied");
            assert_eq!(picture(&machine), before, "after {operations} operations");
            let files = disk.list().expect("listed");
            assert!(!files.iter().any(|name| name == COPY), "{files:?}");
            assert!(files.iter().any(|name| name == NAME), "{files:?}");
        });
        if done {
            assert!(operations > 10, "nothing was cut");
            return;
        }
    }
}

/// A copy that fails leaves the member as it was, and may be tried again.
#[test]
fn a_disk_without_room_for_a_copy_is_no_harm() {
    let (disk, segments) = (Simulated::default(), Simulated::default());
    runtime().block_on(async {
        let machine = grown(&disk, &segments).await;
        let before = picture(&machine);
        disk.space(Some(1000));
        let error = machine.defragment().await.expect_err("no room");
        assert!(
            error
                .to_string()
                .starts_with("the disk has 1000 bytes free"),
            "{error}"
        );
        let needed = usize::try_from(2 * machine.bytes_in_use()).expect("small");
        disk.space(Some(needed));
        let error = machine.defragment().await.expect_err("somebody took it");
        assert!(
            crate::executor::member::chain(&error).contains("no storage space"),
            "{error:?}"
        );
        assert_eq!(picture(&machine), before);
        assert!(!disk.list().expect("listed").iter().any(|name| name == COPY));
        disk.space(None);
        machine.defragment().await.expect("there is room");
        assert_eq!(picture(&machine), before);
    });
}
