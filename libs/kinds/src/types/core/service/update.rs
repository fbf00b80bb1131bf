//! What of a service may be changed: a second address and family may come and go, the first ones stay.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{is_headless, needs_health_check};
use crate::value::Fields;

const ONCE: &str = "may not change once set";

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (new.part("spec"), old.part("spec"));
    let spec = Path::new("spec");
    let of_name = [now, before]
        .iter()
        .any(|spec| spec.text("type") == "ExternalName");
    if !of_name {
        addresses(now, before, &spec, errors);
        families(now, before, &spec, errors);
    }
    let class = "loadBalancerClass";
    let balancers = [now, before]
        .iter()
        .all(|spec| spec.text("type") == "LoadBalancer");
    if balancers && now.part(class) != before.part(class) {
        errors.push(FieldError::invalid(
            &spec.child(class),
            now.part(class).clone(),
            ONCE,
        ));
    }
    let port = "healthCheckNodePort";
    if needs_health_check(now)
        && needs_health_check(before)
        && now.whole(port) != before.whole(port)
    {
        errors.push(FieldError::forbidden(
            &spec.child(port),
            "field is immutable",
        ));
    }
}

fn addresses(now: &Value, before: &Value, spec: &Path<'_>, errors: &mut ErrorList) {
    if is_headless(now) && is_headless(before) {
        return;
    }
    let list = "clusterIPs";
    let (own, old) = (now.items(list), before.items(list));
    let path = spec.child(list);
    let shown = || own.to_vec();
    if own.len() == old.len() {
        for (index, _) in own
            .iter()
            .zip(old)
            .enumerate()
            .filter(|(_, (own, old))| own != old)
        {
            errors.push(FieldError::invalid(&path.index(index), shown(), ONCE));
        }
        return;
    }
    if own.is_empty() {
        let message = "primary clusterIP can not be unset";
        errors.push(FieldError::invalid(&path.index(0), shown(), message));
    }
    if let (Some(own), Some(old)) = (own.first(), old.first())
        && own != old
    {
        errors.push(FieldError::invalid(&path.index(0), shown(), ONCE));
    }
    if old.len() > own.len() && own.len() == 1 {
        single(now, "clusterIP", spec, errors);
    }
}

/// Whoever gives up the second must say so.
fn single(now: &Value, what: &str, spec: &Path<'_>, errors: &mut ErrorList) {
    let policy = "ipFamilyPolicy";
    if now.text(policy) != "SingleStack" {
        let message = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        errors.push(FieldError::invalid(
            &spec.child(policy),
            now.part(policy).clone(),
            message,
        ));
    }
}

fn families(now: &Value, before: &Value, spec: &Path<'_>, errors: &mut ErrorList) {
    if is_headless(now) || is_headless(before) {
        return;
    }
    let list = "ipFamilies";
    let (own, old) = (now.items(list), before.items(list));
    let path = spec.child(list);
    let path = path.index(0);
    if own.len() == old.len() {
        for _ in own.iter().zip(old).filter(|(own, old)| own != old) {
            errors.push(FieldError::invalid(&path, own.to_vec(), ONCE));
        }
        return;
    }
    if old.len() > own.len() && now.items("clusterIPs").is_empty() {
        let message = "primary ipFamily can not be unset";
        errors.push(FieldError::invalid(&path, own.to_vec(), message));
    }
    if let (Some(first), Some(old)) = (own.first(), old.first())
        && first != old
    {
        // Upstream shows the addresses here.
        errors.push(FieldError::invalid(
            &path,
            now.items("clusterIPs").to_vec(),
            ONCE,
        ));
    }
    if old.len() > own.len() && own.len() == 1 {
        single(now, "ipFamily", spec, errors);
    }
}
