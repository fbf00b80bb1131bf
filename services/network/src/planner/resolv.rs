//! Host name, `resolv.conf` and time servers, from config and leases.

use super::{
    model::{Kernel, Operation},
    plan::Leases,
    settings::Settings,
};
use std::fmt::Write as _;

/// Name of the file with nameservers and search domains, in resolv.conf(5)'s form.
pub const RESOLV_CONF: &str = "resolv.conf";
/// Name of the file with the time servers that DHCP gave, one address per line.
pub const TIME_SERVERS: &str = "time-servers";
/// Nameservers, search domains and time servers written, each.
const ENTRIES_MAX: usize = 8;

/// What has to change.
pub(super) fn operations(settings: &Settings, kernel: &Kernel, leases: &Leases) -> Vec<Operation> {
    let mut operations = Vec::new();
    let hostname = settings
        .hostname
        .as_ref()
        .or(leases.hostname.as_ref())
        .unwrap_or(&settings.fallback_hostname);
    if kernel.hostname != *hostname {
        operations.push(Operation::Hostname(hostname.clone()));
    }
    let files = [
        (RESOLV_CONF, resolv_conf(settings, leases)),
        (TIME_SERVERS, time_servers(leases)),
    ];
    for (name, content) in files {
        if kernel.files.get(name) != Some(&content) {
            operations.push(Operation::File { name, content });
        }
    }
    operations
}

fn resolv_conf(settings: &Settings, leases: &Leases) -> String {
    let mut nameservers: Vec<String> = settings
        .nameservers
        .iter()
        .map(ToString::to_string)
        .collect();
    if nameservers.is_empty() {
        nameservers = unique(
            leases
                .held
                .values()
                .flat_map(|lease| lease.nameservers.iter().map(ToString::to_string)),
        );
    }
    let mut domains = settings.search_domains.clone();
    if domains.is_empty() {
        domains = unique(
            leases
                .held
                .values()
                .flat_map(|lease| lease.search_domains.iter().cloned()),
        );
    }
    let mut text =
        String::from("# Written by the network service from the machine config and DHCP.\n");
    for nameserver in nameservers {
        writeln!(text, "nameserver {nameserver}").expect("a String takes everything");
    }
    if !domains.is_empty() {
        writeln!(text, "search {}", domains.join(" ")).expect("a String takes everything");
    }
    text
}

fn time_servers(leases: &Leases) -> String {
    let servers = leases
        .held
        .values()
        .flat_map(|lease| lease.time_servers.iter().map(ToString::to_string));
    unique(servers)
        .into_iter()
        .map(|server| server + "\n")
        .collect()
}

/// The first [`ENTRIES_MAX`] different ones, in order.
fn unique(entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for entry in entries {
        if kept.len() < ENTRIES_MAX && !kept.contains(&entry) {
            kept.push(entry);
        }
    }
    kept
}
