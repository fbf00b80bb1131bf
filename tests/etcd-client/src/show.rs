//! Answers as lines of text.

use etcd_client::{
    CompactionResponse, DeleteResponse, Error, Event, EventType, GetResponse, KeyValue,
    PutResponse, ResponseHeader, TxnOpResponse, TxnResponse,
};

/// Longer keys and values are shown by their length.
const BYTES_SHOWN_MAX: usize = 64;

/// Prints what came of a request.
pub(crate) fn say<T: Show>(what: &str, outcome: Result<T, Error>) {
    match outcome {
        Ok(answer) => println!("{what}: {}", answer.show()),
        Err(error) => println!("{what}: {}", failure(&error)),
    }
}

/// As [`say`], of an error only its code: its text is the client's, and has sizes in it.
pub(crate) fn say_code<T: Show>(what: &str, outcome: Result<T, Error>) {
    match outcome {
        Err(Error::GRpcStatus(status)) => println!("{what}: {:?}", status.code()),
        outcome => say(what, outcome),
    }
}

/// Code and text.
pub(crate) fn failure(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => format!("{:?}: {}", status.code(), status.message()),
        error => format!("the client says: {error}"),
    }
}

/// A number of a member, a cluster or a lease.
pub(crate) fn number(number: u64) -> String {
    format!("{number:016x}")
}

pub(crate) fn lease(id: i64) -> String {
    number(id.cast_unsigned())
}

pub(crate) fn revision(header: Option<&ResponseHeader>) -> String {
    header.map_or("no header".to_owned(), |header| {
        format!("revision {}", header.revision())
    })
}

pub(crate) fn bytes(bytes: &[u8]) -> String {
    if bytes.len() > BYTES_SHOWN_MAX {
        return format!("({} bytes)", bytes.len());
    }
    bytes.escape_ascii().to_string()
}

pub(crate) fn pair(pair: &KeyValue) -> String {
    let mut text = format!(
        "{}={} ({} {} {}",
        bytes(pair.key()),
        bytes(pair.value()),
        pair.create_revision(),
        pair.mod_revision(),
        pair.version()
    );
    if pair.lease() != 0 {
        text.push(' ');
        text.push_str(&lease(pair.lease()));
    }
    text + ")"
}

pub(crate) fn pairs(pairs: &[KeyValue]) -> String {
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    format!("[{}]", pairs.join(", "))
}

pub(crate) fn event(event: &Event) -> String {
    let kind = match event.event_type() {
        EventType::Put => "put",
        EventType::Delete => "delete",
    };
    let of = |found: Option<&KeyValue>| found.map_or("nothing".to_owned(), pair);
    let mut text = format!("{kind} {}", of(event.kv()));
    if event.prev_kv().is_some() {
        text.push_str(&format!(", before {}", of(event.prev_kv())));
    }
    text
}

/// What an answer says.
pub(crate) trait Show {
    /// In one line.
    fn show(&self) -> String;
}

impl Show for String {
    fn show(&self) -> String {
        self.clone()
    }
}

impl Show for PutResponse {
    fn show(&self) -> String {
        let before = self.prev_key().map(pair);
        format!("{}, before {before:?}", revision(self.header()))
    }
}

impl Show for GetResponse {
    fn show(&self) -> String {
        format!(
            "{}, {} of {}, more {}: {}",
            revision(self.header()),
            self.kvs().len(),
            self.count(),
            self.more(),
            pairs(self.kvs())
        )
    }
}

impl Show for DeleteResponse {
    fn show(&self) -> String {
        format!(
            "{}, {} deleted, before {}",
            revision(self.header()),
            self.deleted(),
            pairs(self.prev_kvs())
        )
    }
}

impl Show for CompactionResponse {
    fn show(&self) -> String {
        revision(self.header())
    }
}

impl Show for TxnResponse {
    fn show(&self) -> String {
        let answers = self.op_responses();
        let answers: Vec<String> = answers.iter().map(|answer| answer.show()).collect();
        format!(
            "{}, {}: {{{}}}",
            revision(self.header()),
            if self.succeeded() { "then" } else { "else" },
            answers.join("; ")
        )
    }
}

impl Show for TxnOpResponse {
    fn show(&self) -> String {
        match self {
            Self::Put(answer) => format!("put {}", answer.show()),
            Self::Get(answer) => format!("get {}", answer.show()),
            Self::Delete(answer) => format!("delete {}", answer.show()),
            Self::Txn(answer) => format!("txn {}", answer.show()),
        }
    }
}
