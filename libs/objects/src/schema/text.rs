//! The text form of the built-in schemas, as `cargo xtask schemas` writes it: a block for each type, a line for each field.
//! The grammar is described there (`xtask/src/schemas/text.rs`).

use super::{
    Field, GroupVersionKind, Kind, List, NamedType, Patch, Resource, Schema, Schemas, TypeId,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use thiserror::Error;

/// The files in `schemas/`, without the descriptions.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "admissionregistration.v1.txt",
        include_str!("../../schemas/admissionregistration.v1.txt"),
    ),
    (
        "apiextensions.v1.txt",
        include_str!("../../schemas/apiextensions.v1.txt"),
    ),
    (
        "apiregistration.v1.txt",
        include_str!("../../schemas/apiregistration.v1.txt"),
    ),
    ("apps.v1.txt", include_str!("../../schemas/apps.v1.txt")),
    (
        "authentication.v1.txt",
        include_str!("../../schemas/authentication.v1.txt"),
    ),
    (
        "authorization.v1.txt",
        include_str!("../../schemas/authorization.v1.txt"),
    ),
    (
        "autoscaling.v1.txt",
        include_str!("../../schemas/autoscaling.v1.txt"),
    ),
    (
        "autoscaling.v2.txt",
        include_str!("../../schemas/autoscaling.v2.txt"),
    ),
    ("batch.v1.txt", include_str!("../../schemas/batch.v1.txt")),
    (
        "certificates.v1.txt",
        include_str!("../../schemas/certificates.v1.txt"),
    ),
    (
        "coordination.v1.txt",
        include_str!("../../schemas/coordination.v1.txt"),
    ),
    ("core.v1.txt", include_str!("../../schemas/core.v1.txt")),
    (
        "discovery.v1.txt",
        include_str!("../../schemas/discovery.v1.txt"),
    ),
    ("events.v1.txt", include_str!("../../schemas/events.v1.txt")),
    (
        "flowcontrol.v1.txt",
        include_str!("../../schemas/flowcontrol.v1.txt"),
    ),
    ("intstr.txt", include_str!("../../schemas/intstr.txt")),
    ("meta.v1.txt", include_str!("../../schemas/meta.v1.txt")),
    (
        "networking.v1.txt",
        include_str!("../../schemas/networking.v1.txt"),
    ),
    ("node.v1.txt", include_str!("../../schemas/node.v1.txt")),
    ("policy.v1.txt", include_str!("../../schemas/policy.v1.txt")),
    ("quantity.txt", include_str!("../../schemas/quantity.txt")),
    ("rbac.v1.txt", include_str!("../../schemas/rbac.v1.txt")),
    (
        "resource.v1.txt",
        include_str!("../../schemas/resource.v1.txt"),
    ),
    ("runtime.txt", include_str!("../../schemas/runtime.txt")),
    (
        "scheduling.v1.txt",
        include_str!("../../schemas/scheduling.v1.txt"),
    ),
    (
        "storage.v1.txt",
        include_str!("../../schemas/storage.v1.txt"),
    ),
    ("version.txt", include_str!("../../schemas/version.txt")),
];

/// A line that is not of the form.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("schema text, line {line}: {what}")]
pub struct FormError {
    /// From 1, over all texts together.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// See [`Schemas::builtin`].
pub(super) fn builtin() -> &'static Schemas {
    static BUILTIN: OnceLock<Schemas> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        let texts: Vec<&str> = FILES.iter().map(|(_, text)| *text).collect();
        Schemas::parse(&texts).expect("the files are generated, and a test reads them")
    })
}

impl Schemas {
    /// Reads types from texts of this form; a type may refer to one of another text.
    ///
    /// # Errors
    /// The first line that is not of the form, or that refers to a type which no text has.
    pub fn parse(texts: &[&str]) -> Result<Self, FormError> {
        let mut reader = Reader::default();
        for text in texts {
            reader.names(text)?;
        }
        reader.line = 0;
        for text in texts {
            reader.text(text)?;
        }
        reader.end_of_type();
        let mut schemas = reader.schemas;
        schemas.resources.sort_by(|a, b| {
            let key = |resource: &Resource| {
                let kind = &resource.kind;
                (
                    kind.group.clone(),
                    kind.version.clone(),
                    resource.plural.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        Ok(schemas)
    }
}

#[derive(Default)]
struct Reader<'a> {
    schemas: Schemas,
    line: usize,
    /// Names in the text are within it.
    package: &'a str,
    /// The type whose lines are being read.
    open: Option<(TypeId, Schema, Option<GroupVersionKind>)>,
}

type Read<T> = Result<T, FormError>;

impl<'a> Reader<'a> {
    fn fault<T>(&self, what: impl Into<String>) -> Read<T> {
        Err(FormError {
            line: self.line,
            what: what.into(),
        })
    }

    /// First pass: each type gets its place, so that the second one can refer to it.
    fn names(&mut self, text: &'a str) -> Read<()> {
        for line in text.lines() {
            self.line += 1;
            if let Some(package) = line.strip_prefix("package ") {
                self.package = package;
            } else if let Some(rest) = line.strip_prefix("type ") {
                let name = rest.split(' ').next().unwrap_or(rest);
                let name = self.whole(name);
                if self.schemas.find(&name).is_some() {
                    return self.fault(format!("{name} is there twice"));
                }
                self.schemas.insert(NamedType {
                    name: name.into(),
                    schema: Schema::default(),
                    kind: None,
                });
            }
        }
        Ok(())
    }

    /// Second pass.
    fn text(&mut self, text: &'a str) -> Read<()> {
        for line in text.lines() {
            self.line += 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(package) = line.strip_prefix("package ") {
                self.end_of_type();
                self.package = package;
            } else if let Some(rest) = line.strip_prefix("type ") {
                self.end_of_type();
                self.open_type(rest)?;
            } else if let Some(rest) = line.strip_prefix("  @resource ") {
                self.resource(rest)?;
            } else if let Some(rest) = line.strip_prefix("  @kind ") {
                let kind = self.kind(&options(rest))?;
                match &mut self.open {
                    Some((.., open)) => *open = Some(kind),
                    None => return self.fault("a kind outside of a type"),
                }
            } else if let Some(rest) = line.strip_prefix("  ") {
                self.field(rest)?;
            } else {
                return self.fault("neither type nor field");
            }
        }
        Ok(())
    }

    fn whole(&self, name: &str) -> String {
        if name.contains('.') {
            name.to_owned()
        } else {
            format!("{}.{name}", self.package)
        }
    }

    fn id(&self, name: &str) -> Read<TypeId> {
        let name = self.whole(name);
        match self.schemas.find(&name) {
            Some(id) => Ok(id),
            None => self.fault(format!("no type {name}")),
        }
    }

    fn open_type(&mut self, rest: &str) -> Read<()> {
        let mut words = rest.split(' ');
        let id = self.id(words.next().unwrap_or_default())?;
        let mut schema = self.shape(words.next().unwrap_or_default())?;
        match (words.next(), &mut schema.kind) {
            (None, _) => {}
            (Some("atomic"), Kind::Object(object)) => object.atomic = true,
            (Some(word), _) => return self.fault(format!("`{word}` of a type")),
        }
        self.open = Some((id, schema, None));
        Ok(())
    }

    fn end_of_type(&mut self) {
        let Some((id, schema, kind)) = self.open.take() else {
            return;
        };
        let place = usize::try_from(id.0).ok();
        if let Some(named) = place.and_then(|place| self.schemas.types.get_mut(place)) {
            named.schema = schema;
            named.kind = kind;
        }
    }

    fn kind(&self, options: &BTreeMap<&str, &str>) -> Read<GroupVersionKind> {
        match (
            options.get("group"),
            options.get("version"),
            options.get("kind"),
        ) {
            (Some(group), Some(version), Some(kind)) => Ok(GroupVersionKind {
                group: if *group == "-" { "" } else { group }.into(),
                version: (*version).into(),
                kind: (*kind).into(),
            }),
            _ => self.fault("group, version or kind is missing"),
        }
    }

    fn resource(&mut self, rest: &str) -> Read<()> {
        let options = options(rest);
        let kind = self.kind(&options)?;
        let Some((id, _, open)) = &mut self.open else {
            return self.fault("a resource outside of a type");
        };
        *open = Some(kind.clone());
        let type_id = *id;
        let (Some(plural), Some(singular), Some(scope), Some(list)) = (
            options.get("plural"),
            options.get("singular"),
            options.get("scope"),
            options.get("list"),
        ) else {
            return self.fault("plural, singular, scope or list is missing");
        };
        let namespaced = match *scope {
            "namespaced" => true,
            "cluster" => false,
            other => return self.fault(format!("scope {other}")),
        };
        self.schemas.resources.push(Resource {
            kind,
            plural: (*plural).into(),
            singular: (*singular).into(),
            namespaced,
            list_kind: Some(*list).filter(|list| *list != "-").map(Into::into),
            type_id,
        });
        Ok(())
    }

    /// `NAME SHAPE OPTION...`; the default, if there is one, ends the line.
    fn field(&mut self, rest: &str) -> Read<()> {
        let (rest, default) = match rest.split_once(" default=") {
            Some((rest, default)) => (rest, Some(default)),
            None => (rest, None),
        };
        let mut words = rest.split(' ');
        let (Some(name), Some(shape)) = (words.next(), words.next()) else {
            return self.fault("a field without a shape");
        };
        let mut field = Field {
            schema: self.shape(shape)?,
            ..Field::default()
        };
        for word in words {
            self.option(&mut field, word)?;
        }
        if let Some(default) = default {
            match serde_json::from_str(default) {
                Ok(value) => field.schema.default = Some(Box::new(value)),
                Err(_) => return self.fault(format!("the default `{default}` is no JSON")),
            }
        }
        match &mut self.open {
            Some((_, schema, _)) => match &mut schema.kind {
                Kind::Object(object) => {
                    object.fields.insert(name.into(), field);
                    Ok(())
                }
                _ => self.fault("a field of what is no object"),
            },
            None => self.fault("a field outside of a type"),
        }
    }

    fn option(&self, field: &mut Field, word: &str) -> Read<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match (name, &mut field.schema.kind) {
            ("required", _) => field.required = true,
            ("immutable", _) => field.schema.immutable = true,
            ("atomic", Kind::Map(_, atomic)) => *atomic = true,
            ("atomic", Kind::Reference(_)) => field.schema.atomic = true,
            ("tag", _) => {
                let tags: Result<Vec<u32>, _> = value.split('.').map(str::parse).collect();
                let Ok(mut tags) = tags else {
                    return self.fault(format!("tag {value}"));
                };
                field.tag = tags.pop();
                field.within = tags.into();
            }
            ("list", Kind::Array(_, list)) => {
                *list = match (value, value.strip_prefix("map:")) {
                    ("atomic", _) => List::Atomic,
                    ("set", _) => List::Set,
                    (_, Some(keys)) => List::Map(keys.split(',').map(Into::into).collect()),
                    _ => return self.fault(format!("list {value}")),
                };
            }
            ("patch", _) => {
                let patch = &mut field.schema.patch;
                for strategy in value.split(',') {
                    match strategy {
                        "merge" => patch.merge = true,
                        "retainKeys" => patch.retain_keys = true,
                        _ => return self.fault(format!("patch strategy {strategy}")),
                    }
                }
            }
            ("mergeKey", _) => {
                let patch = Patch {
                    merge_key: Some(value.into()),
                    ..std::mem::take(&mut field.schema.patch)
                };
                field.schema.patch = patch;
            }
            _ => return self.fault(format!("`{word}` of a field of this shape")),
        }
        Ok(())
    }

    fn shape(&self, text: &str) -> Read<Schema> {
        if let Some(items) = text.strip_prefix("[]") {
            let items = Box::new(self.shape(items)?);
            return Ok(Kind::Array(items, List::Atomic).into());
        }
        if let Some(values) = text.strip_prefix("{}") {
            let values = Box::new(self.shape(values)?);
            return Ok(Kind::Map(values, false).into());
        }
        if let Some(name) = text.strip_prefix('*') {
            return Ok(Kind::Reference(self.id(name)?).into());
        }
        let (name, format) = match text.split_once(':') {
            Some((name, format)) => (name, Some(format.into())),
            None => (text, None),
        };
        let kind = match name {
            "any" => Kind::Any,
            "object" => Kind::Object(Box::default()),
            "boolean" => Kind::Boolean,
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "int-or-string" => Kind::IntOrString,
            "quantity" => Kind::Quantity,
            other => return self.fault(format!("no shape `{other}`")),
        };
        Ok(Schema {
            kind,
            format,
            ..Schema::default()
        })
    }
}

impl From<Kind> for Schema {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

fn options(text: &str) -> BTreeMap<&str, &str> {
    text.split(' ')
        .filter_map(|word| word.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(of: &str, name: &str) -> &'static Field {
        let schemas = Schemas::builtin();
        let named = schemas.get(schemas.find(of).unwrap()).unwrap();
        let Kind::Object(object) = &named.schema.kind else {
            panic!("{of} is no object");
        };
        &object.fields[name]
    }

    #[test]
    fn every_file_is_read() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
        let mut there: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".descriptions.txt"))
            .collect();
        there.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, listed);
    }

    #[test]
    fn facts_of_well_known_fields() {
        let ports = field("io.k8s.api.core.v1.ServiceSpec", "ports");
        assert_eq!(ports.tag, Some(1));
        assert_eq!(ports.schema.patch.merge_key.as_deref(), Some("port"));
        assert!(ports.schema.patch.merge);
        let Kind::Array(_, List::Map(keys)) = &ports.schema.kind else {
            panic!("{ports:?}");
        };
        assert_eq!(keys, &["port".into(), "protocol".into()]);

        let protocol = field("io.k8s.api.core.v1.ServicePort", "protocol");
        assert_eq!(protocol.schema.default.as_deref(), Some(&"TCP".into()));

        let path = field("io.k8s.api.core.v1.Volume", "hostPath");
        assert_eq!((&*path.within, path.tag), (&[2][..], Some(1)));

        let strategy = field("io.k8s.api.apps.v1.DeploymentSpec", "strategy");
        assert!(strategy.schema.patch.retain_keys && !strategy.schema.patch.merge);

        let metadata = field("io.k8s.api.core.v1.Pod", "metadata");
        assert!(!metadata.required);
        let Kind::Object(meta) = &metadata.schema.resolve(Schemas::builtin()).kind else {
            panic!("{metadata:?}");
        };
        assert!(meta.fields.contains_key("managedFields"));
    }

    #[test]
    fn resources_have_urls_and_lists() {
        let schemas = Schemas::builtin();
        let find = |group: &str, plural: &str| {
            schemas
                .resources()
                .iter()
                .find(|found| &*found.kind.group == group && &*found.plural == plural)
        };
        let deployments = find("apps", "deployments").unwrap();
        assert!(deployments.namespaced);
        assert_eq!(deployments.list_kind.as_deref(), Some("DeploymentList"));
        assert_eq!(deployments.kind.api_version(), "apps/v1");
        assert!(!find("", "nodes").unwrap().namespaced);
        assert!(find("policy", "eviction").is_none(), "it is a subresource");
        assert_eq!(
            find("", "endpoints").unwrap().singular.as_ref(),
            "endpoints"
        );
        let list = schemas.find("io.k8s.api.core.v1.PodList").unwrap();
        let kind = schemas.get(list).unwrap().kind.clone().unwrap();
        assert_eq!(
            (kind.api_version().as_str(), &*kind.kind),
            ("v1", "PodList")
        );
    }

    #[test]
    fn kinds_that_are_no_resources_are_found_too() {
        let schemas = Schemas::builtin();
        for (group, version, kind, name) in [
            ("policy", "v1", "Eviction", "io.k8s.api.policy.v1.Eviction"),
            (
                "autoscaling",
                "v1",
                "Scale",
                "io.k8s.api.autoscaling.v1.Scale",
            ),
            (
                "",
                "v1",
                "DeleteOptions",
                "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
            ),
            (
                "meta.k8s.io",
                "v1",
                "Table",
                "io.k8s.apimachinery.pkg.apis.meta.v1.Table",
            ),
        ] {
            let id = schemas.find_kind(group, version, kind).unwrap();
            assert_eq!(&*schemas.get(id).unwrap().name, name);
        }
        assert_eq!(schemas.find_kind("apps", "v1", "Pod"), None);
    }

    /// Bytes behind a schema, without what the allocator adds.
    fn bytes(schema: &Schema) -> usize {
        let inner = match &schema.kind {
            Kind::Object(object) => object
                .fields
                .iter()
                .map(|(name, field)| {
                    name.len() + size_of::<(Box<str>, Field)>() + bytes(&field.schema)
                })
                .sum(),
            Kind::Map(values, _) => size_of::<Schema>() + bytes(values),
            Kind::Array(items, _) => size_of::<Schema>() + bytes(items),
            _ => 0,
        };
        inner + schema.format.as_ref().map_or(0, |format| format.len())
    }

    /// 1.4 MiB with the allocator's part, when this was written.
    #[test]
    fn all_types_together_are_small() {
        let all: usize = Schemas::builtin()
            .types()
            .map(|(_, named)| named.name.len() + size_of::<NamedType>() + bytes(&named.schema))
            .sum();
        assert!((500_000..1_500_000).contains(&all), "{all} bytes");
    }

    fn check(text: &str, expect: &str) {
        let error = Schemas::parse(&[text]).unwrap_err();
        assert_eq!(error.to_string(), expect, "{text}");
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        check(
            "package a\ntype B what",
            "schema text, line 2: no shape `what`",
        );
        check(
            "package a\ntype B object\n  c *D",
            "schema text, line 3: no type a.D",
        );
        check(
            "package a\ntype B object\n  c",
            "schema text, line 3: a field without a shape",
        );
        check(
            "package a\ntype B object\n  c string list=set",
            "schema text, line 3: `list=set` of a field of this shape",
        );
        check(
            "package a\ntype B object\ntype B object",
            "schema text, line 3: a.B is there twice",
        );
    }
}
