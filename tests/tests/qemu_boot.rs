//! The release's disk image, booted by firmware.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::client::{Client, Cluster, fingerprint};
use orlop_tests::leftovers;
use orlop_tests::qemu::{Disk, Guest, Machine, disk, guest};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Usual time from QEMU's start to the machine API, with firmware and boot loader.
const BOOTS: Duration = Duration::from_secs(25);
/// Usual time of an ordered end.
const ENDS: Duration = Duration::from_secs(6);
/// Firmware, boot loader and kernel hold the release three times for a moment: a release of 38 MiB does not boot
/// in 256 MiB. Without them 192 is enough, see `qemu_direct`.
const SMALL: u32 = 320;
/// What the node's disk is grown to.
const DISK: u64 = 2048 * disk::MIB;

fn machine(directory: &Path) -> Machine {
    let image = directory.join("disk.qcow2");
    disk::overlay(&image, &disk::release().unwrap(), Some(DISK)).unwrap();
    let mut machine = Machine::new(guest::firmware(directory).unwrap());
    machine.disks.push(Disk::Qcow2(image));
    machine
}

fn partitions(client: &Client<'_>) -> Value {
    client.json(&["get", "disks"]).unwrap()
}

#[test]
fn maintenance_then_config_then_the_same_identity_after_a_reboot() {
    let scratch = leftovers::scratch("boot").unwrap();
    let cluster = Cluster::generate(scratch.path(), &[]).unwrap();
    let mut guest = Guest::start(&machine(scratch.path())).unwrap();
    let print = fingerprint(guest.serial(), 0, BOOTS).unwrap();
    let admin = Client::at_port(guest.port().unwrap(), cluster.admin());
    let stranger = admin.pinned(&print);
    let version = stranger
        .wait_version("maintenance mode", BOOTS, |_| true)
        .unwrap();
    assert_eq!(version["mode"], "maintenance");
    println!("boot phases: {}", stranger.json(&["boot-phases"]).unwrap());

    stranger
        .json(&["apply-config", cluster.control_plane().to_str().unwrap()])
        .unwrap();
    let configured = admin
        .wait_version("the configured node", BOOTS, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    let disks = partitions(&admin).to_string();
    assert!(disks.contains("vda4"), "ESP, META, STATE, DATA: {disks}");
    let mounts = admin.json(&["get", "mounts"]).unwrap().to_string();
    assert!(
        mounts.contains("/system/state") && mounts.contains("/var"),
        "{mounts}"
    );

    let position = guest.serial().position();
    admin.order(&["reboot"]).unwrap();
    guest.wait_reset(ENDS).unwrap();
    guest
        .serial()
        .wait_after(position, "Linux version", BOOTS)
        .unwrap();
    let again = admin
        .wait_version("the node after its reboot", BOOTS, |version| {
            version["bootId"] != configured["bootId"]
        })
        .unwrap();
    assert_eq!(again["mode"], "control-plane");
    assert_eq!(again["machineId"], configured["machineId"]);
    assert_eq!(again["configSource"], "STATE");
    admin.order(&["shutdown"]).unwrap();
    guest.wait_off(ENDS).unwrap();
}

#[test]
fn a_small_machine_serves_its_api() {
    let scratch = leftovers::scratch("small").unwrap();
    let cluster = Cluster::generate(scratch.path(), &[]).unwrap();
    let machine = Machine {
        memory_mib: SMALL,
        ..machine(scratch.path())
    };
    let guest = Guest::start(&machine).unwrap();
    let print = fingerprint(guest.serial(), 0, BOOTS).unwrap();
    let admin = Client::at_port(guest.port().unwrap(), cluster.admin());
    admin
        .pinned(&print)
        .wait_version("maintenance mode", BOOTS, |version| {
            version["mode"] == "maintenance"
        })
        .unwrap();
    admin
        .pinned(&print)
        .json(&["apply-config", cluster.control_plane().to_str().unwrap()])
        .unwrap();
    admin
        .wait_version("the configured node", BOOTS, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
}
