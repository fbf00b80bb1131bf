//! Objects in the form in which they are sent.

use super::{
    negotiate::{Form, View},
    served::Served,
    write::{Format, as_served},
};
use bytes::Bytes;
use kinds::rules::Column;
use objects::{
    status::Status,
    table::{Column as Heading, Include, ListMeta, Table, metadata_only},
};
use serde_json::Value;

/// How objects of one resource are shown to one client.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    /// The resource, in the version that was asked for.
    pub served: &'a Served,
    /// The form.
    pub form: Form,
    /// How much of its object a row of a table has.
    pub include: Include,
    /// Seconds since 1970, for ages.
    pub now: i64,
}

impl Renderer<'_> {
    /// Whether stored bytes are sent as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.form.view == View::Whole
            && self.form.format == Format::Json
            && self.served.resource.conversion.is_none()
    }

    /// One object.
    ///
    /// # Errors
    /// What is stored is no object.
    pub fn one(&self, stored: &Bytes) -> Result<Bytes, Status> {
        if self.is_plain() {
            return Ok(stored.clone());
        }
        let object = self.as_served(stored)?;
        let json = match self.form.view {
            View::Whole => object,
            View::Metadata => metadata_only(&object).map_err(broken)?.into(),
            View::Table => {
                let meta = ListMeta {
                    resource_version: version(&object),
                    ..ListMeta::default()
                };
                self.table([object], &meta, true)?
            }
        };
        self.written(json)
    }

    /// One object of a watch's events; `first`: none has been sent before.
    ///
    /// # Errors
    /// What is stored is no object.
    pub fn event(&self, stored: &Bytes, first: bool) -> Result<Bytes, Status> {
        let object = self.as_served(stored)?;
        match self.form.view {
            View::Whole => Ok(object),
            View::Metadata => Ok(metadata_only(&object).map_err(broken)?.into()),
            View::Table => {
                let meta = ListMeta {
                    resource_version: version(&object),
                    ..ListMeta::default()
                };
                self.table([object], &meta, first)
            }
        }
    }

    /// A list as a whole: of tables, and of what is not JSON.
    ///
    /// # Errors
    /// What is stored is no object.
    pub fn list(
        &self,
        stored: impl IntoIterator<Item = Bytes>,
        meta: &ListMeta,
    ) -> Result<Bytes, Status> {
        let objects = stored.into_iter().map(|stored| self.as_served(&stored));
        let objects = objects.collect::<Result<Vec<_>, _>>()?;
        if self.form.view == View::Table {
            let table = self.table(objects, meta, true)?;
            return self.written(table);
        }
        let mut list = self.head(meta);
        for (place, object) in objects.iter().enumerate() {
            if place > 0 {
                list.push(b',');
            }
            match self.form.view {
                View::Metadata => list.extend(metadata_only(object).map_err(broken)?),
                _ => list.extend_from_slice(object),
            }
        }
        list.extend_from_slice(TAIL);
        self.written(list.into())
    }

    /// What stands before a list's items.
    #[must_use]
    pub fn head(&self, meta: &ListMeta) -> Vec<u8> {
        let (kind, version) = match self.form.view {
            View::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
            _ => {
                let kind = self.served.schema.list_kind.as_deref().unwrap_or("List");
                (kind, self.served.api_version())
            }
        };
        let meta = serde_json::to_string(meta).unwrap_or_default();
        format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{meta},"items":["#).into()
    }

    fn as_served(&self, stored: &Bytes) -> Result<Bytes, Status> {
        if self.served.resource.conversion.is_none() {
            return Ok(stored.clone());
        }
        let object: Value = serde_json::from_slice(stored).map_err(broken)?;
        let object = as_served(self.served, object);
        Ok(serde_json::to_vec(&object).map_err(broken)?.into())
    }

    fn table(
        &self,
        objects: impl IntoIterator<Item = Bytes>,
        meta: &ListMeta,
        headings: bool,
    ) -> Result<Bytes, Status> {
        let columns = self.served.resource.rules.columns;
        let named: Vec<_> = columns.iter().filter(|_| headings).map(heading).collect();
        let mut table = Table::new(&named, self.include);
        for object in objects {
            let value: Value = serde_json::from_slice(&object).map_err(broken)?;
            let cells: Vec<_> = columns
                .iter()
                .map(|column| (column.cell)(&value, self.now))
                .collect();
            table.row(&cells, &object).map_err(broken)?;
        }
        Ok(table.finish(meta).into())
    }

    fn written(&self, json: Bytes) -> Result<Bytes, Status> {
        match self.form.format {
            // Answers are not written in protobuf yet: none is chosen.
            Format::Json | Format::Protobuf => Ok(json),
            Format::Yaml => {
                let value: Value = serde_json::from_slice(&json).map_err(broken)?;
                super::yaml::write(&value).map(Bytes::from)
            }
        }
    }
}

/// What stands after a list's items.
pub const TAIL: &[u8] = b"]}";

fn heading(column: &Column) -> Heading<'static> {
    Heading {
        name: column.name,
        kind: column.kind,
        format: column.format,
        description: column.description,
        priority: column.priority,
    }
}

fn version(object: &[u8]) -> String {
    #[derive(serde::Deserialize, Default)]
    struct Object {
        #[serde(default)]
        metadata: Metadata,
    }
    #[derive(serde::Deserialize, Default)]
    struct Metadata {
        #[serde(rename = "resourceVersion", default)]
        resource_version: String,
    }
    let object: Object = serde_json::from_slice(object).unwrap_or_default();
    object.metadata.resource_version
}

fn broken(error: serde_json::Error) -> Status {
    Status::internal(format!("an object in the store cannot be read: {error}"))
}
