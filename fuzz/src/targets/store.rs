//! The cluster store: its files, what its members say to each other, and what people write.

use super::memory::Memory;
use clap::Parser as _;
use etcd_proto::{
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
        PutRequest, RequestOp, TxnRequest, request_op::Request as Operation,
    },
    mvccpb::KeyValue,
    prost::Message,
};
use orlop_store::{
    arguments::Args,
    executor::{
        cell::{Cell, VALUE_BYTES_MAX},
        descriptors,
        disk::Disk as _,
        gateway::json,
        log::{Log, Settings, Unsynced},
        peer::{
            append::{decode_answer, decode_request, encode_answer, encode_request},
            proto,
            snapshot::{check_records, decode_begin},
        },
        raft::{
            Proposal,
            encoding::{
                Position, decode_entry, decode_membership, decode_proposal, encode_entry,
                encode_membership, encode_proposal, log_id,
            },
        },
    },
    planner::{command::Command, revision::Revision, state::State},
};
use std::{collections::BTreeMap, sync::Arc};

/// The only segment of a log that has just begun.
fn segment() -> (Memory, String) {
    let disk = Memory::default();
    let (log, _) = Log::open(Arc::new(disk.clone()), settings()).expect("an empty disk");
    drop(log);
    let name = disk.list().expect("in memory").remove(0);
    (disk, name)
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 1 << 20,
        purged: 0,
        checkpointed: 0,
        random: Box::new(|| 7),
    }
}

/// A log is refused, or all that it says that it has can be read; opened again it has the same, and it can be
/// written on.
pub(crate) fn log(bytes: &[u8]) {
    let (_, name) = segment();
    let disk = Memory::with(&name, bytes);
    let entries = |log: &Log| -> Vec<Vec<u8>> {
        (log.first()..log.next())
            .map(|index| log.read(index).expect("it was checked when it was opened"))
            .collect()
    };
    let Ok((mut log, _)) = Log::open(Arc::new(disk.clone()), settings()) else {
        return;
    };
    let found = entries(&log);
    let next = log.next();
    let appended = log
        .append(next, &[b"one more"])
        .expect("a log that is open");
    Unsynced::sync(&appended).expect("in memory");
    drop(log);
    let (log, recovered) = Log::open(Arc::new(disk), settings()).expect("it was whole");
    assert_eq!(recovered.cut_bytes, 0);
    let again = entries(&log);
    assert_eq!(again[..found.len()], found);
    assert_eq!(again[found.len()..], [b"one more".to_vec()]);
}

pub(crate) fn logs() -> Vec<Vec<u8>> {
    let make = |appends: &[(u64, &[&[u8]])]| {
        let (disk, name) = segment();
        let (mut log, _) = Log::open(Arc::new(disk.clone()), settings()).expect("it was just made");
        for (index, payloads) in appends {
            let appended = log.append(*index, payloads).expect("in order");
            Unsynced::sync(&appended).expect("in memory");
        }
        disk.content(&name)
    };
    vec![
        make(&[]),
        make(&[(0, &[b"a"]), (1, &[b"", b"long enough to need padding"])]),
        // The second cuts the first.
        make(&[(0, &[b"a", b"b", b"c"]), (1, &[b"other"]), (2, &[])]),
    ]
}

const CELL: Cell = Cell::new("cell");

/// A cell is refused, or its value comes back after it has been written again.
pub(crate) fn cell(bytes: &[u8]) {
    let disk = Memory::with("cell", bytes);
    if let Ok(Some(value)) = CELL.read(&disk) {
        assert!(value.len() <= VALUE_BYTES_MAX);
        CELL.replace(&disk, &value).expect("in memory");
        let again = CELL.read(&disk).expect("it was just written");
        assert_eq!(again, Some(value));
    }
}

pub(crate) fn cells() -> Vec<Vec<u8>> {
    let vote = proto::Vote {
        term: 3,
        node: u64::MAX,
        committed: true,
    };
    let purged = proto::LogId {
        term: 3,
        node: 1,
        index: 9,
    };
    let values = [
        Vec::new(),
        vote.encode_to_vec(),
        purged.encode_to_vec(),
        vec![1; 16],
    ];
    let made = values.iter().map(|value| {
        let disk = Memory::default();
        CELL.replace(&disk, value).expect("in memory");
        disk.content("cell")
    });
    made.collect()
}

/// An entry, as log and wire have it: refused, or the same when it is written again.
pub(crate) fn entry(bytes: &[u8]) {
    let Ok(entry) = decode_entry(9, bytes.to_vec().into()) else {
        return;
    };
    let again = decode_entry(9, encode_entry(&entry)).expect("it was just written");
    assert_eq!(again, entry);
}

pub(crate) fn entries() -> Vec<Vec<u8>> {
    let head = |kind: u8| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&3_u64.to_be_bytes());
        bytes.extend_from_slice(&1_u64.to_be_bytes());
        bytes
    };
    let with = |kind, payload: &[u8]| [head(kind), payload.to_vec()].concat();
    let proposal = Proposal {
        origin: 7,
        sequence: 8,
        command: Command::Put(put("a", "1")).encode(),
    };
    vec![
        head(0),
        with(1, &encode_proposal(&proposal)),
        with(2, &membership().encode_to_vec()),
    ]
}

fn membership() -> proto::Membership {
    let node = |id, name: &str| proto::Node {
        id,
        name: name.to_owned(),
        peer_urls: vec![format!("https://{name}.test:2380")],
        client_urls: Vec::new(),
        learner: id == 3,
    };
    proto::Membership {
        configs: vec![proto::Voters { ids: vec![1, 2] }],
        nodes: vec![node(1, "a"), node(2, "b"), node(3, "c")],
    }
}

/// What peers send, and what lies in the file of records: the first byte chooses what the rest is. Refused, or the same
/// when it is sent again.
pub(crate) fn peer_messages(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 6 {
        0 => {
            let message = proto::AppendRequest::decode(rest);
            if let Some(request) = message
                .ok()
                .and_then(|message| decode_request(message).ok())
            {
                let mut last = request.prev_log_id;
                for entry in &request.entries {
                    let next = last.map_or(0, |last| last.index + 1);
                    assert_eq!(entry.log_id.index, next, "the log would be torn");
                    last = Some(entry.log_id);
                }
                let again = decode_request(encode_request(&request)).expect("it was just made");
                assert_eq!(again.entries, request.entries);
                assert_eq!(again.prev_log_id, request.prev_log_id);
            }
        }
        1 => {
            let message = proto::AppendResponse::decode(rest);
            if let Some(answer) = message.ok().and_then(|message| decode_answer(message).ok()) {
                let again = decode_answer(encode_answer(&answer)).expect("it was just made");
                assert_eq!(again, answer);
            }
        }
        2 => {
            let Ok(chunk) = proto::SnapshotChunk::decode(rest) else {
                return;
            };
            let begun = chunk.begin.map(decode_begin);
            let newest = match begun {
                Some(Ok((kept, position))) => {
                    let again = Position::decode(Some(&position.encode()));
                    assert_eq!(again.expect("it was just made"), position);
                    kept.revision
                }
                _ => i64::MAX,
            };
            if check_records(&chunk.records, newest).is_ok() {
                assert!(chunk.records.iter().all(|record| record.main <= newest));
            }
        }
        3 => {
            if let Ok(position) = Position::decode(Some(rest)) {
                let again = Position::decode(Some(&position.encode()));
                assert_eq!(again.expect("it was just made"), position);
            }
        }
        4 => {
            let message = proto::Membership::decode(rest);
            if let Some(membership) = message
                .ok()
                .and_then(|message| decode_membership(message).ok())
            {
                let again = decode_membership(encode_membership(&membership));
                assert_eq!(again.expect("it was just made"), membership);
            }
        }
        _ => {
            if let Ok(proposal) = decode_proposal(rest.to_vec().into()) {
                assert_eq!(encode_proposal(&proposal), rest);
            }
        }
    }
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let id = |index| proto::LogId {
        term: 3,
        node: 1,
        index,
    };
    let entry = |index, payload: &Vec<u8>| proto::Entry {
        id: Some(id(index)),
        payload: payload.clone().into(),
    };
    let vote = proto::Vote {
        term: 3,
        node: 1,
        committed: true,
    };
    let append = proto::AppendRequest {
        vote: Some(vote),
        previous: Some(id(8)),
        entries: (9..)
            .zip(&entries())
            .map(|(index, payload)| entry(index, payload))
            .collect(),
        commit: Some(id(9)),
    };
    let answer = |outcome: proto::append_response::Outcome| proto::AppendResponse {
        outcome: outcome.into(),
        upto: Some(id(9)),
        vote: Some(vote),
    };
    let position = Position {
        applied: Some(log_id(3, 1, 9)),
        ..Position::default()
    };
    let pair = KeyValue {
        key: "a".into(),
        value: "1".into(),
        create_revision: 2,
        mod_revision: 2,
        version: 1,
        lease: 0,
    };
    let chunk = proto::SnapshotChunk {
        begin: Some(proto::SnapshotBegin {
            vote: Some(vote),
            position: Some(proto::Position {
                membership: Some(membership()),
                ..position.to_proto()
            }),
            revision: 2,
            compacted: -1,
            leases: vec![proto::Lease {
                id: 1,
                time_to_live: 5,
                remaining: Some(2),
            }],
            alarms: vec![proto::Alarm { member: 1, kind: 1 }],
        }),
        records: vec![proto::Record {
            main: 2,
            sub: 0,
            pair: pair.encode_to_vec().into(),
        }],
        end: Some(proto::SnapshotEnd { records: 1 }),
    };
    let proposal = entries().remove(1).split_off(17);
    use proto::append_response::Outcome;
    let messages = [
        (0, append.encode_to_vec()),
        (1, answer(Outcome::Success).encode_to_vec()),
        (1, answer(Outcome::Conflict).encode_to_vec()),
        (1, answer(Outcome::HigherVote).encode_to_vec()),
        (2, chunk.encode_to_vec()),
        (3, position.encode()),
        (4, membership().encode_to_vec()),
        (5, proposal),
    ];
    let made = messages.into_iter();
    made.map(|(kind, rest)| [vec![kind], rest].concat())
        .collect()
}

/// Commands of a log, each behind its length: refused, or the state takes them in the same way wherever they come to it.
/// Nothing else has looked at them: another member may have let them in.
pub(crate) fn commands(bytes: &[u8]) {
    let mut commands = Vec::new();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first() {
        let length = usize::from(*length).min(behind.len());
        let (command, behind) = behind.split_at(length);
        if let Ok(command) = Command::decode(command.to_vec().into()) {
            let again = Command::decode(command.encode()).expect("it was just made");
            assert_eq!(again, command);
            commands.push(command);
        }
        rest = behind;
    }
    let run = || {
        let mut state = State::default();
        let mut records: BTreeMap<Revision, KeyValue> = BTreeMap::new();
        let mut replies = Vec::new();
        for command in &commands {
            let before = state.revision();
            let applied = state.apply(command, &records).expect("records in memory");
            assert!((before..=before + 1).contains(&state.revision()));
            for change in &applied.changes {
                assert_eq!(change.revision.main, state.revision());
                records.insert(change.revision, change.record.clone());
            }
            replies.push(format!("{:?}", applied.reply));
        }
        (replies, records)
    };
    assert_eq!(run(), run());
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

pub(crate) fn command_lists() -> Vec<Vec<u8>> {
    let operation = |operation| RequestOp {
        request: Some(operation),
    };
    let delete = DeleteRangeRequest {
        key: "a".into(),
        range_end: "c".into(),
        prev_kv: true,
    };
    let inner = TxnRequest {
        success: vec![operation(Operation::RequestDeleteRange(delete.clone()))],
        ..TxnRequest::default()
    };
    let transaction = TxnRequest {
        compare: vec![Compare {
            key: "a".into(),
            ..Compare::default()
        }],
        success: vec![
            operation(Operation::RequestPut(put("b", "2"))),
            operation(Operation::RequestTxn(inner)),
        ],
        failure: vec![operation(Operation::RequestPut(put("c", "3")))],
    };
    let leased = PutRequest {
        lease: 5,
        ..put("leased", "x")
    };
    let all = [
        Command::Put(put("a", "1")),
        Command::Transaction(transaction),
        Command::LeaseGrant(LeaseGrantRequest { ttl: 9, id: 5 }),
        Command::Put(leased),
        Command::Compact(CompactionRequest {
            revision: 2,
            physical: false,
        }),
        Command::DeleteRange(delete),
        Command::LeaseRevoke(LeaseRevokeRequest { id: 5 }),
    ];
    let list = |commands: &[Command]| -> Vec<u8> {
        let encoded = commands.iter().map(Command::encode);
        encoded
            .flat_map(|bytes| {
                let length = u8::try_from(bytes.len()).expect("a small command");
                [vec![length], bytes.to_vec()].concat()
            })
            .collect()
    };
    let mut lists: Vec<Vec<u8>> = all
        .iter()
        .map(|one| list(std::slice::from_ref(one)))
        .collect();
    lists.push(list(&all));
    lists
}

/// JSON of the gateway, as each request that it might be: refused, or the same message when its own JSON is read.
pub(crate) fn gateway(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return;
    };
    for (service, method) in [
        ("KV", "Range"),
        ("KV", "Put"),
        ("KV", "Txn"),
        ("Watch", "Watch"),
        ("Lease", "LeaseGrant"),
        ("Cluster", "MemberAdd"),
        ("Maintenance", "Alarm"),
    ] {
        let method = descriptors::method(&format!("etcdserverpb.{service}"), method);
        let kind = method.expect("etcd has it").input();
        let Ok(message) = json::to_protobuf(&kind, value.clone()) else {
            continue;
        };
        let written = json::from_protobuf(&kind, &message).expect("it was just made");
        let again = json::to_protobuf(&kind, written).expect("it was just written");
        assert_eq!(again, message);
    }
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A command line of `orlop store`: refused with a reason, or every peer in it can be called.
pub(crate) fn arguments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for word in text.split_whitespace() {
        if let Ok(url) = etcd_client::MemberUrl::parse(word) {
            assert_eq!(url.to_string(), word);
        }
    }
    let words = std::iter::once("store").chain(text.split_whitespace());
    let Ok(line) = Line::try_parse_from(words) else {
        return;
    };
    match line.args.check() {
        Ok(checked) => {
            for (name, url) in &checked.member.initial_cluster {
                assert!(!name.is_empty());
                let url = etcd_client::MemberUrl::parse(url).expect("it was checked");
                assert!(url.certified().is_none() || checked.member.peer_certificates.is_some());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
