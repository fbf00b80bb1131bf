//! The planner against a model of a disk that loses power at any point of any step.

use super::{
    Refusal, Verdict,
    layout::{DATA_BYTES_MIN, ESP_BYTES, KIND_ESP, KIND_LINUX, META_BYTES, MIB, STATE_BYTES},
    model::{Content, Contents, Disk, Extent, Observed, Partition, Step, Table},
    next_step,
};
use crate::meta::Meta;
use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_META, PARTITION_STATE};
use machine_config::parts::{InstallTarget, InstallerPart};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const GIB: u64 = 1024 * MIB;
const BOOT: Uuid = Uuid::from_u128(0xb007);

/// What is in a partition, beyond what the planner can see.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Inside {
    /// mkfs was cut: it may look whole and is not.
    Half { looks_whole: bool },
    /// Made, at this size; with this many writes of the node's since.
    Whole { bytes: u64, writes: u32 },
}

/// A disk, and what this run has done.
#[derive(Debug, Clone)]
struct World {
    disk: Disk,
    boot_partition: Option<Uuid>,
    inside: BTreeMap<Uuid, Inside>,
    metas: BTreeMap<Uuid, Meta>,
    done: Observed,
    draws: u128,
}

/// Where in a step the power is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Before,
    Within,
    After,
}

impl World {
    fn new(bytes: u64, contents: Contents) -> Self {
        Self {
            disk: Disk {
                name: "vda".into(),
                device: "/dev/vda".into(),
                bytes,
                sector: 512,
                contents,
                ..Disk::default()
            },
            boot_partition: None,
            inside: BTreeMap::new(),
            metas: BTreeMap::new(),
            done: Observed::default(),
            draws: 0,
        }
    }

    /// A disk as the image has it: an ESP and room behind it.
    fn booted(bytes: u64) -> Self {
        let esp = partition(1, PARTITION_ESP, KIND_ESP, BOOT, MIB, ESP_BYTES);
        let table = Table {
            id: Uuid::from_u128(1),
            whole: true,
            partitions: vec![esp],
        };
        let mut world = Self::new(bytes, Contents::Table(table));
        world.boot_partition = Some(BOOT);
        world.tell_kernel();
        world
    }

    fn tell_kernel(&mut self) {
        if let Contents::Table(table) = &self.disk.contents {
            let extent = |p: &Partition| Extent {
                number: p.number,
                start: p.start,
                bytes: p.bytes,
            };
            self.disk.kernel = table.partitions.iter().map(extent).collect();
        }
    }

    /// Power comes back: the kernel reads the table (either copy), nothing of the run is left.
    fn boot(&mut self) {
        self.disk.kernel.clear();
        self.tell_kernel();
        self.done = Observed::default();
        self.draws += 16;
    }

    fn observed(&self) -> Observed {
        let mut disk = self.disk.clone();
        if let Contents::Table(table) = &mut disk.contents {
            for p in &mut table.partitions {
                let shown = Extent {
                    number: p.number,
                    start: p.start,
                    bytes: p.bytes,
                };
                if !disk.kernel.contains(&shown) {
                    continue;
                }
                p.device = Some(format!("/dev/vda{}", p.number));
                p.content = match (self.inside.get(&p.id), self.metas.get(&p.id)) {
                    (_, Some(meta)) => Content::Meta(meta.clone()),
                    (Some(Inside::Whole { bytes, .. }), _) => content_of(p, *bytes),
                    (Some(Inside::Half { looks_whole: true }), _) => content_of(p, p.bytes),
                    _ if Some(p.id) == self.boot_partition => Content::Other("FAT".into()),
                    _ => Content::Nothing,
                };
            }
        }
        let draw = |n: u128| Uuid::from_u128(0xf00 + self.draws + n);
        Observed {
            boot_partition: self.boot_partition,
            disks: vec![disk],
            fresh: [draw(0), draw(1), draw(2), draw(3), draw(4)],
            ..self.done.clone()
        }
    }

    fn by_device(&self, device: &str) -> Partition {
        let Contents::Table(table) = &self.disk.contents else {
            panic!("no table for {device}");
        };
        let number: u32 = device.trim_start_matches("/dev/vda").parse().unwrap();
        let found = table.partitions.iter().find(|p| p.number == number);
        found.expect("the step names a partition").clone()
    }

    /// Does a step, or a part of it.
    fn apply(&mut self, step: &Step, cut: Option<Cut>) {
        if cut == Some(Cut::Before) {
            return;
        }
        let torn = cut == Some(Cut::Within);
        match step {
            Step::WriteTable { table, clear, .. } => {
                assert!(table.whole);
                for (start, _) in clear {
                    let cleared = table.partitions.iter().filter(|p| p.start == *start);
                    for p in cleared {
                        assert!(!self.inside.contains_key(&p.id), "{p:?} is in use");
                    }
                }
                self.done.read_again = false;
                self.disk.contents = Contents::Table(Table {
                    whole: !torn,
                    ..table.clone()
                });
            }
            Step::ReadAgain { .. } => {
                // Half of the kernels know GPT, or half of the disks are in use.
                if self.draws.is_multiple_of(32) {
                    self.tell_kernel();
                }
                self.done.read_again = true;
            }
            Step::TellKernel { .. } if torn => {}
            Step::TellKernel { .. } => self.tell_kernel(),
            Step::WriteMeta { .. } if torn => {}
            Step::WriteMeta { device, meta } => {
                self.metas.insert(self.by_device(device).id, meta.clone());
            }
            Step::MakeEsp { device, id, .. } | Step::MakeExt { device, id, .. } => {
                let p = self.by_device(device);
                assert_eq!(p.id, *id);
                let kept = matches!(self.inside.get(id), Some(Inside::Whole { writes, .. }) if *writes > 0);
                assert!(!kept, "{} had data and is made again", p.name);
                let inside = if torn {
                    Inside::Half {
                        looks_whole: self.draws.is_multiple_of(32),
                    }
                } else {
                    self.done.made.insert(*id);
                    Inside::Whole {
                        bytes: p.bytes,
                        writes: 0,
                    }
                };
                self.inside.insert(*id, inside);
            }
            Step::Check { id, .. } => {
                assert!(matches!(self.inside[id], Inside::Whole { .. }), "half-made");
                self.done.checked.insert(*id);
            }
            Step::Grow { device, id } => {
                assert!(self.done.checked.contains(id));
                let p = self.by_device(device);
                if let Some(Inside::Whole { bytes, .. }) = self.inside.get_mut(id) {
                    *bytes = p.bytes;
                }
                self.done.grown.insert(*id);
            }
        }
    }

    /// Runs to the end, or to a cut after this many steps.
    fn run(&mut self, part: &InstallerPart, cut: Option<(usize, Cut)>) -> Result<bool, Refusal> {
        for number in 0..40 {
            match next_step(&self.observed(), part)? {
                Verdict::Done(_) => return Ok(true),
                Verdict::Step(step) => match cut {
                    Some((at, how)) if at == number => {
                        self.apply(&step, Some(how));
                        return Ok(false);
                    }
                    _ => self.apply(&step, None),
                },
            }
        }
        panic!("does not end: {:?}", next_step(&self.observed(), part));
    }

    /// The node writes to STATE and DATA.
    fn use_volumes(&mut self) {
        for name in [PARTITION_STATE, PARTITION_DATA] {
            let p = self.named(name);
            match self.inside.get_mut(&p.id) {
                Some(Inside::Whole { writes, .. }) => *writes += 1,
                other => panic!("{name} is not whole: {other:?}"),
            }
        }
    }

    fn named(&self, name: &str) -> Partition {
        let Contents::Table(table) = &self.disk.contents else {
            panic!("no table");
        };
        let found = table.partitions.iter().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }
}

fn content_of(p: &Partition, bytes: u64) -> Content {
    if p.kind == KIND_ESP {
        return Content::Other("FAT".into());
    }
    Content::Ext {
        label: p.name.clone(),
        bytes,
    }
}

fn partition(number: u32, name: &str, kind: Uuid, id: Uuid, start: u64, bytes: u64) -> Partition {
    Partition {
        number,
        name: name.into(),
        kind,
        id,
        flags: 0,
        start,
        bytes,
        device: None,
        in_use: false,
        content: Content::Nothing,
    }
}

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
