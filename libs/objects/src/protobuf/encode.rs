//! Values to messages.

use super::MAX_DEPTH;
use super::envelope::envelope_of;
use super::fault::Fault;
use super::index::{FieldSlot, Form, Message, Messages, Slot};
use super::scalar;
use super::wire::{put_bytes, put_fixed64, put_nested, put_number, put_varint};
use crate::decode::base64_bytes;
use crate::quantity::Quantity;
use crate::schema::{GroupVersionKind, TypeId};
use serde_json::{Map, Value};
use thiserror::Error;

/// A value that has no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// It says neither what it is, or it is no object.
    #[error("a value without apiVersion and kind")]
    NoKind,
    /// A custom resource, or a kind that is JSON for everybody (`Table`).
    #[error("{kind} of {api_version} has no form in protobuf")]
    UnknownKind {
        /// As the value has it.
        api_version: String,
        /// As the value has it.
        kind: String,
    },
    /// A value is of another type than its field.
    #[error("{path}: {what}")]
    Value {
        /// The type, and the fields that lead to the place.
        path: String,
        /// What is wrong there.
        what: String,
    },
    /// An event of more than 4 GiB.
    #[error("an event of more than 4 GiB")]
    TooLarge,
}

type Write = Result<(), Fault>;

impl Messages<'_> {
    /// An object, a list or a `Status` in its envelope, by its apiVersion and kind. Fields without a number are left out, as
    /// upstream does: those that the type does not have, and apiVersion and kind of objects within others.
    ///
    /// ```
    /// use orlop_objects::protobuf::Messages;
    ///
    /// let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "abc"}});
    /// let bytes = Messages::builtin().encode(&object)?;
    /// assert_eq!(Messages::builtin().decode(&bytes, None)?.value, object);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`EncodeError`]. What has been decoded against its schema can be encoded.
    pub fn encode(&self, object: &Value) -> Result<Vec<u8>, EncodeError> {
        let (id, api_version, kind) = self.named(object)?;
        envelope_of(api_version, kind, |out| self.write(id, object, out))
    }

    /// A value as a message of this type, without an envelope: an item of a list.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode_message(&self, id: TypeId, value: &Value) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(512);
        self.write(id, value, &mut out)?;
        Ok(out)
    }

    /// A list in its envelope: `list` has apiVersion, kind and metadata, and `items` are messages (see [`Envelope`]), which are
    /// copied and not looked at.
    ///
    /// [`Envelope`]: super::Envelope
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode_list<'i>(
        &self,
        list: &Value,
        items: impl IntoIterator<Item = &'i [u8]>,
    ) -> Result<Vec<u8>, EncodeError> {
        let (id, api_version, kind) = self.named(list)?;
        let message = self.message(id);
        let is_items = |slot: &Slot<'_>| matches!(slot, Slot::Field(field) if field.name == "items" && matches!(field.form, Form::List(_)));
        let number = message.slots.iter().find(|(_, slot)| is_items(slot));
        let Some((number, _)) = number else {
            return Err(EncodeError::Value {
                path: message.name.to_owned(),
                what: "not a list".to_owned(),
            });
        };
        envelope_of(api_version, kind, |out| {
            self.write(id, list, out)?;
            for item in items {
                put_bytes(out, *number, item);
            }
            Ok(())
        })
    }

    /// The type of an object, and what the object says of it.
    fn named<'v>(&self, object: &'v Value) -> Result<(TypeId, &'v str, &'v str), EncodeError> {
        let of = |name: &str| object.get(name).and_then(Value::as_str);
        let (Some(api_version), Some(kind)) = (of("apiVersion"), of("kind")) else {
            return Err(EncodeError::NoKind);
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self.find(&GroupVersionKind {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        });
        match found {
            Some(id) if !self.message(id).slots.is_empty() => Ok((id, api_version, kind)),
            _ => Err(EncodeError::UnknownKind {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            }),
        }
    }

    fn write(&self, id: TypeId, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let message = self.message(id);
        let encoder = Encoder { messages: self };
        object_of(value)
            .and_then(|fields| encoder.fields(message, fields, out, 1))
            .map_err(|fault| {
                let (path, what) = fault.of(message.name);
                EncodeError::Value { path, what }
            })
    }
}

struct Encoder<'m, 'a> {
    messages: &'m Messages<'a>,
}

impl Encoder<'_, '_> {
    /// An object's fields, by their numbers.
    fn fields(
        &self,
        message: &Message<'_>,
        fields: &Map<String, Value>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Write {
        if depth > MAX_DEPTH {
            return Err("nested too deep".into());
        }
        for (number, slot) in &message.slots {
            match slot {
                Slot::Field(field) => {
                    if let Some(value) = fields.get(field.name) {
                        self.field(*number, field, value, out, depth + 1)
                            .map_err(|fault| fault.within(field.name))?;
                    }
                }
                Slot::Inner(inner) => {
                    let before = out.len();
                    let mut empty = true;
                    put_nested(out, *number, |out| {
                        let begin = out.len();
                        self.fields(inner, fields, out, depth)?;
                        empty = out.len() == begin;
                        Ok::<(), Fault>(())
                    })?;
                    if empty {
                        out.truncate(before);
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &self,
        number: u32,
        field: &FieldSlot<'_>,
        value: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Write {
        match (&field.form, value) {
            (_, Value::Null) => Ok(()),
            (Form::List(form), Value::Array(items)) => {
                for item in items {
                    self.value(number, form, item, out, depth + 1)?;
                }
                Ok(())
            }
            (Form::List(_), _) => Err("not a list".into()),
            (Form::Map(form), value) => {
                for (key, value) in object_of(value)? {
                    put_nested(out, number, |out| {
                        put_bytes(out, 1, key.as_bytes());
                        self.value(2, form, value, out, depth + 1)
                    })?;
                }
                Ok(())
            }
            (form, value) => self.value(number, form, value, out, depth),
        }
    }

    /// A value that stands alone. Null, which lists and maps may have, is Go's zero.
    fn value(
        &self,
        number: u32,
        form: &Form,
        value: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Write {
        match (form, value) {
            (Form::Boolean | Form::Int32 | Form::Int64, Value::Null) => put_number(out, number, 0),
            (Form::Double, Value::Null) => put_fixed64(out, number, 0),
            (_, Value::Null) => put_bytes(out, number, &[]),
            (Form::Text, value) => put_bytes(out, number, text(value)?.as_bytes()),
            (Form::Bytes, value) => {
                let bytes = base64_bytes(text(value)?).map_err(Fault::new)?;
                put_bytes(out, number, &bytes);
            }
            (Form::Boolean, value) => {
                let value = value.as_bool().ok_or("not a boolean")?;
                put_number(out, number, value.into());
            }
            (Form::Int32, value) => put_number(out, number, int32(value)?),
            (Form::Int64, value) => {
                let value = value.as_i64().ok_or("not a number of 64 bits")?;
                put_number(out, number, value.cast_unsigned());
            }
            (Form::Double, value) => {
                let value = value.as_f64().ok_or("not a number")?;
                put_fixed64(out, number, value.to_bits());
            }
            (Form::Time, value) => return time(number, text(value)?, false, out),
            (Form::MicroTime, value) => return time(number, text(value)?, true, out),
            (Form::Quantity, value) => {
                let quantity =
                    Quantity::from_value(value).map_err(|error| Fault::new(error.to_string()))?;
                let text = quantity.to_string();
                return put_nested(out, number, |out| {
                    put_bytes(out, 1, text.as_bytes());
                    Ok(())
                });
            }
            _ => return put_nested(out, number, |out| self.message(form, value, out, depth)),
        }
        Ok(())
    }

    /// What lies in a message of its own.
    fn message(&self, form: &Form, value: &Value, out: &mut Vec<u8>, depth: usize) -> Write {
        match (form, value) {
            (Form::IntOrString, Value::String(text)) => {
                put_number(out, 1, 1);
                put_number(out, 2, 0);
                put_bytes(out, 3, text.as_bytes());
            }
            (Form::IntOrString, value) => {
                put_number(out, 1, 0);
                put_number(out, 2, int32(value)?);
                put_bytes(out, 3, &[]);
            }
            (Form::Raw, value) => {
                let json =
                    serde_json::to_vec(value).map_err(|error| Fault::new(error.to_string()))?;
                put_bytes(out, 1, &json);
            }
            (Form::Texts, value) => return texts(1, value, out),
            (Form::Object(id), value) => {
                let message = self.messages.message(*id);
                return self.fields(message, object_of(value)?, out, depth);
            }
            (Form::PropsOrBoolean(_), Value::Bool(allows)) => put_number(out, 1, (*allows).into()),
            (Form::PropsOrBoolean(id), value) => {
                put_number(out, 1, 1);
                return self.value(2, &Form::Object(*id), value, out, depth);
            }
            (Form::PropsOrArray(id), Value::Array(items)) => {
                for item in items {
                    self.value(2, &Form::Object(*id), item, out, depth + 1)?;
                }
            }
            (Form::PropsOrTexts(_), value @ Value::Array(_)) => return texts(2, value, out),
            (Form::PropsOrArray(id) | Form::PropsOrTexts(id), value) => {
                return self.value(1, &Form::Object(*id), value, out, depth);
            }
            _ => return Err("a list within a list".into()),
        }
        Ok(())
    }
}

fn object_of(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| "not an object".into())
}

fn text(value: &Value) -> Result<&str, Fault> {
    value.as_str().ok_or_else(|| "not a text".into())
}

fn texts(number: u32, value: &Value, out: &mut Vec<u8>) -> Write {
    for item in value.as_array().ok_or("not a list")? {
        match item {
            Value::Null => put_bytes(out, number, &[]),
            item => put_bytes(out, number, text(item)?.as_bytes()),
        }
    }
    Ok(())
}

/// A negative number has 64 bits on the wire in either type.
fn int32(value: &Value) -> Result<u64, Fault> {
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
    let number = number.ok_or("not a number of 32 bits")?;
    Ok(i64::from(number).cast_unsigned())
}

/// Both numbers always, as Go has it: a time without fields is none.
fn time(number: u32, text: &str, micro: bool, out: &mut Vec<u8>) -> Write {
    let (seconds, nanoseconds) = scalar::instant(text, micro).map_err(Fault::new)?;
    put_nested(out, number, |out| {
        put_number(out, 1, seconds.cast_unsigned());
        put_varint(out, 2 << 3);
        put_varint(out, i64::from(nanoseconds).cast_unsigned());
        Ok(())
    })
}
