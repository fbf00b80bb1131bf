//! Streams: logs, the kernel's log, events. They end with the node's last message, or with Ctrl-C.

use super::convert;
use crate::{
    arguments::{Events, Global, Logs},
    failure::Failure,
    output::{Output, printable},
    session::{Sends, Session},
};
use machine_proto::v1alpha1 as wire;
use serde_json::{Value, json};
use tonic::{Request, Streaming};

/// Shows every message until the stream ends.
pub(super) async fn show<T>(
    mut messages: Streaming<T>,
    mut each: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        match messages.message().await {
            Ok(Some(message)) => each(message)?,
            Ok(None) => return Ok(()),
            Err(status) => return Err(Failure::status(&status, None)),
        }
    }
}

pub(super) async fn logs(global: &Global, output: Output, given: Logs) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let request = wire::ServiceLogsRequest {
        name: given.name,
        follow: given.follow,
        tail_lines: given.tail,
        since: given.since.map(Into::into),
    };
    let mut node = session.client.clone();
    // No deadline for the stream itself, only for its beginning.
    let messages = session
        .wait(node.service_logs(Request::new(request)), None)
        .await?;
    show(messages, |line| {
        if line.lost > 0 {
            eprintln!("{} lines are lost here", line.lost);
        }
        let time = convert::time(line.time.as_ref());
        let value = json!({
            "time": time, "level": convert::level(line.level), "text": line.text, "lost": line.lost,
        });
        output.message(&value, || {
            format!(
                "{time} {:7} {}",
                convert::level(line.level),
                log_text(&line.text)
            )
        })
    })
    .await
}

/// Services log JSON objects; a person wants the message and the rest as `key=value`.
fn log_text(text: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        return printable(text);
    };
    let Some(Value::String(message)) = fields.remove("message") else {
        return printable(text);
    };
    for known in ["timestamp", "level", "target"] {
        fields.remove(known);
    }
    let rest: String = fields
        .iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    printable(&format!("{message}{rest}"))
}

pub(super) async fn dmesg(
    global: &Global,
    output: Output,
    follow: bool,
    tail_lines: u32,
) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let mut node = session.client.clone();
    let request = Request::new(wire::DmesgRequest { follow, tail_lines });
    let messages = session.wait(node.dmesg(request), None).await?;
    show(messages, |message| {
        let time = convert::seconds(message.time.as_ref());
        let value = json!({
            "time": time, "level": convert::level(message.level), "facility": message.facility,
            "sequence": message.sequence, "text": message.text,
        });
        output.message(&value, || {
            format!("[{time:12.6}] {}", printable(&message.text))
        })
    })
    .await
}

pub(super) async fn events(global: &Global, output: Output, given: Events) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    let request = wire::EventsRequest {
        after: given.after,
        boot_id: given.boot_id,
        no_follow: given.no_follow,
    };
    let mut node = session.client.clone();
    let messages = session
        .wait(node.events(Request::new(request)), None)
        .await?;
    show(messages, |event| {
        output.message(&convert::event(&event), || {
            printable(&convert::event_line(&event))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_lines_are_read_by_people() {
        let line = r#"{"timestamp":"x","level":"INFO","message":"listening","address":"[::]:1","target":"a"}"#;
        assert_eq!(log_text(line), "listening address=\"[::]:1\"");
        assert_eq!(log_text("plain\u{7}"), "plain ");
        assert_eq!(log_text("{\"a\":1}"), "{\"a\":1}");
    }
}
