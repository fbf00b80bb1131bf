//! What is written is read again by the same tables, and is what the JSON document says: no word is lost.

use super::*;
use crate::{
    entry::{Entry, builtin},
    openapi::Documents,
};
use serde_json::json;

/// A field as it stands on the wire.
enum Wire<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u32, Wire<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes);
        let number = u32::try_from(key >> 3).unwrap();
        let value = match key & 7 {
            0 => Wire::Number(read_varint(&mut bytes)),
            1 => {
                let (double, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Wire::Double(f64::from_le_bytes(*double))
            }
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)).unwrap();
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(content)
            }
            other => panic!("wire type {other}"),
        };
        found.push((number, value));
    }
    found
}

fn message_of<'a>(wire: &Wire<'a>) -> &'a [u8] {
    match wire {
        Wire::Bytes(bytes) => bytes,
        _ => panic!("not a message"),
    }
}

fn text_of(wire: &Wire<'_>) -> String {
    String::from_utf8(message_of(wire).to_vec()).unwrap()
}

/// The only field of a message.
fn only<'a>(wire: &Wire<'a>) -> (u32, Wire<'a>) {
    let mut all = fields(message_of(wire));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn read_named(wire: &Wire<'_>, read: impl Fn(&Wire<'_>) -> Value) -> (String, Value) {
    match &fields(message_of(wire))[..] {
        [(1, name), (2, value)] => (text_of(name), read(value)),
        _ => panic!("no name or no value"),
    }
}

fn read_message(form: &Message, wire: &Wire<'_>) -> Value {
    let mut object = Map::new();
    for (number, wire) in fields(message_of(wire)) {
        if Some(number) == form.extension {
            let (name, value) = read_named(&wire, read_any);
            object.insert(name, value);
            continue;
        }
        let mut known = form.fields.iter();
        let (name, _, how) = known.find(|field| field.1 == number).unwrap();
        let value = read(*how, &wire);
        match (how, object.get_mut(*name)) {
            (As::Texts | As::Anys | As::Parameters, Some(Value::Array(all))) => all.push(value),
            (As::Texts | As::Anys | As::Parameters, _) => {
                object.insert((*name).into(), json!([value]));
            }
            _ => assert_eq!(object.insert((*name).into(), value), None, "{name}"),
        }
    }
    object.into()
}

fn read_any(wire: &Wire<'_>) -> Value {
    let (number, yaml) = only(wire);
    assert_eq!(number, 2);
    serde_json::from_str(&text_of(&yaml)).unwrap()
}

fn read_all(wire: &Wire<'_>, expect: u32, value: impl Fn(&Wire<'_>) -> Value) -> Value {
    let all = fields(message_of(wire));
    all.iter()
        .map(|(number, wire)| {
            assert_eq!(*number, expect);
            read_named(wire, &value)
        })
        .collect::<Map<_, _>>()
        .into()
}

fn read_parameter(wire: &Wire<'_>) -> Value {
    match only(wire) {
        (1, body) => read_message(&BODY, &body),
        (_, other) => match only(&other) {
            (3, query) => read_message(&QUERY, &query),
            (_, path) => read_message(&PATH_PARAMETER, &path),
        },
    }
}

fn read(how: As, wire: &Wire<'_>) -> Value {
    match (how, wire) {
        (As::Text | As::Texts, wire) => text_of(wire).into(),
        (As::Flag, _) => true.into(),
        (As::Integer, Wire::Number(number)) => (*number).into(),
        (As::Double, Wire::Double(number)) => (*number).into(),
        (As::Any | As::Anys, wire) => read_any(wire),
        (As::Type, wire) => text_of(&only(wire).1).into(),
        (As::Message(form), wire) => read_message(form, wire),
        (As::Schema, wire) => read_message(&SCHEMA, &only(wire).1),
        (As::Schemas, wire) => read_all(wire, 1, |wire| read_message(&SCHEMA, wire)),
        (As::Parameters, wire) => match only(wire) {
            (2, reference) => read_message(&REFERENCE, &reference),
            (_, parameter) => read_parameter(&parameter),
        },
        (As::Responses, wire) => read_all(wire, 1, |wire| read_message(&RESPONSE, &only(wire).1)),
        _ => panic!("{how:?}"),
    }
}

#[test]
fn says_what_the_json_document_says() {
    let entries: Vec<Entry<'_>> = builtin().collect();
    let documents = Documents::new(&entries, "v1.35.0");
    let bytes = documents.v2_protobuf();
    let mut found = Map::new();
    for (number, wire) in fields(&bytes) {
        let (name, value) = match number {
            1 => ("swagger", text_of(&wire).into()),
            2 => ("info", read_message(&INFO, &wire)),
            8 => (
                "paths",
                read_all(&wire, 2, |wire| read_message(&PATH, wire)),
            ),
            9 => (
                "definitions",
                read_all(&wire, 1, |wire| read_message(&SCHEMA, wire)),
            ),
            10 => ("parameters", read_all(&wire, 1, read_parameter)),
            12 => ("security", json!([{"BearerToken": []}])),
            13 => (
                "securityDefinitions",
                read_all(&wire, 1, |wire| read_message(&API_KEY, &only(wire).1)),
            ),
            other => panic!("field {other}"),
        };
        found.insert(name.into(), value);
    }
    let expect: Value = serde_json::from_str(&documents.v2()).unwrap();
    for (name, value) in expect.as_object().unwrap() {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    assert_eq!(found[name][member], *value, "{name} {member}");
                }
                assert_eq!(found[name].as_object().unwrap().len(), members.len());
            }
            _ => assert_eq!(found[name], *value, "{name}"),
        }
    }
    assert_eq!(found.len(), expect.as_object().unwrap().len());
}

/// Words of custom resources' schemas, which no built-in type has.
#[test]
fn constraints() {
    let check = |schema: Value| {
        let mut bytes = Vec::new();
        members(&mut bytes, &SCHEMA, &schema);
        assert_eq!(read_message(&SCHEMA, &Wire::Bytes(&bytes)), schema);
    };
    check(json!({
        "type": "number",
        "minimum": 1.5,
        "exclusiveMinimum": true,
        "maximum": 3e300,
        "exclusiveMaximum": true,
        "multipleOf": 0.5,
    }));
    check(json!({"minItems": 0, "maxItems": 300, "minLength": 1, "maxLength": 4_294_967_296_u64}));
    check(json!({"minProperties": 1, "maxProperties": 2, "pattern": "^a$"}));
    check(json!({"enum": ["a", 1, null, {"b": []}], "x-kubernetes-int-or-string": true}));
}

/// Bytes by hand, from the published numbers: the form itself, and not only that reading undoes writing.
#[test]
fn known_bytes() {
    let mut bytes = Vec::new();
    head(&mut bytes, &json!({"title": "K", "version": "v"}));
    assert_eq!(bytes, b"\x0a\x032.0\x12\x06\x0a\x01K\x12\x01v");

    let mut bytes = Vec::new();
    let schema = json!({"type": "object", "x-a": 1});
    definitions(&mut bytes, [("T", schema)].into_iter());
    let schema = b"\xb2\x01\x08\x0a\x06object\xfa\x01\x0a\x0a\x03x-a\x12\x03\x12\x011";
    let mut expect = b"\x4a\x1f\x0a\x1d\x0a\x01T\x12\x18".to_vec();
    expect.extend(schema);
    assert_eq!(bytes, expect);
}
