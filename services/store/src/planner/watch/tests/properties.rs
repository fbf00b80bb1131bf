//! Random streams, clients of any speed, compaction at any time: every watch is told of exactly the changes that it asked
//! for, in order, each revision in one piece, until compaction overtakes it.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Put(&'static str, usize),
    Delete(&'static str),
    /// Two puts, the first of this size, and a delete in one revision.
    Transaction(usize),
    Compact(i64),
    CompactRecords,
    Create(&'static str, &'static str, i64),
    Progress,
    Tick,
    CatchUp,
    Read(usize),
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const RANGE_ENDS: [&str; 4] = ["", "\0", "c", "d"];

fn act() -> impl Strategy<Value = Act> {
    let key = || proptest::sample::select(&KEYS[..]);
    // Small ones, and such as fill steps and queues.
    let size = || prop_oneof![3 => Just(1), 1 => Just(3 * 1024 * 1024)];
    prop_oneof![
        6 => (key(), size()).prop_map(|(key, size)| Act::Put(key, size)),
        2 => key().prop_map(Act::Delete),
        2 => size().prop_map(Act::Transaction),
        1 => (1..30_i64).prop_map(Act::Compact),
        1 => Just(Act::CompactRecords),
        3 => (key(), proptest::sample::select(&RANGE_ENDS[..]), 0..25_i64)
            .prop_map(|(key, end, start)| Act::Create(key, end, start)),
        1 => Just(Act::Progress),
        1 => Just(Act::Tick),
        4 => Just(Act::CatchUp),
        4 => (0..20_usize).prop_map(Act::Read),
    ]
}

/// What a client knows of one of its watches.
struct Expected {
    key: &'static str,
    range_end: &'static str,
    from: i64,
    created: bool,
    /// The revision in the header of the last response.
    told_to: i64,
    got: Vec<KeyValue>,
    cancelled_at: Option<i64>,
}

struct Client {
    world: World,
    unread: Vec<Send>,
    watches: BTreeMap<i64, Expected>,
    all: BTreeMap<Revision, KeyValue>,
}

impl Client {
    fn act(&mut self, act: &Act) {
        let world = &mut self.world;
        match act {
            Act::Put(key, size) => world.apply(&[Command::Put(PutRequest {
                key: (*key).into(),
                value: vec![b'x'; *size].into(),
                ..PutRequest::default()
            })]),
            Act::Delete(key) => world.apply(&[delete(key)]),
            Act::Transaction(size) => {
                let write = |key: &'static str, size| RequestOp {
                    request: Some(Request::RequestPut(PutRequest {
                        key: key.into(),
                        value: vec![b'x'; size].into(),
                        ..PutRequest::default()
                    })),
                };
                let remove = RequestOp {
                    request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
                        key: "b".into(),
                        ..DeleteRangeRequest::default()
                    })),
                };
                let transaction = Command::Transaction(TxnRequest {
                    success: vec![write("a", *size), remove, write("c", 1)],
                    ..TxnRequest::default()
                });
                // A batch of two revisions.
                world.apply(&[transaction, put("a", "1")]);
            }
            Act::Compact(revision) => world.apply(&[compact(*revision)]),
            Act::CompactRecords => world.compact_records(),
            Act::Create(key, range_end, start) => {
                if KeyRange::new(key.as_bytes(), range_end.as_bytes())
                    .bounds()
                    .is_none()
                {
                    return;
                }
                let number = i64::try_from(self.watches.len()).expect("few");
                let from = if *start == 0 {
                    world.state.revision() + 1
                } else {
                    *start
                };
                self.watches.insert(
                    number,
                    Expected {
                        key,
                        range_end,
                        from,
                        created: false,
                        told_to: 0,
                        got: Vec::new(),
                        cancelled_at: None,
                    },
                );
                world.create(WatchCreateRequest {
                    range_end: (*range_end).into(),
                    ..watch(key, *start)
                });
            }
            Act::Progress => world.ask(RequestUnion::ProgressRequest(WatchProgressRequest {})),
            Act::Tick => world.watches.tick(&mut world.out),
            Act::CatchUp => world.catch_up(),
            Act::Read(count) => {
                let count = (*count).min(self.unread.len());
                let read: Vec<_> = self.unread.drain(..count).collect();
                for send in read {
                    self.read(send);
                }
            }
        }
        self.all.extend(self.world.records.clone());
        self.unread.append(&mut self.world.out);
    }

    fn read(&mut self, send: Send) {
        self.world.watches.sent(send.stream, send.bytes);
        let response = send.response;
        let revision = response.header.expect("always").revision;
        if response.watch_id == NO_WATCH {
            // Progress of the stream: nothing up to here may come later.
            for watch in self.watches.values() {
                if !watch.created || watch.cancelled_at.is_some() {
                    continue;
                }
                let last = watch.got.last().map_or(0, |record| record.mod_revision);
                assert!(last <= revision);
                let told = expected(watch, &self.all, revision);
                assert_eq!(keys(&watch.got), keys(&told), "before progress {revision}");
            }
            return;
        }
        let watch = self.watches.get_mut(&response.watch_id).expect("created");
        assert_eq!(watch.cancelled_at, None, "nothing after a cancellation");
        assert_ne!(watch.created, response.created, "created first, and once");
        watch.created = true;
        let last = watch.got.last().map_or(0, |record| record.mod_revision);
        let records: Vec<_> = response
            .events
            .into_iter()
            .filter_map(|event| event.kv)
            .collect();
        if let Some(first) = records.first() {
            assert!(
                first.mod_revision > last,
                "a revision comes in one response"
            );
        }
        let newest = records.last().map_or(0, |record| record.mod_revision);
        assert!(newest <= revision, "a header is not behind its events");
        watch.got.extend(records);
        if !response.created && !response.canceled {
            watch.told_to = revision;
        }
        if response.canceled {
            watch.cancelled_at = Some(response.compact_revision);
        }
    }
}

fn expected(watch: &Expected, all: &BTreeMap<Revision, KeyValue>, upto: i64) -> Vec<KeyValue> {
    let range = KeyRange::new(watch.key.as_bytes(), watch.range_end.as_bytes());
    all.values()
        .filter(|record| range.contains(&record.key))
        .filter(|record| watch.from <= record.mod_revision && record.mod_revision <= upto)
        .cloned()
        .collect()
}

fn keys(records: &[KeyValue]) -> Vec<(i64, Vec<u8>)> {
    records
        .iter()
        .map(|record| (record.mod_revision, record.key.to_vec()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_watch_is_told_of_exactly_what_it_asked_for(
        acts in proptest::collection::vec(act(), 1..60)
    ) {
        let mut client = Client {
            world: World::new(),
            unread: Vec::new(),
            watches: BTreeMap::new(),
            all: BTreeMap::new(),
        };
        for act in &acts {
            client.act(act);
        }
        // The client reads on, and everything comes to rest.
        while !client.unread.is_empty() || client.world.watches.can_catch_up() {
            client.act(&Act::Read(usize::MAX));
            client.act(&Act::CatchUp);
        }
        prop_assert_eq!(client.world.watches.counts().1, 0, "nobody stays behind");
        let revision = client.world.state.revision();
        for (number, watch) in &client.watches {
            let told = expected(watch, &client.all, revision);
            match watch.cancelled_at {
                None => prop_assert_eq!(keys(&watch.got), keys(&told), "watch {}", number),
                // It was told of a beginning of it, and lost only what is gone.
                Some(compacted) => {
                    let told = keys(&told);
                    let got = keys(&watch.got);
                    prop_assert!(told.starts_with(&got), "watch {}", number);
                    prop_assert!(compacted <= client.world.state.compacted());
                    let next = told.get(got.len());
                    prop_assert!(watch.from < compacted || next.is_some());
                }
            }
        }
    }
}
