//! Log and cells on a real file system: the calls behind the seam do what the simulated disk says they do.

use orlop_store::executor::{
    cell::Cell,
    commit::GroupCommit,
    disk::{Directory, Disk},
    durations::Durations,
    log::{Log, Settings},
};
use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

/// Ten times what a flush takes on a slow disk.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(path: &Path, purged: u64) -> Log {
    let settings = Settings {
        segment_bytes: 4096,
        purged,
        checkpointed: purged,
        random: Box::new(|| 7),
    };
    let disk = Directory::open(path).expect("a directory");
    Log::open(Arc::new(disk), settings).expect("whole").0
}

#[test]
fn a_log_on_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/log");
    let mut log = open(&path, 0);
    let disk = Directory::open(&path).expect("a directory");
    let commit = GroupCommit::start(&disk, Durations::of_disk()).expect("a thread");
    let (told, tell) = mpsc::channel();
    for index in 0..100 {
        let payload = vec![u8::try_from(index).expect("small"); 200];
        let unsynced = log.append(index, &[&payload]).expect("appended");
        let told = told.clone();
        commit.submit(
            unsynced,
            Box::new(move |failure| told.send(failure.is_none()).expect("the test waits")),
        );
    }
    for _ in 0..100 {
        assert_eq!(tell.recv_timeout(PATIENCE), Ok(true));
    }
    let files = Directory::open(&path)
        .expect("a directory")
        .list()
        .expect("listed");
    assert!(files.len() > 4, "{files:?}");
    drop(log);
    let mut log = open(&path, 0);
    assert_eq!(log.next(), 100);
    for index in 0..100 {
        let expect = vec![u8::try_from(index).expect("small"); 200];
        assert_eq!(log.read(index).expect("there"), expect);
    }
    log.checkpointed(90);
    log.purge(90).expect("checkpointed");
    assert!(log.bytes() < 3 * 4096 + 1024);
    drop(log);
    assert_eq!(open(&path, 90).first(), 90);
}

#[test]
fn a_torn_tail_on_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = open(directory.path(), 0);
    for index in 0..3 {
        let unsynced = log.append(index, &[b"entry"]).expect("appended");
        unsynced.sync().expect("flushed");
    }
    drop(log);
    let segment = directory.path().join("0000000000000001.log");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .expect("there");
    let length = file.metadata().expect("there").len();
    file.set_len(length - 3).expect("cut");
    assert_eq!(open(directory.path(), 0).next(), 2);
}

#[test]
fn a_cell_on_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Directory::open(directory.path()).expect("a directory");
    let cell = Cell::new("vote");
    assert_eq!(cell.read(&disk).expect("none yet"), None);
    for value in [&b"term 1"[..], b"term 2, longer", b""] {
        cell.replace(&disk, value).expect("replaced");
        assert_eq!(cell.read(&disk).expect("there").as_deref(), Some(value));
    }
    assert_eq!(disk.list().expect("listed"), ["vote"]);
}
