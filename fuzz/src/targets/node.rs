//! What reaches a node's own programs from its firmware, its kernel, and its processes.

use crate::init::{lines, notify, uevents};
use init_proto::control::{Event, Request, Response};
use init_proto::generation::CONFIG_MAX;
use init_proto::plan::Plan;
use init_proto::{frame, services};
use orlop_machine_api::planner::kernel_log as kmsg;
use orlop_plan::formats;
use std::fmt::Debug;

/// Strings that begin with our prefix, in order, without it, decoded; never much longer than what came.
pub(crate) fn smbios(bytes: &[u8]) {
    if let Some(config) = formats::smbios(bytes) {
        assert!(config.len() <= bytes.len());
    }
}

/// A URL has no blank and no control character, and is not of endless length.
pub(crate) fn kernel_command_line(bytes: &[u8]) {
    if let Some(url) = formats::kernel_command_line(bytes) {
        assert!(url.starts_with("http") && url.len() <= 2048);
        assert!(!url.contains(|c: char| c.is_whitespace() || c.is_control()));
    }
}

/// What is read from a frame is the same after it was written again.
pub(crate) fn init_frames(bytes: &[u8]) {
    round::<Request>(bytes);
    round::<Response>(bytes);
    round::<Event>(bytes);
    round::<Plan>(bytes);
}

fn round<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(Some((value, used))) = frame::decode::<T>(bytes) {
        assert!(used <= bytes.len());
        let again = frame::encode(&value).expect("what fitted a frame fits one");
        let (read, _) = frame::decode::<T>(&again)
            .expect("what was written can be read")
            .expect("and is whole");
        assert_eq!(read, value);
    }
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    let name = || "network".to_owned();
    let requests = [
        Request::Status,
        Request::ServiceStop { name: name() },
        Request::Logs {
            name: name(),
            cursor: 7,
            bytes_max: 1000,
            wait: true,
        },
        Request::RegisterChild {
            pid: 7,
            start_time: 8,
            label: name(),
        },
        Request::ConfigApply {
            config: b"kind: Machine\n".to_vec(),
            effect: init_proto::control::ApplyEffect::NoReboot,
            only_in_maintenance: false,
        },
    ];
    let mut frames: Vec<Vec<u8>> = requests
        .iter()
        .filter_map(|request| frame::encode(request).ok())
        .collect();
    frames.extend(frame::encode(&services::maintenance(
        "no config".into(),
        false,
    )));
    frames
}

/// A status is bounded; a stored descriptor's name can stand in `LISTEN_FDNAMES`.
pub(crate) fn notify(bytes: &[u8]) {
    for message in notify::parse(bytes) {
        match message {
            notify::Message::Status(text) => {
                assert!(text.chars().count() <= notify::STATUS_MAX);
            }
            notify::Message::StoreDescriptors(name) | notify::Message::RemoveDescriptors(name) => {
                assert!((1..=255).contains(&name.len()));
                assert!(!name.contains(|c: char| c == ':' || c.is_control()));
            }
            _ => {}
        }
    }
}

/// Lines are bounded and are the same however the bytes were cut into reads.
pub(crate) fn log_lines(bytes: &[u8]) {
    let read = |pieces: &[&[u8]]| {
        let mut splitter = lines::Splitter::new(lines::INFO);
        let mut found = Vec::new();
        for piece in pieces {
            found.extend(splitter.push(piece));
        }
        found.extend(splitter.finish());
        found
    };
    let whole = read(&[bytes]);
    let (front, back) = bytes.split_at(bytes.len() / 3);
    assert_eq!(read(&[front, back]), whole);
    for line in &whole {
        assert!(line.level <= 7 && !line.text.contains('\n'));
        // A byte that is not UTF-8 becomes a character of three.
        assert!(line.text.len() <= 3 * lines::LINE_MAX);
        let _ = lines::readable(&line.text);
    }
}

/// An alias is one field of what came.
pub(crate) fn uevent(bytes: &[u8]) {
    if let uevents::Uevent::Device { subsystem, alias } = uevents::parse(bytes) {
        assert!(!subsystem.contains('\0'));
        assert!(alias.is_none_or(|alias| !alias.contains('\0') && alias.len() < CONFIG_MAX));
    }
}

/// A record has a level and a facility of syslog, and its text is one line.
pub(crate) fn kernel_log(bytes: &[u8]) {
    if let Some(record) = kmsg::parse(bytes) {
        assert!(record.level <= 7);
    }
}
