//! Labels and selectable fields out of an object's bytes, and nothing else: the rest is skipped, not built.

use kinds::rules::Selectable;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::{cell::RefCell, fmt};

/// What to look for, made once for each resource.
#[derive(Debug)]
pub struct Picker {
    root: Node,
    fields: &'static [Selectable],
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<(&'static str, Node)>,
    /// The place of the field that ends here.
    field: Option<usize>,
    /// These are the labels.
    labels: bool,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// In the order of their keys.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// In the order of the picker's fields; None: absent.
    pub fields: Vec<Option<Box<str>>>,
}

impl Picker {
    /// For these fields.
    #[must_use]
    pub fn new(fields: &'static [Selectable]) -> Self {
        let mut root = Node::default();
        root.at("metadata.labels").labels = true;
        for (place, selectable) in fields.iter().enumerate() {
            root.at(selectable.field).field = Some(place);
        }
        Self { root, fields }
    }

    /// The fields that it looks for.
    #[must_use]
    pub fn fields(&self) -> &'static [Selectable] {
        self.fields
    }

    /// Looks them up in an object's JSON.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn pick(&self, object: &[u8]) -> Result<Picked, serde_json::Error> {
        let found = RefCell::new(Picked {
            labels: Vec::new(),
            fields: vec![None; self.fields.len()],
        });
        let mut source = serde_json::Deserializer::from_slice(object);
        let seed = Seed {
            node: &self.root,
            found: &found,
        };
        seed.deserialize(&mut source)?;
        source.end()?;
        let mut found = found.into_inner();
        found.labels.sort_unstable();
        Ok(found)
    }
}

impl Node {
    fn at(&mut self, path: &'static str) -> &mut Self {
        let mut node = self;
        for step in path.split('.') {
            let known = node.children.iter().position(|(name, _)| *name == step);
            let place = known.unwrap_or_else(|| {
                node.children.push((step, Self::default()));
                node.children.len() - 1
            });
            node = &mut node.children[place].1;
        }
        node
    }
}

struct Seed<'a> {
    node: &'a Node,
    found: &'a RefCell<Picked>,
}

impl Seed<'_> {
    fn scalar(&self, text: &str) {
        if let Some(place) = self.node.field {
            self.found.borrow_mut().fields[place] = Some(text.into());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if self.node.labels {
                let value: serde_json::Value = map.next_value()?;
                if let Some(value) = value.as_str() {
                    let label = (key.as_ref().into(), value.into());
                    self.found.borrow_mut().labels.push(label);
                }
                continue;
            }
            match self.node.children.iter().find(|(name, _)| *name == key) {
                Some((_, node)) => map.next_value_seed(Seed {
                    node,
                    found: self.found,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_fields() {
        const FIELDS: &[Selectable] = &[
            Selectable::new("spec.nodeName"),
            Selectable::new("spec.unschedulable"),
            Selectable::new("status.phase"),
            Selectable::new("status.successful"),
        ];
        let picker = Picker::new(FIELDS);
        let check = |object: &str, labels: &[(&str, &str)], fields: [Option<&str>; 4]| {
            let picked = picker.pick(object.as_bytes()).expect("JSON");
            let told: Vec<_> = picked
                .labels
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect();
            assert_eq!(told, labels);
            let told: Vec<_> = picked.fields.iter().map(Option::as_deref).collect();
            assert_eq!(told, fields);
        };
        check("{}", &[], [None; 4]);
        check(
            r#"{"spec":{"containers":[{"nodeName":"no"}],"nodeName":"a","unschedulable":true},
                "metadata":{"name":"x","labels":{"b":"2","a":"\u0031"}},
                "status":{"phase":"Running","successful":3,"nodeName":"no"}}"#,
            &[("a", "1"), ("b", "2")],
            [Some("a"), Some("true"), Some("Running"), Some("3")],
        );
        // What is of another type is absent.
        check(
            r#"{"spec":null,"metadata":{"labels":[1]},"status":{"phase":{"a":1},"successful":[]}}"#,
            &[],
            [None; 4],
        );
        assert!(picker.pick(b"{").is_err());
        assert!(picker.pick(b"{}{}").is_err());
    }
}
