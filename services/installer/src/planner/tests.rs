//! The planner against the model of `world.rs`.

mod world;

use super::{
    Verdict,
    layout::{
        DATA_BYTES_MIN, ESP_BYTES, KIND_LINUX, META_BYTES, MIB, STATE_BYTES, new as partition,
    },
    model::{Contents, Partition, Step, Table},
    next_step,
};
use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_META, PARTITION_STATE};
use machine_config::parts::{InstallTarget, InstallerPart};
use proptest::prelude::*;
use uuid::Uuid;
use world::{BOOT, Cut, GIB, Inside, World};

fn part(path: bool, wipe: bool) -> InstallerPart {
    let target = if path {
        InstallTarget::Path("/dev/vda".into())
    } else {
        InstallTarget::BootDisk
    };
    InstallerPart { target, wipe }
}

fn others(number: u32, name: &str) -> Partition {
    let id = Uuid::from_u128(u128::from(number));
    let start = GIB + u64::from(number) * MIB;
    partition(number, name, KIND_LINUX, id, start, MIB)
}

/// Checks the sizes in MiB of the partitions, in order.
fn check_layout(world: &World, expect: &[(&str, u64)]) {
    let Contents::Table(table) = &world.disk.contents else {
        panic!("no table");
    };
    let found: Vec<_> = table
        .partitions
        .iter()
        .map(|p| (p.name.as_str(), p.bytes / MIB))
        .collect();
    assert_eq!(found, expect);
    let mut end = MIB;
    for p in &table.partitions {
        assert!(p.start >= end && p.start.is_multiple_of(MIB));
        end = p.end();
    }
    assert!(end <= world.disk.bytes - 33 * 4096);
}

#[test]
fn a_blank_disk_is_installed_and_grows() {
    let mut world = World::new(2 * GIB, Contents::Blank);
    assert!(world.run(&part(true, false), None).unwrap());
    let layout = |data| {
        [
            (PARTITION_ESP, 512),
            (PARTITION_META, 4),
            (PARTITION_STATE, 128),
            (PARTITION_DATA, data),
        ]
    };
    check_layout(&world, &layout(1402));
    world.use_volumes();
    world.disk.bytes = 4 * GIB;
    world.boot();
    assert!(world.run(&part(true, false), None).unwrap());
    check_layout(&world, &layout(1402 + 2048));
    let data = world.named(PARTITION_DATA);
    let bytes = data.bytes;
    assert_eq!(world.inside[&data.id], Inside::Whole { bytes, writes: 1 });
    world.boot();
    assert_eq!(
        next_step(&world.observed(), &part(true, false)),
        Ok(Verdict::Done("/dev/vda".into())),
        "nothing is left to do"
    );
}

#[test]
fn the_esp_that_the_machine_booted_from_is_kept() {
    let mut world = World::booted(2 * GIB);
    assert!(world.run(&part(false, true), None).unwrap());
    assert_eq!(world.named(PARTITION_ESP).id, BOOT);
    assert!(!world.inside.contains_key(&BOOT), "it was formatted");
    check_layout(
        &world,
        &[
            (PARTITION_ESP, 512),
            (PARTITION_META, 4),
            (PARTITION_STATE, 128),
            (PARTITION_DATA, 1402),
        ],
    );
}

/// Checks that a disk is refused without `wipe`, with this in the message, and taken with it.
fn check_foreign(contents: Contents, expect: &str) {
    let mut world = World::new(2 * GIB, contents);
    let refusal = world.run(&part(true, false), None).unwrap_err().to_string();
    assert!(refusal.contains(expect), "{refusal}");
    assert!(refusal.contains("install.wipe: true"), "{refusal}");
    assert!(world.run(&part(true, true), None).unwrap());
}

#[test]
fn foreign_data_is_named_and_kept_unless_wiped() {
    check_foreign(
        Contents::Foreign("an XFS file system".into()),
        "an XFS file system",
    );
    let table = |partitions| {
        Contents::Table(Table {
            id: Uuid::from_u128(7),
            whole: true,
            partitions,
        })
    };
    check_foreign(
        table(Vec::new()),
        "a GUID partition table without partitions",
    );
    check_foreign(
        table(vec![others(1, "root"), others(2, "home")]),
        "1: \"root\", 1 MiB, 2: \"home\", 1 MiB",
    );
    check_foreign(table((1..20).map(|n| others(n, "x")).collect()), "and more");
}

#[test]
fn the_boot_disk_with_partitions_of_others_is_refused_unless_wiped() {
    let mut world = World::booted(4 * GIB);
    if let Contents::Table(table) = &mut world.disk.contents {
        table.partitions.push(others(2, "windows"));
    }
    world.boot();
    let refusal = world.run(&part(false, false), None).unwrap_err();
    assert!(refusal.to_string().contains("windows"), "{refusal}");
    assert!(world.run(&part(false, true), None).unwrap());
    assert_eq!(world.named(PARTITION_ESP).id, BOOT);
}

#[test]
fn an_installed_disk_is_never_wiped() {
    let mut world = World::new(2 * GIB, Contents::Blank);
    assert!(world.run(&part(true, false), None).unwrap());
    world.use_volumes();
    let before = world.disk.contents.clone();
    for _ in 0..3 {
        world.boot();
        assert!(world.run(&part(true, true), None).unwrap());
        world.use_volumes();
    }
    assert_eq!(world.disk.contents, before);
}

#[test]
fn a_lost_meta_does_not_cost_state() {
    let mut world = World::new(2 * GIB, Contents::Blank);
    assert!(world.run(&part(true, false), None).unwrap());
    world.use_volumes();
    world.metas.clear();
    world.boot();
    assert!(world.run(&part(true, false), None).unwrap());
    world.use_volumes();
}

#[test]
fn a_mounted_state_counts_as_made() {
    let mut world = World::new(2 * GIB, Contents::Blank);
    assert!(world.run(&part(true, false), None).unwrap());
    // The cut was between making STATE and saying so; init has mounted it since.
    let meta = world.named(PARTITION_META).id;
    world.metas.get_mut(&meta).unwrap().state_made = false;
    world.use_volumes();
    let mut observed = world.observed();
    if let Contents::Table(table) = &mut observed.disks[0].contents {
        table.partitions[2].in_use = true;
    }
    match next_step(&observed, &part(true, false)) {
        Ok(Verdict::Step(Step::WriteMeta { meta, .. })) => assert!(meta.state_made),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let refuse = |change: fn(&mut World), part: &InstallerPart, expect: &str| {
        let mut world = World::new(2 * GIB, Contents::Blank);
        change(&mut world);
        let refusal = world.run(part, None).unwrap_err().to_string();
        assert!(refusal.contains(expect), "{refusal}");
    };
    let disk = part(true, false);
    refuse(|world| world.disk.read_only = true, &disk, "read-only");
    refuse(|world| world.disk.sector = 520, &disk, "512 nor 4096");
    refuse(
        |world| world.disk.bytes = 700 * MIB,
        &disk,
        "700 MiB where 774 MiB",
    );
    refuse(
        |world| world.disk.contents = Contents::Unreadable("I/O error".into()),
        &disk,
        "I/O error",
    );
    let boot = part(false, false);
    refuse(|_| {}, &boot, "booted from no disk");
    refuse(
        |world| world.boot_partition = Some(Uuid::from_u128(9)),
        &boot,
        "which no disk has (/dev/vda, 2048 MiB)",
    );
    let elsewhere = InstallerPart {
        target: InstallTarget::Path("/dev/sda".into()),
        wipe: false,
    };
    refuse(|_| {}, &elsewhere, "no disk /dev/sda (/dev/vda, 2048 MiB)");
    let selector = InstallerPart {
        target: InstallTarget::Selector(machine_config::DiskSelector {
            rotational: Some(true),
            ..Default::default()
        }),
        wipe: false,
    };
    refuse(|_| {}, &selector, "fits no disk");
}

#[test]
fn the_smallest_disk_is_what_the_message_says() {
    let need = MIB + ESP_BYTES + META_BYTES + STATE_BYTES + DATA_BYTES_MIN + MIB;
    let mut world = World::new(need, Contents::Blank);
    assert!(world.run(&part(true, false), None).unwrap());
}

fn cut() -> impl Strategy<Value = (usize, Cut)> {
    let how = prop_oneof![Just(Cut::Before), Just(Cut::Within), Just(Cut::After)];
    (0_usize..14, how)
}

proptest! {
    #[test]
    fn any_cuts_are_survived(
        start in 0_usize..4,
        cuts in proptest::collection::vec((cut(), any::<bool>()), 0..12),
    ) {
        let (mut world, part) = match start {
            0 => (World::new(2 * GIB, Contents::Blank), part(true, false)),
            1 => (World::new(3 * GIB, Contents::Foreign("swap space".into())), part(true, true)),
            2 => (World::booted(2 * GIB), part(false, false)),
            _ => {
                let mut world = World::booted(4 * GIB);
                if let Contents::Table(table) = &mut world.disk.contents {
                    table.partitions.push(others(2, "x"));
                }
                (world, part(false, true))
            }
        };
        for (cut, grows) in cuts {
            world.boot();
            // `apply` checks that nothing with data is made again or cleared.
            if world.run(&part, Some(cut)).unwrap() {
                world.use_volumes();
                if grows && world.disk.bytes < 16 * GIB {
                    world.disk.bytes += GIB;
                }
            }
        }
        world.boot();
        prop_assert!(world.run(&part, None).unwrap());
        world.use_volumes();
        let data = world.named(PARTITION_DATA);
        prop_assert!(world.disk.bytes - data.end() < 2 * MIB);
let grown = matches!(world.inside[&data.id], Inside::Whole { bytes, .. } if bytes == data.bytes);
        prop_assert!(grown, "{:?}", world.inside);
    }
}
