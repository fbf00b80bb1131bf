//! Entries on their way to a member: several messages at once on one stream, and their answers in the same order.
//!
//! ```text
//!   openraft ──requests──> pump ──────────────── gRPC stream ──────────────> openraft of the follower
//!            <──results───      <── answers, each when its entries are durable ──
//! ```
//!
//! The stream ends with the first answer that is no success, and when answers stay away.

use super::{
    network::{failed, not_understood},
    proto::{AppendRequest, AppendResponse, Entry, append_response::Outcome},
};
use crate::executor::durations::Durations;
use crate::executor::raft::{
    TypeConfig,
    encoding::{
        Malformed, decode_entry, decode_log_id, decode_vote, encode_entry, encode_log_id,
        encode_vote, malformed,
    },
};
use openraft::{
    error::RPCError,
    raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult},
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

/// Messages without an answer: the next waits. More than a network holds in one flush's time; each has at most a
/// few megabytes.
pub const UNANSWERED_MAX: u64 = 16;
/// A member who leaves a message without an answer for this long, or up to twice as long, counts as out of reach.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What openraft is told of one message.
pub type Appended = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// A message of openraft's, for the wire.
#[must_use]
pub fn encode_request(request: &AppendEntriesRequest<TypeConfig>) -> AppendRequest {
    let entries = request.entries.iter().map(|entry| Entry {
        id: Some(encode_log_id(entry.log_id)),
        payload: encode_entry(entry),
    });
    AppendRequest {
        vote: Some(encode_vote(&request.vote)),
        previous: request.prev_log_id.map(encode_log_id),
        entries: entries.collect(),
        commit: request.leader_commit.map(encode_log_id),
    }
}

/// A message from the wire.
///
/// # Errors
/// It is none: openraft and the log rely on entries that follow each other.
pub fn decode_request(
    request: AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let previous = request.previous.map(decode_log_id);
    let mut last = previous;
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let index = entry.id.unwrap_or_default().index;
        let next = match last {
            Some(last) => last.index.checked_add(1),
            None => Some(0),
        };
        let entry = decode_entry(index, entry.payload)?;
        if next != Some(index) || last.is_some_and(|last| last >= entry.log_id) {
            return Err(malformed("entries do not follow each other"));
        }
        last = Some(entry.log_id);
        entries.push(entry);
    }
    Ok(AppendEntriesRequest {
        vote: decode_vote(request.vote)?,
        prev_log_id: previous,
        entries,
        leader_commit: request.commit.map(decode_log_id),
    })
}

/// openraft's answer to one message of a stream, for the wire.
#[must_use]
pub fn encode_answer(answer: &StreamAppendResult<TypeConfig>) -> AppendResponse {
    let (outcome, upto, vote) = match answer {
        Ok(upto) => (Outcome::Success, *upto, None),
        Err(StreamAppendError::Conflict(at)) => (Outcome::Conflict, Some(*at), None),
        Err(StreamAppendError::HigherVote(vote)) => (Outcome::HigherVote, None, Some(vote)),
    };
    AppendResponse {
        outcome: outcome.into(),
        upto: upto.map(encode_log_id),
        vote: vote.map(encode_vote),
    }
}

/// An answer from the wire.
///
/// # Errors
/// It is none.
pub fn decode_answer(answer: AppendResponse) -> Result<StreamAppendResult<TypeConfig>, Malformed> {
    let upto = answer.upto.map(decode_log_id);
    match answer.outcome() {
        Outcome::Success | Outcome::Partial => Ok(Ok(upto)),
        Outcome::Conflict => {
            let at = upto.ok_or(malformed("a conflict is nowhere"))?;
            Ok(Err(StreamAppendError::Conflict(at)))
        }
        Outcome::HigherVote => Ok(Err(StreamAppendError::HigherVote(decode_vote(
            answer.vote,
        )?))),
        Outcome::Unspecified => Err(malformed("an append without outcome")),
    }
}

/// Moves messages and answers until either side ends. It holds `input`, so that openraft has that back as soon as it
/// drops the results. `round_trips` counts how long the other side takes for messages without entries.
pub async fn pump(
    mut input: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
    requests: mpsc::Sender<AppendRequest>,
    mut answers: Streaming<AppendResponse>,
    results: mpsc::Sender<Appended>,
    round_trips: Durations,
) {
    let mut requests = Some(requests);
    let (mut sent, mut answered) = (0_u64, 0_u64);
    // When those went that nobody has answered, where no disk is waited for.
    let mut asked: VecDeque<Option<Instant>> = VecDeque::new();
    let mut sent_before_tick = 0;
    let mut ticks = interval(SILENCE_MAX);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let may_send = requests.is_some() && sent - answered < UNANSWERED_MAX;
        let next = async {
            // In this order: a message that was taken from openraft is sent.
            let place = requests.as_ref()?.reserve().await.ok()?;
            let request = input.next().await?;
            place.send(encode_request(&request));
            Some(request.entries.is_empty().then(Instant::now))
        };
        tokio::select! {
            // In this order, so that a run can be repeated.
            biased;
            () = results.closed() => return,
            answer = answers.message() => {
                let result = match answer {
                    Ok(Some(answer)) => decode_answer(answer).map_err(not_understood),
                    Ok(None) => return,
                    Err(status) => Err(failed(status)),
                };
                answered += 1;
                if let Some(Some(at)) = asked.pop_front() {
                    round_trips.took(at.elapsed());
                }
                let goes_on = matches!(result, Ok(Ok(_)));
                if results.send(result).await.is_err() || !goes_on {
                    return;
                }
            }
            next = next, if may_send => match next {
                Some(at) => {
                    asked.push_back(at);
                    sent += 1;
                }
                None => requests = None,
            },
            _ = ticks.tick() => {
                if answered < sent_before_tick {
                    let silence = Status::deadline_exceeded("entries are not answered");
                    // Whether openraft still listens, it is over.
                    let _ = results.send(Err(failed(silence))).await;
                    return;
                }
                sent_before_tick = sent;
            }
        }
    }
}

/// Messages of a stream that came, up to the first that is none; why it is none comes after the answers to those before.
pub fn incoming(
    requests: Streaming<AppendRequest>,
) -> (
    impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
    Fault,
) {
    let fault = Fault::default();
    let found = fault.clone();
    let requests = requests.map_while(move |request| {
        let decoded = request.and_then(|request| {
            decode_request(request).map_err(|error| Status::invalid_argument(error.to_string()))
        });
        decoded.map_err(|status| found.set(status)).ok()
    });
    (requests, fault)
}

/// Why a stream ended, as the last item of another: nothing, if it came to its end.
#[derive(Debug, Clone, Default)]
pub struct Fault(Arc<Mutex<Option<Status>>>);

impl Fault {
    fn set(&self, status: Status) {
        tracing::warn!(%status, "a stream of entries breaks off");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }
}

impl Stream for Fault {
    type Item = Result<AppendResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(fault.take().map(Err))
    }
}
