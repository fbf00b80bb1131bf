//! How much of a device can be asked for at once, where several may have it.

use objects::field::{ErrorList, FieldError, Path};
use objects::quantity::Quantity;
use serde_json::Value;

use super::list;
use crate::value::Fields;

/// Most amounts to choose from.
const VALUES_MAX: usize = 10;

/// Mistakes in what may be asked for of a capacity of a device that several may have.
pub(super) fn policy(capacity: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(policy) = capacity.field("requestPolicy") else {
        return;
    };
    let path = path.child("requestPolicy");
    let Some(all) = capacity.quantity("value") else {
        return;
    };
    let default_path = path.child("default");
    let values = !policy.items("validValues").is_empty();
    match (
        values,
        policy.field("validRange"),
        policy.quantity("default"),
    ) {
        (true, Some(_), _) => {
            let message = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.push(FieldError::forbidden(&path, message));
        }
        (true, None, None) => {
            let message = "required when validValues is defined";
            errors.push(FieldError::required(&default_path, message));
        }
        (true, None, Some(default)) => valid_values(policy, &default, &all, &path, errors),
        (false, Some(_), None) => {
            let message = "required when validRange is defined";
            errors.push(FieldError::required(&default_path, message));
        }
        (false, Some(range), Some(default)) => {
            valid_range(range, &default, &all, &path.child("validRange"), errors);
        }
        (false, None, _) => {}
    }
}

fn valid_values(
    policy: &Value,
    default: &Quantity,
    all: &Quantity,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let amount = |value: &Value| Quantity::from_value(value).unwrap_or_default();
    let values: Vec<Quantity> = policy.items("validValues").iter().map(amount).collect();
    let values_path = path.child("validValues");
    for (index, pair) in values.windows(2).enumerate() {
        if pair[0] > pair[1] {
            let shown = pair[1].to_string();
            let message = "values must be sorted in ascending order";
            errors.push(FieldError::invalid(
                &values_path.index(index + 1),
                shown,
                message,
            ));
        }
    }
    let key = |value: &Value| amount(value).value().to_string().into();
    let mut found = false;
    list::each_once(
        policy,
        "validValues",
        VALUES_MAX,
        key,
        path,
        errors,
        |one, path, errors| {
            let option = amount(one);
            if option > *all {
                let message = format!("option is larger than capacity value: {all}");
                errors.push(FieldError::invalid(path, option.to_string(), message));
            }
            found |= option == *default;
        },
    );
    if !found {
        let message = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(
            &values_path,
            default.to_string(),
            message,
        ));
    }
}

fn valid_range(
    range: &Value,
    default: &Quantity,
    all: &Quantity,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let Some(min) = range.quantity("min") else {
        let message = "required when validRange is defined";
        errors.push(FieldError::required(&path.child("min"), message));
        return;
    };
    let max = range.quantity("max");
    let mut wrong = |broken: bool, field: &str, shown: &Quantity, message: String| {
        if broken {
            let path = path.child(field);
            errors.push(FieldError::invalid(&path, shown.to_string(), message));
        }
    };
    let message = format!("min is larger than capacity value: {all}");
    wrong(min > *all, "min", &min, message);
    let message = format!("default is less than min: {min}");
    wrong(*default < min, "min", default, message);
    if let Some(max) = &max {
        let message = format!("min is larger than max: {max}");
        wrong(min > *max, "max", &min, message);
        let message = format!("max is larger than capacity value: {all}");
        wrong(max > all, "max", max, message);
        let message = format!("default is more than max: {max}");
        wrong(default > max, "max", default, message);
    }
    let Some(step) = range.quantity("step") else {
        return;
    };
    let one = min.add(&step);
    let message = format!("one step {one} is larger than capacity value: {all}");
    wrong(one > *all, "step", &step, message);
    for value in [Some(default), max.as_ref()].into_iter().flatten() {
        let distance = value.value().saturating_sub(min.value());
        // A step of nothing, on which upstream falls over, divides nothing.
        let multiple = distance.checked_rem(step.value()) == Some(0);
        let message = format!("value is not a multiple of a given step ({step}) from ({min})");
        wrong(!multiple, "step", value, message);
    }
}
