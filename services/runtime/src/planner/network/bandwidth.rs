//! Bandwidth of a pod, as its annotations ask for it and the plugin `bandwidth` takes it.

use serde_json::{Value, json};
use std::collections::HashMap;

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";
/// Kubernetes' own bounds: a kilobit to a petabit per second.
const RATES: std::ops::RangeInclusive<u64> = 1000..=1_000_000_000_000_000;
/// The plugin wants one with each rate; containerd's.
const BURST: u32 = u32::MAX;

/// What the plugin is told; None: nothing is asked for.
///
/// # Errors
/// Which annotation is wrong.
pub fn read<S: std::hash::BuildHasher>(
    annotations: &HashMap<String, String, S>,
) -> Result<Option<Value>, String> {
    let mut told = serde_json::Map::new();
    for (annotation, direction) in [(INGRESS, "ingress"), (EGRESS, "egress")] {
        let Some(text) = annotations.get(annotation) else {
            continue;
        };
        let rate = quantity(text)
            .filter(|rate| RATES.contains(rate))
            .ok_or_else(|| {
                format!("annotation {annotation}: {text:?} is no bandwidth from 1k to 1P")
            })?;
        told.insert(format!("{direction}Rate"), json!(rate));
        told.insert(format!("{direction}Burst"), json!(BURST));
    }
    Ok((!told.is_empty()).then_some(Value::Object(told)))
}

/// Kubernetes' quantities, as far as rates are: digits, a fraction, a unit.
fn quantity(text: &str) -> Option<u64> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More digits than that are below a bit per second.
    if whole.is_empty() || whole.len() > 18 || fraction.len() > 15 || fraction.contains('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    u64::try_from(digits.checked_mul(factor)?.div_ceil(scale)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_kubernetes_own() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(quantity(text), expect, "{text}");
        check("10M", Some(10_000_000));
        check("1.5G", Some(1_500_000_000));
        check("512Ki", Some(524_288));
        check("1000", Some(1000));
        check("0.0015k", Some(2));
        check("", None);
        check("M", None);
        check("-1M", None);
        check("1m", None);
        check("1.2.3M", None);
        check("999999999999999999P", None);
        check(&"9".repeat(40), None);
        let annotations = |value: &str| HashMap::from([(EGRESS.to_owned(), value.to_owned())]);
        assert_eq!(read(&HashMap::new()), Ok(None));
        assert_eq!(
            read(&annotations("1M")),
            Ok(Some(
                json!({"egressRate": 1_000_000, "egressBurst": u32::MAX})
            ))
        );
        let error = read(&annotations("999")).expect_err("too little");
        assert!(error.contains("egress-bandwidth: \"999\""), "{error}");
    }
}
