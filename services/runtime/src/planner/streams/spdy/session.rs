//! Which streams a connection has, and what is answered at once.
//!
//! ```text
//!   (nothing) ──SYN_STREAM──> open ──FIN of one side──> half closed ──FIN of the other──> (nothing)
//!       └ too many: RST_STREAM        └──────── RST_STREAM of either ────────────────────> (nothing)
//! ```

use super::{
    SpdyError,
    frame::{self, Decoder, Frame, GoAway, Reset},
    headers::{Pairs, Writer},
};
use std::collections::BTreeMap;

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stream has begun.
    Opened {
        /// Its number.
        stream: u32,
        /// What it is for.
        headers: Pairs,
    },
    /// Some of its bytes.
    Data {
        /// Its number.
        stream: u32,
        /// Them; not empty.
        bytes: Vec<u8>,
    },
    /// The client sends no more on it.
    Ended {
        /// Its number.
        stream: u32,
    },
    /// It is of no more use to the client.
    Reset {
        /// Its number.
        stream: u32,
    },
    /// To be sent, in this order.
    Send(Vec<u8>),
}

#[derive(Debug, Default)]
struct Halves {
    client_ended: bool,
    server_ended: bool,
}

/// One connection's.
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    writer: Writer,
    streams: BTreeMap<u32, Halves>,
    streams_max: usize,
    last: u32,
}

impl Session {
    /// With so many streams at once.
    #[must_use]
    pub fn new(streams_max: usize) -> Self {
        Self {
            decoder: Decoder::default(),
            writer: Writer::default(),
            streams: BTreeMap::new(),
            streams_max,
            last: 0,
        }
    }

    /// Takes what came, whole.
    ///
    /// # Errors
    /// [`SpdyError`]: what is in `events` counts still, and then [`Self::goodbye`] is to be sent.
    pub fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), SpdyError> {
        let mut left = bytes;
        while let Some(frame) = self.decoder.next(&mut left)? {
            match frame {
                Frame::SynStream {
                    stream,
                    fin,
                    headers,
                } => self.open(stream, fin, headers, events)?,
                Frame::Data { stream, bytes, fin } => {
                    match self.streams.get(&stream) {
                        Some(halves) if !halves.client_ended => {
                            if !bytes.is_empty() {
                                let bytes = bytes.to_vec();
                                events.push(Event::Data { stream, bytes });
                            }
                        }
                        // It was sent before the client heard that the stream is no more.
                        _ if stream % 2 == 1 && stream <= self.last => {}
                        _ => return Err(SpdyError::Stream(stream)),
                    }
                    self.client_ended(stream, fin, events);
                }
                Frame::Headers { stream, fin } => self.client_ended(stream, fin, events),
                Frame::RstStream { stream } => {
                    if self.streams.remove(&stream).is_some() {
                        events.push(Event::Reset { stream });
                    }
                }
                // The even ones answer ours, of which nobody waits for an answer.
                Frame::Ping { number } if number % 2 == 1 => {
                    events.push(Event::Send(frame::ping(number)));
                }
                Frame::Ping { .. } | Frame::GoAway | Frame::Other => {}
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        stream: u32,
        fin: bool,
        headers: Pairs,
        events: &mut Vec<Event>,
    ) -> Result<(), SpdyError> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(SpdyError::Stream(stream));
        }
        self.last = stream;
        if self.streams.len() >= self.streams_max {
            events.push(Event::Send(frame::reset(stream, Reset::RefusedStream)));
            return Ok(());
        }
        self.streams.insert(stream, Halves::default());
        let block = self.writer.write(&[])?;
        events.push(Event::Send(frame::syn_reply(stream, &block)));
        events.push(Event::Opened { stream, headers });
        self.client_ended(stream, fin, events);
        Ok(())
    }

    fn client_ended(&mut self, stream: u32, fin: bool, events: &mut Vec<Event>) {
        let Some(halves) = self.streams.get_mut(&stream).filter(|_| fin) else {
            return;
        };
        if !halves.client_ended {
            halves.client_ended = true;
            events.push(Event::Ended { stream });
        }
        if halves.server_ended {
            self.streams.remove(&stream);
        }
    }

    /// The server sends no more on a stream. False: nobody is there to hear of it, or it has said so already.
    pub fn server_ends(&mut self, stream: u32) -> bool {
        let Some(halves) = self.streams.get_mut(&stream) else {
            return false;
        };
        let first = !halves.server_ended;
        halves.server_ended = true;
        if halves.client_ended {
            self.streams.remove(&stream);
        }
        first
    }

    /// The server wants a stream no longer; what is to be sent.
    pub fn server_resets(&mut self, stream: u32) -> Option<Vec<u8>> {
        self.streams.remove(&stream)?;
        Some(frame::reset(stream, Reset::Cancel))
    }

    /// Whether the server may send on a stream.
    #[must_use]
    pub fn may_send(&self, stream: u32) -> bool {
        let halves = self.streams.get(&stream);
        halves.is_some_and(|halves| !halves.server_ended)
    }

    /// The last that is sent.
    #[must_use]
    pub fn goodbye(&self, why: GoAway) -> Vec<u8> {
        frame::go_away(self.last, why)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{frame::tests::syn_stream, headers},
        *,
    };
    use proptest::prelude::*;

    fn receive(session: &mut Session, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        session.receive(bytes, &mut events).unwrap();
        events
    }

    #[test]
    fn a_stream_lives() {
        let (mut session, mut writer) = (Session::new(2), headers::Writer::default());
        let events = receive(
            &mut session,
            &syn_stream(&mut writer, 1, &[("streamtype", "stdin")]),
        );
        assert!(matches!(
            &events[..],
            [Event::Send(_), Event::Opened { stream: 1, .. }]
        ));
        let data = [&frame::data_head(1, 2, true)[..], b"hi"].concat();
        assert_eq!(
            receive(&mut session, &data),
            [
                Event::Data {
                    stream: 1,
                    bytes: b"hi".to_vec()
                },
                Event::Ended { stream: 1 }
            ]
        );
        // What comes behind the end is nobody's.
        assert_eq!(receive(&mut session, &data), []);
        assert!(session.may_send(1));
        assert!(session.server_ends(1));
        assert!(!session.server_ends(1) && !session.may_send(1));
        assert_eq!(
            receive(&mut session, &frame::ping(7)),
            [Event::Send(frame::ping(7))]
        );
        assert_eq!(receive(&mut session, &frame::ping(8)), []);
    }

    #[test]
    fn too_many_are_refused_until_some_have_ended() {
        let (mut session, mut writer) = (Session::new(2), headers::Writer::default());
        for stream in [1, 3] {
            receive(&mut session, &syn_stream(&mut writer, stream, &[]));
        }
        for stream in (5..5000).step_by(2) {
            assert_eq!(
                receive(&mut session, &syn_stream(&mut writer, stream, &[])),
                [Event::Send(frame::reset(stream, Reset::RefusedStream))]
            );
        }
        assert_eq!(
            receive(&mut session, &frame::reset(3, Reset::Cancel)),
            [Event::Reset { stream: 3 }]
        );
        let events = receive(&mut session, &syn_stream(&mut writer, 5001, &[]));
        assert_eq!(events.len(), 2);
        assert_eq!(session.server_resets(5001).unwrap().len(), 16);
        assert_eq!(session.server_resets(5001), None);
    }

    #[test]
    fn numbers_go_up_and_are_odd() {
        for (first, second) in [(1, 1), (3, 1), (1, 2), (1, 0)] {
            let (mut session, mut writer) = (Session::new(9), headers::Writer::default());
            receive(&mut session, &syn_stream(&mut writer, first, &[]));
            let again = syn_stream(&mut writer, second, &[]);
            assert_eq!(
                session.receive(&again, &mut Vec::new()),
                Err(SpdyError::Stream(second))
            );
        }
        // Nor can any be sent on that were never begun.
        for never in [0, 1, 2] {
            let data = frame::data_head(never, 0, false);
            assert_eq!(
                Session::new(9).receive(&data, &mut Vec::new()),
                Err(SpdyError::Stream(never))
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256), at in 0_usize..256) {
            let mut session = Session::new(4);
            let mut writer = headers::Writer::default();
            receive(&mut session, &syn_stream(&mut writer, 1, &[]));
            let mut events = Vec::new();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let _ = session.receive(one, &mut events).and_then(|()| session.receive(two, &mut events));
        }
    }
}
