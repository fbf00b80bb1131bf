//! One requirement of a label selector.

use std::fmt;

use serde_json::Value;

use super::Labels;
use crate::field::{ErrorList, FieldError, Path};
use crate::names;

/// How a label's value and the values of a requirement go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `key=value`.
    Equals,
    /// `key==value`, which means the same.
    DoubleEquals,
    /// `key!=value`: another value, or none.
    NotEquals,
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`: another value, or none.
    NotIn,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>5`: both are whole numbers of 64 bits.
    GreaterThan,
    /// `key<5`.
    LessThan,
}

impl Operator {
    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
            Operator::GreaterThan => "gt",
            Operator::LessThan => "lt",
        }
    }
}

/// What one label must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: Box<str>,
    operator: Operator,
    /// In order and without repetitions.
    values: Vec<Box<str>>,
}

impl Requirement {
    /// A requirement, when key, values and their number are right.
    ///
    /// # Errors
    /// All that is wrong, in upstream's words.
    pub fn new(key: &str, operator: Operator, values: &[&str]) -> Result<Self, ErrorList> {
        let none = Path::none();
        let mut errors = ErrorList::default();
        errors.extend(check_key(&none.child("key"), key));
        let path = none.child("values");
        let wrong_number = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals
                if values.len() != 1 =>
            {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        if let Some(message) = wrong_number {
            errors.push(FieldError::invalid(&path, Value::from(values), message));
        }
        for (index, value) in values.iter().enumerate() {
            let path = path.index(index);
            let compared = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if compared && value.parse::<i64>().is_err() {
                let message = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&path, *value, message));
            }
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                let path = path.key(key);
                errors.push(FieldError::invalid(&path, *value, wrong.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self::unchecked(key, operator, values))
    }

    /// A requirement of values that are known to be right, or that are let pass as upstream does.
    pub(super) fn unchecked(key: &str, operator: Operator, values: &[&str]) -> Self {
        let mut values: Vec<Box<str>> = values.iter().map(|value| Box::from(*value)).collect();
        values.sort_unstable();
        values.dedup();
        Requirement {
            key: key.into(),
            operator,
            values,
        }
    }

    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(AsRef::as_ref)
    }

    /// Whether the labels are as required.
    #[must_use]
    pub fn matches(&self, labels: &impl Labels) -> bool {
        let value = labels.label(&self.key);
        let has = |value: &str| {
            let found = self.values.binary_search_by(|known| (**known).cmp(value));
            found.is_ok()
        };
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(has),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(has),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |text: &str| text.parse::<i64>().ok();
                let bound = self.values.first().and_then(|bound| number(bound));
                let (Some(value), Some(bound)) = (value.and_then(number), bound) else {
                    return false;
                };
                match self.operator {
                    Operator::GreaterThan => value > bound,
                    _ => value < bound,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A key's mistakes in one message.
pub(super) fn check_key(path: &Path<'_>, key: &str) -> Option<FieldError> {
    let wrong = names::qualified_name(key);
    (!wrong.is_empty()).then(|| FieldError::invalid(path, key, wrong.join("; ")))
}
