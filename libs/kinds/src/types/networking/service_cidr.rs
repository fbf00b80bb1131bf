//! Ranges that addresses of services are taken from.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::Fields,
};

/// One range for each family.
const RANGES_MAX: usize = 2;

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: status::ensure,
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new("CIDRs", "string", "The ranges.", |o, _| {
            let ranges: Vec<&str> = o.part("spec").texts("cidrs").collect();
            ranges.join(",").into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(object: &Value, errors: &mut ErrorList) {
    let (spec, path) = (object.part("spec"), Path::new("spec"));
    let path = path.child("cidrs");
    let ranges: Vec<&str> = spec.texts("cidrs").collect();
    if ranges.is_empty() {
        errors.push(FieldError::required(&path, "at least one CIDR required"));
        return;
    }
    if ranges.len() > RANGES_MAX {
        let message = "may only hold up to 2 values";
        errors.push(FieldError::invalid(&path, spec.clone(), message));
        return;
    }
    let families: Vec<Option<bool>> = ranges
        .iter()
        .map(|range| names::parse_cidr(range).map(|(address, _)| address.is_ipv4()))
        .collect();
    if let [one, other] = families.as_slice()
        && (one.is_none() || other.is_none() || one == other)
    {
        let message = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(&path, spec.clone(), message));
        return;
    }
    for (index, range) in ranges.into_iter().enumerate() {
        if let Some(message) = check::canonical_cidr(range) {
            errors.push(FieldError::invalid(&path.index(index), range, message));
        }
    }
}

/// A range stays; one of the other family may join it.
fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("cidrs");
    let new_ranges: Vec<&str> = new.part("spec").texts("cidrs").collect();
    let old_ranges: Vec<&str> = old.part("spec").texts("cidrs").collect();
    let joined = (old_ranges.len(), new_ranges.len()) == (1, 2);
    if new_ranges.len() != old_ranges.len() && !joined {
        let shown = check::shown(new.part("spec"), "cidrs");
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
        return;
    }
    for (index, (new, old)) in new_ranges.iter().zip(&old_ranges).enumerate() {
        if new != old {
            let path = path.index(index);
            errors.push(FieldError::invalid(&path, *new, check::IMMUTABLE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let object =
            |ranges: &[&str]| json!({"metadata": {"name": "s"}, "spec": {"cidrs": ranges}});
        let check = |ranges: &[&str], expect: &[&str]| {
            check_create(&RULES, &object(ranges), expect);
        };
        check(&["10.0.0.0/16", "2001:db8::/112"], &[]);
        check(
            &[],
            &["spec.cidrs: Required value: at least one CIDR required"],
        );
        check(
            &["10.0.0.0/16", "10.1.0.0/16"],
            &[
                "spec.cidrs: Invalid value: {\"cidrs\":[\"10.0.0.0/16\",\"10.1.0.0/16\"]}: may specify no more than one IP",
            ],
        );
        check(
            &["a", "b", "c"],
            &[
                "spec.cidrs: Invalid value: {\"cidrs\":[\"a\",\"b\",\"c\"]}: may only hold up to 2 values",
            ],
        );
        check(
            &["10.0.0.1/16"],
            &[
                "spec.cidrs[0]: Invalid value: \"10.0.0.1/16\": must not have bits set beyond the prefix length",
            ],
        );
        let one = object(&["10.0.0.0/16"]);
        check_update(&RULES, &one, &object(&["10.0.0.0/16", "fd00::/112"]), &[]);
        check_update(
            &RULES,
            &one,
            &object(&["10.1.0.0/16"]),
            &["spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable"],
        );
        check_update(
            &RULES,
            &object(&["10.0.0.0/16", "fd00::/112"]),
            &one,
            &["spec.cidrs: Invalid value: [\"10.0.0.0/16\"]: field is immutable"],
        );
        let expect = json!(["s", "10.0.0.0/16", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &one, 0)), expect);
    }
}
