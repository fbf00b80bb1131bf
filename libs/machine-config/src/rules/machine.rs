//! Rules of kind `Machine`.

use std::collections::BTreeMap;

use super::Report;
use crate::documents::{Install, Kernel, Machine, Registries, Role};
use crate::kinds::Placed;

pub(super) fn check(placed: &Placed<Machine>, report: &mut Report<'_>) {
    let machine = &placed.value;
    match (machine.role, &machine.ca.key) {
        (Role::Worker, Some(_)) => report.at(
            placed,
            "Machine.ca.key",
            "a worker must not hold the key of an authority",
            "remove the key; workers hold the certificate only",
        ),
        (Role::ControlPlane, None) => report.at(
            placed,
            "Machine.ca.key",
            "a control-plane machine needs the key of the machine authority",
            "take it from the secrets file, or let \"orlopctl gen config\" write the config",
        ),
        _ => {}
    }
    if let Some(install) = &machine.install {
        check_install(placed, install, report);
    }
    if let Some(kernel) = &machine.kernel {
        check_modules(placed, kernel, report);
    }
    if let Some(registries) = &machine.registries {
        check_registries(placed, registries, report);
    }
    let mut taints = BTreeMap::new();
    for (index, taint) in machine.node_taints.iter().enumerate() {
        if let Some(first) = taints.insert((&taint.key, taint.effect), index) {
            report.at(
                placed,
                format!("Machine.nodeTaints[{index}]"),
                format!("the same key and effect as nodeTaints[{first}]"),
                "a taint is told apart by its key and effect; remove one",
            );
        }
    }
}

fn check_install(placed: &Placed<Machine>, install: &Install, report: &mut Report<'_>) {
    let Some(selector) = &install.disk_selector else {
        return;
    };
    let path = "Machine.install.diskSelector";
    if install.disk.is_some() {
        report.at(
            placed,
            path,
            "given together with disk",
            "keep one of the two",
        );
    }
    if selector.is_empty() {
        report.at(
            placed,
            path,
            "selects nothing",
            "give at least one property of the disk",
        );
    }
    if let (Some(min), Some(max)) = (selector.min_size, selector.max_size)
        && min > max
    {
        let message = format!("minSize {min} is above maxSize {max}: no disk fits");
        report.at(placed, format!("{path}.minSize"), message, "");
    }
}

fn check_modules(placed: &Placed<Machine>, kernel: &Kernel, report: &mut Report<'_>) {
    let mut names = BTreeMap::new();
    for (index, module) in kernel.modules.iter().enumerate() {
        // The kernel takes '-' and '_' in a module's name for the same (modprobe(8)).
        let name = module.name.as_str().replace('-', "_");
        if let Some(first) = names.insert(name, index) {
            report.at(
                placed,
                format!("Machine.kernel.modules[{index}].name"),
                format!("the same module as kernel.modules[{first}]"),
                "put all parameters into one entry",
            );
        }
    }
}

fn check_registries(placed: &Placed<Machine>, registries: &Registries, report: &mut Report<'_>) {
    for (host, credentials) in &registries.credentials {
        let path = crate::problem::below("Machine.registries.credentials", host.as_str());
        let hint = "give username and password, or token";
        match (
            &credentials.username,
            &credentials.password,
            &credentials.token,
        ) {
            (Some(_), None, _) => report.at(placed, path, "a username without a password", hint),
            (None, Some(_), _) => report.at(placed, path, "a password without a username", hint),
            (Some(_), Some(_), Some(_)) => {
                report.at(placed, path, "a password and a token", hint);
            }
            _ => {}
        }
    }
}
