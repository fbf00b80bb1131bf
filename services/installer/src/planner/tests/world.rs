//! A model of a disk that loses power at any point of any step.

use crate::meta::Meta;
use crate::planner::{
    Refusal, Verdict,
    layout::{ESP_BYTES, KIND_ESP, MIB, new as partition},
    model::{Content, Contents, Disk, Extent, Observed, Partition, Step, Table},
    next_step,
};
use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_STATE};
use machine_config::parts::InstallerPart;
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) const GIB: u64 = 1024 * MIB;
pub(super) const BOOT: Uuid = Uuid::from_u128(0xb007);

/// What is in a partition, beyond what the planner can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inside {
    /// mkfs was cut: it may look whole and is not.
    Half { looks_whole: bool },
    /// Made, at this size; with this many writes of the node's since.
    Whole { bytes: u64, writes: u32 },
}

/// A disk, and what this run has done.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) boot_partition: Option<Uuid>,
    pub(super) inside: BTreeMap<Uuid, Inside>,
    pub(super) metas: BTreeMap<Uuid, Meta>,
    pub(super) done: Observed,
    pub(super) draws: u128,
}

/// Where in a step the power is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Before,
    Within,
    After,
}

impl World {
    pub(super) fn new(bytes: u64, contents: Contents) -> Self {
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
    pub(super) fn booted(bytes: u64) -> Self {
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

    pub(super) fn tell_kernel(&mut self) {
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
    pub(super) fn boot(&mut self) {
        self.disk.kernel.clear();
        self.tell_kernel();
        self.done = Observed::default();
        self.draws += 16;
    }

    pub(super) fn observed(&self) -> Observed {
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

    pub(super) fn by_device(&self, device: &str) -> Partition {
        let Contents::Table(table) = &self.disk.contents else {
            panic!("no table for {device}");
        };
        let number: u32 = device.trim_start_matches("/dev/vda").parse().unwrap();
        let found = table.partitions.iter().find(|p| p.number == number);
        found.expect("the step names a partition").clone()
    }

    /// Does a step, or a part of it.
    pub(super) fn apply(&mut self, step: &Step, cut: Option<Cut>) {
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
    pub(super) fn run(
        &mut self,
        part: &InstallerPart,
        cut: Option<(usize, Cut)>,
    ) -> Result<bool, Refusal> {
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
    pub(super) fn use_volumes(&mut self) {
        for name in [PARTITION_STATE, PARTITION_DATA] {
            let p = self.named(name);
            match self.inside.get_mut(&p.id) {
                Some(Inside::Whole { writes, .. }) => *writes += 1,
                other => panic!("{name} is not whole: {other:?}"),
            }
        }
    }

    pub(super) fn named(&self, name: &str) -> Partition {
        let Contents::Table(table) = &self.disk.contents else {
            panic!("no table");
        };
        let found = table.partitions.iter().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    }
}

pub(super) fn content_of(p: &Partition, bytes: u64) -> Content {
    if p.kind == KIND_ESP {
        return Content::Other("FAT".into());
    }
    Content::Ext {
        label: p.name.clone(),
        bytes,
    }
}
