//! The one next step, level-triggered: what was done before does not matter, only what is there now.
//!
//! ```text
//!   table wrong or torn ──> WriteTable          kernel shows other partitions ──> ReadAgain, TellKernel
//!   META not ours ────────> WriteMeta           ESP, STATE, DATA not made ──────> Make, Check, WriteMeta
//!                                               DATA smaller than its partition ─> Check, Grow
//! ```

use super::{
    Refusal, choose,
    layout::{self, KIND_ESP, MIB},
    model::{Content, Contents, Disk, Extent, Observed, Partition, Step, Table},
};
use crate::meta::Meta;
use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_META, PARTITION_STATE};
use machine_config::parts::InstallerPart;

/// DATA grows when it gains at least this much: smaller steps are alignment, not a larger disk.
const GROW_MIN: u64 = 16 * MIB;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This.
    Step(Step),
    /// Nothing: the disk with this device file is as it shall be.
    Done(String),
}

/// The next step.
pub(crate) fn next_step(observed: &Observed, part: &InstallerPart) -> Result<Verdict, Refusal> {
    let disk = choose::target(observed, &part.target)?;
    if disk.read_only {
        return Err(unusable(disk, "it is read-only"));
    }
    if !matches!(disk.sector, 512 | 4096) {
        return Err(unusable(
            disk,
            "its sectors have neither 512 nor 4096 bytes",
        ));
    }
    let table = match table_step(observed, disk, part.wipe)? {
        Ok(table) => table,
        Err(step) => return Ok(Verdict::Step(step)),
    };
    let wanted: Vec<Extent> = table.partitions.iter().map(extent).collect();
    if disk.kernel != wanted {
        // Partitions get their names only when the kernel reads them. One that has grown keeps its own,
        // and is shown without disturbing the others.
        let place = |extent: &Extent| (extent.number, extent.start);
        let only_grown = disk.kernel.iter().map(place).eq(wanted.iter().map(place));
        if !only_grown && !observed.read_again {
            return Ok(Verdict::Step(Step::ReadAgain {
                device: disk.device.clone(),
            }));
        }
        return Ok(Verdict::Step(Step::TellKernel {
            device: disk.device.clone(),
            now: disk.kernel.clone(),
            wanted,
        }));
    }
    match contents_step(observed, disk, table)? {
        Some(step) => Ok(Verdict::Step(step)),
        None => Ok(Verdict::Done(disk.device.clone())),
    }
}

/// The table as it shall be, or (inner error) the step that makes it so.
fn table_step<'a>(
    observed: &Observed,
    disk: &'a Disk,
    wipe: bool,
) -> Result<Result<&'a Table, Step>, Refusal> {
    let fresh = |found: &str| {
        if !wipe && !found.is_empty() {
            return Err(foreign(disk, found));
        }
        let (table, clear) = layout::whole_disk(disk, &observed.fresh)?;
        Ok(Err(write(disk, table, clear)))
    };
    let table = match &disk.contents {
        Contents::Blank => return fresh(""),
        Contents::Foreign(found) => return fresh(found),
        Contents::Unreadable(why) => return Err(unusable(disk, why)),
        Contents::Table(table) => table,
    };
    if let Some(beyond) = table.partitions.iter().find(|p| p.end() > disk.bytes) {
        let why = format!("partition {} ends behind the disk's end", show(beyond));
        return Err(unusable(disk, &why));
    }
    let installed = layout::OURS
        .iter()
        .all(|name| partition(table, name).is_some());
    if installed {
        return Ok(grown(disk, table).map_or(Ok(table), Err));
    }
    let (kept, others): (Vec<_>, Vec<_>) = table
        .partitions
        .iter()
        .cloned()
        .partition(|p| is_ours(p, observed));
    if kept.is_empty() {
        return fresh(&listed("a GUID partition table", &others));
    }
    if !others.is_empty() && !wipe {
        return Err(foreign(disk, &listed("partitions of others", &others)));
    }
    let (table, clear) = layout::behind(disk, table.id, kept, &observed.fresh)?;
    Ok(Err(write(disk, table, clear)))
}

/// The step that repairs the table or grows DATA, where there is one.
fn grown(disk: &Disk, table: &Table) -> Option<Step> {
    let data = partition(table, PARTITION_DATA)?;
    let bytes = layout::data_bytes(disk, table, data);
    let grows = bytes - data.bytes >= GROW_MIN;
    if table.whole && !grows {
        return None;
    }
    let mut next = table.clone();
    next.whole = true;
    for partition in &mut next.partitions {
        if grows && partition.id == data.id {
            partition.bytes = bytes;
        }
    }
    Some(write(disk, next, Vec::new()))
}

/// What comes after the kernel shows all partitions.
fn contents_step(observed: &Observed, disk: &Disk, table: &Table) -> Result<Option<Step>, Refusal> {
    let find = |name: &str| {
        let partition = partition(table, name)
            .ok_or_else(|| unusable(disk, &format!("it has no partition {name}")))?;
        let device = partition
            .device
            .clone()
            .ok_or_else(|| unusable(disk, &format!("partition {name} has no device file")))?;
        Ok((partition, device))
    };
    let (meta, meta_device) = find(PARTITION_META)?;
    let (state, state_device) = find(PARTITION_STATE)?;
    let (data, data_device) = find(PARTITION_DATA)?;
    let esp = table.partitions.iter().find(|p| p.kind == KIND_ESP);
    let write_meta = |meta: Meta| {
        Ok(Some(Step::WriteMeta {
            device: meta_device.clone(),
            meta,
        }))
    };
    let meta = match &meta.content {
        Content::Meta(meta) if meta.disk == table.id => meta.clone(),
        _ => return write_meta(first_meta(observed, table, esp, state, data)),
    };
    // One that is in use was checked and mounted by `init`: a cut between making it and saying so.
    let whole = |partition: &Partition| {
        partition.in_use
            || observed.made.contains(&partition.id) && observed.checked.contains(&partition.id)
    };
    let next = Meta {
        esp_made: meta.esp_made || esp.is_some_and(|esp| observed.made.contains(&esp.id)),
        state_made: meta.state_made || whole(state),
        data_made: meta.data_made || whole(data),
        ..meta.clone()
    };
    if next != meta {
        return write_meta(next);
    }
    if let Some(esp) = esp
        && !meta.esp_made
    {
        let (_, device) = find(&esp.name)?;
        return Ok(Some(Step::MakeEsp {
            device,
            id: esp.id,
            sector: disk.sector,
        }));
    }
    for (made, partition, device, label) in [
        (meta.state_made, state, &state_device, PARTITION_STATE),
        (meta.data_made, data, &data_device, PARTITION_DATA),
    ] {
        if !made {
            let (device, id) = (device.clone(), partition.id);
            return Ok(Some(if observed.made.contains(&id) {
                Step::Check { device, id }
            } else {
                Step::MakeExt { device, label, id }
            }));
        }
    }
    Ok(grow_step(observed, data, data_device))
}

/// Checks and grows DATA where its file system is smaller than its partition. In use it waits for the next
/// boot, when this runs before it is mounted.
fn grow_step(observed: &Observed, data: &Partition, device: String) -> Option<Step> {
    let id = data.id;
    let small = matches!(&data.content, Content::Ext { bytes, .. }
        if data.bytes.saturating_sub(*bytes) >= GROW_MIN);
    if !small || data.in_use || observed.grown.contains(&id) {
        None
    } else if observed.checked.contains(&id) {
        Some(Step::Grow { device, id })
    } else {
        Some(Step::Check { device, id })
    }
}

/// The first META of a table. New partitions were cleared before the table was written, so a file
/// system with our label that is there without META is one whose META was lost: it is kept.
fn first_meta(
    observed: &Observed,
    table: &Table,
    esp: Option<&Partition>,
    state: &Partition,
    data: &Partition,
) -> Meta {
    let kept = |partition: &Partition, name: &str| matches!(&partition.content, Content::Ext { label, .. } if label == name);
    Meta {
        disk: table.id,
        esp_made: esp.is_none_or(|esp| {
            Some(esp.id) == observed.boot_partition || matches!(esp.content, Content::Other(_))
        }),
        state_made: kept(state, PARTITION_STATE),
        data_made: kept(data, PARTITION_DATA),
    }
}

/// Kept when missing partitions are added: the ESP that the machine booted from, and what has our names.
fn is_ours(partition: &Partition, observed: &Observed) -> bool {
    Some(partition.id) == observed.boot_partition
        || partition.name == PARTITION_ESP && partition.kind == KIND_ESP
        || layout::OURS.contains(&partition.name.as_str())
}

pub(crate) fn partition<'a>(table: &'a Table, name: &str) -> Option<&'a Partition> {
    table.partitions.iter().find(|p| p.name == name)
}

fn extent(partition: &Partition) -> Extent {
    Extent {
        number: partition.number,
        start: partition.start,
        bytes: partition.bytes,
    }
}

fn write(disk: &Disk, table: Table, clear: Vec<(u64, u64)>) -> Step {
    Step::WriteTable {
        device: disk.device.clone(),
        bytes: disk.bytes,
        sector: disk.sector,
        table,
        clear,
    }
}

fn foreign(disk: &Disk, found: &str) -> Refusal {
    Refusal::Foreign {
        device: disk.device.clone(),
        found: found.to_owned(),
    }
}

fn unusable(disk: &Disk, why: &str) -> Refusal {
    Refusal::Unusable {
        device: disk.device.clone(),
        why: why.to_owned(),
    }
}

/// Names for people, at most this many.
const LISTED_MAX: usize = 8;

fn listed(what: &str, partitions: &[Partition]) -> String {
    let shown: Vec<_> = partitions.iter().take(LISTED_MAX).map(show).collect();
    match (shown.is_empty(), partitions.len() > LISTED_MAX) {
        (true, _) => format!("{what} without partitions"),
        (false, false) => format!("{what} ({})", shown.join(", ")),
        (false, true) => format!("{what} ({}, and more)", shown.join(", ")),
    }
}

fn show(partition: &Partition) -> String {
    format!(
        "{}: {:?}, {} MiB",
        partition.number,
        partition.name,
        partition.bytes / MIB
    )
}
