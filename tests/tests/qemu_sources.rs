//! Where a guest's config comes from, and which source goes first. Each config has its own host name.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::client::{Client, Cluster};
use orlop_tests::leftovers;
use orlop_tests::programs;
use orlop_tests::qemu::{Disk, Guest, Machine, Network, disk, guest, machine::colons, volume};
use orlop_tests::sandbox::Lab;
use orlop_tests::servers::{ConfigServer, serve_time};
use orlop_tests::wait::eventually;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xtask::command;

/// Usual time from QEMU's start to the end of a direct boot.
const BOOTS: Duration = Duration::from_secs(12);
/// Usual time of an ordered end.
const ENDS: Duration = Duration::from_secs(5);
/// Usual time from a config that can be had to a configured node: the back-off may be at 16 s by then.
const FETCHES: Duration = Duration::from_secs(20);
/// Room for all partitions, and a small DATA.
const DISK: u64 = 1024 * disk::MIB;
/// What the lab's time is ahead of the guest's: less than certificates are dated back.
const AHEAD: Duration = Duration::from_secs(1800);
/// A machine of its own, in the URL.
const UUID: &str = "5d2f6a54-3e0d-4ad0-9f6e-0b7d3f2a9c11";

fn machine(extra: &str, disks: &[&Path]) -> Machine {
    let mut machine = Machine::new(guest::direct(extra).unwrap());
    machine.disks = disks.iter().map(|path| Disk::Raw(path.into())).collect();
    machine
}

/// A config whose node is called `name`.
fn named(cluster: &Cluster, name: &str) -> PathBuf {
    let hostname = format!("kind: Machine\nhostname: {name}\n");
    let file = format!("{name}.yaml");
    cluster
        .edited(
            &cluster.control_plane(),
            &file,
            "kind: Machine\n",
            &hostname,
        )
        .unwrap()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Waits for a configured node with the host name of this config.
fn configured(client: &Client<'_>, hostname: &str) -> Value {
    client
        .wait_version(hostname, BOOTS, |version| {
            version["mode"] == "control-plane" && version["hostname"] == hostname
        })
        .unwrap()
}

/// Size of the file system that is mounted on `target`.
fn size_of(client: &Client<'_>, target: &str) -> u64 {
    let mounts = client.json(&["get", "mounts"]).unwrap();
    let found = mounts.as_array().unwrap().iter().find_map(|mount| {
        let spec = mount.get("spec").unwrap_or(mount);
        (spec["target"] == target).then(|| spec["size"].as_u64())
    });
    found
        .flatten()
        .unwrap_or_else(|| panic!("{target} is not in {mounts}"))
}

/// Runs one command of debugfs on the file system of a partition.
fn debugfs(image: &Path, partition: (u64, u64), request: &str) -> String {
    let place = format!("{}?offset={}", image.display(), partition.0);
    let mut debugfs = programs::tool("debugfs").unwrap();
    command::output(debugfs.args(["-w", "-R", request]).arg(place)).unwrap()
}

#[test]
fn a_config_from_an_iso_then_state_goes_first_and_data_takes_a_grown_disk() {
    let scratch = leftovers::scratch("sources").unwrap();
    let cluster = Cluster::generate(scratch.path(), &["--install-disk", "/dev/vda"]).unwrap();
    let path = |name: &str| scratch.path().join(name);
    let (image, iso, fat) = (path("disk.raw"), path("cidata.iso"), path("cidata.fat"));
    disk::raw(&image, DISK).unwrap();
    volume::iso(
        &iso,
        "cidata",
        "user-data",
        &bytes(&named(&cluster, "from-iso")),
    )
    .unwrap();
    let other = named(&cluster, "from-fat");
    volume::fat(&fat, "CIDATA", "user-data", &bytes(&other)).unwrap();

    let mut guest = Guest::start(&machine("", &[&image, &iso])).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let first = configured(&client, "from-iso");
    assert_eq!(first["configSource"], "NoCloud");
    let small = size_of(&client, "/var");
    client.order(&["shutdown"]).unwrap();
    guest.wait_off(ENDS).unwrap();
    drop(guest);

    // Something of the node's own on DATA, and then a larger disk.
    let marker = path("marker");
    fs::write(&marker, "this was here before\n").unwrap();
    let data = disk::partition(&image, "ORLOP-DATA").unwrap();
    debugfs(&image, data, &format!("write {} marker", marker.display()));
    disk::grow(&image, 2 * DISK).unwrap();

    // STATE goes before every other source, whatever they say.
    let mut machine = machine("", &[&image, &fat]);
    machine.fw_cfg.push(("opt/io.orlop/config".into(), other));
    let mut guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let second = configured(&client, "from-iso");
    assert_eq!(second["configSource"], "STATE");
    assert_eq!(second["machineId"], first["machineId"]);
    let large = size_of(&client, "/var");
    assert!(large > small + DISK / 4 * 3, "{small} bytes became {large}");
    client.order(&["shutdown"]).unwrap();
    guest.wait_off(ENDS).unwrap();
    drop(guest);

    let data = disk::partition(&image, "ORLOP-DATA").unwrap();
    assert!(
        data.0 + data.1 + 34 * 512 >= 2 * (DISK - disk::MIB),
        "DATA reaches the disk's new end: {data:?}"
    );
    assert_eq!(
        debugfs(&image, data, "cat marker"),
        "this was here before\n"
    );
}

#[test]
fn the_esp_goes_before_fw_cfg_and_a_volume() {
    let scratch = leftovers::scratch("esp").unwrap();
    let cluster = Cluster::generate(scratch.path(), &["--install-disk", "/dev/vda"]).unwrap();
    let (image, fat) = (scratch.path().join("disk.raw"), scratch.path().join("fat"));
    let mut copy = std::process::Command::new("cp");
    copy.arg("--sparse=always").arg(disk::release().unwrap());
    command::output(copy.arg(&image)).unwrap();
    disk::grow(&image, 2 * DISK).unwrap();
    let esp = disk::partition(&image, "ORLOP-ESP").unwrap();
    volume::put(
        &image,
        esp.0,
        "orlop.yaml",
        &bytes(&named(&cluster, "from-esp")),
    )
    .unwrap();
    volume::fat(
        &fat,
        "cidata",
        "orlop.yaml",
        &bytes(&named(&cluster, "from-fat")),
    )
    .unwrap();
    let mut machine = machine("", &[&image, &fat]);
    let other = named(&cluster, "from-fw-cfg");
    machine.fw_cfg.push(("opt/io.orlop/config".into(), other));

    let guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let version = configured(&client, "from-esp");
    assert_eq!(version["configSource"], "ESP");
    guest.cut_power().unwrap();
}

#[test]
fn a_fat_volume_goes_before_a_url_and_an_empty_volume_is_passed_over() {
    let scratch = leftovers::scratch("fat").unwrap();
    let cluster = Cluster::generate(scratch.path(), &["--install-disk", "/dev/vda"]).unwrap();
    let path = |name: &str| scratch.path().join(name);
    let (image, iso, fat) = (path("disk.raw"), path("cidata.iso"), path("cidata.fat"));
    disk::raw(&image, DISK).unwrap();
    volume::iso(&iso, "CIDATA", "meta-data", b"instance-id: one\n").unwrap();
    volume::fat(
        &fat,
        "cidata",
        "user-data",
        &bytes(&named(&cluster, "from-fat")),
    )
    .unwrap();
    // Nobody answers there: this network leads nowhere.
    let machine = machine("orlop.config=http://10.0.2.2/", &[&image, &iso, &fat]);

    let guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let version = configured(&client, "from-fat");
    assert_eq!(version["configSource"], "NoCloud");
    let services = client.json(&["services"]).unwrap().to_string();
    assert!(!services.contains("fetch-config"), "{services}");
    guest.cut_power().unwrap();
}

#[test]
fn a_config_is_fetched_once_it_is_right_and_the_clock_is_set() {
    let lab = Lab::new().unwrap();
    let cluster = Cluster::generate(lab.scratch(), &["--install-disk", "/dev/vda"]).unwrap();
    let good = bytes(&named(&cluster, "from-url"));
    let text = String::from_utf8(good.clone()).unwrap();
    let bad = text.replace("hostname:", "hostnme:");
    let server = ConfigServer::start(&lab, 8080, bad.into_bytes()).unwrap();
    let _dhcp = lab
        .serve_dhcp_and_name(Duration::from_secs(120), "config.lab.test")
        .unwrap();
    serve_time(&lab, AHEAD).unwrap();
    let image = lab.scratch().join("disk.raw");
    disk::raw(&image, DISK).unwrap();
    let place = lab.place().unwrap();
    let url = "http://me:hush@config.lab.test:8080/${uuid}.yaml?mac=${mac}&host=${hostname}";
    let mut machine = machine(&format!("orlop.config={url}"), &[&image]);
    machine.networks = vec![Network::Lab(place)];
    machine.uuid = Some(UUID.into());

    let mut guest = Guest::start_in(&lab, &machine).unwrap();
    let admin = Client::in_lab(&lab, &place.address.to_string(), cluster.admin());
    let print = orlop_tests::client::fingerprint(guest.serial(), 0, BOOTS).unwrap();
    // What is wrong with the config is told, and nothing of the URL that is not for everybody.
    let version = admin
        .pinned(&print)
        .wait_version("the problem", FETCHES, |version| {
            version["maintenanceReason"]
                .as_str()
                .is_some_and(|reason| reason.contains("hostnme"))
        })
        .unwrap();
    let reason = version["maintenanceReason"].as_str().unwrap();
    let shown = format!("http://config.lab.test:8080/{UUID}.yaml");
    assert!(
        reason.contains(&shown) && !reason.contains("hush"),
        "{reason}"
    );
    guest.serial().wait("hostnme", BOOTS).unwrap();

    server.change(good);
    let configured = admin
        .wait_version("the configured node", FETCHES, |version| {
            version["mode"] == "control-plane" && version["hostname"] == "from-url"
        })
        .unwrap();
    assert_eq!(configured["configSource"], "URL");
    assert_eq!(
        guest.serial().count("hush"),
        guest.serial().count("orlop.config=")
    );
    let asked = server.asked();
    let expect = format!("/{UUID}.yaml?mac={}&host=", colons(place.hardware_address));
    for target in &asked {
        assert!(target.starts_with(&expect), "{target}");
    }

    // The clock follows the lab's, which DHCP has named.
    let synchronised = eventually("a synchronised clock", FETCHES, || {
        let services = admin.json(&["services"])?;
        let time = services.as_array().into_iter().flatten();
        let mut time = time.filter(|service| service["name"] == "time");
        let message = time.next().map(|time| time["message"].to_string());
        Ok(message.filter(|message| message.contains("synchronised, stratum 1")))
    });
    println!("time: {}", synchronised.unwrap());

    // From now on STATE has the config, and nobody is asked.
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
    assert_eq!(again["configSource"], "STATE");
    assert_eq!(again["machineId"], configured["machineId"]);
    assert_eq!(server.asked().len(), asked.len());
    guest.cut_power().unwrap();
}
