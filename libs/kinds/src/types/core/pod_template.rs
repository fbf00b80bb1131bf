//! Templates of pods as objects of their own.

use objects::field::Path;
use serde_json::Value;

use super::pod::template;
use crate::{
    cells,
    rules::{Column, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |object| {
        if let Some(template) = object.object_mut("template") {
            template::defaults(template);
        }
    },
    prepare_create: |object| template::drop_disabled(object, &Value::Null),
    prepare_update: template::drop_disabled,
    validate: |object, errors| {
        template::validate(object.part("template"), &Path::new("template"), errors)
    },
    warnings: |object, _| template::warnings(object.part("template"), &Path::new("template")),
    columns: &[
        NAME,
        Column::new(
            "Containers",
            "string",
            "The names of its containers.",
            |object, _| cells::container_names(spec(object)),
        ),
        Column::new(
            "Images",
            "string",
            "The images of its containers.",
            |object, _| cells::container_images(spec(object)),
        ),
        Column::new(
            "Pod Labels",
            "string",
            "The labels that its pods have.",
            |object, _| {
                cells::labels(
                    object
                        .part("template")
                        .part("metadata")
                        .part("labels")
                        .as_object(),
                )
            },
        ),
    ],
    ..Rules::NONE
};

fn spec(object: &Value) -> &Value {
    object.part("template").part("spec")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, created};
    use serde_json::json;

    #[test]
    fn a_template_is_checked_and_shown() {
        let template = json!({
            "metadata": {"name": "t"},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]},
            },
        });
        check_create(&RULES, &template, &[]);
        let made = created(&RULES, &template);
        assert_eq!(
            made["template"]["spec"]["containers"][0]["imagePullPolicy"],
            "Always"
        );
        assert_eq!(cells(&RULES, &template), json!(["t", "c,d", "x,y", "a=b"]));
        check_create(
            &RULES,
            &json!({"template": {"metadata": {"labels": {"a b": ""}}, "spec": {"containers": [{"name": "c", "image": " "}], "ephemeralContainers": [{"name": "e", "image": "x:1"}]}}}),
            &[
                r#"template.labels: Invalid value: "a b""#,
                "template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
            ],
        );
    }
}
