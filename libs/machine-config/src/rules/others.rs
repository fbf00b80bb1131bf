//! Rules of kinds `Resolver` and `Time`.

use std::time::Duration;

use super::Report;
use crate::documents::{Resolver, Time};
use crate::kinds::Placed;

/// Longest wait for the time at boot.
const BOOT_TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(super) fn check_resolver(placed: &Placed<Resolver>, report: &mut Report<'_>) {
    let servers = &placed.value.nameservers;
    for (index, server) in servers.iter().enumerate() {
        let path = format!("Resolver.nameservers[{index}]");
        if server.is_unspecified() || server.is_multicast() {
            let message = format!("{server} is not an address that a nameserver can have");
            report.at(placed, path, message, "");
        } else if servers[..index].contains(server) {
            report.at(
                placed,
                path,
                format!("{server} is listed twice"),
                "remove one",
            );
        }
    }
}

pub(super) fn check_time(placed: &Placed<Time>, report: &mut Report<'_>) {
    let time = &placed.value;
    if time.disabled && !time.servers.is_empty() {
        let hint = "remove the servers or \"disabled: true\"";
        report.at(placed, "Time.disabled", "given together with servers", hint);
    }
    if time.boot_timeout.duration() > BOOT_TIMEOUT_MAX {
        let message = format!("{} is too long to wait at boot", time.boot_timeout);
        report.at(placed, "Time.bootTimeout", message, "wait for at most 10m");
    }
}
