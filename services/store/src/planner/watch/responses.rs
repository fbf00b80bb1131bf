//! Events into responses.

use crate::planner::records::is_delete;
use etcd_proto::{
    etcdserverpb::{ResponseHeader, WatchResponse},
    mvccpb::{Event, KeyValue, event::EventType},
    prost::Message,
};

/// Events for one watch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: Vec<Event>,
}

impl Batch {
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The revision of its first event; 0 for none.
    pub(super) fn first_revision(&self) -> i64 {
        let first = self.events.first().and_then(|event| event.kv.as_ref());
        first.map_or(0, |record| record.mod_revision)
    }

    pub(super) fn into_response(self, watch_id: i64, revision: i64) -> WatchResponse {
        WatchResponse {
            header: header(revision),
            watch_id,
            events: self.events,
            ..WatchResponse::default()
        }
    }
}

/// The event of a record.
pub(super) fn event(record: KeyValue, previous: Option<KeyValue>) -> Event {
    let kind = if is_delete(&record) {
        EventType::Delete
    } else {
        EventType::Put
    };
    Event {
        r#type: kind.into(),
        kv: Some(record),
        prev_kv: previous,
    }
}

/// Splits a batch into responses of at most `bytes_max` of events, or one event where that alone is larger. All but
/// the last say that more follows.
pub(super) fn fragments(
    watch_id: i64,
    revision: i64,
    batch: Batch,
    bytes_max: usize,
) -> Vec<WatchResponse> {
    let mut parts = vec![Batch::default()];
    let mut bytes = 0;
    for event in batch.events {
        let length = event.encoded_len();
        if bytes > 0 && bytes + length > bytes_max {
            parts.push(Batch::default());
            bytes = 0;
        }
        bytes += length;
        if let Some(part) = parts.last_mut() {
            part.push(event);
        }
    }
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(position, part)| WatchResponse {
            fragment: position < last,
            ..part.into_response(watch_id, revision)
        })
        .collect()
}

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_hold_every_event_once_and_say_what_follows() {
        let mut batch = Batch::default();
        for version in 1..=5 {
            batch.push(event(
                KeyValue {
                    key: "a".into(),
                    value: vec![0; 100].into(),
                    version,
                    ..KeyValue::default()
                },
                None,
            ));
        }
        let all = batch.events.clone();
        let responses = fragments(7, 9, batch, 250);
        let sizes: Vec<_> = responses
            .iter()
            .map(|response| (response.events.len(), response.fragment))
            .collect();
        assert_eq!(sizes, [(2, true), (2, true), (1, false)]);
        let joined: Vec<_> = responses
            .into_iter()
            .flat_map(|response| response.events)
            .collect();
        assert_eq!(joined, all);
    }

    #[test]
    fn an_event_larger_than_a_fragment_travels_alone() {
        let mut batch = Batch::default();
        for size in [1, 1000, 1] {
            let value = vec![0; size].into();
            batch.push(event(
                KeyValue {
                    value,
                    version: 1,
                    ..KeyValue::default()
                },
                None,
            ));
        }
        assert_eq!(fragments(1, 1, batch, 10).len(), 3);
    }
}
