//! The log on a disk that forgets, tears and rots.

use super::*;
use crate::executor::simulated::{Crash, Simulated};
use proptest::prelude::*;

/// Small, so that few entries make several segments.
const SMALL: u64 = 400;

fn settings(purged: u64, checkpointed: u64) -> Settings {
    let mut salt = 0;
    Settings {
        segment_bytes: SMALL,
        purged,
        checkpointed,
        random: Box::new(move || {
            salt += 1;
            salt
        }),
    }
}

fn try_open(disk: &Simulated, settings: Settings) -> Result<(Log, Recovered), LogError> {
    Log::open(Arc::new(disk.clone()), settings)
}

fn open(disk: &Simulated) -> Log {
    try_open(disk, settings(0, 0)).expect("whole").0
}

fn entries(log: &Log) -> Vec<(u64, Vec<u8>)> {
    (log.first()..log.next())
        .map(|index| (index, log.read(index).expect("in the log")))
        .collect()
}

fn append(log: &mut Log, index: u64, payloads: &[&str]) {
    let unsynced = log.append(index, payloads).expect("a good disk");
    unsynced.sync().expect("a good disk");
}

fn texts(log: &Log) -> Vec<String> {
    entries(log)
        .into_iter()
        .map(|(index, bytes)| format!("{index}={}", String::from_utf8_lossy(&bytes)))
        .collect()
}

fn segments(disk: &Simulated) -> Vec<String> {
    disk.list().expect("simulated")
}

#[test]
fn what_was_appended_is_read_back_after_a_restart() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    append(&mut log, 0, &["a", "", "c"]);
    append(&mut log, 3, &["d"]);
    disk.crash(Crash::Clean);
    let log = open(&disk);
    assert_eq!(texts(&log), ["0=a", "1=", "2=c", "3=d"]);
    let error = log.read(4).expect_err("not there");
    assert_eq!(
        error.to_string(),
        "entry 4 is not in the log, which has 0 to 4 (excluded)"
    );
}

#[test]
fn a_conflicting_append_cuts_the_log_across_segments() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let long = "x".repeat(300);
    for index in 0..6 {
        append(&mut log, index, &[&long]);
    }
    assert!(segments(&disk).len() > 2);
    log.truncate(2)
        .expect("a good disk")
        .sync()
        .expect("a good disk");
    assert_eq!(log.next(), 2);
    disk.crash(Crash::Clean);
    let mut log = open(&disk);
    assert_eq!(log.next(), 2);
    append(&mut log, 2, &["new"]);
    assert_eq!(log.next(), 3);
    append(&mut log, 1, &["newer"]);
    disk.crash(Crash::Clean);
    let log = open(&disk);
    assert_eq!(log.next(), 2);
    assert_eq!(log.read(1).expect("there"), b"newer");
    assert_eq!(log.read(0).expect("there"), long.as_bytes());
}

/// Once, the segment whose entries had all been cut went first, and its successor began behind a gap.
#[test]
fn a_segment_whose_entries_were_cut_goes_only_when_its_successor_can_begin() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let long = "x".repeat(usize::try_from(SMALL).expect("small"));
    append(&mut log, 0, &[&long]);
    append(&mut log, 0, &["new"]);
    log.purge(0).expect("nothing");
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(texts(&open(&disk)), ["0=new"]);
    log.checkpointed(1);
    log.purge(1).expect("checkpointed");
    assert_eq!(segments(&disk).len(), 1);
    let (log, _) = try_open(&disk, settings(1, 1)).expect("whole");
    assert_eq!((log.first(), log.next()), (1, 1));
}

#[test]
fn a_gap_is_refused() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    append(&mut log, 0, &["a"]);
    assert!(matches!(
        log.append(2, &["c"]),
        Err(LogError::OutOfRange { index: 2, .. })
    ));
    assert_eq!(log.next(), 1);
}

#[test]
fn purging_removes_whole_segments_and_never_what_a_restart_needs() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let long = "x".repeat(100);
    for index in 0..20 {
        append(&mut log, index, &[&long]);
    }
    let before = segments(&disk).len();
    let error = log.purge(10).expect_err("not checkpointed");
    assert_eq!(
        error.to_string(),
        "entries before 10 are not all in a durable checkpoint, which has those before 0"
    );
    log.checkpointed(12);
    log.purge(10).expect("checkpointed");
    assert_eq!((log.first(), log.next()), (10, 20));
    assert!(segments(&disk).len() < before);
    assert!(matches!(log.read(9), Err(LogError::OutOfRange { .. })));
    disk.crash(Crash::Clean);
    let (log, _) = try_open(&disk, settings(10, 12)).expect("whole");
    assert_eq!((log.first(), log.next()), (10, 20));
    // Who forgot what was purged is told, rather than given a log with a hole.
    let error = try_open(&disk, settings(0, 0))
        .map(|_| ())
        .expect_err("a hole");
    assert!(
        error.to_string().starts_with("the log lacks entries 0 to "),
        "{error}"
    );
}

#[test]
fn a_snapshot_of_another_member_takes_the_place_of_the_log() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    append(&mut log, 0, &["a", "b"]);
    log.checkpointed(50);
    // The cut comes after the purge was noted and before it was done.
    disk.crash(Crash::Clean);
    let (mut log, _) = try_open(&disk, settings(50, 0)).expect("whole");
    assert_eq!((log.first(), log.next()), (50, 50));
    append(&mut log, 50, &["c"]);
    log.checkpointed(90);
    log.purge(90).expect("checkpointed");
    append(&mut log, 90, &["d"]);
    disk.crash(Crash::Clean);
    let (log, _) = try_open(&disk, settings(90, 0)).expect("whole");
    assert_eq!(texts(&log), ["90=d"]);
    assert_eq!(segments(&disk).len(), 1);
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    append(&mut log, 0, &["a"]);
    for space in 0..200 {
        disk.space(Some(space));
        let long = "x".repeat(200);
        let error = log.append(1, &[&long]).err().expect("full");
        let LogError::Disk { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.next(), 1);
    }
    disk.space(None);
    append(&mut log, 1, &["b"]);
    disk.crash(Crash::Clean);
    assert_eq!(texts(&open(&disk)), ["0=a", "1=b"]);
}

#[test]
fn a_full_disk_at_the_begin_of_a_segment_does_the_same() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let long = "x".repeat(usize::try_from(SMALL).expect("small"));
    append(&mut log, 0, &[&long]);
    for space in 0..format::SEGMENT_HEADER + 60 {
        disk.space(Some(space));
        assert!(log.append(1, &[&long]).is_err());
    }
    disk.crash(Crash::Kill);
    let mut log = open(&disk);
    append(&mut log, 1, &["b"]);
    assert_eq!(open(&disk).next(), 2);
}

#[test]
fn too_much_at_once_is_refused() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let largest = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(
        log.append(0, &[&largest]),
        Err(LogError::TooLarge { .. })
    ));
    let many = vec![&largest[1..]; 5];
    assert!(matches!(
        log.append(0, &many),
        Err(LogError::TooLarge { .. })
    ));
    log.append(0, &many[..2]).expect("two batches");
    assert_eq!(log.next(), 2);
}

/// Six entries in three batches, all flushed, in one segment: each batch but the last is vouched for.
fn small_log() -> (Simulated, Vec<Vec<u8>>) {
    let disk = Simulated::default();
    let mut log = open(&disk);
    append(&mut log, 0, &["a", "b"]);
    append(&mut log, 2, &["c", "d", "e"]);
    append(&mut log, 5, &["f"]);
    assert_eq!(segments(&disk).len(), 1);
    let payloads = entries(&log)
        .into_iter()
        .map(|(_, payload)| payload)
        .collect();
    (disk, payloads)
}

const FIRST: &str = "0000000000000001.log";

#[test]
fn every_prefix_of_the_last_segment_is_a_torn_tail() {
    let (disk, payloads) = small_log();
    let whole = disk.content(FIRST);
    let mut lengths = Vec::new();
    for length in 0..=whole.len() {
        disk.set_content(FIRST, &whole[..length]);
        let (log, recovered) = try_open(&disk, settings(0, 0)).expect("a torn tail");
        let found: Vec<_> = entries(&log)
            .into_iter()
            .map(|(_, payload)| payload)
            .collect();
        assert!(payloads.starts_with(&found));
        lengths.push(found.len());
        // What was cut stays cut, and the log goes on.
        let content = disk.content(FIRST);
        if length > format::SEGMENT_HEADER {
            assert_eq!(
                length - content.len(),
                usize::try_from(recovered.cut_bytes).expect("small")
            );
        }
        let mut log = log;
        let next = log.next();
        append(&mut log, next, &["next"]);
        assert_eq!(open(&disk).next(), next + 1);
        // A checkpoint knows better.
        disk.set_content(FIRST, &whole[..length]);
        let known = try_open(&disk, settings(0, 6)).map(|_| ());
        assert_eq!(known.is_ok(), found.len() == 6, "cut to {length}");
    }
    lengths.dedup();
    assert_eq!(lengths, [0, 2, 5, 6], "batches are whole or not there");
}

#[test]
fn every_flipped_bit_is_damage_unless_nobody_vouches_for_it() {
    let (disk, payloads) = small_log();
    let whole = disk.content(FIRST);
    let mut cut = 0;
    for position in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[position / 8] ^= 1 << (position % 8);
        disk.set_content(FIRST, &bytes);
        match try_open(&disk, settings(0, 0)) {
            Ok((log, _)) => {
                cut += 1;
                assert_eq!(log.next(), 5, "bit {position}: only the last batch may go");
                let found: Vec<_> = entries(&log)
                    .into_iter()
                    .map(|(_, payload)| payload)
                    .collect();
                assert!(payloads.starts_with(&found));
            }
            Err(LogError::Damaged { name, .. }) => assert_eq!(name, FIRST),
            Err(error) => panic!("bit {position}: {error}"),
        }
        disk.set_content(FIRST, &bytes);
        assert!(try_open(&disk, settings(0, 6)).is_err(), "bit {position}");
    }
    assert_eq!(cut, (format::BATCH_HEADER + format::ENTRY_HEADER + 8) * 8);
}

#[test]
fn damage_before_the_last_segment_is_never_a_torn_tail() {
    let disk = Simulated::default();
    let mut log = open(&disk);
    let long = "x".repeat(300);
    for index in 0..3 {
        append(&mut log, index, &[&long]);
    }
    assert_eq!(segments(&disk).len(), 2);
    let whole = disk.content(FIRST);
    for length in 0..whole.len() {
        disk.set_content(FIRST, &whole[..length]);
        assert!(try_open(&disk, settings(0, 0)).is_err(), "cut to {length}");
    }
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x10;
        disk.set_content(FIRST, &bytes);
        assert!(try_open(&disk, settings(0, 0)).is_err(), "byte {position}");
    }
    disk.set_content(FIRST, &whole);
    let last = segments(&disk).pop().expect("two");
    disk.rename(&last, "0000000000000003.log")
        .expect("simulated");
    let error = try_open(&disk, settings(0, 0))
        .map(|_| ())
        .expect_err("a segment is missing");
    assert!(
        error
            .to_string()
            .contains("0000000000000002.log is damaged"),
        "{error}"
    );
}

#[test]
fn rot_under_a_running_log_is_noticed_when_read() {
    let (disk, _) = small_log();
    let log = open(&disk);
    let place = log.places[3];
    disk.flip(FIRST, usize::try_from(place.offset).expect("small") * 8);
    assert!(matches!(log.read(3), Err(LogError::Damaged { .. })));
    assert_eq!(log.read(2).expect("whole"), b"c");
}

#[derive(Debug, Clone)]
enum Act {
    /// Entries of these sizes, the first so many places before the end.
    Append(Vec<usize>, u64),
    Truncate(u64),
    Sync,
    Purge(u64),
    Crash(u8),
    Power(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (proptest::collection::vec(0..700_usize, 1..4), prop_oneof![4 => Just(0), 1 => 0..6_u64])
            .prop_map(|(sizes, back)| Act::Append(sizes, back)),
        1 => (0..5_u64).prop_map(Act::Truncate),
        4 => Just(Act::Sync),
        1 => (0..8_u64).prop_map(Act::Purge),
        2 => any::<u8>().prop_map(Act::Crash),
        1 => (0..6_usize).prop_map(Act::Power),
    ]
}

/// What the disk may hold: the log as it was flushed last, and as it was after each append or cut since.
struct Model {
    states: Vec<Vec<Vec<u8>>>,
    purged: u64,
}

impl Model {
    fn append(&mut self, index: u64, payloads: &[Vec<u8>]) {
        let mut state = self.states.last().expect("never empty").clone();
        state.truncate(usize::try_from(index).expect("small"));
        state.extend_from_slice(payloads);
        self.states.push(state);
    }

    /// Entries before `end` go, beyond the end of the log (which is at `next`) where a snapshot says so.
    fn purge(&mut self, next: u64, end: u64) {
        let end = self.purged.max(end);
        self.purged = end;
        if end > next {
            let length = usize::try_from(end).expect("small");
            self.states = vec![vec![Vec::new(); length]];
        }
    }

    /// The state whose entries from the purged ones on are these.
    fn position(&self, found: &[Vec<u8>]) -> Option<usize> {
        let skip = usize::try_from(self.purged).expect("small");
        self.states
            .iter()
            .position(|state| state.get(skip..) == Some(found))
    }

    fn synced(&mut self) {
        let state = self.states.pop().expect("never empty");
        self.states = vec![state];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is appended, cut, purged, torn and killed: what was flushed is there, nothing is half there, and nothing
    /// is there that was not appended.
    #[test]
    fn a_crash_loses_nothing_that_was_flushed(acts in proptest::collection::vec(act(), 1..60)) {
        let disk = Simulated::default();
        let mut log = open(&disk);
        let mut model = Model { states: vec![Vec::new()], purged: 0 };
        let mut fresh = 0_u8;
        for act in acts {
            match act {
                Act::Append(sizes, back) => {
                    let index = log.next().saturating_sub(back).max(log.first());
                    let payloads: Vec<_> = sizes
                        .iter()
                        .map(|size| {
                            fresh = fresh.wrapping_add(1);
                            vec![fresh; *size]
                        })
                        .collect();
                    let appended = log.append(index, &payloads);
                    match appended {
                        // A new segment begins by flushing the one before, which the model need not know: it only
                        // demands less.
                        Ok(_) => model.append(index, &payloads),
                        Err(LogError::Disk { .. } | LogError::Failed) => {}
                        Err(LogError::OutOfRange { .. }) if log.next() < model.purged => {}
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    }
                }
                Act::Truncate(back) => {
                    let index = log.next().saturating_sub(back).max(log.first());
                    if log.truncate(index).is_ok() {
                        model.append(index, &[]);
                    }
                }
                Act::Sync => {
                    if log.unsynced().sync().is_ok() {
                        model.synced();
                    }
                }
                Act::Purge(ahead) => {
                    let end = log.first() + ahead;
                    if log.unsynced().sync().is_ok() {
                        model.synced();
                        log.checkpointed(end);
                        model.purge(log.next(), end);
                        let _ = log.purge(end);
                    }
                }
                Act::Power(operations) => disk.fail_after(operations),
                Act::Crash(seed) => {
                    disk.crash(match seed {
                        0..64 => Crash::Clean,
                        64..96 => Crash::Kill,
                        _ => Crash::Torn { seed: u64::from(seed) },
                    });
                    let opened = try_open(&disk, settings(model.purged, 0));
                    log = match opened {
                        Ok((log, _)) => log,
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    };
                    let found: Vec<_> = entries(&log).into_iter().map(|(_, payload)| payload).collect();
                    let held = model.position(&found);
                    prop_assert!(
                        held.is_some(),
                        "found {} entries, not one of {} possible logs", found.len(), model.states.len()
                    );
                    // Opening flushes what it found.
                    let state = model.states.swap_remove(held.unwrap_or(0));
                    model.states = vec![state];
                }
            }
        }
    }
}
