//! Lists of resources: amounts by name (`cpu`, `memory`, `example.com/gpu`).
//!
//! ```text
//!   native     without a slash, or in a namespace that ends in kubernetes.io: cpu, memory, hugepages-2Mi, ...
//!   extended   with another namespace: whole numbers that cannot be shared, such as example.com/gpu
//! ```

mod names;
mod requirements;

use objects::field::{ErrorList, FieldError, Path};
use objects::quantity::{Format, Quantity};
use serde_json::Value;

use crate::{
    check::value::{NON_NEGATIVE, POSITIVE},
    value::Fields,
};

pub use names::{
    is_extended, is_huge_page, is_integer, is_native, is_overcommit_allowed, is_standard,
    is_standard_container, is_standard_quota, validate_container_name, validate_name,
    validate_quota_name,
};
pub use requirements::{Of, validate_requirements};

/// Brings the amounts of a list to the form in which they are kept: canonical, and in thousandths at the finest, rounded up.
pub fn defaults(list: &mut Value) {
    let Some(list) = list.as_object_mut() else {
        return;
    };
    for amount in list.values_mut() {
        if let Some(text) = canonical(amount) {
            *amount = text.into();
        }
    }
}

/// The canonical form of an amount; None where it is none.
fn canonical(amount: &Value) -> Option<String> {
    let quantity = Quantity::from_value(amount).ok()?;
    let milli = Quantity::from_milli(quantity.milli_value(), quantity.format());
    // An amount beyond 64 bits of thousandths has no finer part that is worth rounding.
    let fits = (i64::MIN + 1..i64::MAX).contains(&quantity.milli_value());
    let rounded = if fits && milli != quantity {
        milli
    } else {
        quantity
    };
    Some(rounded.to_string())
}

/// Brings one amount in a field of an object to its canonical form, as fine as it is.
pub fn canonical_field(object: &mut Value, name: &str) {
    if let Some(amount) = object.field_mut(name)
        && let Ok(quantity) = Quantity::from_value(amount)
    {
        *amount = quantity.to_string().into();
    }
}

/// The same as [`defaults`] for a list in a field of an object.
pub fn field_defaults(object: &mut Value, name: &str) {
    if let Some(list) = object.field_mut(name) {
        defaults(list);
    }
}

/// The same for the requests and limits in `resources`.
pub fn requirements_defaults(resources: Option<&mut Value>) {
    if let Some(resources) = resources {
        field_defaults(resources, "limits");
        field_defaults(resources, "requests");
    }
}

/// An amount that is read from a list; nothing where it is malformed, since the decoder has refused that.
#[must_use]
pub fn amount(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or_default()
}

/// The names and amounts of a list, by name.
pub fn amounts<'a>(object: &'a Value, name: &str) -> Vec<(&'a str, Quantity)> {
    let entries = object.entries(name);
    entries.map(|(name, value)| (name, amount(value))).collect()
}

/// An amount of a resource: not below zero, and whole where the resource is counted.
pub fn validate_amount(resource: &str, amount: &Quantity, path: &Path<'_>, errors: &mut ErrorList) {
    if amount.is_negative() {
        errors.push(FieldError::invalid(path, amount.to_string(), NON_NEGATIVE));
    }
    if is_integer(resource) && amount.milli_value() % 1000 != 0 {
        let message = "must be an integer";
        errors.push(FieldError::invalid(path, amount.to_string(), message));
    }
}

/// An amount that must be above zero.
pub fn validate_positive(amount: &Quantity, path: &Path<'_>, errors: &mut ErrorList) {
    if *amount <= Quantity::new(0, Format::DecimalSi) {
        errors.push(FieldError::invalid(path, amount.to_string(), POSITIVE));
    }
}

/// An amount that is not below zero once it is whole.
pub fn validate_basic(amount: &Quantity, path: &Path<'_>, errors: &mut ErrorList) {
    if amount.value() < 0 {
        let message = "must be a valid resource quantity";
        errors.push(FieldError::invalid(path, amount.value(), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_kept_in_canonical_form() {
        let check = |amount: Value, expect: &str| {
            let mut list = json!({ "cpu": amount });
            defaults(&mut list);
            assert_eq!(list, json!({ "cpu": expect }));
            defaults(&mut list);
            assert_eq!(list, json!({ "cpu": expect }), "a second time");
        };
        check(json!("0.5"), "500m");
        check(json!("1000m"), "1");
        check(json!(2), "2");
        check(json!("1n"), "1m");
        check(json!("1.0005"), "1001m");
        check(json!("1024Mi"), "1Gi");
        check(json!("8E"), "8E");
        check(json!("nonsense"), "nonsense");
    }
}
