//! Bits that flip while a machine is off: it says so when it starts, or it makes no difference.

use crate::{
    cluster::Cluster,
    dice::Dice,
    disk::{Disk, Storage},
    network::Machine,
};
use orlop_store::executor::{
    log::format::{SEGMENT_HEADER, SegmentHeader, decode_batch},
    member::MemberError,
    records,
};
use std::{collections::BTreeMap, sync::Arc};

/// What came of a flipped bit at the next start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The start failed, and named damage.
    Refused,
    /// The member runs: nothing that it needs was hit, or it knows nothing of it.
    Started,
}

/// How often what came of flipped bits, by the kind of file.
pub(crate) type Outcomes = BTreeMap<(&'static str, Outcome), usize>;

/// Flips a bit of a machine that is off, and starts it.
pub(crate) async fn flip_and_start(
    cluster: &Arc<Cluster>,
    machine: Machine,
    dice: &Dice,
) -> Result<Option<Outcome>, MemberError> {
    let Some(flipped) = flip(&cluster.storage(machine), dice) else {
        return Ok(None);
    };
    cluster.trace.note(format_args!(
        "machine {machine}: bit {} of {} flips",
        flipped.position, flipped.name
    ));
    let outcome = match cluster.start(machine).await {
        Ok(()) => Outcome::Started,
        Err(MemberError::Storage(text)) if names_damage(&text) => Outcome::Refused,
        Err(error) => return Err(error),
    };
    cluster.note_rot(flipped.kind, outcome.clone());
    Ok(Some(outcome))
}

fn names_damage(text: &str) -> bool {
    text.contains("is damaged") || text.contains("the log lacks entries")
}

/// Which bit.
struct Flipped {
    kind: &'static str,
    name: String,
    position: usize,
}

/// Flips a bit of the records, of the log, or of a small value. None: there is nothing there yet.
fn flip(storage: &Storage, dice: &Dice) -> Option<Flipped> {
    let (disk, kind) = match dice.below(10) {
        0..5 => (&storage.records, "records"),
        5..9 => (&storage.segments, "log"),
        _ => (&storage.records, "small value"),
    };
    let names = disk.list().ok()?;
    let is_of_kind = |name: &&String| (kind == "records") == (*name == records::NAME);
    let names: Vec<_> = match kind {
        "log" => names.iter().collect(),
        _ => names.iter().filter(is_of_kind).collect(),
    };
    let name = *dice.choose(&names)?;
    let content = disk.content(name);
    let needed: Vec<usize> = if kind == "log" {
        let is_last = names.last() == Some(&name);
        (0..vouched_for(&content, is_last)).collect()
    } else {
        // Most of the records' file was never written, and is of no use to anybody.
        let bytes = content.iter().enumerate();
        bytes
            .filter(|(_, byte)| **byte != 0)
            .map(|(offset, _)| offset)
            .collect()
    };
    let position = dice.choose(&needed)? * 8 + dice.below(8);
    disk.flip(name, position);
    Some(Flipped {
        kind,
        name: name.clone(),
        position,
    })
}

/// Bytes of a segment that something says were durable: what is behind them in the last one looks like a torn write where it is
/// damaged (see the README), and is left alone here.
fn vouched_for(content: &[u8], is_last: bool) -> usize {
    if !is_last {
        return content.len();
    }
    let Ok(header) = SegmentHeader::decode(content) else {
        return 0;
    };
    let (mut at, mut vouched) = (SEGMENT_HEADER, 0);
    while let Some(batch) = decode_batch(content, header.salt, at) {
        at = batch.end;
        vouched = batch.synced;
    }
    usize::try_from(vouched).expect("it is in memory")
}
