//! What clients of exec, attach and port-forward send once the connection is theirs.

use orlop_runtime::planner::streams::{
    channels, port_forward,
    protocol::{Form, Sizes},
    spdy::{
        headers::Writer,
        session::{Event, Session},
    },
};

/// Streams at once; few, so that more are refused.
const STREAMS: usize = 4;

/// However it is cut in two, the same happens; no more streams are open than may be.
pub(crate) fn spdy(bytes: &[u8]) {
    let whole = events(&[bytes]);
    let at = bytes.first().map_or(0, |at| usize::from(*at) % bytes.len());
    let (first, second) = bytes.split_at(at);
    assert_eq!(whole, events(&[first, second]));
    let mut open = std::collections::BTreeSet::new();
    for event in &whole.0 {
        match event {
            Event::Opened { stream, headers } => {
                assert!(open.insert(*stream));
                drop(port_forward::describe(*stream, headers));
            }
            Event::Reset { stream } => assert!(open.remove(stream)),
            Event::Data { stream, .. } | Event::Ended { stream } => assert!(open.contains(stream)),
            Event::Send(_) => {}
        }
        assert!(open.len() <= STREAMS);
    }
}

/// What came of it, with neighbouring data of a stream as one.
fn events(parts: &[&[u8]]) -> (Vec<Event>, Option<String>) {
    let mut session = Session::new(STREAMS);
    let mut all = Vec::new();
    let mut error = None;
    for part in parts {
        if error.is_none() {
            error = session
                .receive(part, &mut all)
                .err()
                .map(|error| error.to_string());
        }
    }
    let mut joined: Vec<Event> = Vec::new();
    for event in all {
        match (joined.last_mut(), event) {
            (
                Some(Event::Data { stream, bytes }),
                Event::Data {
                    stream: next,
                    bytes: more,
                },
            ) if *stream == next => bytes.extend(more),
            (_, event) => joined.push(event),
        }
    }
    (joined, error)
}

/// Three streams as kubectl opens them, with some data.
pub(crate) fn conversations() -> Vec<Vec<u8>> {
    let mut writer = Writer::default();
    let mut bytes = Vec::new();
    for (stream, kind) in [(1_u32, "error"), (3, "stdin"), (5, "data")] {
        let pairs = [("streamtype", kind), ("port", "80"), ("requestid", "0")];
        let block = writer.write(&pairs).expect("a block");
        let length = u32::try_from(block.len() + 10).expect("short");
        bytes.extend([0x80, 3, 0, 1]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(stream.to_be_bytes());
        bytes.extend([0; 6]);
        bytes.extend(block);
    }
    bytes.extend([0, 0, 0, 3, 1, 0, 0, 2, b'h', b'i']);
    // A ping.
    bytes.extend([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
    vec![bytes]
}

/// What is read of a message in one form is what was written of it; sizes of terminals come one by one.
pub(crate) fn channels(bytes: &[u8]) {
    for form in [Form::Binary, Form::Base64] {
        for closes in [false, true] {
            if let channels::Said::Bytes(channel, said) = channels::read(bytes, form, closes)
                && channel < 10
            {
                let written = channels::write(channel, &said, form);
                let again = channels::read(&written, form, closes);
                assert_eq!(again, channels::Said::Bytes(channel, said));
            }
        }
    }
    let (mut one, mut other) = (Sizes::default(), Sizes::default());
    let last = one.push(bytes);
    let by_one = bytes.iter().filter_map(|byte| other.push(&[*byte])).last();
    assert_eq!(last, by_one);
}
