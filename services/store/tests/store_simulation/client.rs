//! Clients: they ask any member, one request after the other, and note what they asked and were answered.

use crate::{
    cluster::{Cluster, Running},
    dice::Dice,
    history::{Answer, History, Operation, key, number, value},
};
use etcd_proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use orlop_store::{
    executor::member::MemberError,
    planner::{
        command::Command,
        state::{ReadError, Reply},
    },
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::sleep;

/// Keys that clients use: few, so that they meet.
pub(crate) const KEYS: usize = 5;

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// As servers do.
    Good,
    /// It answers linearizable reads from what the member happens to have: a planted bug.
    Stale,
    /// It says that a lease was renewed and does nothing for it: a planted bug.
    Forgetful,
}

/// Asks for ever.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    history: Arc<History>,
    dice: Dice,
    manners: Manners,
) {
    let mut known = BTreeMap::new();
    loop {
        let running = cluster.any(&dice).await;
        for _ in 0..=dice.below(8) {
            sleep(dice.millis(0, 150)).await;
            let operation = choose(&history, &dice, &known);
            let call = history.invoke(operation.clone());
            let answer = running.ask(ask(&running, &operation, manners)).await;
            cluster.trace.note(format_args!(
                "client at {}: {call} {operation:?}: {answer:?}",
                running.machine
            ));
            match answer {
                Some(Ok(answer)) => {
                    learn(&mut known, &answer);
                    history.answer(call, answer);
                }
                Some(Err(_)) => {}
                None => break,
            }
        }
    }
}

fn learn(known: &mut BTreeMap<usize, u64>, answer: &Answer) {
    if let Answer::Read { pairs, .. } | Answer::Swapped { seen: pairs, .. } = answer {
        for pair in pairs {
            let key = (0..KEYS).find(|number| key(*number) == pair.key);
            if let (Some(key), Some(value)) = (key, number(&pair.value)) {
                known.insert(key, value);
            }
        }
    }
}

fn choose(history: &History, dice: &Dice, known: &BTreeMap<usize, u64>) -> Operation {
    let key = dice.below(KEYS);
    match dice.below(100) {
        0..30 => Operation::Put {
            key,
            value: history.value(),
        },
        30..38 => Operation::PutTwo {
            puts: [(key, history.value()), ((key + 1) % KEYS, history.value())],
        },
        38..46 => Operation::Delete { key },
        46..60 => Operation::Swap {
            key,
            expected: known.get(&key).copied(),
            value: history.value(),
        },
        60..80 => Operation::Read {
            key: Some(key),
            serializable: false,
            revision: 0,
        },
        80..88 => Operation::Read {
            key: None,
            serializable: false,
            revision: 0,
        },
        88..95 => Operation::Read {
            key: Some(key),
            serializable: true,
            revision: 0,
        },
        _ => {
            let newest = history
                .lock()
                .watchers
                .first()
                .map_or(1, |all| all.next - 1);
            let back = i64::try_from(dice.below(20)).expect("small");
            Operation::Read {
                key: None,
                serializable: false,
                revision: (newest - back).max(1),
            }
        }
    }
}

/// Has one request answered.
pub(crate) async fn ask(
    running: &Running,
    operation: &Operation,
    manners: Manners,
) -> Result<Answer, MemberError> {
    let member = &running.member;
    match operation {
        Operation::Read {
            key,
            serializable,
            revision,
        } => {
            if !serializable && manners != Manners::Stale {
                member.linearize().await?;
            }
            let request = range(*key, *revision);
            let read = member.read(|state, records| state.range(&request, records))?;
            match read {
                Ok(response) => Ok(Answer::Read {
                    revision: response.header.expect("a header").revision,
                    pairs: response.kvs,
                }),
                Err(ReadError::Refused(refusal)) => Err(MemberError::Refused(refusal)),
                Err(ReadError::Storage(error)) => Err(MemberError::Storage(error.to_string())),
            }
        }
        write => Ok(answer(member.propose(command(write)).await?)),
    }
}

fn range(number: Option<usize>, revision: i64) -> RangeRequest {
    let (key, range_end) = interval(number);
    RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        revision,
        ..RangeRequest::default()
    }
}

/// One key, or all.
pub(crate) fn interval(number: Option<usize>) -> (Vec<u8>, Vec<u8>) {
    match number {
        Some(number) => (key(number), Vec::new()),
        None => (vec![0], vec![0]),
    }
}

fn put(key_number: usize, value_number: u64, prev_kv: bool) -> PutRequest {
    PutRequest {
        key: key(key_number).into(),
        value: value(value_number).into(),
        prev_kv,
        ..PutRequest::default()
    }
}

fn command(operation: &Operation) -> Command {
    let in_transaction = |key, value| RequestOp {
        request: Some(Request::RequestPut(put(key, value, false))),
    };
    match operation {
        Operation::Put { key, value } => Command::Put(put(*key, *value, true)),
        Operation::Attach { key, value, lease } => Command::Put(PutRequest {
            lease: *lease,
            ..put(*key, *value, true)
        }),
        Operation::Delete { key: number } => Command::DeleteRange(DeleteRangeRequest {
            key: key(*number).into(),
            prev_kv: true,
            ..DeleteRangeRequest::default()
        }),
        Operation::PutTwo { puts } => Command::Transaction(TxnRequest {
            success: puts
                .iter()
                .map(|(key, value)| in_transaction(*key, *value))
                .collect(),
            ..TxnRequest::default()
        }),
        Operation::Swap {
            key: number,
            expected,
            value: written,
        } => {
            let mut compare = Compare {
                key: key(*number).into(),
                ..Compare::default()
            };
            compare.set_result(CompareResult::Equal);
            match expected {
                Some(expected) => {
                    compare.set_target(CompareTarget::Value);
                    compare.target_union = Some(TargetUnion::Value(value(*expected).into()));
                }
                None => {
                    compare.set_target(CompareTarget::Create);
                    compare.target_union = Some(TargetUnion::CreateRevision(0));
                }
            }
            Command::Transaction(TxnRequest {
                compare: vec![compare],
                success: vec![in_transaction(*number, *written)],
                failure: vec![RequestOp {
                    request: Some(Request::RequestRange(range(Some(*number), 0))),
                }],
            })
        }
        Operation::Read { .. } => unreachable!("reads are not proposed"),
    }
}

fn answer(reply: Reply) -> Answer {
    let revision = |header: Option<etcd_proto::etcdserverpb::ResponseHeader>| {
        header.expect("a header").revision
    };
    match reply {
        Reply::Put(response) => Answer::Wrote {
            revision: revision(response.header),
            previous: response.prev_kv.into_iter().collect(),
        },
        Reply::DeleteRange(response) => Answer::Wrote {
            revision: revision(response.header),
            previous: response.prev_kvs,
        },
        Reply::Transaction(response) => Answer::Swapped {
            revision: revision(response.header),
            succeeded: response.succeeded,
            seen: response.responses.into_iter().flat_map(seen).collect(),
        },
        other => unreachable!("a reply to no request of ours: {other:?}"),
    }
}

fn seen(response: etcd_proto::etcdserverpb::ResponseOp) -> Vec<KeyValue> {
    match response.response {
        Some(Response::ResponseRange(range)) => range.kvs,
        _ => Vec::new(),
    }
}
