//! A value to the bytes that are stored, and from those the bytes that clients get.
//!
//! ```text
//!   encode   {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{...}}
//!   splice   {"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7","name":"a"},"spec":{...}}
//!                                                       ^ found by a scan, nothing is parsed
//! ```
//!
//! The stored bytes have no resourceVersion: only the commit knows it. The bytes may also be written by others (another API
//! server on the same store), so nothing is taken for granted but that they are JSON: keys in any order, space between
//! tokens, a resourceVersion that is already there.

use bytes::Bytes;
use serde_json::Value;
use thiserror::Error;

/// Fields that come first, so that a scan finds them soon.
const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The field of `metadata` that is not stored.
const RESOURCE_VERSION: &str = "resourceVersion";

/// Stored bytes that are no object with metadata.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("stored object, byte {at}: {what}")]
pub struct SpliceError {
    /// Where, from 0.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// The bytes to store: JSON without space, `apiVersion`, `kind` and `metadata` first, without `metadata.resourceVersion`.
///
/// ```
/// use orlop_objects::encode::{encode, splice};
///
/// let pod = serde_json::json!({"kind": "Pod", "spec": {}, "metadata": {"name": "a", "resourceVersion": "5"}});
/// let stored = encode(&pod);
/// assert_eq!(&*stored, br#"{"kind":"Pod","metadata":{"name":"a"},"spec":{}}"#);
/// let served = splice(&stored, 7)?;
/// assert_eq!(&*served, br#"{"kind":"Pod","metadata":{"resourceVersion":"7","name":"a"},"spec":{}}"#);
/// # Ok::<(), orlop_objects::encode::SpliceError>(())
/// ```
#[must_use]
pub fn encode(object: &Value) -> Bytes {
    let mut out = Vec::with_capacity(256);
    let Value::Object(fields) = object else {
        write(&mut out, object);
        return out.into();
    };
    out.push(b'{');
    for name in FIRST {
        match fields.get(name) {
            Some(Value::Object(inner)) if name == "metadata" => {
                key(&mut out, name);
                out.push(b'{');
                for (name, value) in inner {
                    if name != RESOURCE_VERSION {
                        key(&mut out, name);
                        write(&mut out, value);
                    }
                }
                out.push(b'}');
            }
            Some(value) => {
                key(&mut out, name);
                write(&mut out, value);
            }
            None => {}
        }
    }
    for (name, value) in fields {
        if !FIRST.contains(&name.as_str()) {
            key(&mut out, name);
            write(&mut out, value);
        }
    }
    out.push(b'}');
    out.into()
}

/// `"name":`, with a comma before it if it is not the first.
fn key(out: &mut Vec<u8>, name: &str) {
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    write(out, &name);
    out.push(b':');
}

fn write(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("values have text as keys, and a vector takes all");
}

/// The bytes to serve: the stored ones with this `metadata.resourceVersion`. The scan goes as far as the metadata's end.
///
/// # Errors
/// The bytes are no JSON object, as far as they are looked at, or their metadata is no object.
pub fn splice(stored: &[u8], resource_version: u64) -> Result<Bytes, SpliceError> {
    let mut scan = Scan {
        bytes: stored,
        at: 0,
    };
    scan.space();
    scan.expect(b'{', "not an object")?;
    let begin = scan.at;
    let version = resource_version.to_string();
    let Some(found) = scan.find("metadata")? else {
        // An object without metadata gets one.
        let comma = scan.follows(begin);
        return Ok(replace(
            stored,
            begin..begin,
            &[
                "\"metadata\":{\"resourceVersion\":\"",
                &version,
                "\"}",
                comma,
            ],
        ));
    };
    if stored[found..].starts_with(b"null") {
        return Ok(replace(
            stored,
            found..found + 4,
            &["{\"resourceVersion\":\"", &version, "\"}"],
        ));
    }
    scan.at = found;
    scan.expect(b'{', "metadata is not an object")?;
    let begin = scan.at;
    match scan.find(RESOURCE_VERSION)? {
        Some(value) => {
            scan.at = value;
            scan.value()?;
            Ok(replace(stored, value..scan.at, &["\"", &version, "\""]))
        }
        None => {
            let comma = scan.follows(begin);
            Ok(replace(
                stored,
                begin..begin,
                &["\"resourceVersion\":\"", &version, "\"", comma],
            ))
        }
    }
}

fn replace(stored: &[u8], range: std::ops::Range<usize>, with: &[&str]) -> Bytes {
    let added: usize = with.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(stored.len() + added);
    out.extend_from_slice(&stored[..range.start]);
    for part in with {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&stored[range.end..]);
    out.into()
}

/// A place in JSON. It tells strings from the rest, and counts brackets; that is all it knows of values.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn fault<T>(&self, what: &'static str) -> Result<T, SpliceError> {
        // An escape may have led past the end.
        let at = self.at.min(self.bytes.len());
        Err(SpliceError { at, what })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), SpliceError> {
        if self.peek() != Some(byte) {
            return self.fault(what);
        }
        self.at += 1;
        Ok(())
    }

    /// A comma, if there is an entry at or behind this place.
    fn follows(&mut self, begin: usize) -> &'static str {
        self.at = begin;
        self.space();
        if self.peek() == Some(b'}') { "" } else { "," }
    }

    /// Within an object: the place of the value of this key, or none when the object has ended.
    fn find(&mut self, key: &str) -> Result<Option<usize>, SpliceError> {
        self.space();
        if self.peek() == Some(b'}') {
            return Ok(None);
        }
        loop {
            self.space();
            let begin = self.at;
            self.string()?;
            let found = is_key(&self.bytes[begin..self.at], key);
            self.space();
            self.expect(b':', "a key without a colon")?;
            self.space();
            if found {
                return Ok(Some(self.at));
            }
            self.value()?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return Ok(None),
                _ => return self.fault("neither a comma nor the end of the object"),
            }
        }
    }

    /// Past a string.
    fn string(&mut self) -> Result<(), SpliceError> {
        self.expect(b'"', "not a string")?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return self.fault("a string without an end"),
            }
        }
    }

    /// Past a value.
    fn value(&mut self) -> Result<(), SpliceError> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => self.word(),
                Some(_) => return self.fault("not a value"),
                None => return self.fault("a value without an end"),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Past a number, or a name.
    fn word(&mut self) {
        while matches!(
            self.peek(),
            Some(b'a'..=b'z' | b'E' | b'0'..=b'9' | b'-' | b'+' | b'.')
        ) {
            self.at += 1;
        }
    }
}

/// Whether a quoted key is this one; escapes are rare, and taken seriously.
fn is_key(quoted: &[u8], key: &str) -> bool {
    if quoted.contains(&b'\\') {
        return serde_json::from_slice::<String>(quoted).is_ok_and(|found| found == key);
    }
    quoted.get(1..quoted.len() - 1) == Some(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(stored: &str, expect: &str) {
        let found = match splice(stored.as_bytes(), 42) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expect, "{stored}");
    }

    #[test]
    fn splice_takes_what_others_write() {
        check(
            r#"{"metadata":{}}"#,
            r#"{"metadata":{"resourceVersion":"42"}}"#,
        );
        check(
            "{ \"spec\" : {\"metadata\": {}, \"a\": [\"}\\\"\", {}, -1.5e+3, null]} ,\n \"metadata\" : { \"name\" : \"x\" } }",
            "{ \"spec\" : {\"metadata\": {}, \"a\": [\"}\\\"\", {}, -1.5e+3, null]} ,\n \"metadata\" : {\"resourceVersion\":\"42\", \"name\" : \"x\" } }",
        );
        check(
            r#"{"metadata":{"name":"x","resourceVersion":"7","uid":"u"}}"#,
            r#"{"metadata":{"name":"x","resourceVersion":"42","uid":"u"}}"#,
        );
        check(
            r#"{"met\u0061data":{"a":"resourceVersion"}}"#,
            r#"{"met\u0061data":{"resourceVersion":"42","a":"resourceVersion"}}"#,
        );
        check(
            r#"{"kind":"A","metadata":null}"#,
            r#"{"kind":"A","metadata":{"resourceVersion":"42"}}"#,
        );
        check("{}", r#"{"metadata":{"resourceVersion":"42"}}"#);
        check(
            r#"{"a":true}"#,
            r#"{"metadata":{"resourceVersion":"42"},"a":true}"#,
        );
    }

    #[test]
    fn splice_says_where_it_stops() {
        check("", "stored object, byte 0: not an object");
        check("[]", "stored object, byte 0: not an object");
        check(
            r#"{"metadata":[]}"#,
            "stored object, byte 12: metadata is not an object",
        );
        check(r#"{"a":"#, "stored object, byte 5: a value without an end");
        check(
            r#"{"a":"b"#,
            "stored object, byte 7: a string without an end",
        );
        check(r#"{"a" 1}"#, "stored object, byte 5: a key without a colon");
        check(
            r#"{"a":1 2}"#,
            "stored object, byte 7: neither a comma nor the end of the object",
        );
        check(
            r#"{"a":"\"#,
            "stored object, byte 7: a string without an end",
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                fields(inner).prop_map(Value::Object),
            ]
        })
    }

    /// Names that matter, among others.
    fn fields(
        inner: impl Strategy<Value = Value>,
    ) -> impl Strategy<Value = serde_json::Map<String, Value>> {
        let name = prop_oneof![
            Just("metadata".to_owned()),
            Just("resourceVersion".to_owned()),
            Just("kind".to_owned()),
            ".{0,6}",
        ];
        prop::collection::btree_map(name, inner, 0..5).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_spliced_is_what_was_encoded(
            mut object in fields(value()),
            metadata in fields(value()),
            version: u64,
        ) {
            object.insert("metadata".to_owned(), Value::Object(metadata));
            let object = Value::Object(object);
            let stored = encode(&object);
            let plain: Value = serde_json::from_slice(&stored).unwrap();
            prop_assert!(plain["metadata"].get(RESOURCE_VERSION).is_none());

            let mut expect = object.clone();
            expect["metadata"][RESOURCE_VERSION] = json!(version.to_string());
            let served = splice(&stored, version).unwrap();
            let found: Value = serde_json::from_slice(&served).unwrap();
            prop_assert_eq!(&found, &expect);

            // As another would have written it.
            let theirs = serde_json::to_vec_pretty(&object).unwrap();
            let served = splice(&theirs, version).unwrap();
            let found: Value = serde_json::from_slice(&served).unwrap();
            prop_assert_eq!(&found, &expect);
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = splice(&bytes, 1);
        }

        /// JSON that is cut anywhere is refused, or cut behind what the scan looks at.
        #[test]
        fn cut_bytes_get_an_answer(object in fields(value()), at: prop::sample::Index) {
            let stored = encode(&Value::Object(object));
            let _ = splice(&stored[..at.index(stored.len())], 1);
        }
    }
}
