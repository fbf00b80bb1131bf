//! Reading and changing `metadata`.

use serde_json::{Map, Value};

/// The `metadata` of an object. What is absent, or of another type than its schema says, reads as empty.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Metadata<'a> {
    /// That of an object.
    #[must_use]
    pub fn of(object: &'a Value) -> Self {
        Metadata {
            fields: object.get("metadata").and_then(Value::as_object),
        }
    }

    /// A field.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a Value> {
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    fn text(self, name: &str) -> &'a str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(self, name: &str) -> &'a [Value] {
        let list = self.get(name).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// The object's name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.text("name")
    }

    /// What a generated name begins with.
    #[must_use]
    pub fn generate_name(self) -> &'a str {
        self.text("generateName")
    }

    /// The object's namespace; empty without one.
    #[must_use]
    pub fn namespace(self) -> &'a str {
        self.text("namespace")
    }

    /// The object's identity in time.
    #[must_use]
    pub fn uid(self) -> &'a str {
        self.text("uid")
    }

    /// The version that a client saw.
    #[must_use]
    pub fn resource_version(self) -> &'a str {
        self.text("resourceVersion")
    }

    /// How often the spec changed.
    #[must_use]
    pub fn generation(self) -> i64 {
        self.get("generation").and_then(Value::as_i64).unwrap_or(0)
    }

    /// When the object was created.
    #[must_use]
    pub fn creation_timestamp(self) -> Option<&'a str> {
        self.get("creationTimestamp").and_then(Value::as_str)
    }

    /// When the object is to be gone; there while it is being deleted.
    #[must_use]
    pub fn deletion_timestamp(self) -> Option<&'a str> {
        self.get("deletionTimestamp").and_then(Value::as_str)
    }

    /// How long the object may take to be gone.
    #[must_use]
    pub fn deletion_grace_period_seconds(self) -> Option<i64> {
        self.get("deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
    }

    /// Labels.
    #[must_use]
    pub fn labels(self) -> Option<&'a Map<String, Value>> {
        self.get("labels").and_then(Value::as_object)
    }

    /// Annotations.
    #[must_use]
    pub fn annotations(self) -> Option<&'a Map<String, Value>> {
        self.get("annotations").and_then(Value::as_object)
    }

    /// A label's value.
    #[must_use]
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.labels()?.get(key)?.as_str()
    }

    /// An annotation's value.
    #[must_use]
    pub fn annotation(self, key: &str) -> Option<&'a str> {
        self.annotations()?.get(key)?.as_str()
    }

    /// What must be done before the object may go.
    pub fn finalizers(self) -> impl Iterator<Item = &'a str> {
        self.list("finalizers").iter().filter_map(Value::as_str)
    }

    /// Objects that this one goes with.
    #[must_use]
    pub fn owner_references(self) -> &'a [Value] {
        self.list("ownerReferences")
    }

    /// The owner that manages this object.
    #[must_use]
    pub fn controller(self) -> Option<&'a Value> {
        let mut owners = self.owner_references().iter();
        owners.find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
    }

    /// Who owns which fields.
    #[must_use]
    pub fn managed_fields(self) -> &'a [Value] {
        self.list("managedFields")
    }
}

/// The fields of `metadata`, to be changed; made where they are not there. An object is made of what is none.
pub fn edit(object: &mut Value) -> &mut Map<String, Value> {
    child(child_object(object), "metadata")
}

fn child<'a>(fields: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    child_object(fields.entry(name).or_insert(Value::Null))
}

fn child_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object")
}

/// Before a change is checked: what a client may leave out, or cannot change, is as it was. The UID when it is absent; the
/// time of creation always; the time of deletion once there is one, and its grace period when it is absent.
pub fn carry_over(object: &mut Value, old: &Value) {
    let old = Metadata::of(old);
    let now = Metadata::of(object);
    let mut names = vec!["creationTimestamp"];
    if now.uid().is_empty() {
        names.push("uid");
    }
    if old.deletion_timestamp().is_some() {
        names.push("deletionTimestamp");
    }
    if now.deletion_grace_period_seconds().is_none() {
        names.push("deletionGracePeriodSeconds");
    }
    let fields = edit(object);
    for name in names {
        match old.get(name) {
            Some(value) => fields.insert(name.to_owned(), value.clone()),
            None => fields.remove(name),
        };
    }
}
