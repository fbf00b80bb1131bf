//! Which streams of port-forward belong together.
//!
//! ```text
//!   SYN_STREAM  streamtype: error, port: 80, requestid: 0      a connection is a pair of them; the one of errors comes first
//!   SYN_STREAM  streamtype: data,  port: 80, requestid: 0
//! ```
//! Clients before Kubernetes 1.3 send no `requestid`: theirs are numbers that follow each other.

use super::spdy::headers::{Pairs, value};
use std::{collections::BTreeMap, time::Duration};

/// Halves that wait for the other: also of streams that are no more, which a client may begin and reset without end.
pub const HALVES_MAX: usize = 1024;

/// What a stream is of its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The one by which it is told what went wrong.
    Error,
    /// The connection's bytes.
    Data,
}

/// What a stream says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Which pair's it is.
    pub request: String,
    /// What it is of it.
    pub part: Part,
    /// Where the connection goes.
    pub port: u16,
}

/// What a stream is for, by its headers.
///
/// # Errors
/// Why it is for nothing.
pub fn describe(stream: u32, headers: &Pairs) -> Result<Described, String> {
    let port = value(headers, "port").ok_or("\"port\" header is required")?;
    let port = match port.parse::<u16>() {
        Ok(0) => return Err("port \"0\" must be > 0".to_owned()),
        Ok(port) => port,
        Err(error) => return Err(format!("unable to parse {port:?} as a port: {error}")),
    };
    let (part, first) = match value(headers, "streamtype") {
        Some("error") => (Part::Error, stream),
        Some("data") => (Part::Data, stream.saturating_sub(2)),
        Some(other) => return Err(format!("invalid stream type {other:?}")),
        None => return Err("\"streamtype\" header is required".to_owned()),
    };
    let request = value(headers, "requestid").filter(|request| !request.is_empty());
    Ok(Described {
        request: request.map_or_else(|| format!("stream {first}"), str::to_owned),
        part,
        port,
    })
}

/// Halves of pairs. `S` is a stream.
#[derive(Debug)]
pub struct Pairing<S> {
    waiting: BTreeMap<String, (Duration, Described, S)>,
}

impl<S> Default for Pairing<S> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
        }
    }
}

/// What a stream makes.
#[derive(Debug, PartialEq, Eq)]
pub enum Paired<S> {
    /// A connection can begin.
    Whole {
        /// Where it goes.
        port: u16,
        /// Its bytes.
        data: S,
        /// What goes wrong with it.
        error: S,
    },
    /// The other is missing still.
    Half,
    /// There is one like it already, or there are too many halves: this one is nobody's.
    Refused(S),
}

impl<S> Pairing<S> {
    /// One more.
    pub fn push(&mut self, now: Duration, described: Described, stream: S) -> Paired<S> {
        let request = described.request.clone();
        let Some((since, other, first)) = self.waiting.remove(&request) else {
            if self.waiting.len() >= HALVES_MAX {
                return Paired::Refused(stream);
            }
            self.waiting.insert(request, (now, described, stream));
            return Paired::Half;
        };
        match (other.part, described.part) {
            (Part::Error, Part::Data) => Paired::Whole {
                port: described.port,
                data: stream,
                error: first,
            },
            (Part::Data, Part::Error) => Paired::Whole {
                port: other.port,
                data: first,
                error: stream,
            },
            _ => {
                self.waiting.insert(request, (since, other, first));
                Paired::Refused(stream)
            }
        }
    }

    /// When the next of them has waited for so long.
    #[must_use]
    pub fn next(&self, longest: Duration) -> Option<Duration> {
        let since = self.waiting.values().map(|(since, ..)| *since).min();
        since.map(|since| since + longest)
    }

    /// Those that have waited for so long: which request's, and what they are.
    pub fn expired(&mut self, now: Duration, longest: Duration) -> Vec<(Described, S)> {
        let is_old =
            |(_, (since, ..)): &(&String, &(Duration, Described, S))| now >= *since + longest;
        let old: Vec<String> = self
            .waiting
            .iter()
            .filter(is_old)
            .map(|(request, _)| request.clone())
            .collect();
        let removed = old
            .iter()
            .filter_map(|request| self.waiting.remove(request));
        removed
            .map(|(_, described, stream)| (described, stream))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Pairs {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn streams_say_what_they_are() {
        let check = |pairs: &[(&str, &str)]| describe(7, &headers(pairs));
        let described = check(&[("streamtype", "data"), ("port", "80"), ("requestid", "3")]);
        let expected = Described {
            request: "3".to_owned(),
            part: Part::Data,
            port: 80,
        };
        assert_eq!(described, Ok(expected));
        let refused = |pairs: &[(&str, &str)]| check(pairs).unwrap_err();
        assert_eq!(
            refused(&[("streamtype", "data")]),
            "\"port\" header is required"
        );
        assert_eq!(refused(&[("port", "0")]), "port \"0\" must be > 0");
        assert!(refused(&[("port", "65536")]).starts_with("unable to parse \"65536\" as a port"));
        assert_eq!(
            refused(&[("port", "1")]),
            "\"streamtype\" header is required"
        );
        assert_eq!(
            refused(&[("port", "1"), ("streamtype", "x")]),
            "invalid stream type \"x\""
        );
    }

    #[test]
    fn halves_without_end_meet_a_bound() {
        let mut pairing = Pairing::default();
        for stream in 0..2_000_u32 {
            let request = stream.to_string();
            let pairs = headers(&[
                ("streamtype", "data"),
                ("port", "80"),
                ("requestid", &request),
            ]);
            let paired = pairing.push(Duration::ZERO, describe(stream, &pairs).unwrap(), stream);
            let taken = usize::try_from(stream).unwrap() < HALVES_MAX;
            assert_eq!(paired == Paired::Half, taken);
        }
    }

    #[test]
    fn pairs_are_made_in_any_order() {
        let of = |stream: u32, kind: &str, request: &str| {
            describe(
                stream,
                &headers(&[("streamtype", kind), ("port", "80"), ("requestid", request)]),
            )
            .unwrap()
        };
        let mut pairing = Pairing::default();
        let (now, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        assert_eq!(pairing.push(now, of(1, "error", "a"), 1), Paired::Half);
        assert_eq!(
            pairing.push(now, of(3, "error", "a"), 3),
            Paired::Refused(3)
        );
        assert_eq!(pairing.push(now, of(5, "data", "b"), 5), Paired::Half);
        let whole = |data, error| Paired::Whole {
            port: 80,
            data,
            error,
        };
        assert_eq!(pairing.push(now, of(7, "data", "a"), 7), whole(7, 1));
        assert_eq!(pairing.push(now, of(9, "error", "b"), 9), whole(5, 9));
        // Without requests.
        assert_eq!(pairing.push(now, of(11, "error", ""), 11), Paired::Half);
        assert_eq!(pairing.push(now, of(13, "data", ""), 13), whole(13, 11));
        // One that stays alone.
        assert_eq!(pairing.next(longest), None);
        pairing.push(now, of(15, "data", "c"), 15);
        assert_eq!(pairing.next(longest), Some(now + longest));
        assert_eq!(pairing.expired(now, longest), []);
        let expired = pairing.expired(now + longest, longest);
        assert_eq!(expired, [(of(15, "data", "c"), 15)]);
    }
}
