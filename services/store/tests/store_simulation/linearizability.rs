//! Is there an order of all requests, within the times in which they ran, that explains all answers? From values alone.
//!
//! Key by key (linearizability is local: Herlihy and Wing 1990), by the search of Wing and Gong in the form that Lowe gave it in 2017:
//! all that the key may be, and which requests that still run it has had, is carried from answer to answer. A request without answer runs for ever.

use crate::history::{Answer, Call, Operation, key, number};
use etcd_proto::mvccpb::KeyValue;
use std::collections::BTreeSet;

/// More possibilities than this at once, and the search is given up as failed.
const POSSIBILITIES_MAX: usize = 200_000;

/// What one key is: None where there is none.
type Value = Option<u64>;

#[derive(Debug, Clone)]
enum Step {
    /// Writes; what was there before, if it was told.
    Write {
        value: Value,
        before: Option<Value>,
    },
    /// Writes where this was there; whether it was, if it was told, and otherwise what was there.
    Swap {
        expected: Value,
        value: u64,
        outcome: Option<Result<(), Value>>,
    },
    Read(Value),
}

#[derive(Debug, Clone)]
struct Request {
    invoked: u64,
    answered: Option<u64>,
    step: Step,
}

impl Step {
    /// What the key is afterwards; None: the answer cannot be.
    fn apply(&self, now: Value) -> Option<Value> {
        match self {
            Self::Write { value, before } => {
                before.is_none_or(|before| before == now).then_some(*value)
            }
            Self::Swap {
                expected,
                value,
                outcome,
            } => match outcome {
                Some(Ok(())) => (now == *expected).then_some(Some(*value)),
                Some(Err(seen)) => (now != *expected && now == *seen).then_some(now),
                None => Some(if now == *expected { Some(*value) } else { now }),
            },
            Self::Read(seen) => (*seen == now).then_some(now),
        }
    }

    fn writes(&self) -> Option<u64> {
        match self {
            Self::Write { value, .. } => *value,
            Self::Swap { value, .. } => Some(*value),
            Self::Read(_) => None,
        }
    }

    /// What its answer says was there.
    fn saw(&self) -> Option<u64> {
        match self {
            Self::Write { before, .. } => before.flatten(),
            Self::Swap {
                expected, outcome, ..
            } => match outcome {
                Some(Ok(())) => *expected,
                Some(Err(seen)) => *seen,
                None => None,
            },
            Self::Read(seen) => *seen,
        }
    }
}

/// Checks every key.
pub(crate) fn check(calls: &[Call]) -> Result<(), String> {
    for number in 0..crate::client::KEYS {
        let requests: Vec<_> = calls
            .iter()
            .flat_map(|call| requests(number, call))
            .collect();
        search(requests).map_err(|text| format!("key {number}: {text}"))?;
    }
    Ok(())
}

fn find(pairs: &[KeyValue], wanted: usize) -> Value {
    let pair = pairs.iter().find(|pair| pair.key == key(wanted))?;
    number(&pair.value)
}

/// What a call does to this key.
fn requests(wanted: usize, call: &Call) -> Option<Request> {
    let answer = call.answered.as_ref().map(|(_, answer)| answer);
    let step = match (&call.operation, answer) {
        (Operation::Put { key, value }, answer) if *key == wanted => Step::Write {
            value: Some(*value),
            before: match answer {
                Some(Answer::Wrote { previous, .. }) => Some(find(previous, wanted)),
                _ => None,
            },
        },
        (Operation::Delete { key }, answer) if *key == wanted => Step::Write {
            value: None,
            before: match answer {
                Some(Answer::Wrote { previous, .. }) => Some(find(previous, wanted)),
                _ => None,
            },
        },
        (Operation::PutTwo { puts }, _) => {
            let (_, value) = puts.iter().find(|(key, _)| *key == wanted)?;
            Step::Write {
                value: Some(*value),
                before: None,
            }
        }
        (
            Operation::Swap {
                key,
                expected,
                value,
            },
            answer,
        ) if *key == wanted => Step::Swap {
            expected: *expected,
            value: *value,
            outcome: match answer {
                Some(Answer::Swapped {
                    succeeded: true, ..
                }) => Some(Ok(())),
                Some(Answer::Swapped { seen, .. }) => Some(Err(find(seen, wanted))),
                _ => None,
            },
        },
        (
            Operation::Read {
                key,
                serializable: false,
                revision: 0,
            },
            Some(Answer::Read { pairs, .. }),
        ) if key.is_none_or(|key| key == wanted) => Step::Read(find(pairs, wanted)),
        _ => return None,
    };
    Some(Request {
        invoked: call.invoked,
        answered: call.answered.as_ref().map(|(place, _)| *place),
        step,
    })
}

/// What the key may be, and which of those that run it has had.
type Possibility = (BTreeSet<usize>, Value);

fn search(mut requests: Vec<Request>) -> Result<(), String> {
    let seen: BTreeSet<u64> = requests
        .iter()
        .filter_map(|request| request.step.saw())
        .collect();
    // Without an answer, and nobody saw what it wrote: whether it happened makes no difference to anybody.
    requests.retain(|request| {
        let unseen = request
            .step
            .writes()
            .is_some_and(|value| !seen.contains(&value));
        request.answered.is_some() || !unseen
    });
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        events.push((request.invoked, number, false));
        events.extend(request.answered.map(|place| (place, number, true)));
    }
    events.sort_unstable();
    let mut running: BTreeSet<usize> = BTreeSet::new();
    let mut possible: BTreeSet<Possibility> = [(BTreeSet::new(), None)].into();
    for (_, number, answered) in events {
        if !answered {
            running.insert(number);
            continue;
        }
        let found = had(&requests, &running, &possible, number);
        if found.is_empty() {
            return Err(format!(
                "{:?} cannot be; it could have been one of {possible:?}",
                requests[number]
            ));
        }
        if found.len() > POSSIBILITIES_MAX {
            return Err(format!("more than {POSSIBILITIES_MAX} possibilities"));
        }
        possible = found;
        running.remove(&number);
    }
    Ok(())
}

/// All that may be once this request has happened, with any of those that run before it.
fn had(
    requests: &[Request],
    running: &BTreeSet<usize>,
    possible: &BTreeSet<Possibility>,
    wanted: usize,
) -> BTreeSet<Possibility> {
    let mut found = BTreeSet::new();
    let mut known: BTreeSet<Possibility> = possible.clone();
    let mut open: Vec<Possibility> = possible.iter().cloned().collect();
    while let Some((mut done, now)) = open.pop() {
        if done.remove(&wanted) {
            found.insert((done, now));
            continue;
        }
        for next in running.difference(&done) {
            let request = &requests[*next];
            let Some(value) = request.step.apply(now) else {
                continue;
            };
            // Without an answer and without effect, it may as well happen later.
            if request.answered.is_none() && value == now {
                continue;
            }
            let mut more = done.clone();
            more.insert(*next);
            let possibility = (more, value);
            if known.insert(possibility.clone()) {
                open.push(possibility);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(invoked: u64, answered: u64, step: Step) -> Request {
        Request {
            invoked,
            answered: (answered > 0).then_some(answered),
            step,
        }
    }

    fn write(invoked: u64, answered: u64, value: u64) -> Request {
        let step = Step::Write {
            value: Some(value),
            before: None,
        };
        request(invoked, answered, step)
    }

    fn read(invoked: u64, answered: u64, value: Value) -> Request {
        request(invoked, answered, Step::Read(value))
    }

    #[track_caller]
    fn check(requests: &[Request], expect: bool) {
        assert_eq!(search(requests.to_vec()).is_ok(), expect);
    }

    #[test]
    fn what_is_and_what_is_not_linearizable() {
        // One after the other.
        check(&[write(1, 2, 7), read(3, 4, Some(7))], true);
        check(&[write(1, 2, 7), read(3, 4, None)], false);
        // At the same time: either.
        check(&[write(1, 4, 7), read(2, 3, None)], true);
        check(&[write(1, 4, 7), read(2, 3, Some(7))], true);
        // Seen, and then not any more.
        check(
            &[write(1, 6, 7), read(2, 3, Some(7)), read(4, 5, None)],
            false,
        );
        // Without an answer: never, or late, but not back and forth.
        check(
            &[write(1, 0, 7), read(2, 3, None), read(4, 5, Some(7))],
            true,
        );
        check(
            &[write(1, 0, 7), read(2, 3, Some(7)), read(4, 5, None)],
            false,
        );
        // Two writes, and readers who disagree about their order.
        let writes = [write(1, 2, 7), write(1, 2, 8)];
        let reads = |one, other| [read(3, 4, Some(one)), read(5, 6, Some(other))];
        check(&[&writes[..], &reads(7, 7)].concat(), true);
        check(&[&writes[..], &reads(7, 8)].concat(), false);
        // Two swaps of the same value cannot both have been.
        let swap = |value| Step::Swap {
            expected: None,
            value,
            outcome: Some(Ok(())),
        };
        check(&[request(1, 3, swap(7)), request(2, 4, swap(8))], false);
    }
}
