//! Disk making and config applying under recorded power cuts: the writes of one whole run are recorded,
//! then the disk is looked at as it was after many of them, and booted as it was after three.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use init_proto::generation::Generation;
use orlop_tests::client::{Client, Cluster};
use orlop_tests::leftovers;
use orlop_tests::programs::tool;
use orlop_tests::qemu::log_writes::{FLUSH, WriteLog};
use orlop_tests::qemu::{Disk, Guest, Machine, disk, guest};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BOOTS: Duration = Duration::from_secs(15);
const ENDS: Duration = Duration::from_secs(5);
const DISK: u64 = 1024 * disk::MIB;
/// Prefixes that are looked at offline.
const LOOKS: usize = 60;
/// e2fsck(8): errors that could not be corrected, or the program failed.
const FSCK_BAD: i32 = 4;

/// How far the log was when something was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Marks {
    /// The node answered as configured: disks are made, the first config is stored.
    first: usize,
    /// The second config was acknowledged.
    second: usize,
}

struct Recording {
    log: WriteLog,
    marks: Marks,
    configs: [Vec<u8>; 2],
    machine: Machine,
    cluster: Cluster,
    machine_id: String,
}

/// Complete entries in the log now. What the guest has been told is durable is in it.
fn recorded(path: &Path) -> usize {
    WriteLog::open(path).map_or(0, |log| log.entries().len())
}

fn record(directory: &Path) -> Recording {
    let cluster = Cluster::generate(directory, &["--install-disk", "/dev/vda"]).unwrap();
    let (image, log) = (directory.join("recorded.raw"), directory.join("writes.log"));
    disk::raw(&image, DISK).unwrap();
    fs::write(&log, "").unwrap();
    let mut machine = Machine::new(guest::direct("").unwrap());
    machine
        .fw_cfg
        .push(("opt/io.orlop/config".into(), cluster.control_plane()));
    machine.disks.push(Disk::Recorded {
        image,
        log: log.clone(),
    });
    let mut guest = Guest::start(&machine).unwrap();
    let client = Client::at_port(guest.port().unwrap(), cluster.admin());
    let version = client
        .wait_version("the configured node", BOOTS, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    let first = recorded(&log);
    let renamed = cluster
        .edited(
            &cluster.control_plane(),
            "renamed.yaml",
            "kind: Machine\n",
            "kind: Machine\nhostname: renamed\n",
        )
        .unwrap();
    client
        .json(&["apply-config", renamed.to_str().unwrap()])
        .unwrap();
    let second = recorded(&log);
    client.order(&["shutdown"]).unwrap();
    guest.wait_off(ENDS).unwrap();
    drop(guest);
    let configs = [
        fs::read(cluster.control_plane()).unwrap(),
        fs::read(&renamed).unwrap(),
    ];
    let machine_id = version["machineId"].as_str().unwrap().to_owned();
    Recording {
        log: WriteLog::open(&log).unwrap(),
        marks: Marks { first, second },
        configs,
        machine,
        cluster,
        machine_id,
    }
}

/// STATE cut out of the image, where there is a partition table with one.
fn state(image: &Path, target: &Path) -> Option<()> {
    let table = gpt::GptConfig::new().writable(false).open(image).ok()?;
    let found = table
        .partitions()
        .values()
        .find(|partition| partition.name == "ORLOP-STATE")?
        .clone();
    let count = found.last_lba - found.first_lba + 1;
    let status = Command::new("dd")
        .args(["bs=512", "conv=sparse", "status=none"])
        .arg(format!("if={}", image.display()))
        .arg(format!("of={}", target.display()))
        .arg(format!("skip={}", found.first_lba))
        .arg(format!("count={count}"))
        .status()
        .unwrap();
    assert!(status.success());
    Some(())
}

/// The newest whole config on STATE, after the journal was replayed as a mount does. None: no file system yet.
fn newest(state: &Path) -> Option<Generation> {
    let check = tool("e2fsck")
        .unwrap()
        .args(["-f", "-y"])
        .arg(state)
        .output()
        .unwrap();
    let code = check.status.code().unwrap();
    if code >= FSCK_BAD {
        return None;
    }
    ["/config-a", "/config-b"]
        .iter()
        .filter_map(|path| {
            let read = tool("debugfs")
                .unwrap()
                .args(["-R", &format!("cat {path}")])
                .arg(state)
                .output()
                .unwrap();
            Generation::decode(&read.stdout).ok()
        })
        .max_by_key(|generation| generation.number)
}

fn look(recording: &Recording, image: &Path, scratch: &Path, at: usize) -> String {
    let part = scratch.join("state.raw");
    let _ = fs::remove_file(&part);
    let found = state(image, &part).and_then(|()| newest(&part));
    let kind = match &found {
        None => "none",
        Some(generation) if generation.config == recording.configs[0] => "first",
        Some(generation) if generation.config == recording.configs[1] => "second",
        Some(_) => "neither",
    };
    assert_ne!(
        kind, "neither",
        "after {at} writes STATE holds a config that was never applied"
    );
    if at >= recording.marks.second {
        assert_eq!(
            kind, "second",
            "after {at} writes an acknowledged config is lost"
        );
    } else if at >= recording.marks.first {
        assert_ne!(kind, "none", "after {at} writes the first config is lost");
    }
    kind.to_owned()
}

/// Where to cut: everywhere between, and at each flush around the second config.
fn cuts(recording: &Recording) -> Vec<usize> {
    let entries = recording.log.entries();
    let step = entries.len().div_ceil(LOOKS).max(1);
    let mut cuts: Vec<usize> = (0..=entries.len()).step_by(step).collect();
    let around =
        recording.marks.first.saturating_sub(20)..=entries.len().min(recording.marks.second + 20);
    cuts.extend(around.filter(|&at| at > 0 && entries[at - 1].flags & FLUSH != 0));
    cuts.push(entries.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn replayed(recording: &Recording, path: &Path, to: usize) -> PathBuf {
    disk::raw(path, DISK).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    recording.log.replay(&file, 0, to).unwrap();
    path.to_owned()
}

#[test]
fn every_acknowledged_config_survives_and_every_cut_disk_boots() {
    let scratch = leftovers::scratch("cuts").unwrap();
    let recording = record(scratch.path());
    let total = recording.log.entries().len();
    println!("{total} writes, {:?}", recording.marks);
    assert!(
        recording.marks.first > 0 && recording.marks.second > recording.marks.first,
        "{:?}",
        recording.marks
    );

    let image = scratch.path().join("cut.raw");
    disk::raw(&image, DISK).unwrap();
    let file = File::options().read(true).write(true).open(&image).unwrap();
    let (mut done, mut seen) = (0, Vec::new());
    for at in cuts(&recording) {
        recording.log.replay(&file, done, at).unwrap();
        done = at;
        seen.push(look(&recording, &image, scratch.path(), at));
    }
    println!("{} cuts looked at", seen.len());
    for kind in ["none", "first", "second"] {
        assert!(seen.iter().any(|seen| seen == kind), "no cut showed {kind}");
    }

    // While the disk is made, when it just is, and in the middle of the second config.
    let middle = (recording.marks.first + recording.marks.second) / 2;
    for at in [
        recording.marks.first / 3,
        recording.marks.first * 9 / 10,
        middle,
    ] {
        let mut machine = recording.machine.clone();
        machine.disks = vec![Disk::Raw(replayed(
            &recording,
            &scratch.path().join("boot.raw"),
            at,
        ))];
        let guest = Guest::start(&machine).unwrap();
        let client = Client::at_port(guest.port().unwrap(), recording.cluster.admin());
        let version = client
            .wait_version(
                &format!("the node cut after {at} writes"),
                BOOTS,
                |version| version["mode"] == "control-plane",
            )
            .unwrap();
        if at >= recording.marks.first {
            assert_eq!(version["machineId"], recording.machine_id.as_str());
        }
        guest.cut_power().unwrap();
    }
}
