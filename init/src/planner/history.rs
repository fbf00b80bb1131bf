//! The last [`EVENTS_KEPT`] events of this boot, so that a subscriber can resume where it was cut off.

use init_proto::control::{EVENTS_KEPT, Event, EventKind};
use std::collections::VecDeque;

/// Events in order of their sequence numbers, without gaps.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<Event>,
    last: u64,
}

impl History {
    /// Records an event and gives it the next sequence number.
    pub(crate) fn record(&mut self, time_ms: u64, kind: EventKind) {
        self.last += 1;
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            sequence: self.last,
            time_ms,
            kind,
        });
    }

    /// The next event for a subscriber that has seen everything up to `after`; where events between are
    /// no longer kept, an [`EventKind::Lost`] that carries the sequence number of the last lost one.
    pub(crate) fn next_after(&self, after: u64) -> Option<Event> {
        let first = self.events.front()?;
        if after + 1 < first.sequence {
            return Some(Event {
                sequence: first.sequence - 1,
                time_ms: first.time_ms,
                kind: EventKind::Lost {
                    count: first.sequence - 1 - after,
                },
            });
        }
        let index = usize::try_from(after + 1 - first.sequence).ok()?;
        self.events.get(index).cloned()
    }

    /// Sequence number of the last event, 0 for none.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Clamps a subscriber's claim to what has happened: a number from another boot starts anew.
    pub(crate) fn clamp(&self, after: u64) -> u64 {
        if after > self.last { 0 } else { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> History {
        let mut history = History::default();
        for generation in 1..=count {
            history.record(0, EventKind::ConfigStored { generation });
        }
        history
    }

    #[test]
    fn a_subscriber_sees_each_event_once_and_in_order() {
        let history = filled(10);
        let mut after = 0;
        let mut seen = Vec::new();
        while let Some(event) = history.next_after(after) {
            after = event.sequence;
            seen.push(event.sequence);
        }
        assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn a_slow_subscriber_learns_what_it_missed() {
        let kept = u64::try_from(EVENTS_KEPT).unwrap();
        let history = filled(kept + 7);
        let event = history.next_after(2).unwrap();
        assert_eq!(event.kind, EventKind::Lost { count: 5 });
        assert_eq!(history.next_after(event.sequence).unwrap().sequence, 8);
    }

    #[test]
    fn a_number_from_another_boot_starts_anew() {
        assert_eq!(filled(3).clamp(9), 0);
        assert_eq!(filled(3).clamp(3), 3);
    }
}
