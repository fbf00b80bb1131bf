//! The readers of what is on a disk, on their own: what the fuzz targets try. Each answers any bytes; never
//! with a panic. META's is public anyway ([`crate::meta`]).

use crate::executor::table::{self, Found};
use crate::planner::{
    efi, layout,
    model::{Partition, Table},
    signature,
};
use std::io::{self, Cursor};
use uuid::Uuid;

/// Sector of the pictures.
const SECTOR: u64 = 512;

/// Where each partition of a disk's table begins and ends, in bytes; none where there is no usable table.
///
/// # Errors
/// Never for a picture in memory that is as long as it says.
pub fn partitions(disk: &[u8]) -> io::Result<Option<Vec<(u64, u64)>>> {
    let bytes = u64::try_from(disk.len()).unwrap_or(u64::MAX);
    Ok(match table::read(&mut Cursor::new(disk), bytes, SECTOR)? {
        Found::Table(table) => {
            let place = |partition: &Partition| (partition.start, partition.end());
            Some(table.partitions.iter().map(place).collect())
        }
        Found::Nothing | Found::Unusable(_) => None,
    })
}

/// A small disk with one partition, as the installer itself writes it.
#[must_use]
pub fn small_disk(bytes: u32) -> Vec<u8> {
    let bytes = u64::from(bytes);
    let table = Table {
        id: Uuid::from_u128(1),
        whole: true,
        partitions: vec![layout::new(
            1,
            "ORLOP-META",
            Uuid::from_u128(2),
            Uuid::from_u128(3),
            bytes / 2,
            8 * SECTOR,
        )],
    };
    let mut disk = Cursor::new(vec![0; usize::try_from(bytes).unwrap_or(0)]);
    table::write(&mut disk, bytes, SECTOR, &table, &[]).expect("one partition fits");
    disk.into_inner()
}

/// What the first and last bytes of a disk or partition say of its content.
#[must_use]
pub fn content(head: &[u8], tail: &[u8], bytes: u64) -> Option<String> {
    let _ = signature::ext(head);
    signature::find(head, tail, bytes)
}

/// The partition that an EFI variable of the boot loader names.
#[must_use]
pub fn loader_device(variable: &[u8]) -> Option<Uuid> {
    efi::loader_device(variable)
}
