//! What a claim got, and who uses it.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names as grammar;
use serde_json::Value;

use super::{
    claim_spec::{LIST_MAX, RequestNames, request_name, request_names},
    device::binding_conditions,
    list, names,
};
use crate::{
    check,
    disabled::{self, Feature},
    types::core::node_selector,
    value::{Fields, same},
};

/// Most users of a claim.
const USERS_MAX: usize = 256;
/// Most conditions of a device.
const CONDITIONS_MAX: usize = 8;
/// Most bytes of an interface's name, and of its hardware's address.
const INTERFACE_MAX: usize = 256;
const HARDWARE_MAX: usize = 128;
/// Most addresses of a device.
const ADDRESSES_MAX: usize = 16;

/// Fields of a claim whose features are off. The spec's do not change here, and tell that a feature is in use.
const DISABLED: &[Feature] = &[
    // DRAConsumableCapacity: alpha.
    &[
        "status.allocation.devices.results[].shareID",
        "status.allocation.devices.results[].consumedCapacity",
        "status.devices[].shareID",
        "spec.devices.constraints[].distinctAttribute",
        "spec.devices.requests[].exactly.capacity",
        "spec.devices.requests[].firstAvailable[].capacity",
    ],
    // DRADeviceBindingConditions: alpha.
    &[
        "status.allocation.devices.results[].bindingConditions",
        "status.allocation.devices.results[].bindingFailureConditions",
    ],
];

/// What drivers told of a device goes with its allocation, so that who takes that away need not know of it.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    disabled::drop(DISABLED, new, old);
    let ids = |claim: &Value| -> BTreeSet<String> {
        let allocation = claim.part("status").part("allocation");
        let results = allocation.part("devices").items("results").iter();
        results.map(device_id).collect()
    };
    let (now, before) = (ids(new), ids(old));
    let Some(status) = new.field_mut("status") else {
        return;
    };
    let gone = |device: &Value| {
        let id = device_id(device);
        before.contains(&id) && !now.contains(&id)
    };
    if let Some(Value::Array(devices)) = status.field_mut("devices") {
        devices.retain(|device| !gone(device));
        if devices.is_empty() {
            status.remove("devices");
        }
    }
}

/// Mistakes in an update of a status.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let (status, old_status) = (new.part("status"), old.part("status"));
    let uid = |user: &Value| user.text("uid").into();
    list::each_once(
        status,
        "reservedFor",
        USERS_MAX,
        uid,
        &path,
        errors,
        |user, path, errors| {
            for field in ["resource", "name", "uid"] {
                check::required_text(user, field, check::anything, path, errors);
            }
        },
    );
    let results = status.part("allocation").part("devices").items("results");
    let allocated: BTreeSet<String> = results.iter().map(device_id).collect();
    let key = |device: &Value| device_id(device).into();
    list::each_once(
        status,
        "devices",
        usize::MAX,
        key,
        &path,
        errors,
        |one, path, errors| {
            device(one, &allocated, path, errors);
        },
    );
    reservations(new, old_status, &path, errors);
    let allocation_path = path.child("allocation");
    match (status.field("allocation"), old_status.field("allocation")) {
        (Some(_), Some(_)) => check::immutable(status, old_status, "allocation", &path, errors),
        (Some(result), None) => {
            let known = RequestNames::of(new.part("spec"));
            allocation(result, &known, &allocation_path, errors);
        }
        _ => {}
    }
}

fn reservations(new: &Value, old_status: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let status = new.part("status");
    let users = status.items("reservedFor");
    if users.is_empty() {
        return;
    }
    let path = path.child("reservedFor");
    if !status.has("allocation") {
        let message = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(&path, message));
    } else if new.part("metadata").has("deletionTimestamp") {
        let held = old_status.items("reservedFor");
        let is_new = |user: &Value| !held.iter().any(|held| same(held, user));
        if users.iter().any(is_new) {
            let message = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.push(FieldError::forbidden(&path, message));
        }
    }
}

/// A device by its driver, pool and name, and by its share where it is shared.
fn device_id(device: &Value) -> String {
    let mut id = [
        device.text("driver"),
        device.text("pool"),
        device.text("device"),
    ]
    .join("/");
    let share = device.text("shareID");
    if !share.is_empty() {
        id.push('/');
        id.push_str(share);
    }
    id
}

fn device_name(device: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::driver_name(device, "driver", path, errors);
    names::pool(device.text("pool"), &path.child("pool"), errors);
    names::label(device.text("device"), &path.child("device"), errors);
    if let Some(share) = device.part("shareID").as_str() {
        names::uid(share, &path.child("shareID"), errors);
    }
}

fn device(device: &Value, allocated: &BTreeSet<String>, path: &Path<'_>, errors: &mut ErrorList) {
    device_name(device, path, errors);
    let id = device_id(device);
    if !allocated.contains(&id) {
        let message = "must be an allocated device in the claim";
        errors.push(FieldError::invalid(path, id, message));
    }
    let conditions = device.items("conditions");
    list::bounded(
        conditions,
        CONDITIONS_MAX,
        &path.child("conditions"),
        errors,
    );
    check::conditions(device, path, errors);
    if let Some(data) = device.field("data") {
        names::raw_object(data, &path.child("data"), errors);
    }
    if let Some(network) = device.field("networkData") {
        network_data(network, &path.child("networkData"), errors);
    }
}

fn network_data(network: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (field, max) in [
        ("interfaceName", INTERFACE_MAX),
        ("hardwareAddress", HARDWARE_MAX),
    ] {
        if network.text(field).len() > max {
            errors.push(FieldError::too_long(&path.child(field), max));
        }
    }
    let itself = |address: &Value| address.clone();
    list::each_once(
        network,
        "ips",
        ADDRESSES_MAX,
        itself,
        path,
        errors,
        |one, path, errors| {
            let address = one.as_str().unwrap_or_default();
            errors.extend(grammar::interface_address(path, address));
        },
    );
}

fn allocation(result: &Value, known: &RequestNames<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (devices, devices_path) = (result.part("devices"), path.child("devices"));
    list::each(
        devices,
        "results",
        LIST_MAX,
        &devices_path,
        errors,
        |one, path, errors| {
            request_name(one.text("request"), known, &path.child("request"), errors);
            device_name(one, path, errors);
            binding_conditions(one, path, errors);
        },
    );
    // Those of the class and those of the claim.
    let max = 2 * LIST_MAX;
    list::each(
        devices,
        "config",
        max,
        &devices_path,
        errors,
        |one, path, errors| {
            let sources = ["FromClaim", "FromClass"];
            check::required_one_of(one, "source", &sources, path, errors);
            request_names(one, known, path, errors);
            names::configuration(one, path, errors);
        },
    );
    if let Some(selector) = result.field("nodeSelector") {
        node_selector::validate(selector, &path.child("nodeSelector"), errors);
    }
}
