//! Bodies of answers.

use super::{compress::Compressed, watching::Watching};
use crate::planner::{cache::Entry, render::TAIL};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A list is sent in pieces of about this size, so that no copy of all of it exists.
const PIECE: usize = 64 * 1024;
/// Most items are no larger.
const ITEM: usize = 8 * 1024;

/// A body.
#[derive(Debug)]
pub enum Body {
    /// All at once.
    Whole(Option<Bytes>),
    /// A list whose items are sent as they are cached.
    List(List),
    /// Events, until the watch ends.
    Watch(Box<Watching>),
    /// Another, in fewer bytes.
    Compressed(Box<Compressed>),
}

/// A list whose items are sent as they are cached.
#[derive(Debug)]
pub struct List {
    head: Option<Vec<u8>>,
    items: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    left: u64,
}

impl List {
    /// With what stands before the items.
    #[must_use]
    pub fn new(head: Vec<u8>, items: Vec<Arc<Entry>>) -> Self {
        let bytes: usize = items.iter().map(|entry| entry.bytes().len()).sum();
        let length = head.len() + bytes + items.len().saturating_sub(1) + TAIL.len();
        Self {
            head: Some(head),
            items: items.into_iter(),
            first: true,
            left: u64::try_from(length).unwrap_or(u64::MAX),
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        // With room for the item that fills it: growing would copy all that is in it.
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let mut piece = BytesMut::with_capacity(room.min(PIECE + ITEM));
        if let Some(head) = self.head.take() {
            piece.extend_from_slice(&head);
        }
        while piece.len() < PIECE {
            let Some(entry) = self.items.next() else {
                piece.extend_from_slice(TAIL);
                break;
            };
            if !std::mem::take(&mut self.first) {
                piece.extend_from_slice(b",");
            }
            piece.extend_from_slice(entry.bytes());
        }
        let sent = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(sent);
        Some(piece.freeze())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Whole(Some(text.into()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty())),
            Self::List(list) => Poll::Ready(list.next()),
            Self::Watch(watching) => watching.poll_next(context),
            Self::Compressed(compressed) => {
                let bytes = compressed.poll_next(context);
                return bytes.map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)));
            }
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::List(list) => list.left == 0,
            Self::Watch(_) => false,
            Self::Compressed(compressed) => compressed.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::List(list) => SizeHint::with_exact(list.left),
            Self::Watch(_) | Self::Compressed(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::cache::Picker;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_list_is_as_long_as_it_says() {
        let picker = Picker::new(&[]);
        for (count, size) in [(0, 0), (1, 10), (3, 10), (40, 5_000), (2, 200_000)] {
            let text = "x".repeat(size);
            let entries = (0..count).map(|number| {
                let stored = format!(r#"{{"metadata":{{"name":"{number}"}},"data":"{text}"}}"#);
                let entry = Entry::new("a", stored.as_bytes(), 7, &picker).expect("an object");
                Arc::new(entry)
            });
            let list = List::new(br#"{"items":["#.to_vec(), entries.collect());
            let said = list.left;
            let sent = Body::List(list)
                .collect()
                .await
                .expect("no error")
                .to_bytes();
            assert_eq!(u64::try_from(sent.len()).expect("64 bits"), said);
            let value: serde_json::Value = serde_json::from_slice(&sent).expect("JSON");
            assert_eq!(value["items"].as_array().map(Vec::len), Some(count));
        }
    }
}
