//! Memory, processors, kernel modules, uptime: texts of `/proc`.

use super::{ReadError, Reading, Sources, fields, file};
use crate::planner::resources::{Snapshot, Spec};
use serde_json::Value as Json;
use std::collections::BTreeMap;

pub(super) fn memory(_: &Sources) -> Reading<'_> {
    ready(file("/proc/meminfo").map(|text| parse_memory(&text)))
}

pub(super) fn cpus(_: &Sources) -> Reading<'_> {
    ready(file("/proc/cpuinfo").map(|text| parse_cpus(&text)))
}

pub(super) fn modules(_: &Sources) -> Reading<'_> {
    // A kernel without modules has no such file, and no modules.
    ready(Ok(parse_modules(
        &file("/proc/modules").unwrap_or_default(),
    )))
}

pub(super) fn uptime(_: &Sources) -> Reading<'_> {
    ready(read_uptime())
}

fn ready<'a>(result: Result<Snapshot, ReadError>) -> Reading<'a> {
    Box::pin(std::future::ready(result))
}

fn one(id: &str, spec: Spec) -> Snapshot {
    BTreeMap::from([(id.to_owned(), spec)])
}

/// proc_meminfo(5), in bytes.
fn parse_memory(text: &str) -> Snapshot {
    let values: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            let kibibytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
            Some((key, kibibytes.saturating_mul(1024)))
        })
        .collect();
    let of = |key: &str| Json::from(values.get(key).copied());
    let spec = fields([
        ("total", of("MemTotal")),
        ("free", of("MemFree")),
        ("available", of("MemAvailable")),
        ("buffers", of("Buffers")),
        ("cached", of("Cached")),
        ("shared", of("Shmem")),
        ("slab", of("Slab")),
        ("swapTotal", of("SwapTotal")),
        ("swapFree", of("SwapFree")),
    ]);
    one("memory", spec)
}

/// proc_cpuinfo(5), a paragraph per processor.
fn parse_cpus(text: &str) -> Snapshot {
    text.split("\n\n")
        .filter_map(|paragraph| {
            let values: BTreeMap<&str, &str> = paragraph
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key.trim(), value.trim()))
                .collect();
            let id = (*values.get("processor")?).to_owned();
            let of = |key: &str| Json::from(values.get(key).copied());
            let number =
                |key: &str| Json::from(values.get(key).and_then(|value| value.parse::<u64>().ok()));
            let spec = fields([
                ("vendor", of("vendor_id")),
                ("model", of("model name")),
                ("package", number("physical id")),
                ("core", number("core id")),
                ("microcode", of("microcode")),
            ]);
            Some((id, spec))
        })
        .collect()
}

/// proc_modules(5).
fn parse_modules(text: &str) -> Snapshot {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?.to_owned();
            let size: u64 = words.next()?.parse().ok()?;
            let uses: u64 = words.next()?.parse().ok()?;
            let used_by: Vec<Json> = words
                .next()?
                .split(',')
                .filter(|name| !name.is_empty() && *name != "-")
                .map(Json::from)
                .collect();
            let state = words.next()?.to_lowercase();
            let spec = fields([
                ("size", size.into()),
                ("uses", uses.into()),
                ("usedBy", used_by.into()),
                ("state", state.into()),
            ]);
            Some((name, spec))
        })
        .collect()
}

fn read_uptime() -> Result<Snapshot, ReadError> {
    let uptime = file("/proc/uptime")?;
    let load = file("/proc/loadavg")?;
    let number = |text: &str, at: usize| {
        let word = text.split_whitespace().nth(at);
        Json::from(word.and_then(|word| word.parse::<f64>().ok()))
    };
    let spec = fields([
        ("seconds", number(&uptime, 0)),
        ("load1", number(&load, 0)),
        ("load5", number(&load, 1)),
        ("load15", number(&load, 2)),
    ]);
    Ok(one("uptime", spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes() {
        let found = parse_memory("MemTotal:  2 kB\nMemFree:\t1 kB\nHugePages_Total: 0\n");
        assert_eq!(found["memory"]["total"], 2048);
        assert_eq!(found["memory"]["free"], 1024);
        assert!(!found["memory"].contains_key("cached"));
    }

    #[test]
    fn processors_are_paragraphs() {
        let text = "processor\t: 0\nmodel name\t: A: B\ncore id\t: 3\n\nprocessor\t: 1\n\n";
        let found = parse_cpus(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["0"]["model"], "A: B");
        assert_eq!(found["0"]["core"], 3);
    }

    #[test]
    fn modules_are_lines() {
        let found = parse_modules("veth 36864 0 - Live 0x0\nbridge 1 2 br_netfilter, Live 0x0\n");
        assert_eq!(found["veth"]["usedBy"], serde_json::json!([]));
        assert_eq!(
            found["bridge"]["usedBy"],
            serde_json::json!(["br_netfilter"])
        );
        assert_eq!(found["bridge"]["state"], "live");
    }
}
