//! The release's kernel and initrd, booted directly: what needs a whole machine but no firmware.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use init_proto::paths::SMBIOS_PREFIX;
use init_proto::plan::CgroupLimits;
use orlop_tests::client::{Client, Cluster, fingerprint};
use orlop_tests::leftovers::{self, Scratch};
use orlop_tests::qemu::{Disk, Guest, Machine, Network, disk, guest, toy_image};
use orlop_tests::toys::{self, toy};
use orlop_tests::wait::{Lines, PATIENCE};
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Usual time from QEMU's start to the end of a direct boot.
const BOOTS: Duration = Duration::from_secs(12);
/// Usual time of an ordered end.
const ENDS: Duration = Duration::from_secs(5);
/// The watchdog's own time is 30 s, and a boot goes before it.
const WATCHDOG_BITES: Duration = Duration::from_secs(45);
/// Base64 per SMBIOS string: below what any firmware table takes.
const OEM_STRING_BYTES: usize = 800;
/// Room for all partitions, and a small DATA.
const DISK: u64 = 1024 * disk::MIB;
/// Every boot phase of a whole machine.
const PHASES: [&str; 9] = [
    "mount", "watchdog", "root", "harden", "modules", "devices", "plan", "volumes", "services",
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A machine with an empty disk and a config by fw_cfg that installs on it.
fn installed(scratch: &Scratch) -> (Machine, Cluster, PathBuf) {
    let cluster = Cluster::generate(scratch.path(), &["--install-disk", "/dev/vda"]).unwrap();
    let image = scratch.path().join("disk.raw");
    disk::raw(&image, DISK).unwrap();
    let mut machine = Machine::new(guest::direct("").unwrap());
    machine.disks.push(Disk::Raw(image.clone()));
    machine
        .fw_cfg
        .push(("opt/io.orlop/config".into(), cluster.control_plane()));
    (machine, cluster, image)
}

fn resources(client: &Client<'_>, kind: &str) -> String {
    client.json(&["get", kind]).unwrap().to_string()
}

fn configured(client: &Client<'_>) -> Value {
    client
        .wait_version("the configured node", BOOTS, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap()
}

#[test]
fn a_config_by_fw_cfg_makes_disks_identity_and_network_and_a_full_data_does_no_harm() {
    let scratch = leftovers::scratch("direct").unwrap();
    let (machine, cluster, image) = installed(&scratch);
    let mut guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let first = configured(&client);
    assert_eq!(first["sandboxed"], false);
    // DHCP by QEMU's own server.
    assert!(resources(&client, "addresses").contains("10.0.2.15"));
    let mounts = client.json(&["get", "mounts"]).unwrap().to_string();
    assert!(
        mounts.contains("/system/state") && mounts.contains("/var") && mounts.contains("erofs"),
        "{mounts}"
    );
    let services = client.json(&["services"]).unwrap();
    for service in services.as_array().unwrap() {
        assert_eq!(service["state"], "running", "{services}");
    }
    assert!(client.run(&["dmesg", "--tail", "5"]).unwrap().code == 0);
    guest.press_power_button().unwrap();
    guest.wait_off(ENDS).unwrap();
    drop(guest);

    let data = disk::partition(&image, "ORLOP-DATA").unwrap();
    for name in ["ORLOP-ESP", "ORLOP-META", "ORLOP-STATE"] {
        assert!(disk::partition(&image, name).unwrap().1 > 0, "{name}");
    }
    assert!(
        data.0 + data.1 + 34 * 512 >= DISK - 2 * disk::MIB,
        "DATA reaches the disk's end: {data:?}"
    );
    fill(&image, data, scratch.path());

    // DATA has not a block left: the node boots, answers and takes a config.
    let guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let second = configured(&client);
    assert_eq!(second["machineId"], first["machineId"]);
    assert_eq!(second["configSource"], "STATE");
    let renamed = cluster
        .edited(
            &cluster.control_plane(),
            "renamed.yaml",
            "kind: Machine\n",
            "kind: Machine\nhostname: renamed\n",
        )
        .unwrap();
    client.json(&["apply-config", text(&renamed)]).unwrap();
    client
        .wait_version("the new host name", BOOTS, |version| {
            version["hostname"] == "renamed"
        })
        .unwrap();
    assert_eq!(
        client.run(&["logs", "init", "--tail", "3"]).unwrap().code,
        0
    );
    guest.cut_power().unwrap();
}

/// Writes a file into an ext4 partition until no block is left.
fn fill(image: &Path, (offset, size): (u64, u64), scratch: &Path) {
    let big = scratch.join("big");
    // Not zeros: those would be holes.
    let chunk = [0xa5_u8; 1024 * 1024];
    let mut content = Vec::new();
    while u64::try_from(content.len()).unwrap() < size {
        content.extend_from_slice(&chunk);
    }
    fs::write(&big, content).unwrap();
    let place = format!("{}?offset={offset}", image.display());
    let _ = orlop_tests::programs::tool("e2fsck")
        .unwrap()
        .args(["-f", "-p"])
        .arg(&place)
        .output()
        .unwrap();
    let said = orlop_tests::programs::tool("debugfs")
        .unwrap()
        .args(["-w", "-R", &format!("write {} big", big.display())])
        .arg(&place)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("Could not allocate block")
            || said.contains("No free space")
            || said.contains("ENOSPC"),
        "debugfs did not fill DATA: {said}"
    );
}

#[test]
fn each_phase_fails_in_turn_and_the_node_says_which() {
    let scratch = leftovers::scratch("phases").unwrap();
    let cluster = Cluster::generate(scratch.path(), &[]).unwrap();
    for phase in PHASES {
        let machine = Machine::new(guest::direct(&format!("orlop.fail-phase={phase}")).unwrap());
        let guest = Guest::start(&machine).unwrap();
        let failure = format!("boot phase {phase} failed: injected failure");
        guest.serial().wait(&failure, BOOTS).unwrap();
        let print = fingerprint(guest.serial(), 0, BOOTS).unwrap();
        let client = Client::at_port(guest.port().unwrap(), cluster.admin()).pinned(&print);
        let version = client
            .wait_version("maintenance mode", BOOTS, |version| {
                version["mode"] == "maintenance"
            })
            .unwrap();
        let reason = version["maintenanceReason"].as_str().unwrap().to_owned();
        assert!(
            reason.contains(phase) && reason.contains("injected failure"),
            "{phase}: {reason}"
        );
        let phases = client.json(&["boot-phases"]).unwrap();
        let failed: Vec<&Value> = phases["phases"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|phase| phase["state"] == "failed")
            .collect();
        assert_eq!(failed.len(), 1, "{phases}");
        assert_eq!(failed[0]["name"], phase);
        guest.cut_power().unwrap();
    }
}

#[test]
fn a_machine_with_192_mib_takes_its_config_from_smbios_and_brings_every_cable_up() {
    let scratch = leftovers::scratch("small").unwrap();
    let (mut machine, cluster, _) = installed(&scratch);
    machine.memory_mib = 192;
    machine.fw_cfg.clear();
    let encoded = BASE64_STANDARD.encode(fs::read(cluster.control_plane()).unwrap());
    let pieces = encoded.as_bytes().chunks(OEM_STRING_BYTES);
    machine.oem_strings = pieces
        .map(|piece| format!("{SMBIOS_PREFIX}{}", std::str::from_utf8(piece).unwrap()))
        .collect();
    // A second network device whose cable ends in this test.
    let hardware_address = [0x02, 0x77, 0, 0, 1, 1];
    let far_end = scratch.path().join("far-end");
    let cable = UnixDatagram::bind(&far_end).unwrap();
    cable.set_read_timeout(Some(BOOTS * PATIENCE)).unwrap();
    machine.networks.push(Network::Cable {
        here: scratch.path().join("near-end"),
        there: far_end,
        hardware_address,
    });

    let guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let version = configured(&client);
    assert!(
        version["configSource"].as_str().unwrap().contains("SMBIOS"),
        "{version}"
    );
    println!("memory: {}", resources(&client, "memory"));
    for service in client.json(&["services"]).unwrap().as_array().unwrap() {
        assert_eq!(service["restarts"], 0, "{service}");
    }
    let mut frame = [0; 2048];
    let length = cable.recv(&mut frame).unwrap();
    assert!(length > 14, "an Ethernet frame");
    assert_eq!(
        frame[6..12],
        hardware_address,
        "from the guest's second device"
    );
}

#[test]
fn a_hang_of_pid_1_is_ended_by_the_watchdog() {
    let machine = Machine::new(guest::direct("orlop.hang-phase=plan").unwrap());
    let mut guest = Guest::start(&machine).unwrap();
    guest
        .serial()
        .wait("phase plan: injected hang", BOOTS)
        .unwrap();
    let position = guest.serial().position();
    guest
        .qmp()
        .wait_event("WATCHDOG", WATCHDOG_BITES * PATIENCE)
        .unwrap();
    guest.wait_reset(ENDS).unwrap();
    // And the machine starts again by itself.
    guest
        .serial()
        .wait_after(position, "hardware watchdog armed", BOOTS)
        .unwrap();
}

#[test]
fn crashes_limits_the_read_only_root_and_ctrl_alt_del_on_a_real_kernel() {
    let scratch = leftovers::scratch("toys").unwrap();
    let mut hog = toy("hog", &["hog"]);
    hog.limits = CgroupLimits {
        memory_max: Some(48 * disk::MIB),
        ..CgroupLimits::default()
    };
    let services = vec![
        toy("crasher", &["crash", "7"]),
        toy("watcher", &["report", "crasher"]),
        hog,
        toy("hog-watcher", &["report", "hog"]),
        toy("prober", &["write-probe"]),
    ];
    let plan = scratch.path().join("plan");
    fs::write(&plan, toys::plan(services).unwrap()).unwrap();
    let mut machine = Machine::new(toy_image::boot(scratch.path(), "").unwrap());
    machine.fw_cfg.push(("opt/io.orlop/config".into(), plan));
    let mut guest = Guest::start(&machine).unwrap();
    let serial = guest.serial();
    serial.wait("prober: read-only 5 of 5", BOOTS).unwrap();
    serial.wait("last exit code 7", BOOTS).unwrap();
    restarted(serial, "crasher", 5);
    // Killed for its own appetite, and not the machine.
    serial.wait("last signal 9", BOOTS).unwrap();
    restarted(serial, "hog", 2);

    guest.qmp().human("sendkey ctrl-alt-delete").unwrap();
    guest.serial().wait("reboot: Ctrl-Alt-Del", ENDS).unwrap();
    guest.wait_reset(ENDS).unwrap();
}

/// Waits for a reporter to say that a service was restarted this often; it may miss a number.
fn restarted(serial: &Lines, name: &str, least: u32) {
    let prefix = format!("{name} restarts ");
    let number = |line: &str| {
        line.split_once(&prefix)?
            .1
            .split(' ')
            .next()?
            .parse::<u32>()
            .ok()
    };
    serial
        .find_after(0, &format!("{least} restarts of {name}"), BOOTS, |line| {
            number(line) >= Some(least)
        })
        .unwrap();
}
