//! `Table` (`meta.k8s.io/v1`): what kubectl prints, with the columns and cells made here.
//!
//! A row keeps its object as the bytes that the cache has, so that a list as a table parses no more of an object than its
//! cells need, and of its metadata nothing but where it begins and ends.
//!
//! ```
//! use orlop_objects::table::{Column, Include, ListMeta, Table};
//!
//! let mut table = Table::new(&[Column::new("Name", "string", "the name").format("name")], Include::None);
//! table.row(&["web".into()], br#"{"metadata":{"name":"web"}}"#)?;
//! let bytes = table.finish(&ListMeta::default());
//! assert!(bytes.ends_with(br#""rows":[{"cells":["web"],"object":null}]}"#));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The group and version of tables and of metadata alone.
const API_VERSION: &str = "meta.k8s.io/v1";

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Column<'a> {
    /// Its title.
    pub name: &'a str,
    /// OpenAPI's type of its cells: `string`, `integer`, `number`, `boolean`, `date`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// OpenAPI's format; `name` marks the one that identifies the object.
    pub format: &'a str,
    /// What it tells.
    pub description: &'a str,
    /// Zero is always shown; higher ones where there is room (`-o wide`).
    pub priority: i32,
}

impl<'a> Column<'a> {
    /// A column that is always shown.
    #[must_use]
    pub fn new(name: &'a str, kind: &'a str, description: &'a str) -> Self {
        Column {
            name,
            kind,
            format: "",
            description,
            priority: 0,
        }
    }

    /// The same with a format.
    #[must_use]
    pub fn format(self, format: &'a str) -> Self {
        Column { format, ..self }
    }

    /// The same, shown only with `-o wide`.
    #[must_use]
    pub fn wide(self) -> Self {
        Column {
            priority: 1,
            ..self
        }
    }
}

/// How much of its object a row has (`includeObject`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata, as a `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All.
    Object,
}

impl Include {
    /// The value of the query's `includeObject`; none when there is no such.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "None" => Some(Include::None),
            "" | "Metadata" => Some(Include::Metadata),
            "Object" => Some(Include::Object),
            _ => None,
        }
    }
}

/// `metadata` of a list, and of a table. Empty fields are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMeta {
    /// The revision that the list is at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// The token that goes on with the list.
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    /// How many objects come after, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// A table as it is built, row by row.
#[derive(Debug)]
pub struct Table {
    columns: Vec<u8>,
    rows: Vec<u8>,
    include: Include,
}

impl Table {
    /// A table without rows. Without columns at all, in the later events of a watch: clients keep the first ones.
    #[must_use]
    pub fn new(columns: &[Column<'_>], include: Include) -> Self {
        Table {
            columns: to_json(columns),
            rows: Vec::new(),
            include,
        }
    }

    /// Adds a row: a cell for each column, and the object's JSON, which is not looked into unless its metadata alone
    /// are asked for.
    ///
    /// # Errors
    /// When the metadata are asked for and the bytes are no JSON object.
    pub fn row(&mut self, cells: &[Value], object: &[u8]) -> serde_json::Result<()> {
        let before = self.rows.len();
        if before > 0 {
            self.rows.push(b',');
        }
        self.rows.extend_from_slice(br#"{"cells":"#);
        self.rows.extend_from_slice(&to_json(cells));
        self.rows.extend_from_slice(br#","object":"#);
        match self.include {
            Include::None => self.rows.extend_from_slice(b"null"),
            Include::Object => self.rows.extend_from_slice(object),
            Include::Metadata => {
                if let Err(error) = write_metadata_only(&mut self.rows, object) {
                    self.rows.truncate(before);
                    return Err(error);
                }
            }
        }
        self.rows.push(b'}');
        Ok(())
    }

    /// The table's JSON.
    #[must_use]
    pub fn finish(self, metadata: &ListMeta) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.columns.len() + self.rows.len() + 256);
        out.extend_from_slice(br#"{"kind":"Table","apiVersion":""#);
        out.extend_from_slice(API_VERSION.as_bytes());
        out.extend_from_slice(br#"","metadata":"#);
        out.extend_from_slice(&to_json(metadata));
        out.extend_from_slice(br#","columnDefinitions":"#);
        out.extend_from_slice(&self.columns);
        out.extend_from_slice(br#","rows":["#);
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(b"]}");
        out
    }
}

/// The `PartialObjectMetadata` of an object, from JSON to JSON: its metadata are copied as they are.
///
/// # Errors
/// When the bytes are no JSON object.
pub fn metadata_only(object: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(object.len().min(4096));
    write_metadata_only(&mut out, object)?;
    Ok(out)
}

fn write_metadata_only(out: &mut Vec<u8>, object: &[u8]) -> serde_json::Result<()> {
    /// All other fields are skipped and not kept.
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: Option<&'a RawValue>,
    }
    let object: Object<'_> = serde_json::from_slice(object)?;
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":""#);
    out.extend_from_slice(API_VERSION.as_bytes());
    out.extend_from_slice(br#"","metadata":"#);
    out.extend_from_slice(object.metadata.map_or("{}", RawValue::get).as_bytes());
    out.push(b'}');
    Ok(())
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("text, numbers and values of JSON are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OBJECT: &[u8] =
        br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","x":1.50},"spec":{"metadata":2}}"#;

    /// Checks the object that a row has.
    #[track_caller]
    fn check(include: Include, expect: Value) {
        let columns = [
            Column::new("Name", "string", "n").format("name"),
            Column::new("Age", "string", "a").wide(),
        ];
        let mut table = Table::new(&columns, include);
        table
            .row(&["a".into(), "5s".into()], OBJECT)
            .expect("an object");
        table
            .row(&["b".into(), Value::Null], b"{}")
            .expect("an object");
        let metadata = ListMeta {
            resource_version: "7".to_owned(),
            remaining_item_count: Some(3),
            ..ListMeta::default()
        };
        let bytes = table.finish(&metadata);
        let table: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(table["kind"], "Table");
        assert_eq!(table["apiVersion"], "meta.k8s.io/v1");
        assert_eq!(
            table["metadata"],
            json!({"resourceVersion": "7", "remainingItemCount": 3})
        );
        assert_eq!(
            table["columnDefinitions"],
            json!([{"name": "Name", "type": "string", "format": "name", "description": "n", "priority": 0},
                   {"name": "Age", "type": "string", "format": "", "description": "a", "priority": 1}])
        );
        assert_eq!(
            table["rows"][0],
            json!({"cells": ["a", "5s"], "object": expect})
        );
        assert_eq!(table["rows"][1]["cells"], json!(["b", null]));
    }

    #[test]
    fn rows_have_what_is_asked_for() {
        check(Include::None, Value::Null);
        check(
            Include::Object,
            serde_json::from_slice(OBJECT).expect("JSON"),
        );
        check(
            Include::Metadata,
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "x": 1.5}}),
        );
    }

    #[test]
    fn metadata_are_copied_and_not_read() {
        let bytes = metadata_only(OBJECT).expect("an object");
        let expect: &[u8] =
            br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","x":1.50}}"#;
        assert_eq!(bytes, expect);
    }

    #[test]
    fn a_row_that_is_none_leaves_no_trace() {
        let mut table = Table::new(&[], Include::Metadata);
        assert!(table.row(&[], b"[").is_err());
        table.row(&[], b"{}").expect("an object");
        assert!(table.row(&[], b"").is_err());
        let bytes = table.finish(&ListMeta::default());
        let table: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(table["rows"].as_array().map(Vec::len), Some(1));
        assert_eq!(table["metadata"], json!({}));
    }

    #[test]
    fn values_of_include_object() {
        let check = |text, expect| assert_eq!(Include::parse(text), expect);
        check("", Some(Include::Metadata));
        check("None", Some(Include::None));
        check("Object", Some(Include::Object));
        check("all", None);
    }
}
