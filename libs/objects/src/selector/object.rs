//! Label selectors as objects: `matchLabels` and `matchExpressions` (`metav1.LabelSelector`).

use serde_json::Value;

use super::{LabelSelector, Operator, Requirement, SelectorError};
use crate::field::{ErrorList, FieldError, Path};
use crate::go::quote;
use crate::metadata;
use crate::names;

/// What a field's selector may be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectorOptions {
    /// Values in expressions need not be values of labels: what was stored before they had to be.
    pub allow_invalid_values: bool,
}

/// What is wrong with a selector's object. Its types are those of its schema.
#[must_use]
pub fn validate_label_selector(
    selector: &Value,
    options: SelectorOptions,
    path: &Path<'_>,
) -> ErrorList {
    let mut errors = ErrorList::default();
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    errors.extend(metadata::validate_labels(
        labels,
        &path.child("matchLabels"),
    ));
    let list = path.child("matchExpressions");
    for (index, expression) in expressions(selector).iter().enumerate() {
        let path = list.index(index);
        let values = values(expression);
        let values_path = path.child("values");
        match text(expression, "operator") {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let message = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(FieldError::required(&values_path, message));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let message =
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(FieldError::forbidden(&values_path, message));
                }
            }
            other => {
                let message = "not a valid selector operator";
                errors.push(FieldError::invalid(&path.child("operator"), other, message));
            }
        }
        let key = text(expression, "key");
        errors.push_invalid(&path.child("key"), key, names::qualified_name(key));
        if !options.allow_invalid_values {
            for (index, value) in values.iter().enumerate() {
                errors.push_invalid(&values_path.index(index), value, names::label_value(value));
            }
        }
    }
    errors
}

impl LabelSelector {
    /// The selector of an object. Absence means no object, and an empty one every object.
    ///
    /// # Errors
    /// When an expression's key, operator or values cannot be, in upstream's words.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, SelectorError> {
        let Some(selector) = selector.filter(|selector| !selector.is_null()) else {
            return Ok(Self::nothing());
        };
        let mut requirements = Vec::new();
        let wrong = |errors: ErrorList| SelectorError(errors.message().unwrap_or_default());
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            requirements.push(Requirement::new(key, Operator::Equals, &[value]).map_err(wrong)?);
        }
        for expression in expressions(selector) {
            let operator = match text(expression, "operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let message =
                        format!("{} is not a valid label selector operator", quote(other));
                    return Err(SelectorError(message));
                }
            };
            let values = values(expression);
            let key = text(expression, "key");
            requirements.push(Requirement::new(key, operator, &values).map_err(wrong)?);
        }
        Ok(Self::new(requirements))
    }
}

fn expressions(selector: &Value) -> &[Value] {
    let list = selector.get("matchExpressions").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn values(expression: &Value) -> Vec<&str> {
    let list = expression.get("values").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn text<'a>(expression: &'a Value, name: &str) -> &'a str {
    let value = expression.get(name).and_then(Value::as_str);
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_selectors() {
        let check = |object: Option<Value>, expect: &str| {
            let selector = LabelSelector::from_object(object.as_ref());
            assert_eq!(selector.map(|s| s.to_string()), Ok(expect.to_owned()));
        };
        check(Some(json!({})), "");
        let object = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"}, {"key": "f", "operator": "DoesNotExist", "values": []}]});
        check(Some(object), "a=2,b=1,c in (x,y),d notin (z),e,!f");
        assert_eq!(
            LabelSelector::from_object(None),
            Ok(LabelSelector::nothing())
        );
        let wrong = json!({"matchExpressions": [{"key": "c", "operator": "Is"}]});
        let error = LabelSelector::from_object(Some(&wrong)).expect_err("no operator");
        assert_eq!(
            error.to_string(),
            "\"Is\" is not a valid label selector operator"
        );
    }

    #[test]
    fn what_is_wrong_with_an_object() {
        let object = json!({"matchLabels": {"-": "a"}, "matchExpressions": [
            {"key": "c", "operator": "In"},
            {"key": "c", "operator": "Exists", "values": ["x"]},
            {"key": "c", "operator": "Is"},
            {"key": "c", "operator": "In", "values": ["-"]}]});
        let spec = Path::new("spec");
        let path = spec.child("selector");
        let check = |options: SelectorOptions, expect: &[&str]| {
            let errors = validate_label_selector(&object, options, &path);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), expect.len(), "{texts:#?}");
            for (text, expect) in texts.iter().zip(expect) {
                assert!(text.starts_with(expect), "{text} is not {expect}");
            }
        };
        let mut expect = vec![
            "spec.selector.matchLabels: Invalid value: \"-\": name part must consist of",
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            "spec.selector.matchExpressions[2].operator: Invalid value: \"Is\": not a valid selector operator",
            "spec.selector.matchExpressions[3].values[0]: Invalid value: \"-\": a valid label must be",
        ];
        check(SelectorOptions::default(), &expect);
        expect.pop();
        check(
            SelectorOptions {
                allow_invalid_values: true,
            },
            &expect,
        );
    }
}
