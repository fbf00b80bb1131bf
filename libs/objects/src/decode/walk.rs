//! The walk through a body and its schema together. A value of a wrong type is noted and skipped; so the rest of the body is
//! read for its syntax, which is what upstream complains about first.

use super::report::{Place, Report, Step};
use super::{Target, scalar};
use crate::quantity::Quantity;
use crate::schema::{Field, Kind, Object, Schema, Schemas};
use crate::time::{MicroTime, Time};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// A value that is about to be read.
#[derive(Clone, Copy)]
pub(super) struct Seed<'p> {
    report: &'p Report,
    /// None: any object is welcome, and duplicates within it are of interest.
    schemas: Option<&'p Schemas>,
    schema: &'p Schema,
    place: Option<&'p Place<'p>>,
    /// OpenAPI name of the type that has the field which is read.
    owner: &'p str,
    /// OpenAPI name of the value's own type, once it is known.
    named: &'p str,
}

impl<'p> Seed<'p> {
    /// The whole body.
    pub(super) fn root(target: Target<'p>, report: &'p Report) -> Self {
        static ANY: Schema = Schema::ANY;
        let (schemas, schema, named) = match target {
            Target::Any => (None, &ANY, ""),
            Target::Type(schemas, id) => match schemas.get(id) {
                Some(named) => (Some(schemas), &named.schema, &*named.name),
                None => (Some(schemas), &ANY, ""),
            },
        };
        Self {
            report,
            schemas,
            schema,
            place: None,
            owner: "",
            named,
        }
    }

    /// The type behind references.
    fn resolved(mut self) -> Self {
        let Some(schemas) = self.schemas else {
            return self;
        };
        if let Kind::Reference(id) = self.schema.kind {
            self.named = schemas.get(id).map_or("", |named| &named.name);
            self.schema = self.schema.resolve(schemas);
        }
        self
    }

    /// Nothing is known of the value.
    fn is_any(&self) -> bool {
        matches!(self.schema.kind, Kind::Any)
    }

    /// Fields that are there twice are worth a word: not in what a type keeps without looking (`RawExtension`).
    fn minds_duplicates(&self) -> bool {
        self.report.is_strict() && (!self.is_any() || self.schemas.is_none())
    }

    /// The value is `what`, and that is not what it should be.
    fn mismatch(&self, what: &str) -> Value {
        let of = go_type(self.schemas, self.schema, self.named);
        self.report.mismatch(what, self.place, self.owner, &of);
        Value::Null
    }

    /// Whether the text is what it should be; if not, that is noted.
    fn takes(&self, text: &str) -> bool {
        let checked = match (&self.schema.kind, self.schema.format.as_deref()) {
            (Kind::Any | Kind::IntOrString, _) => Ok(()),
            (Kind::String, Some("byte")) => scalar::bytes(text),
            (Kind::String, Some("date-time")) if self.named.ends_with(".MicroTime") => {
                scalar::micro_time(text)
            }
            (Kind::String, Some("date-time")) => scalar::time(text),
            (Kind::String, _) => Ok(()),
            (Kind::Quantity, _) => scalar::quantity(text),
            _ => {
                self.mismatch("string");
                return false;
            }
        };
        let taken = checked.is_ok();
        if let Err(fault) = checked {
            self.report.fault(fault);
        }
        taken
    }

    /// An amount or a time as upstream writes it back: `0.5` is `500m`, and times are in UTC.
    fn canonical(&self, text: String) -> String {
        let written = match (&self.schema.kind, self.schema.format.as_deref()) {
            (Kind::Quantity, _) => text
                .parse::<Quantity>()
                .map(|amount| amount.to_string())
                .ok(),
            (Kind::String, Some("date-time")) if self.named.ends_with(".MicroTime") => {
                text.parse::<MicroTime>().map(|time| time.to_string()).ok()
            }
            (Kind::String, Some("date-time")) => {
                text.parse::<Time>().map(|time| time.to_string()).ok()
            }
            _ => None,
        };
        written.unwrap_or(text)
    }

    /// A whole number; `literal` as it was written.
    fn integer(&self, number: Option<i64>, literal: Number) -> Value {
        let narrow = match self.schema.kind {
            Kind::Any | Kind::Number => return Value::Number(literal),
            Kind::Quantity => return Value::String(self.canonical(literal.to_string())),
            Kind::IntOrString => true,
            Kind::Integer => self.schema.format.as_deref() == Some("int32"),
            _ => return self.mismatch("number"),
        };
        match number {
            Some(number) if !narrow || i32::try_from(number).is_ok() => number.into(),
            _ => self.mismatch(&format!("number {literal}")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self.resolved())
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(match self.schema.kind {
            Kind::Any | Kind::Boolean => Value::Bool(value),
            Kind::Quantity => {
                self.report.fault(scalar::NOT_A_QUANTITY.to_owned());
                Value::Null
            }
            _ => self.mismatch("bool"),
        })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.integer(Some(value), value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.integer(i64::try_from(value).ok(), value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let Some(number) = Number::from_f64(value) else {
            return Err(E::custom(format!("unsupported value: {value}")));
        };
        Ok(match self.schema.kind {
            Kind::Any | Kind::Number => Value::Number(number),
            Kind::Quantity => Value::String(self.canonical(value.to_string())),
            // serde_json gives -0 as a fraction.
            Kind::Integer | Kind::IntOrString if value == 0.0 => 0.into(),
            Kind::Integer | Kind::IntOrString => self.mismatch(&format!("number {value}")),
            _ => self.mismatch("number"),
        })
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        if !self.takes(&value) {
            return Ok(Value::Null);
        }
        Ok(Value::String(self.canonical(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let schema = match &self.schema.kind {
            Kind::Array(schema, _) => schema,
            Kind::Any => self.schema,
            other => {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(self.refused("array", other));
            }
        };
        let mut list = Vec::new();
        loop {
            let place = Place {
                parent: self.place,
                step: Step::Index(list.len()),
            };
            let seed = Seed {
                schema,
                place: Some(&place),
                named: "",
                ..self
            };
            match items.next_element_seed(seed)? {
                Some(Value::Null) => list.push(self.zero(schema)),
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match &self.schema.kind {
            Kind::Object(object) => self.object(object, entries),
            Kind::Map(schema, _) => self.map(schema, entries),
            Kind::Any => self.map(self.schema, entries),
            other => {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.refused("object", other))
            }
        }
    }
}

impl Seed<'_> {
    /// A list or an object where there should be none.
    fn refused(&self, what: &str, kind: &Kind) -> Value {
        if matches!(kind, Kind::Quantity) {
            self.report.fault(scalar::NOT_A_QUANTITY.to_owned());
            return Value::Null;
        }
        self.mismatch(what)
    }

    fn object<'de, A: MapAccess<'de>>(
        self,
        object: &Object,
        mut entries: A,
    ) -> Result<Value, A::Error> {
        let mut values = Map::new();
        let mut nulls: Vec<&str> = Vec::new();
        let owner = if self.named.is_empty() {
            self.owner
        } else {
            self.named
        };
        while let Some(name) = entries.next_key_seed(Name(object))? {
            match name {
                FieldName::Known(name, field) => {
                    if self.minds_duplicates()
                        && (values.contains_key(name) || nulls.contains(&name))
                    {
                        self.report.duplicate(self.place, name);
                    }
                    let place = Place {
                        parent: self.place,
                        step: Step::Field(name),
                    };
                    let value = entries.next_value_seed(Seed {
                        schema: &field.schema,
                        place: Some(&place),
                        owner,
                        named: "",
                        ..self
                    })?;
                    if value.is_null() && !field.schema.nullable {
                        values.remove(name);
                        nulls.push(name);
                    } else {
                        values.insert(name.to_owned(), value);
                    }
                }
                FieldName::Unknown(name) if object.preserves_unknown => {
                    if self.minds_duplicates() && values.contains_key(&name) {
                        self.report.duplicate(self.place, &name);
                    }
                    let place = Place {
                        parent: self.place,
                        step: Step::Field(&name),
                    };
                    let value = entries.next_value_seed(Seed {
                        schema: &Schema::ANY,
                        place: Some(&place),
                        owner,
                        named: "",
                        ..self
                    })?;
                    values.insert(name, value);
                }
                FieldName::Unknown(name) => {
                    self.report.unknown(self.place, &name);
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(values))
    }

    fn map<'de, A: MapAccess<'de>>(
        self,
        schema: &Schema,
        mut entries: A,
    ) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.minds_duplicates() && values.contains_key(&key) {
                self.report.duplicate(self.place, &key);
            }
            let place = Place {
                parent: self.place,
                step: Step::Key(&key),
            };
            let value = entries.next_value_seed(Seed {
                schema,
                place: Some(&place),
                named: "",
                ..self
            })?;
            let value = match value {
                Value::Null => self.zero(schema),
                value => value,
            };
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }

    /// What Go has where a list or a map holds null: it knows no absence there.
    fn zero(&self, schema: &Schema) -> Value {
        if schema.nullable {
            return Value::Null;
        }
        let schema = match self.schemas {
            Some(schemas) => schema.resolve(schemas),
            None => schema,
        };
        match schema.kind {
            Kind::String if schema.format.as_deref() == Some("date-time") => Value::Null,
            Kind::String => Value::String(String::new()),
            Kind::Integer | Kind::Number | Kind::IntOrString => 0.into(),
            Kind::Boolean => Value::Bool(false),
            Kind::Quantity => Value::String("0".to_owned()),
            Kind::Object(_) => Value::Object(Map::new()),
            Kind::Any | Kind::Map(..) | Kind::Array(..) | Kind::Reference(_) => Value::Null,
        }
    }
}

/// A field's name, looked up where it lies in the body.
struct Name<'p>(&'p Object);

enum FieldName<'p> {
    Known(&'p str, &'p Field),
    Unknown(String),
}

impl<'de, 'p> DeserializeSeed<'de> for Name<'p> {
    type Value = FieldName<'p>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = FieldName<'p>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match self.0.fields.get_key_value(name) {
            Some((name, field)) => FieldName::Known(name, field),
            None => FieldName::Unknown(name.to_owned()),
        })
    }
}

/// How Go names the type, in the texts of its errors.
fn go_type(schemas: Option<&Schemas>, schema: &Schema, named: &str) -> String {
    let of = |inner: &Schema| {
        let name = match (&inner.kind, schemas) {
            (Kind::Reference(id), Some(schemas)) => schemas.get(*id).map(|named| &*named.name),
            _ => None,
        };
        let resolved = schemas.map_or(inner, |schemas| inner.resolve(schemas));
        match (name, &resolved.kind) {
            (Some(name), Kind::Quantity | Kind::String | Kind::IntOrString) => short(name),
            _ => go_type(schemas, resolved, name.unwrap_or_default()),
        }
    };
    match &schema.kind {
        Kind::Any => "map[string]interface {}".to_owned(),
        Kind::Object(_) if named.is_empty() => "map[string]interface {}".to_owned(),
        Kind::Object(_) => short(named),
        Kind::Map(values, _) => format!("map[string]{}", of(values)),
        Kind::Array(items, _) => format!("[]{}", of(items)),
        Kind::Boolean => "bool".to_owned(),
        Kind::Number => "float64".to_owned(),
        Kind::Integer => schema.format.as_deref().unwrap_or("int64").to_owned(),
        Kind::IntOrString => "int32".to_owned(),
        Kind::String if schema.format.as_deref() == Some("byte") => "[]uint8".to_owned(),
        Kind::String | Kind::Quantity | Kind::Reference(_) => "string".to_owned(),
    }
}

/// `io.k8s.api.core.v1.Pod` is `v1.Pod`.
fn short(name: &str) -> String {
    let mut parts = name.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(kind), Some(package)) => format!("{package}.{kind}"),
        _ => name.to_owned(),
    }
}
