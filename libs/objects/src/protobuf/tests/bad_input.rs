//! Bytes that no client of ours sends: an error that says where, bounded memory, no panic.

use super::captured::CAPTURED;
use super::*;
use proptest::prelude::*;

fn check(of: &str, bytes: &[u8], expect: &str) {
    let error = message(of, bytes).unwrap_err();
    assert_eq!(error.to_string(), format!("proto: {of}{expect}"));
}

#[test]
fn an_error_says_where() {
    let pod = "io.k8s.api.core.v1.Pod";
    check(pod, b"\x0a\x05", ": unexpected end of the message");
    check(pod, b"\x08\x05", ".metadata: wrong wire type");
    check(
        pod,
        b"\x0a\x03\x0a\x01\xff",
        ".metadata.name: invalid UTF-8",
    );
    check(
        pod,
        b"\x12\x04\x12\x02\x10\x01",
        ".spec.containers.image: wrong wire type",
    );
    check(
        "io.k8s.api.core.v1.Event",
        b"\x32\x02\x10\x01\x32\x06\x08\0\x10\x80\x80\x80",
        ".firstTimestamp: unexpected end of the message",
    );
    check(
        "io.k8s.api.core.v1.ServicePort",
        b"\x22\x02\x08\x02",
        ".targetPort: neither a number nor a text",
    );
    check(
        "io.k8s.api.core.v1.ResourceRequirements",
        b"\x0a\x07\x0a\x01a\x12\x02\x0a\0",
        ".limits: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    let props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    check(
        props,
        b"\x42\x03\x0a\x01{",
        ".default: neither JSON nor protobuf: EOF while parsing an object at line 1 column 1",
    );
    check(
        props,
        b"\x49\0\0\0\0\0\0\xf8\x7f",
        ".maximum: a number that JSON does not have",
    );
}

/// A message within itself, so many times.
fn nested(levels: usize, tag: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..levels {
        let mut outer = tag.to_vec();
        super::super::wire::put_varint(&mut outer, u64::try_from(bytes.len()).unwrap());
        outer.append(&mut bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn depth_is_bounded() {
    let props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    // `not`, number 28, is a schema itself.
    let not = [0xe2, 0x01];
    assert!(message(props, &nested(127, &not)).is_ok());
    let error = message(props, &nested(128, &not)).unwrap_err().to_string();
    assert!(
        error.ends_with(".not: nested more than 128 levels deep"),
        "{error}"
    );
    assert!(message(props, &nested(20_000, &not)).is_err());
    // Raw JSON counts from where it lies.
    let json = format!("{}{}", "[".repeat(126), "]".repeat(126));
    let mut shallow = vec![0x42, 0xff, 0x01, 0x0a, 0xfc, 0x01];
    shallow.extend_from_slice(json.as_bytes());
    assert!(message(props, &shallow).is_ok());
    let mut deep = not.to_vec();
    super::super::wire::put_varint(&mut deep, u64::try_from(shallow.len()).unwrap());
    deep.extend_from_slice(&shallow);
    assert!(message(props, &deep).is_ok());
    let mut deeper = not.to_vec();
    super::super::wire::put_varint(&mut deeper, u64::try_from(deep.len()).unwrap());
    deeper.extend_from_slice(&deep);
    assert!(message(props, &deeper).is_err());
    // An object within an event within an event.
    let mut event = b"k8s\0".to_vec();
    for _ in 0..200 {
        let raw = crate::protobuf::watch_frame("ADDED", &event).unwrap();
        event = crate::protobuf::envelope("v1", "WatchEvent", &raw[4..]);
    }
    assert!(Messages::builtin().decode(&event, None).is_err());
}

/// Four bytes make an object with a field, which costs hundreds: JSON needs three times as many for that.
#[test]
fn what_a_body_makes_is_bounded() {
    let spec = "io.k8s.api.core.v1.PodSpec";
    let container = b"\x12\x02\x0a\0";
    assert!(message(spec, &container.repeat(70_000)).is_ok());
    let error = message(spec, &container.repeat(90_000))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("more values than bytes of this size may hold"),
        "{error}"
    );
    let groups = "io.k8s.api.core.v1.PodSecurityContext";
    let mut packed = vec![0x22];
    super::super::wire::put_varint(&mut packed, 3 << 20);
    packed.resize(packed.len() + (3 << 20), 1);
    assert!(message(groups, &packed).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is made of bytes that were sent once, and have been damaged, is a value like any other, or an error.
    #[test]
    fn damaged_bodies_are_refused_or_are_values(
        which in 0..CAPTURED.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts: bool,
    ) {
        let mut bytes = CAPTURED[which].1.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(found) = Messages::builtin().decode(&bytes, None) {
            let again = Messages::builtin().encode(&found.value).unwrap();
            prop_assert_eq!(Messages::builtin().decode(&again, None), Ok(found));
        }
    }

    #[test]
    fn damaged_messages_are_what_json_takes(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let job = id("io.k8s.api.batch.v1.Job");
        let (_, rich, _) = CAPTURED.iter().find(|(name, ..)| *name == "rich").unwrap();
        let mut bytes = crate::protobuf::Envelope::open(rich).unwrap().message.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(value) = Messages::builtin().decode_message(job, &bytes) {
            prop_assert_eq!(&as_from_json(job, &value), &value);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_are_values(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let pod = id("io.k8s.api.core.v1.Pod");
        if let Ok(value) = Messages::builtin().decode_message(pod, &bytes) {
            prop_assert_eq!(&as_from_json(pod, &value), &value);
        }
    }
}
