//! What the schemas say of messages, the other way round: by number and not by name. A type's part is made when it is first
//! asked for.

use crate::schema::{Field, GroupVersionKind, Kind, Object, Schema, Schemas, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// Of each type, the fields whose zero value is kept; see the file.
const ZEROS: &str = include_str!("zeros.txt");

/// The package of the kinds that belong to every group.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The one list which protobuf puts into a message of its own (Go has a type `Verbs` there).
const VERBS: (&str, &str) = ("io.k8s.apimachinery.pkg.apis.meta.v1.APIResource", "verbs");

/// Kubernetes' messages. See the [module](super).
#[derive(Debug)]
pub struct Messages<'a> {
    schemas: &'a Schemas,
    messages: BTreeMap<TypeId, OnceLock<Message<'a>>>,
    kinds: HashMap<(&'a str, &'a str, &'a str), TypeId>,
}

/// A type's fields, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    /// OpenAPI name of the type.
    pub(super) name: &'a str,
    pub(super) slots: BTreeMap<u32, Slot<'a>>,
}

/// What a number stands for.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    Field(FieldSlot<'a>),
    /// A message whose fields are the object's own in JSON.
    Inner(Message<'a>),
}

#[derive(Debug)]
pub(super) struct FieldSlot<'a> {
    /// In JSON.
    pub(super) name: &'a str,
    pub(super) form: Form,
    /// Zero is a value of its own, and not absence.
    pub(super) keeps_zero: bool,
}

/// How a value lies in a message, and what it is in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// In JSON as base64.
    Bytes,
    Boolean,
    Int32,
    Int64,
    Double,
    /// `{1: seconds, 2: nanoseconds}`; in JSON a text.
    Time,
    /// The same, to the microsecond.
    MicroTime,
    /// `{1: text}`; in JSON that text.
    Quantity,
    /// `{1: which of both, 2: number, 3: text}`; in JSON one of both.
    IntOrString,
    /// `{1: bytes}`, and these are JSON, or an object in an envelope of its own.
    Raw,
    /// `{1: texts}`; in JSON a list.
    Texts,
    /// `{1: whether anything is allowed, 2: schema}`; in JSON one of both.
    PropsOrBoolean(TypeId),
    /// `{1: schema, 2: schemas}`; in JSON one of both.
    PropsOrArray(TypeId),
    /// `{1: schema, 2: texts}`; in JSON one of both.
    PropsOrTexts(TypeId),
    Object(TypeId),
    List(Box<Form>),
    /// A list of `{1: key, 2: value}`.
    Map(Box<Form>),
}

impl Messages<'static> {
    /// Those of Kubernetes' own types.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Messages<'static>> = OnceLock::new();
        BUILTIN.get_or_init(|| Messages::new(Schemas::builtin()))
    }
}

impl<'a> Messages<'a> {
    /// Those of these types. Fields without a number are in no message, so a custom resource has empty ones.
    #[must_use]
    pub fn new(schemas: &'a Schemas) -> Self {
        let kinds = schemas.types().filter_map(|(id, named)| {
            let kind = named.kind.as_ref()?;
            Some(((&*kind.group, &*kind.version, &*kind.kind), id))
        });
        Self {
            schemas,
            messages: schemas
                .types()
                .map(|(id, _)| (id, OnceLock::new()))
                .collect(),
            kinds: kinds.collect(),
        }
    }

    /// The type of a kind. `DeleteOptions` and its kin are of every group.
    pub(super) fn find(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        let of = |group, version| self.kinds.get(&(group, version, &*kind.kind)).copied();
        of(&kind.group, &kind.version).or_else(|| {
            let id = of("", "v1")?;
            let named = self.schemas.get(id)?;
            named.name.starts_with(META).then_some(id)
        })
    }

    /// A type's message; an empty one where the type is no object.
    pub(super) fn message(&self, id: TypeId) -> &Message<'a> {
        static EMPTY: Message<'static> = Message {
            name: "",
            slots: BTreeMap::new(),
        };
        match self.messages.get(&id) {
            Some(message) => message.get_or_init(|| self.build(id)),
            None => &EMPTY,
        }
    }

    fn build(&self, id: TypeId) -> Message<'a> {
        let Some(named) = self.schemas.get(id) else {
            return Message::default();
        };
        let mut message = Message {
            name: &named.name,
            slots: BTreeMap::new(),
        };
        if let Kind::Object(object) = &named.schema.kind {
            self.fill(&mut message, object, named.kind.is_some());
        }
        message
    }

    fn fill(&self, message: &mut Message<'a>, object: &'a Object, says_its_kind: bool) {
        let kept = kept(message.name);
        for (name, field) in &object.fields {
            // What an object is stands in its envelope.
            if says_its_kind && matches!(&**name, "apiVersion" | "kind") {
                continue;
            }
            let (Some(tag), Some(form)) = (field.tag, self.of_field(message.name, name, field))
            else {
                continue;
            };
            let slot = FieldSlot {
                name,
                form,
                keeps_zero: field.required || kept.contains(&&**name),
            };
            if let Some(slots) = message.inner(&field.within) {
                slots.insert(tag, Slot::Field(slot));
            }
        }
    }

    fn of_field(&self, of: &str, name: &str, field: &Field) -> Option<Form> {
        match self.form(&field.schema)? {
            Form::List(_) if (of, name) == VERBS => Some(Form::Texts),
            form => Some(form),
        }
    }

    /// None for what has no message: an object without a name.
    fn form(&self, schema: &Schema) -> Option<Form> {
        let named = match schema.kind {
            Kind::Reference(id) => self.schemas.get(id).map(|named| (id, &*named.name)),
            _ => None,
        };
        let resolved = schema.resolve(self.schemas);
        Some(match (&resolved.kind, resolved.format.as_deref(), named) {
            (Kind::Object(_), _, Some((id, _))) => Form::Object(id),
            (Kind::Any, _, Some((_, name))) => self.props(name).unwrap_or(Form::Raw),
            (Kind::Any, ..) => Form::Raw,
            (Kind::String, Some("byte"), _) => Form::Bytes,
            (Kind::String, Some("date-time"), Some((_, name))) if name.ends_with(".MicroTime") => {
                Form::MicroTime
            }
            (Kind::String, Some("date-time"), _) => Form::Time,
            (Kind::String, ..) => Form::Text,
            (Kind::Integer, Some("int32"), _) => Form::Int32,
            (Kind::Integer, ..) => Form::Int64,
            (Kind::Number, ..) => Form::Double,
            (Kind::Boolean, ..) => Form::Boolean,
            (Kind::IntOrString, ..) => Form::IntOrString,
            (Kind::Quantity, ..) => Form::Quantity,
            (Kind::Array(items, _), ..) => Form::List(Box::new(self.form(items)?)),
            (Kind::Map(values, _), ..) => match self.form(values)? {
                // Go has a type for the list (`ExtraValue`): a map's values are no lists in protobuf.
                Form::List(_) => Form::Map(Box::new(Form::Texts)),
                form => Form::Map(Box::new(form)),
            },
            (Kind::Object(_) | Kind::Reference(_), ..) => return None,
        })
    }

    /// The three types that are a JSON Schema or something else.
    fn props(&self, name: &str) -> Option<Form> {
        let (props, what) = name.split_at_checked(name.rfind("Or")?)?;
        let id = self.schemas.find(props)?;
        match what {
            "OrBool" => Some(Form::PropsOrBoolean(id)),
            "OrArray" => Some(Form::PropsOrArray(id)),
            "OrStringArray" => Some(Form::PropsOrTexts(id)),
            _ => None,
        }
    }
}

impl<'a> Message<'a> {
    /// The fields of a message within this one, and within that; none where a field has that number.
    fn inner(&mut self, within: &[u32]) -> Option<&mut BTreeMap<u32, Slot<'a>>> {
        let Some((first, rest)) = within.split_first() else {
            return Some(&mut self.slots);
        };
        let message = Message {
            name: self.name,
            slots: BTreeMap::new(),
        };
        match self.slots.entry(*first).or_insert(Slot::Inner(message)) {
            Slot::Inner(message) => message.inner(rest),
            Slot::Field(_) => None,
        }
    }
}

/// The fields of a type that keep their zero although they may be absent.
fn kept(name: &str) -> &'static [&'static str] {
    static KEPT: OnceLock<HashMap<String, Vec<&'static str>>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let lines = zeros().filter(|(_, kept, _)| *kept);
        lines.map(|(name, _, fields)| (name, fields)).collect()
    });
    kept.get(name).map_or(&[], Vec::as_slice)
}

/// The file: a type, whether zeros are kept, and fields.
fn zeros() -> impl Iterator<Item = (String, bool, Vec<&'static str>)> {
    let mut package = "";
    ZEROS.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix("package ") {
            package = name;
            return None;
        }
        let mut words = line.split(' ');
        let (name, sign) = (words.next()?, words.next()?);
        matches!(sign, "+" | "-")
            .then(|| (format!("{package}.{name}"), sign == "+", words.collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(of: &str) -> &'static BTreeMap<u32, Slot<'static>> {
        let id = Schemas::builtin().find(of).unwrap();
        &Messages::builtin().message(id).slots
    }

    fn form<'a>(of: &'a str, name: &str) -> &'a Form {
        let find = |slot: &'static Slot<'static>| match slot {
            Slot::Field(field) if field.name == name => Some(&field.form),
            _ => None,
        };
        slots(of).values().find_map(find).unwrap()
    }

    /// A field that a new release of Kubernetes brings must get its line.
    #[test]
    fn each_field_that_may_be_absent_has_its_line() {
        let mut listed: Vec<(String, &str)> = zeros()
            .flat_map(|(name, _, fields)| {
                fields.into_iter().map(move |field| (name.clone(), field))
            })
            .collect();
        listed.sort();
        let mut there = Vec::new();
        for (id, named) in Schemas::builtin().types() {
            scalars(
                &Messages::builtin().message(id).slots,
                &named.name,
                &mut there,
            );
        }
        there.sort();
        let missing: Vec<_> = there.iter().filter(|one| !listed.contains(one)).collect();
        let strange: Vec<_> = listed.iter().filter(|one| !there.contains(one)).collect();
        assert!(
            missing.is_empty() && strange.is_empty(),
            "{missing:?} {strange:?}"
        );
        assert_eq!(listed.len(), there.len(), "a field is listed twice");
    }

    fn scalars<'a>(slots: &BTreeMap<u32, Slot<'a>>, of: &str, found: &mut Vec<(String, &'a str)>) {
        let Kind::Object(object) = &Schemas::builtin()
            .get(Schemas::builtin().find(of).unwrap())
            .unwrap()
            .schema
            .kind
        else {
            return;
        };
        for slot in slots.values() {
            match slot {
                Slot::Inner(message) => scalars(&message.slots, of, found),
                Slot::Field(field) => {
                    let scalar = matches!(
                        field.form,
                        Form::Text
                            | Form::Bytes
                            | Form::Boolean
                            | Form::Int32
                            | Form::Int64
                            | Form::Double
                    );
                    if scalar && !object.fields[field.name].required {
                        found.push((of.to_owned(), field.name));
                    }
                }
            }
        }
    }

    fn count(slots: &BTreeMap<u32, Slot<'_>>) -> usize {
        let each = slots.values().map(|slot| match slot {
            Slot::Field(_) => 1,
            Slot::Inner(message) => count(&message.slots),
        });
        each.sum()
    }

    /// Nothing that has a number is left out for want of a form or a place.
    #[test]
    fn each_field_with_a_number_has_a_form_and_a_place() {
        let messages = Messages::builtin();
        for (id, named) in Schemas::builtin().types() {
            let Kind::Object(object) = &named.schema.kind else {
                continue;
            };
            let mut expect = 0;
            for (name, field) in &object.fields {
                let says_its_kind =
                    named.kind.is_some() && matches!(&**name, "apiVersion" | "kind");
                if field.tag.is_some() && !says_its_kind {
                    let form = messages.of_field(&named.name, name, field);
                    assert!(form.is_some(), "{}.{name}", named.name);
                    expect += 1;
                }
            }
            assert_eq!(count(&messages.message(id).slots), expect, "{}", named.name);
        }
    }

    #[test]
    fn forms_of_the_types_that_json_shows_otherwise() {
        let check = |of: &str, name: &str, expect: &Form| assert_eq!(form(of, name), expect);
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
        check(
            &format!("{meta}.ObjectMeta"),
            "creationTimestamp",
            &Form::Time,
        );
        check("io.k8s.api.core.v1.Event", "eventTime", &Form::MicroTime);
        check(&format!("{meta}.APIResource"), "verbs", &Form::Texts);
        check(
            "io.k8s.api.authentication.v1.UserInfo",
            "extra",
            &Form::Map(Box::new(Form::Texts)),
        );
        check(
            "io.k8s.api.core.v1.ResourceRequirements",
            "limits",
            &Form::Map(Box::new(Form::Quantity)),
        );
        check(
            "io.k8s.api.core.v1.Secret",
            "data",
            &Form::Map(Box::new(Form::Bytes)),
        );
        let props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        let id = Schemas::builtin().find(props).unwrap();
        check(props, "items", &Form::PropsOrArray(id));
        check(props, "additionalProperties", &Form::PropsOrBoolean(id));
        check(
            props,
            "dependencies",
            &Form::Map(Box::new(Form::PropsOrTexts(id))),
        );
        check(props, "default", &Form::Raw);
        let Slot::Inner(source) = &slots("io.k8s.api.core.v1.Volume")[&2] else {
            panic!("a volume's source is a message of its own");
        };
        assert!(matches!(&source.slots[&1], Slot::Field(field) if field.name == "hostPath"));
    }

    #[test]
    fn kinds_of_every_group_are_found_in_each() {
        let find = |group: &str, version: &str, kind: &str| {
            let id = Messages::builtin().find(&GroupVersionKind {
                group: group.into(),
                version: version.into(),
                kind: kind.into(),
            })?;
            Some(&*Schemas::builtin().get(id)?.name)
        };
        let options = Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        assert_eq!(find("", "v1", "DeleteOptions"), options);
        assert_eq!(find("apps", "v1", "DeleteOptions"), options);
        assert_eq!(find("policy", "v1beta1", "DeleteOptions"), options);
        assert_eq!(find("apps", "v1", "Pod"), None);
    }
}
