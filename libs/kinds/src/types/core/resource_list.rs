//! Lists of resources: amounts by name (`cpu`, `memory`, `example.com/gpu`).

use objects::quantity::{Format, Quantity};
use serde_json::Value;

use crate::value::Fields;

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
    let finer = quantity.scaled_value(-9) % 1_000_000 != 0
        && quantity < Quantity::new(i64::MAX / 1_000_000_000, Format::DecimalSi);
    Some(if finer { milli } else { quantity }.to_string())
}

/// The lists of requests and limits in `resources`.
pub fn requirements_defaults(resources: Option<&mut Value>) {
    let Some(resources) = resources else {
        return;
    };
    for name in ["limits", "requests"] {
        if let Some(list) = resources.field_mut(name) {
            defaults(list);
        }
    }
}
