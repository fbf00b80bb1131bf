//! What Prometheus' own client libraries tell of a process: memory, processor time, descriptors.
//!
//! Read from proc(5) at each scrape. What cannot be read is left out rather than told as zero.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::process::{Resource, getrlimit};
use std::{fmt, fs};

/// The collector of `process_*`.
#[derive(Debug, Default)]
pub struct Process;

/// Fields of proc_pid_stat(5) after the name, which may hold anything: counted from the process's state.
const UTIME: usize = 11;
const STIME: usize = 12;
const START_TIME: usize = 19;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// What proc(5) says of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    cpu_seconds: f64,
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = fs::read_to_string("/proc/self/stat")
            .ok()
            .zip(fs::read_to_string("/proc/stat").ok())
            .and_then(|(own, system)| parse(&own, &system));
        if let Some(seen) = seen {
            let cpu = ConstCounter::new(seen.cpu_seconds);
            let help = "Processor time, user and system";
            let kind = cpu.metric_type();
            cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
            let gauges = [
                (
                    "process_resident_memory_bytes",
                    "Resident memory",
                    float(seen.resident_bytes),
                ),
                (
                    "process_virtual_memory_bytes",
                    "Virtual memory",
                    float(seen.virtual_bytes),
                ),
                (
                    "process_start_time_seconds",
                    "Start, since the epoch",
                    seen.start_seconds,
                ),
            ];
            for (name, help, value) in gauges {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is of the look itself.
            let count = open.count().saturating_sub(1);
            let count = float(u64::try_from(count).unwrap_or(u64::MAX));
            gauge(&mut encoder, "process_open_fds", "Open descriptors", count)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge(
                &mut encoder,
                "process_max_fds",
                "Most open descriptors",
                float(most),
            )?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let kind = gauge.metric_type();
    gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
}

/// Of `/proc/self/stat` and `/proc/stat`.
fn parse(own: &str, system: &str) -> Option<Seen> {
    let fields: Vec<&str> = own.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |position: usize| fields.get(position)?.parse::<u64>().ok();
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let booted: u64 = booted.trim().parse().ok()?;
    let second = float(rustix::param::clock_ticks_per_second());
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(Seen {
        cpu_seconds: float(field(UTIME)?.checked_add(field(STIME)?)?) / second,
        start_seconds: float(booted) + float(field(START_TIME)?) / second,
        virtual_bytes: field(VIRTUAL_BYTES)?,
        resident_bytes: field(RESIDENT_PAGES)?.checked_mul(page)?,
    })
}

/// As Prometheus has all numbers.
#[expect(clippy::cast_precision_loss, reason = "it is what the format has")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::{encoding::text::encode, registry::Registry};

    #[test]
    fn a_name_with_spaces_and_parentheses_is_passed_over() {
        let own = "7 (a ) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1000 4096000 20 18446744073709551615";
        let seen = parse(own, "cpu 1 2\nbtime 1000\n").expect("it is as in proc(5)");
        let page = u64::try_from(rustix::param::page_size()).expect("64 bits");
        assert_eq!(seen.virtual_bytes, 4_096_000);
        assert_eq!(seen.resident_bytes, 20 * page);
        assert!((seen.cpu_seconds - 3.0).abs() < 1e-9 && seen.start_seconds > 1000.0);
        assert_eq!(parse("7 (a", "btime 1\n"), None);
        assert_eq!(parse(own, "cpu 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes it");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<f64>().ok())
                .unwrap_or_else(|| panic!("{name} in {text}"))
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_max_fds ") >= value("process_open_fds "));
        assert!(value("process_start_time_seconds ") > 1e9);
    }
}
