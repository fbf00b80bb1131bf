//! The container runtime on cgroup v2 with all its controllers, which the machines that run tests may not have: in a guest with the
//! release's kernel, whose only program is `orlop-runtime-guest`.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::leftovers;
use orlop_tests::qemu::{Guest, Machine, runtime_image};
use std::time::Duration;

/// Usual time from QEMU's start to the last check.
const CHECKS: Duration = Duration::from_secs(75);
const ENDS: Duration = Duration::from_secs(5);
/// Each has a line of its own on the console.
const NAMES: [&str; 15] = [
    "memory-limit",
    "pod-limit",
    "cpu-quota",
    "pids-limit",
    "devices",
    "devices-privileged",
    "devices-given",
    "devices-survive",
    "update",
    "update-refused",
    "update-created",
    "users",
    "statistics",
    "cgroup-mount",
    "beside",
];

#[test]
fn limits_and_device_rules_hold_and_are_changed_and_counted() {
    let scratch = leftovers::scratch("runtime").unwrap();
    let mut machine = Machine::new(runtime_image::boot(scratch.path()).unwrap());
    machine.networks.clear();
    machine.watchdog = false;
    machine.memory_mib = 768;
    let mut guest = Guest::start(&machine).unwrap();
    guest.serial().wait("checks: ", CHECKS).unwrap();
    for name in NAMES {
        let line = guest
            .serial()
            .wait(&format!("check {name}: "), Duration::ZERO)
            .unwrap();
        println!("{line}");
    }
    let failed: Vec<String> = guest
        .serial()
        .since(0)
        .into_iter()
        .filter(|line| line.contains(": failed "))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    guest.wait_off(ENDS).unwrap();
}
