//! Names: a pod's own, and how it finds others.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check::value::{ip, label, required_one_of, subdomain},
    value::Fields,
};

/// Limits of the resolver in libc.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_BYTES_MAX: usize = 2048;
/// Most bytes of a host's name in the kernel.
const HOSTNAME_MAX: usize = 64;

pub(super) fn validate(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    required_one_of(
        spec.text("dnsPolicy"),
        &policies,
        &path.child("dnsPolicy"),
        errors,
    );
}

pub(super) fn validate_config(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let of_none = spec.text("dnsPolicy") == "None";
    let path = path.child("dnsConfig");
    let Some(config) = spec.field("dnsConfig") else {
        if of_none {
            let message = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&path, message));
        }
        return;
    };
    let servers = config.items("nameservers");
    let servers_path = path.child("nameservers");
    if of_none && servers.is_empty() {
        let message = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&servers_path, message));
        return;
    }
    if servers.len() > NAMESERVERS_MAX {
        let message = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(
            &servers_path,
            servers.to_vec(),
            message,
        ));
    }
    for (index, server) in config.texts("nameservers").enumerate() {
        ip(server, &servers_path.index(index), errors);
    }
    searches(config, &path.child("searches"), errors);
    let options = path.child("options");
    for (index, option) in config.items("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.push(FieldError::required(
                &options.index(index),
                "must not be empty",
            ));
        }
    }
}

fn searches(config: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let searches = config.items("searches");
    if searches.len() > SEARCHES_MAX {
        let message = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(path, searches.to_vec(), message));
    }
    let bytes: usize = config
        .texts("searches")
        .map(|search| search.len() + 1)
        .sum();
    if bytes.saturating_sub(1) > SEARCH_BYTES_MAX {
        let message = format!(
            "must not have more than {SEARCH_BYTES_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(path, searches.to_vec(), message));
    }
    for (index, search) in config.texts("searches").enumerate() {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            let messages = names::dns1123_subdomain_with_underscore(search);
            errors.push_invalid(&path.index(index), search, messages);
        }
    }
}

/// A pod's name in its own eyes.
pub(super) fn validate_hostname(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["hostname", "subdomain"] {
        let text = spec.text(name);
        if !text.is_empty() {
            label(text, &path.child(name), errors);
        }
    }
    if !spec.has("hostnameOverride") {
        return;
    }
    let (text, path) = (
        spec.text("hostnameOverride"),
        path.child("hostnameOverride"),
    );
    if spec.flag("setHostnameAsFQDN") {
        let message = "may not be specified when `setHostnameAsFQDN` is true";
        errors.push(FieldError::forbidden(&path, message));
    }
    if spec.flag("hostNetwork") {
        let message = "may not be specified when `hostNetwork` is true";
        errors.push(FieldError::forbidden(&path, message));
    }
    if text.len() > HOSTNAME_MAX {
        errors.push(FieldError::too_long(&path, HOSTNAME_MAX));
    }
    subdomain(text, &path, errors);
}

/// What stands in the pod's file of hosts.
pub(super) fn validate_host_aliases(aliases: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (index, alias) in aliases.iter().enumerate() {
        let path = path.index(index);
        ip(alias.text("ip"), &path.child("ip"), errors);
        let hostnames = path.child("hostnames");
        for (index, name) in alias.texts("hostnames").enumerate() {
            subdomain(name, &hostnames.index(index), errors);
        }
    }
}
