//! What built-in types and their fields say to people. Apart from the schemas: only documentation (OpenAPI) asks for it, and a
//! program that nobody asks never touches these pages.

use std::collections::BTreeMap;
use std::sync::OnceLock;

const FILES: &[&str] = &[
    include_str!("../../schemas/admissionregistration.v1.descriptions.txt"),
    include_str!("../../schemas/apiextensions.v1.descriptions.txt"),
    include_str!("../../schemas/apiregistration.v1.descriptions.txt"),
    include_str!("../../schemas/apps.v1.descriptions.txt"),
    include_str!("../../schemas/authentication.v1.descriptions.txt"),
    include_str!("../../schemas/authorization.v1.descriptions.txt"),
    include_str!("../../schemas/autoscaling.v1.descriptions.txt"),
    include_str!("../../schemas/autoscaling.v2.descriptions.txt"),
    include_str!("../../schemas/batch.v1.descriptions.txt"),
    include_str!("../../schemas/certificates.v1.descriptions.txt"),
    include_str!("../../schemas/coordination.v1.descriptions.txt"),
    include_str!("../../schemas/core.v1.descriptions.txt"),
    include_str!("../../schemas/discovery.v1.descriptions.txt"),
    include_str!("../../schemas/events.v1.descriptions.txt"),
    include_str!("../../schemas/flowcontrol.v1.descriptions.txt"),
    include_str!("../../schemas/intstr.descriptions.txt"),
    include_str!("../../schemas/meta.v1.descriptions.txt"),
    include_str!("../../schemas/networking.v1.descriptions.txt"),
    include_str!("../../schemas/node.v1.descriptions.txt"),
    include_str!("../../schemas/policy.v1.descriptions.txt"),
    include_str!("../../schemas/quantity.descriptions.txt"),
    include_str!("../../schemas/rbac.v1.descriptions.txt"),
    include_str!("../../schemas/resource.v1.descriptions.txt"),
    include_str!("../../schemas/runtime.descriptions.txt"),
    include_str!("../../schemas/scheduling.v1.descriptions.txt"),
    include_str!("../../schemas/storage.v1.descriptions.txt"),
    include_str!("../../schemas/version.descriptions.txt"),
];

/// The descriptions of built-in types; see [`Descriptions::builtin`].
#[derive(Debug)]
pub struct Descriptions {
    /// Package and name of a type, to the lines of its block.
    blocks: BTreeMap<(&'static str, &'static str), &'static str>,
}

impl Descriptions {
    /// Those of Kubernetes' own types; indexed at first use.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Descriptions> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let mut blocks = BTreeMap::new();
            for text in FILES {
                let Some((_, rest)) = text.split_once("\npackage ") else {
                    continue;
                };
                let (package, rest) = rest.split_once('\n').unwrap_or((rest, ""));
                for block in rest.split("\ntype ").skip(1) {
                    if let Some((name, lines)) = block.split_once(' ') {
                        blocks.insert((package, name), lines);
                    }
                }
            }
            Self { blocks }
        })
    }

    /// Of a type, by its OpenAPI name.
    #[must_use]
    pub fn of_type(&self, name: &str) -> Option<String> {
        text(self.block(name)?.lines().next()?)
    }

    /// Of a field of a type, by the type's OpenAPI name and the field's name in JSON.
    #[must_use]
    pub fn of_field(&self, name: &str, field: &str) -> Option<String> {
        self.block(name)?.lines().skip(1).find_map(|line| {
            let (found, rest) = line.trim_start().split_once(' ')?;
            (found == field).then(|| text(rest))?
        })
    }

    fn block(&self, name: &str) -> Option<&'static str> {
        self.blocks.get(&name.rsplit_once('.')?).copied()
    }
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Kind, Schemas};

    #[test]
    fn of_a_type_and_of_a_field() {
        let found = Descriptions::builtin();
        let port = "io.k8s.api.core.v1.ServicePort";
        assert!(found.of_type(port).unwrap().contains("service's port"));
        assert!(
            found
                .of_field(port, "nodePort")
                .unwrap()
                .contains("NodePort")
        );
        assert_eq!(found.of_field(port, "node"), None);
        assert_eq!(found.of_type("io.k8s.api.core.v1.Nothing"), None);
    }

    #[test]
    fn nearly_every_field_is_described() {
        let descriptions = Descriptions::builtin();
        let mut bare = Vec::new();
        for (_, named) in Schemas::builtin().types() {
            let Kind::Object(object) = &named.schema.kind else {
                continue;
            };
            for name in object.fields.keys() {
                if descriptions.of_field(&named.name, name).is_none() {
                    bare.push(format!("{}.{name}", named.name));
                }
            }
        }
        // Upstream says nothing about the fields of JSON Schema itself.
        bare.retain(|name| {
            !name.contains(".JSONSchemaProps.") && !name.contains(".ExternalDocumentation.")
        });
        assert!(bare.len() < 20, "{bare:#?}");
    }
}
