//! Watches: stories of one stream, and random streams against what the records say.

mod properties;

use super::*;
use crate::planner::{
    command::Command,
    revision::Revision,
    state::{Bookkeeping, State},
};
use etcd_proto::{
    etcdserverpb::{
        CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest,
        WatchProgressRequest, request_op::Request,
    },
    mvccpb::{KeyValue, event::EventType},
};

const STREAM: StreamId = StreamId(1);

/// A store with its watches, whose clients read everything at once unless told otherwise.
struct World {
    state: State,
    records: BTreeMap<Revision, KeyValue>,
    watches: Watches,
    out: Vec<Send>,
}

impl World {
    fn new() -> Self {
        let state = State::default();
        let mut watches = Watches::new(state.revision(), state.compacted());
        watches.open(STREAM);
        Self {
            state,
            records: BTreeMap::new(),
            watches,
            out: Vec::new(),
        }
    }

    /// Applies commands as one batch.
    fn apply(&mut self, commands: &[Command]) {
        let mut changes = Vec::new();
        for command in commands {
            let applied = self
                .state
                .apply(command, &self.records)
                .expect("records in memory");
            for change in &applied.changes {
                self.records.insert(change.revision, change.record.clone());
            }
            changes.extend(applied.changes);
            for bookkeeping in applied.bookkeeping {
                if let Bookkeeping::Compacted(revision) = bookkeeping {
                    self.watches.compacted(revision, &mut self.out);
                }
            }
        }
        self.watches
            .applied(&changes, &self.records, &mut self.out)
            .expect("records in memory");
    }

    fn compact_records(&mut self) {
        let mut dropped = Vec::new();
        self.state.compact(None, usize::MAX, &mut dropped);
        for revision in dropped {
            self.records.remove(&revision);
        }
    }

    fn put(&mut self, key: &'static str, value: &'static str) {
        self.apply(&[put(key, value)]);
    }

    fn create(&mut self, request: WatchCreateRequest) {
        let request = RequestUnion::CreateRequest(request);
        self.ask(request);
    }

    fn ask(&mut self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.watches.request(STREAM, request, &mut self.out);
    }

    fn catch_up(&mut self) {
        self.watches
            .catch_up(self.state.index(), &self.records, &mut self.out)
            .expect("records in memory");
    }

    /// What the client got since the last look, one line each; it has read it all.
    fn got(&mut self) -> Vec<String> {
        let sends = std::mem::take(&mut self.out);
        for send in &sends {
            self.watches.sent(send.stream, send.bytes);
        }
        sends.iter().map(|send| show(&send.response)).collect()
    }
}

fn put(key: &'static str, value: &'static str) -> Command {
    Command::Put(PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    })
}

fn delete(key: &'static str) -> Command {
    Command::DeleteRange(DeleteRangeRequest {
        key: key.into(),
        ..DeleteRangeRequest::default()
    })
}

fn compact(revision: i64) -> Command {
    Command::Compact(CompactionRequest {
        revision,
        physical: false,
    })
}

fn watch(key: &'static str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.into(),
        start_revision,
        ..WatchCreateRequest::default()
    }
}

/// "watch 0 at 3: created", "watch 0 at 5: PUT a=1@4, DELETE a@5 (was 1)".
fn show(response: &WatchResponse) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parts = Vec::new();
    if response.created {
        parts.push("created".to_owned());
    }
    if response.canceled {
        parts.push(
            format!("canceled {}", response.cancel_reason)
                .trim_end()
                .to_owned(),
        );
    }
    if response.compact_revision != 0 {
        parts.push(format!("compacted {}", response.compact_revision));
    }
    for event in &response.events {
        let pair = event.kv.clone().unwrap_or_default();
        let was = event
            .prev_kv
            .as_ref()
            .map_or_else(String::new, |was| format!(" (was {})", text(&was.value)));
        let key = text(&pair.key);
        parts.push(match event.r#type() {
            EventType::Put => {
                format!("PUT {key}={}@{}{was}", text(&pair.value), pair.mod_revision)
            }
            EventType::Delete => format!("DELETE {key}@{}{was}", pair.mod_revision),
        });
    }
    if parts.is_empty() {
        parts.push("progress".to_owned());
    }
    let revision = response.header.as_ref().map_or(0, |header| header.revision);
    format!(
        "watch {} at {revision}: {}",
        response.watch_id,
        parts.join(", ")
    )
}

#[test]
fn a_watch_from_now_on() {
    let mut world = World::new();
    world.put("a", "1");
    world.create(WatchCreateRequest {
        prev_kv: true,
        ..watch("a", 0)
    });
    world.put("a", "2");
    world.put("b", "1");
    world.apply(&[delete("a"), put("a", "3")]);
    assert_eq!(
        world.got(),
        [
            "watch 0 at 2: created",
            "watch 0 at 3: PUT a=2@3 (was 1)",
            "watch 0 at 6: DELETE a@5 (was 2), PUT a=3@6",
        ]
    );
}

#[test]
fn a_watch_from_an_earlier_revision_catches_up_and_goes_on() {
    let mut world = World::new();
    world.put("a", "1");
    world.put("a", "2");
    world.apply(&[delete("a")]);
    world.create(WatchCreateRequest {
        prev_kv: true,
        ..watch("a", 3)
    });
    world.put("a", "3");
    assert_eq!(world.got(), ["watch 0 at 4: created"]);
    world.catch_up();
    world.put("a", "4");
    assert_eq!(
        world.got(),
        [
            "watch 0 at 5: PUT a=2@3 (was 1), DELETE a@4 (was 2), PUT a=3@5",
            "watch 0 at 6: PUT a=4@6 (was 3)",
        ]
    );
    assert!(!world.watches.can_catch_up());
}

#[test]
fn a_watch_of_the_future_waits_for_its_revision() {
    let mut world = World::new();
    world.create(watch("a", 4));
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    assert_eq!(
        world.got(),
        ["watch 0 at 1: created", "watch 0 at 4: PUT a=3@4"]
    );
}

#[test]
fn a_watch_of_the_future_waits_across_a_replaced_state() {
    let mut world = World::new();
    world.create(watch("a", 4));
    world.create(watch("a", 0));
    // Another member's state arrives: this one was told of nothing meanwhile.
    for value in ["1", "2"] {
        let applied = world
            .state
            .apply(&put("a", value), &world.records)
            .expect("records in memory");
        for change in applied.changes {
            world.records.insert(change.revision, change.record);
        }
    }
    world.watches.replaced(3, -1, &mut world.out);
    world.catch_up();
    world.put("a", "3");
    assert_eq!(
        world.got(),
        [
            "watch 0 at 1: created",
            "watch 1 at 1: created",
            "watch 1 at 3: PUT a=1@2, PUT a=2@3",
            "watch 0 at 4: PUT a=3@4",
            "watch 1 at 4: PUT a=3@4",
        ]
    );
}

#[test]
fn a_transaction_is_one_response() {
    let mut world = World::new();
    world.create(WatchCreateRequest {
        range_end: "\0".into(),
        ..watch("a", 0)
    });
    let operation = |key: &'static str| RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.into(),
            ..PutRequest::default()
        })),
    };
    world.apply(&[Command::Transaction(TxnRequest {
        success: vec![operation("b"), operation("a")],
        ..TxnRequest::default()
    })]);
    assert_eq!(
        world.got(),
        ["watch 0 at 1: created", "watch 0 at 2: PUT b=@2, PUT a=@2"]
    );
}

#[test]
fn what_was_compacted_cannot_be_watched() {
    let mut world = World::new();
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    world.apply(&[delete("a"), compact(4)]);
    world.compact_records();
    world.create(watch("a", 3));
    world.create(watch("a", 4));
    world.catch_up();
    world.create(watch("a", -5));
    assert_eq!(
        world.got(),
        [
            "watch 0 at 5: created",
            "watch 0 at 5: canceled etcdserver: mvcc: required revision has been compacted, compacted 4",
            "watch 1 at 5: created",
            "watch 1 at 5: PUT a=3@4, DELETE a@5",
            "watch -1 at 5: created, canceled etcdserver: mvcc: required revision has been compacted",
        ]
    );
}

#[test]
fn numbers_and_ranges_are_checked() {
    let mut world = World::new();
    let numbered = |watch_id| WatchCreateRequest {
        watch_id,
        ..watch("a", 0)
    };
    world.create(numbered(1));
    world.create(numbered(1));
    world.create(numbered(0));
    world.create(numbered(0));
    world.create(WatchCreateRequest {
        range_end: "a".into(),
        ..watch("b", 0)
    });
    world.ask(RequestUnion::CancelRequest(WatchCancelRequest {
        watch_id: 1,
    }));
    world.ask(RequestUnion::CancelRequest(WatchCancelRequest {
        watch_id: 1,
    }));
    world.put("a", "1");
    assert_eq!(
        world.got(),
        [
            "watch 1 at 1: created",
            "watch -1 at 1: created, canceled mvcc: duplicate watch ID provided on the WatchStream",
            "watch 0 at 1: created",
            "watch 2 at 1: created",
            "watch -1 at 1: created, canceled mvcc: watcher range is empty",
            "watch 1 at 1: canceled",
            "watch 0 at 2: PUT a=1@2",
            "watch 2 at 2: PUT a=1@2",
        ]
    );
    world.watches.close(STREAM);
    assert_eq!(world.watches.counts(), (0, 0));
    world.put("a", "2");
    assert!(world.got().is_empty());
}

#[test]
fn filters_leave_out_kinds_of_events() {
    let mut world = World::new();
    for filter in [FilterType::Noput, FilterType::Nodelete] {
        world.create(WatchCreateRequest {
            filters: vec![filter.into()],
            ..watch("a", 2)
        });
    }
    world.put("a", "1");
    world.apply(&[delete("a")]);
    assert_eq!(
        world.got()[2..],
        ["watch 1 at 2: PUT a=1@2", "watch 0 at 3: DELETE a@3"]
    );
}

/// etcd once told of progress before the events that it spoke of (its issue 15220).
#[test]
fn progress_is_told_after_the_events_that_it_speaks_of() {
    let mut world = World::new();
    world.put("a", "1");
    world.create(watch("a", 2));
    world.create(watch("b", 0));
    let progress = || RequestUnion::ProgressRequest(WatchProgressRequest {});
    world.ask(progress());
    assert_eq!(
        world.got(),
        ["watch 0 at 2: created", "watch 1 at 2: created"]
    );
    world.put("b", "1");
    world.catch_up();
    world.ask(progress());
    assert_eq!(
        world.got(),
        [
            "watch 1 at 3: PUT b=1@3",
            "watch 0 at 3: PUT a=1@2",
            "watch -1 at 3: progress",
            "watch -1 at 3: progress",
        ]
    );
}

#[test]
fn a_quiet_watch_gets_a_sign_of_life() {
    let mut world = World::new();
    for key in ["a", "b"] {
        world.create(WatchCreateRequest {
            progress_notify: true,
            ..watch(key, 0)
        });
    }
    world.create(watch("c", 0));
    world.put("a", "1");
    world.got();
    world.watches.tick(&mut world.out);
    assert_eq!(world.got(), ["watch 1 at 2: progress"]);
    world.watches.tick(&mut world.out);
    assert_eq!(
        world.got(),
        ["watch 0 at 2: progress", "watch 1 at 2: progress"]
    );
}

#[test]
fn a_client_that_does_not_read_costs_a_bounded_queue_and_loses_nothing() {
    let mut world = World::new();
    world.create(watch("a", 0));
    world.got();
    let value: &'static str = Box::leak("x".repeat(1024 * 1024).into_boxed_str());
    for _ in 0..20 {
        world.put("a", value);
    }
    let queued: usize = world.out.iter().map(|send| send.bytes).sum();
    assert!(queued < QUEUE_BYTES_MAX + 2 * value.len(), "{queued}");
    assert!(!world.watches.has_room(STREAM));
    assert!(!world.watches.can_catch_up(), "no room, nothing to do");
    let mut revisions = Vec::new();
    while !world.out.is_empty() || world.watches.can_catch_up() {
        for send in std::mem::take(&mut world.out) {
            world.watches.sent(send.stream, send.bytes);
            let pairs = send
                .response
                .events
                .into_iter()
                .filter_map(|event| event.kv);
            revisions.extend(pairs.map(|pair| pair.mod_revision));
        }
        world.catch_up();
    }
    assert_eq!(revisions, (2..=21).collect::<Vec<_>>());
    // Behind again, and this time compaction comes first.
    for _ in 0..20 {
        world.put("a", value);
    }
    world.apply(&[compact(40)]);
    let last = world.got().pop().expect("something");
    assert_eq!(
        last,
        "watch 0 at 41: canceled etcdserver: mvcc: required revision has been compacted, compacted 40"
    );
}
