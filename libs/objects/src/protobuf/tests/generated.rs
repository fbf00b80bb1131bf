//! Values of every kind, made from the schemas and a seed: they are the same after a round trip, and JSON takes them as they are.

use super::*;
use crate::protobuf::index::{FieldSlot, Form, Message, Slot};
use crate::protobuf::scalar;
use crate::quantity::{Format, Quantity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, json};

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many.
    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    /// Small ones and those at the edges more often than not.
    fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => 0,
            1 => self.below(200).cast_signed() - 100,
            2 => [i64::MIN, i64::MAX, i64::from(i32::MIN), 1 << 32]
                [usize::try_from(self.below(4)).unwrap()],
            _ => self.next().cast_signed(),
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: &[char] = &[
            'a', 'b', 'Z', '0', '-', '/', '"', '\\', ' ', '\n', '\0', 'é', '漢', '😀',
        ];
        let length = [0, 1, 3, 20, 200][usize::try_from(self.below(5)).unwrap()];
        (0..length)
            .map(|_| LETTERS[usize::try_from(self.below(14)).unwrap()])
            .collect()
    }

    fn fields(&mut self, message: &Message<'_>, depth: usize, into: &mut Map<String, Value>) {
        // The deeper, the fewer.
        let chance = [9, 5, 4, 3, 2, 1, 1][depth.min(6)];
        for slot in message.slots.values() {
            match slot {
                Slot::Inner(inner) => self.fields(inner, depth, into),
                Slot::Field(field) if self.below(10) < chance => {
                    if let Some(value) = self.field(field, depth) {
                        into.insert(field.name.to_owned(), value);
                    }
                }
                Slot::Field(_) => {}
            }
        }
    }

    fn field(&mut self, field: &FieldSlot<'_>, depth: usize) -> Option<Value> {
        let value = self.value(&field.form, depth);
        let is_scalar = !matches!(
            field.form,
            Form::Time | Form::MicroTime | Form::Quantity | Form::IntOrString | Form::Raw
        );
        (field.keeps_zero || !is_scalar || !scalar::is_zero(&value)).then_some(value)
    }

    fn object(&mut self, id: TypeId, depth: usize) -> Value {
        let mut fields = Map::new();
        if depth < 12 {
            self.fields(Messages::builtin().message(id), depth, &mut fields);
        }
        Value::Object(fields)
    }

    fn list(&mut self, form: &Form, depth: usize) -> Value {
        let count = 1 + self.below(2);
        Value::Array((0..count).map(|_| self.value(form, depth)).collect())
    }

    /// A value in the form that decoding gives it.
    fn value(&mut self, form: &Form, depth: usize) -> Value {
        let depth = depth + 1;
        match form {
            Form::Text => self.text().into(),
            Form::Bytes => STANDARD.encode(self.text()).into(),
            Form::Boolean => (self.below(2) == 1).into(),
            Form::Int32 => scalar::int32(self.number().cast_unsigned()).into(),
            Form::Int64 => self.number().into(),
            Form::Double => match self.below(3) {
                0 => json!(0.125),
                1 => json!(-1e300),
                _ => scalar::int32(self.next()).into(),
            },
            Form::Time | Form::MicroTime => {
                let micro = *form == Form::MicroTime;
                let seconds = self.below(10_000_000_000).cast_signed() - 5_000_000_000;
                let micros = scalar::int32(self.below(1_000_000));
                scalar::time(seconds, micros * 1_000, micro)
                    .unwrap()
                    .unwrap()
            }
            Form::Quantity => {
                let format = [Format::DecimalSi, Format::BinarySi, Format::DecimalExponent];
                let format = format[usize::try_from(self.below(3)).unwrap()];
                let text = Quantity::new(self.number(), format).to_string();
                text.parse::<Quantity>().unwrap().to_string().into()
            }
            Form::IntOrString if self.below(2) == 0 => self.text().into(),
            Form::IntOrString => scalar::int32(self.next()).into(),
            Form::Raw => json!({self.text(): [null, true, self.number(), 1.5, {"f:a": {}}]}),
            Form::Texts => self.list(&Form::Text, depth),
            Form::PropsOrBoolean(_) if self.below(2) == 0 => (self.below(2) == 1).into(),
            Form::PropsOrArray(id) if self.below(2) == 0 => self.list(&Form::Object(*id), depth),
            Form::PropsOrTexts(_) if self.below(2) == 0 => self.list(&Form::Text, depth),
            Form::PropsOrBoolean(id)
            | Form::PropsOrArray(id)
            | Form::PropsOrTexts(id)
            | Form::Object(id) => self.object(*id, depth),
            Form::List(form) => self.list(form, depth),
            Form::Map(form) => json!({self.text(): self.value(form, depth)}),
        }
    }
}

fn round_trip(id: TypeId, seed: u64) {
    let messages = Messages::builtin();
    let named = Schemas::builtin().get(id).unwrap();
    let mut object = Random(seed).object(id, 0);
    // A table is no message, and an event of a watch has no envelope.
    let is_object = !messages.message(id).slots.is_empty() && !named.name.ends_with(".WatchEvent");
    let Some(kind) = named.kind.as_ref().filter(|_| is_object) else {
        let bytes = messages.encode_message(id, &object).unwrap();
        assert_eq!(
            messages.decode_message(id, &bytes).as_ref(),
            Ok(&object),
            "{} {seed}",
            named.name
        );
        return;
    };
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = (&*kind.kind).into();
    assert_eq!(as_from_json(id, &object), object, "{} {seed}", named.name);
    let bytes = messages.encode(&object).unwrap();
    let found = messages.decode(&bytes, None).unwrap();
    assert_eq!(found.value, object, "{} {seed}", named.name);
}

#[test]
fn values_of_every_type_return() {
    for (id, _) in Schemas::builtin().types() {
        for seed in 0..20 {
            round_trip(id, seed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn values_of_well_known_kinds_return(seed: u64) {
        for of in [
            "io.k8s.api.core.v1.Pod",
            "io.k8s.api.apps.v1.Deployment",
            "io.k8s.api.core.v1.Service",
            "io.k8s.api.core.v1.ConfigMap",
            "io.k8s.api.core.v1.Secret",
            "io.k8s.api.core.v1.Event",
            "io.k8s.api.core.v1.PersistentVolume",
            "io.k8s.api.networking.v1.NetworkPolicy",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
        ] {
            round_trip(id(of), seed);
        }
    }
}
