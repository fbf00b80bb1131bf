//! Which disk is the system's.

use super::{
    Refusal,
    model::{Contents, Disk, Observed},
};
use machine_config::{DiskFacts, parts::InstallTarget};

/// The disk.
pub(crate) fn target<'a>(
    observed: &'a Observed,
    target: &InstallTarget,
) -> Result<&'a Disk, Refusal> {
    let disks = &observed.disks;
    match target {
        InstallTarget::BootDisk => {
            let Some(partition) = observed.boot_partition else {
                return Err(Refusal::Diskless {
                    disks: list(disks.iter()),
                });
            };
            let has = |disk: &&Disk| match &disk.contents {
                Contents::Table(table) => table.partitions.iter().any(|p| p.id == partition),
                _ => false,
            };
            let found = disks.iter().find(has);
            found.ok_or_else(|| Refusal::NoBootDisk {
                partition: partition.to_string(),
                disks: list(disks.iter()),
            })
        }
        InstallTarget::Path(path) => {
            let found = disks.iter().find(|disk| disk.device == *path);
            found.ok_or_else(|| Refusal::NoDisk {
                path: path.clone(),
                disks: list(disks.iter()),
            })
        }
        InstallTarget::Selector(selector) => {
            let fits = |disk: &&Disk| {
                !disk.is_virtual
                    && selector.matches(&DiskFacts {
                        model: &disk.model,
                        serial: &disk.serial,
                        wwid: &disk.wwid,
                        bus_path: &disk.bus_path,
                        size: disk.bytes,
                        rotational: disk.rotational,
                    })
            };
            let fitting: Vec<_> = disks.iter().filter(fits).collect();
            match fitting[..] {
                [one] => Ok(one),
                _ => Err(Refusal::Selector {
                    fitting: list(fitting.into_iter()),
                    disks: list(disks.iter()),
                }),
            }
        }
    }
}

/// Disks for people, without loop and memory devices.
fn list<'a>(disks: impl Iterator<Item = &'a Disk>) -> String {
    let shown: Vec<String> = disks
        .filter(|disk| !disk.is_virtual)
        .map(|disk| {
            let mut text = format!("{}, {} MiB", disk.device, disk.bytes >> 20);
            for (name, value) in [("model", &disk.model), ("serial", &disk.serial)] {
                if !value.is_empty() {
                    text.push_str(&format!(", {name} {value}"));
                }
            }
            text
        })
        .collect();
    if shown.is_empty() {
        "no disk".to_owned()
    } else {
        shown.join("; ")
    }
}
