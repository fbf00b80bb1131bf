//! Messages to values.

use super::envelope::{Envelope, MAGIC};
use super::fault::Fault;
use super::index::{FieldSlot, Form, Message, Messages, Slot};
use super::leaf::{
    self, Read, bytes_of, deep, int_or_string, last_bytes, last_number, levels, quantity, text,
    time, varint,
};
use super::scalar;
use super::wire::{Reader, Wire};
use super::{Decoded, ProtobufError};
use crate::schema::{GroupVersionKind, TypeId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// What JSON spends at least on a value, a comma included.
const VALUE_COST: usize = 2;

/// What JSON spends at least, beyond [`VALUE_COST`], on an object that has a field.
const OBJECT_COST: usize = 10;

/// What any body may spend, however short it is.
const BUDGET_MIN: usize = 1 << 20;

impl<'a> Messages<'a> {
    /// Decodes an object in its envelope. What the envelope leaves out of apiVersion and kind is taken from `default`: what the
    /// request's URL says.
    ///
    /// ```
    /// use orlop_objects::protobuf::Messages;
    ///
    /// let bytes = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x07\x0a\x05\x0a\x03abc";
    /// let found = Messages::builtin().decode(bytes, None)?;
    /// let expect = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "abc"}});
    /// assert_eq!(found.value, expect);
    /// # Ok::<(), orlop_objects::protobuf::ProtobufError>(())
    /// ```
    ///
    /// # Errors
    /// See [`ProtobufError`]. The body is bounded as one of JSON is: in depth, and in what it makes of each byte.
    pub fn decode(
        &self,
        bytes: &[u8],
        default: Option<&GroupVersionKind>,
    ) -> Result<Decoded, ProtobufError> {
        self.decoder(bytes).enveloped(bytes, default, 1)
    }

    /// Decodes a message of this type without an envelope: an item of a list, an event of a watch. The value has neither
    /// apiVersion nor kind.
    ///
    /// # Errors
    /// The bytes are no message of the type, or beyond the bounds.
    pub fn decode_message(&self, id: TypeId, bytes: &[u8]) -> Result<Value, ProtobufError> {
        let mut fields = Map::new();
        let message = self.message(id);
        self.decoder(bytes)
            .fields(message, bytes, &mut fields, 1)
            .map_err(|fault| refused(fault, message.name))?;
        Ok(Value::Object(fields))
    }

    fn decoder(&self, bytes: &[u8]) -> Decoder<'_, 'a> {
        Decoder {
            messages: self,
            budget: bytes.len().max(BUDGET_MIN),
        }
    }
}

struct Decoder<'m, 'a> {
    messages: &'m Messages<'a>,
    /// Bytes of JSON that the value may still cost: a message of two bytes must not make more than JSON could with as many.
    budget: usize,
}

impl Decoder<'_, '_> {
    /// An object that lies so deep.
    fn enveloped(
        &mut self,
        bytes: &[u8],
        default: Option<&GroupVersionKind>,
        depth: usize,
    ) -> Result<Decoded, ProtobufError> {
        let envelope = Envelope::open(bytes)?;
        let found = named(&envelope, default)?;
        let (api_version, kind) = (found.api_version(), found.kind.to_string());
        let message = self
            .messages
            .find(&found)
            .map(|id| self.messages.message(id));
        // A kind that is JSON for everybody (`Table`) has an empty message.
        let Some(message) = message.filter(|message| !message.slots.is_empty()) else {
            return Err(ProtobufError::UnknownKind { api_version, kind });
        };
        let mut fields = Map::new();
        self.fields(message, envelope.message, &mut fields, depth)
            .map_err(|fault| refused(fault, message.name))?;
        fields.insert("apiVersion".to_owned(), api_version.clone().into());
        fields.insert("kind".to_owned(), kind.clone().into());
        Ok(Decoded {
            api_version,
            kind,
            value: Value::Object(fields),
        })
    }

    /// Reads a message into an object, which may have fields already: where a message is there twice, both count.
    fn fields(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Read<()> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            match message.slots.get(&number) {
                None => {}
                Some(Slot::Inner(inner)) => self.fields(inner, bytes_of(wire)?, into, depth)?,
                Some(Slot::Field(field)) => self
                    .field(field, wire, into, depth + 1)
                    .map_err(|fault| fault.within(field.name))?,
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &FieldSlot<'_>,
        wire: Wire<'_>,
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Read<()> {
        let found = match &field.form {
            Form::List(items) => {
                let mut list = match into.get_mut(field.name).map(Value::take) {
                    Some(Value::Array(list)) => list,
                    _ => Vec::new(),
                };
                self.items(items, wire, &mut list, depth)?;
                // Packed numbers may be none.
                Some(Value::Array(list)).filter(|list| list.get(0).is_some())
            }
            Form::Map(values) => {
                let mut map = taken(into, field.name);
                self.entry(values, bytes_of(wire)?, &mut map, depth)?;
                Some(Value::Object(map))
            }
            Form::Object(id) => {
                self.spend(VALUE_COST)?;
                let mut inner = taken(into, field.name);
                self.object(*id, bytes_of(wire)?, &mut inner, depth)?;
                Some(Value::Object(inner))
            }
            form => {
                let found = self.value(form, wire, depth)?;
                found.filter(|value| field.keeps_zero || !is_absent(form, value))
            }
        };
        match found {
            None => {
                into.remove(field.name);
            }
            Some(value) => self.insert(into, field.name.to_owned(), value)?,
        }
        Ok(())
    }

    /// One item, or many numbers packed into one field.
    fn items(
        &mut self,
        form: &Form,
        wire: Wire<'_>,
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Read<()> {
        deep(depth)?;
        let (packed, fixed) = match (form, wire) {
            (Form::Boolean | Form::Int32 | Form::Int64, Wire::Bytes(bytes)) => (bytes, false),
            (Form::Double, Wire::Bytes(bytes)) => (bytes, true),
            _ => {
                let item = self.value(form, wire, depth + 1)?;
                list.push(item.unwrap_or_default());
                return Ok(());
            }
        };
        let mut reader = Reader::new(packed);
        while !reader.is_empty() {
            let wire = if fixed {
                Wire::Fixed64(reader.fixed64()?)
            } else {
                Wire::Varint(reader.varint()?)
            };
            let item = self.value(form, wire, depth + 1)?;
            list.push(item.unwrap_or_default());
        }
        Ok(())
    }

    /// One entry of a map.
    fn entry(
        &mut self,
        form: &Form,
        bytes: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Read<()> {
        deep(depth)?;
        let (mut key, mut found) = ("", None);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            match number {
                1 => key = text(wire)?,
                2 => found = Some(wire),
                _ => {}
            }
        }
        let wire = found.unwrap_or(match form {
            Form::Boolean | Form::Int32 | Form::Int64 => Wire::Varint(0),
            Form::Double => Wire::Fixed64(0),
            _ => Wire::Bytes(&[]),
        });
        let value = self.value(form, wire, depth + 1)?;
        self.insert(map, key.to_owned(), value.unwrap_or_default())
    }

    /// A message that is an object, into that object.
    fn object(
        &mut self,
        id: TypeId,
        bytes: &[u8],
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Read<()> {
        deep(depth)?;
        let messages = self.messages;
        self.fields(messages.message(id), bytes, into, depth)
    }

    /// A value that stands alone; none where JSON has null.
    fn value(&mut self, form: &Form, wire: Wire<'_>, depth: usize) -> Read<Option<Value>> {
        self.spend(VALUE_COST)?;
        Ok(Some(match form {
            Form::Text => text(wire)?.into(),
            Form::Bytes => STANDARD.encode(bytes_of(wire)?).into(),
            Form::Boolean => (varint(wire)? != 0).into(),
            Form::Int32 => scalar::int32(varint(wire)?).into(),
            Form::Int64 => varint(wire)?.cast_signed().into(),
            Form::Double => match wire {
                Wire::Fixed64(bits) => scalar::number(f64::from_bits(bits))
                    .ok_or("a number that JSON does not have")?
                    .into(),
                _ => return Err(leaf::WRONG_TYPE.into()),
            },
            Form::Time => return time(bytes_of(wire)?, false),
            Form::MicroTime => return time(bytes_of(wire)?, true),
            Form::Quantity => quantity(bytes_of(wire)?)?,
            Form::IntOrString => int_or_string(bytes_of(wire)?)?,
            Form::Raw => return self.raw(bytes_of(wire)?, depth),
            Form::Texts => {
                let mut list = Vec::new();
                self.texts(1, bytes_of(wire)?, &mut list, depth)?;
                Value::Array(list)
            }
            Form::Object(id) => {
                let mut fields = Map::new();
                self.object(*id, bytes_of(wire)?, &mut fields, depth)?;
                Value::Object(fields)
            }
            Form::PropsOrBoolean(id) => {
                let bytes = bytes_of(wire)?;
                match self.props(*id, bytes, depth)? {
                    Some(schema) => schema,
                    None => (last_number(bytes, 1)? != 0).into(),
                }
            }
            Form::PropsOrArray(id) => {
                let bytes = bytes_of(wire)?;
                let mut list = Vec::new();
                self.messages_of(2, bytes, &Form::Object(*id), &mut list, depth)?;
                if list.is_empty() {
                    return self.props(*id, bytes, depth);
                }
                Value::Array(list)
            }
            Form::PropsOrTexts(id) => {
                let bytes = bytes_of(wire)?;
                let mut list = Vec::new();
                self.texts(2, bytes, &mut list, depth)?;
                if list.is_empty() {
                    return self.props(*id, bytes, depth);
                }
                Value::Array(list)
            }
            // No schema has lists of lists; a map of lists has a message for them.
            Form::List(_) | Form::Map(_) => return Err("a list within a list".into()),
        }))
    }

    /// The schema of a schema or something else: number 2 beside a truth, number 1 beside a list.
    fn props(&mut self, id: TypeId, bytes: &[u8], depth: usize) -> Read<Option<Value>> {
        let mut schema: Option<Map<String, Value>> = None;
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            if let (1 | 2, Wire::Bytes(bytes)) = (number, wire) {
                self.object(id, bytes, schema.get_or_insert_default(), depth)?;
            }
        }
        Ok(schema.map(Value::Object))
    }

    /// The texts that are so numbered.
    fn texts(
        &mut self,
        number: u32,
        bytes: &[u8],
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Read<()> {
        self.messages_of(number, bytes, &Form::Text, list, depth)
    }

    fn messages_of(
        &mut self,
        wanted: u32,
        bytes: &[u8],
        form: &Form,
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Read<()> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            if number == wanted {
                self.items(form, wire, list, depth)?;
            }
        }
        Ok(())
    }

    /// JSON, or an object in its envelope, in number 1.
    fn raw(&mut self, bytes: &[u8], depth: usize) -> Read<Option<Value>> {
        let raw = last_bytes(bytes, 1)?;
        if raw.is_empty() {
            return Ok(None);
        }
        deep(depth)?;
        if raw.starts_with(MAGIC) {
            let found = self.enveloped(raw, None, depth);
            return match found {
                Ok(decoded) => Ok(Some(decoded.value)),
                Err(ProtobufError::Message { path, what }) => Err(Fault::new(what).within(&path)),
                Err(other) => Err(Fault::new(other.to_string())),
            };
        }
        let value: Value = serde_json::from_slice(raw)
            .map_err(|error| Fault::new(format!("neither JSON nor protobuf: {error}")))?;
        deep((depth + levels(&value)).saturating_sub(1))?;
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    fn insert(&mut self, into: &mut Map<String, Value>, name: String, value: Value) -> Read<()> {
        if into.is_empty() {
            self.spend(OBJECT_COST)?;
        }
        into.insert(name, value);
        Ok(())
    }

    fn spend(&mut self, cost: usize) -> Read<()> {
        match self.budget.checked_sub(cost) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => Err("more values than bytes of this size may hold".into()),
        }
    }
}

fn refused(fault: Fault, name: &str) -> ProtobufError {
    let (path, what) = fault.of(name);
    ProtobufError::Message { path, what }
}

/// What an object says that it is, or else what is known of it.
fn named(
    envelope: &Envelope<'_>,
    default: Option<&GroupVersionKind>,
) -> Result<GroupVersionKind, ProtobufError> {
    let (group, version) = match envelope.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", envelope.api_version),
    };
    let mut found = GroupVersionKind {
        group: group.into(),
        version: version.into(),
        kind: envelope.kind.into(),
    };
    if let Some(default) = default {
        if found.kind.is_empty() {
            found.kind.clone_from(&default.kind);
        }
        if found.version.is_empty() {
            found.group.clone_from(&default.group);
            found.version.clone_from(&default.version);
        }
    }
    match (&*found.kind, &*found.version) {
        ("", _) => Err(ProtobufError::NoKind),
        (_, "") => Err(ProtobufError::NoVersion),
        _ => Ok(found),
    }
}

/// The object that is there already, out of its place.
fn taken(from: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match from.get_mut(name).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Whether a value of a field that does not keep its zero is none.
fn is_absent(form: &Form, value: &Value) -> bool {
    match form {
        Form::Text | Form::Bytes | Form::Boolean | Form::Int32 | Form::Int64 | Form::Double => {
            scalar::is_zero(value)
        }
        _ => false,
    }
}
