//! The subresource `resize`: more or less CPU and memory for containers that run (KEP-1287).

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use super::{
    MIRROR, container::is_restartable, ephemeral::keep_all_but_metadata,
    resources::quality_of_service,
};
use crate::value::{Fields, same};

/// Leaves of an update what belongs to the subresource. Where containers were added, taken away or renamed, all is left, for
/// [`validate`] to say so.
pub fn prepare(new: &mut Value, old: &Value) {
    let lists = ["containers", "initContainers"];
    let names = |pod: &Value, list: &str| -> Vec<String> {
        let containers = pod.part("spec").items(list).iter();
        containers
            .map(|container| container.text("name").to_owned())
            .collect()
    };
    if lists
        .iter()
        .any(|list| names(new, list) != names(old, list))
    {
        return;
    }
    let asked = new.part("spec").clone();
    keep_all_but_metadata(new, old);
    let Some(spec) = new.field_mut("spec") else {
        return;
    };
    for list in lists {
        for (container, asked) in spec.items_mut(list).iter_mut().zip(asked.items(list)) {
            container.copy_from(asked, "resources");
            container.copy_from(asked, "resizePolicy");
        }
    }
}

/// Mistakes in what an update of the subresource changes.
pub fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (new.part("spec"), old.part("spec"));
    let has_own = |spec: &Value| {
        ["requests", "limits"]
            .iter()
            .any(|list| spec.part("resources").count(list) > 0)
    };
    let never = if has_own(now) || has_own(before) {
        Some("pods with pod-level resources cannot be resized")
    } else if old.part("metadata").part("annotations").has(MIRROR) {
        Some("static pods cannot be resized")
    } else if before.part("os").text("name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(message) = never {
        *errors = ErrorList::default();
        errors.push(FieldError::forbidden(&Path::new(""), message));
        return;
    }
    super::validate(new, errors);
    let spec = Path::new("spec");
    let class = match old.part("status").text("qosClass") {
        "" => quality_of_service(before),
        class => class,
    };
    if class != quality_of_service(now) {
        let message = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&spec, class, message));
    }
    let statuses = old.part("status").items("containerStatuses");
    let running = statuses
        .iter()
        .find(|status| status.part("state").has("running"));
    if running.is_some_and(|status| !status.has("resources")) {
        let message = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden(&spec, message));
    }
    let known = errors.len();
    for list in ["containers", "initContainers"] {
        order(
            now.items(list),
            before.items(list),
            list,
            &spec.child(list),
            errors,
        );
    }
    if errors.len() > known {
        return;
    }
    let mut masked = now.clone();
    for list in ["initContainers", "containers"] {
        let path = spec.child(list);
        let pairs = masked.items_mut(list).iter_mut().zip(before.items(list));
        for (index, (container, old)) in pairs.enumerate() {
            let path = path.index(index);
            one(
                container,
                old,
                list,
                &path.child("resources"),
                &spec,
                errors,
            );
        }
    }
    if errors.is_empty() && !same(&masked, before) {
        errors.push(FieldError::forbidden(
            &spec,
            "only cpu and memory resources are mutable",
        ));
    }
}

/// The same containers in the same order.
fn order(now: &[Value], before: &[Value], list: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if now.len() != before.len() {
        let message = format!("{list} may not be added or removed on resize");
        errors.push(FieldError::forbidden(path, message));
        return;
    }
    for (index, (new, old)) in now.iter().zip(before).enumerate() {
        if new.text("name") != old.text("name") {
            let message = format!("{list} may not be renamed or reordered on resize");
            let path = path.index(index);
            errors.push(FieldError::forbidden(&path.child("name"), message));
        }
    }
}

/// One container; what may be different is made the same.
fn one(
    container: &mut Value,
    old: &Value,
    list: &str,
    path: &Path<'_>,
    spec: &Path<'_>,
    errors: &mut ErrorList,
) {
    let sidecar = is_restartable(container);
    let fixed = list == "initContainers" && !sidecar;
    if !fixed {
        let (now, before) = (container.part("resources"), old.part("resources"));
        for kind in ["requests", "limits"] {
            if before
                .entries(kind)
                .any(|(name, _)| !now.part(kind).has(name))
            {
                let message = format!("resource {kind} cannot be removed");
                errors.push(FieldError::forbidden(&path.child(kind), message));
            }
        }
        let mut masked = json!({});
        for kind in ["limits", "requests"] {
            let mut amounts = now.part(kind).clone();
            for name in ["cpu", "memory"] {
                amounts.copy_from(before.part(kind), name);
            }
            masked.set(kind, amounts);
        }
        masked.copy_from(now, "claims");
        container.set("resources", masked);
    }
    if !same(container, old) {
        let message = match (fixed, sidecar && list == "initContainers") {
            (true, _) => "resources for non-sidecar init containers are immutable",
            (_, true) => "only cpu and memory resources for sidecar containers are mutable",
            _ => "only cpu and memory resources are mutable",
        };
        errors.push(FieldError::forbidden(spec, message));
    }
}
