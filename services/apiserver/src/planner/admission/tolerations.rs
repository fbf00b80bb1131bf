//! Tolerations of two sources in one list.

use kinds::value::Fields;
use serde_json::Value;

/// A toleration, as taints meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Toleration<'a> {
    key: &'a str,
    operator: &'a str,
    value: &'a str,
    effect: &'a str,
    seconds: Option<i64>,
}

impl<'a> Toleration<'a> {
    fn of(value: &'a Value) -> Self {
        Self {
            key: value.text("key"),
            operator: value.text("operator"),
            value: value.text("value"),
            effect: value.text("effect"),
            seconds: value.whole("tolerationSeconds"),
        }
    }

    /// Whether all that `other` tolerates is tolerated.
    fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let any_key = self.key.is_empty() && self.operator == "Exists";
        if self.key != other.key && !any_key {
            return false;
        }
        if self.effect != other.effect && !self.effect.is_empty() {
            return false;
        }
        if self.effect == "NoExecute"
            && let Some(seconds) = self.seconds
            && other.seconds.is_none_or(|other| other > seconds)
        {
            return false;
        }
        match self.operator {
            "Exists" => true,
            "Equal" | "" => other.operator == "Equal" && self.value == other.value,
            // Of the comparing operators none covers another.
            _ => false,
        }
    }
}

/// Both lists, the first one first, without those that another covers; of two that are the same the first stays.
pub(super) fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<&Value> = Vec::new();
    for (index, value) in all.iter().enumerate() {
        let toleration = Toleration::of(value);
        let mut before = merged.iter().map(|kept| Toleration::of(kept));
        let mut behind = all
            .iter()
            .skip(index + 1)
            .map(|value| Toleration::of(value));
        let redundant = before.any(|kept| kept.covers(&toleration))
            || behind.any(|other| other != toleration && other.covers(&toleration));
        if !redundant {
            merged.push(value);
        }
    }
    merged.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_covered_goes() {
        let check = |first: Value, second: Value, expect: Value| {
            let merged = merge(
                first.as_array().expect("a list"),
                second.as_array().expect("a list"),
            );
            assert_eq!(Value::from(merged), expect);
        };
        let key = |key: &str| json!({"key": key, "operator": "Exists"});
        let equal = |value: &str| json!({"key": "a", "operator": "Equal", "value": value});
        check(json!([]), json!([]), json!([]));
        check(
            json!([key("a")]),
            json!([key("b")]),
            json!([key("a"), key("b")]),
        );
        check(json!([key("a")]), json!([key("a")]), json!([key("a")]));
        check(json!([equal("x")]), json!([key("a")]), json!([key("a")]));
        check(json!([key("a")]), json!([equal("x")]), json!([key("a")]));
        check(
            json!([equal("x")]),
            json!([equal("y")]),
            json!([equal("x"), equal("y")]),
        );
        check(
            json!([key("a"), equal("x")]),
            json!([{"operator": "Exists"}]),
            json!([{"operator": "Exists"}]),
        );
        // Every effect covers one, and not the other way round.
        let one = json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"});
        check(json!([one]), json!([key("a")]), json!([key("a")]));
        let other = json!({"key": "a", "operator": "Exists", "effect": "NoExecute"});
        check(json!([one]), json!([other]), json!([one, other]));
        // More time covers less.
        let seconds = |seconds: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        check(
            json!([seconds(1)]),
            json!([seconds(2)]),
            json!([seconds(2)]),
        );
        check(
            json!([seconds(2)]),
            json!([seconds(1)]),
            json!([seconds(2)]),
        );
        check(json!([seconds(2)]), json!([other]), json!([other]));
        // An operator that is not said means Equal, but is not covered by it: upstream compares what is said.
        let plain = json!({"key": "a", "value": "x"});
        check(json!([plain]), json!([equal("x")]), json!([plain]));
        check(json!([equal("x")]), json!([plain]), json!([plain]));
        let more = |value: &str| json!({"key": "a", "operator": "Gt", "value": value});
        check(
            json!([more("1")]),
            json!([more("2")]),
            json!([more("1"), more("2")]),
        );
    }

    fn some() -> impl Strategy<Value = Vec<Value>> {
        let one = (0..3_usize, 0..4_usize, 0..2_usize, 0..4_usize, 0..4_i64).prop_map(
            |(key, operator, value, effect, seconds)| {
                let effects = ["", "NoSchedule", "PreferNoSchedule", "NoExecute"];
                let mut toleration = json!({
                    "key": (["", "a", "b"][key]),
                    "operator": (["", "Equal", "Exists", "Lt"][operator]),
                    "value": (["", "x"][value]),
                    "effect": (effects[effect]),
                });
                if seconds > 0 {
                    toleration["tolerationSeconds"] = seconds.into();
                }
                toleration
            },
        );
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        /// Nothing is invented, what is gone is covered by something, and the order is that of the lists.
        #[test]
        fn nothing_is_lost(first in some(), second in some()) {
            let merged = merge(&first, &second);
            let all: Vec<_> = first.iter().chain(&second).collect();
            for value in &all {
                let toleration = Toleration::of(value);
                let covered = all.iter().any(|other| Toleration::of(other) != toleration && Toleration::of(other).covers(&toleration));
                prop_assert!(covered || merged.contains(value));
            }
            let mut places = all.iter();
            for value in &merged {
                prop_assert!(places.any(|other| *other == value), "{value} is out of order");
            }
        }

        /// What was merged once stays.
        #[test]
        fn merging_again_changes_nothing(first in some(), second in some()) {
            let merged = merge(&first, &second);
            prop_assert_eq!(merge(&merged, &[]), merged.clone());
            prop_assert_eq!(merge(&merged, &second).len() <= merged.len() + second.len(), true);
        }
    }
}
