//! A container's limits as what is written to its cgroup's files, in an order that the kernel takes.
//!
//! ```text
//!   LinuxResources ──writes_v2──> memory.swap.max memory.max cpu.weight cpu.max cpuset.* hugetlb.* unified keys
//!         │
//!         └────writes_v1 with what holds now──> the pair of memory, and the pair of cpu, wider one first
//! ```
//!
//! It is for a container that runs: libcontainer writes those of a new one, by the same conversions. Sources: cgroup-v2 and
//! cgroup-v1 (the kernel's admin guide), the OCI runtime spec's config-linux.

use oci_spec::runtime::{LinuxMemory, LinuxResources};

/// The kernel's, for CPU quotas.
const PERIOD_DEFAULT: u64 = 100_000;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Whose file it is; version 1 has a hierarchy for each.
    pub controller: String,
    /// The file's name.
    pub file: String,
    /// What to write.
    pub value: String,
}

/// What holds now, by cgroup v1; None: the file is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// `memory.memsw.limit_in_bytes`.
    pub memory_and_swap: Option<u64>,
    /// `cpu.cfs_period_us`.
    pub cpu_period: Option<u64>,
}

fn write(controller: &str, name: &str, value: impl ToString) -> Write {
    Write {
        controller: controller.to_owned(),
        file: format!("{controller}.{name}"),
        value: value.to_string(),
    }
}

/// By cgroup v2. `period` is what `cpu.max` has now.
#[must_use]
pub fn writes_v2(limits: &LinuxResources, period: Option<u64>) -> Vec<Write> {
    let mut all = Vec::new();
    if let Some(memory) = limits.memory() {
        all.extend(swap_alone(memory).map(|swap| write("memory", "swap.max", swap)));
        all.extend(
            memory
                .limit()
                .map(|limit| write("memory", "max", or_max(limit))),
        );
    }
    if let Some(cpu) = limits.cpu() {
        let shares = cpu.shares().filter(|shares| *shares > 0);
        all.extend(shares.map(|shares| write("cpu", "weight", weight(shares))));
        if cpu.quota().is_some() || cpu.period().is_some() {
            let period = cpu.period().or(period).unwrap_or(PERIOD_DEFAULT);
            let quota = cpu.quota().filter(|quota| *quota > 0).unwrap_or(-1);
            all.push(write("cpu", "max", format!("{} {period}", or_max(quota))));
        }
        all.extend(cpu.mems().iter().map(|mems| write("cpuset", "mems", mems)));
        all.extend(cpu.cpus().iter().map(|cpus| write("cpuset", "cpus", cpus)));
    }
    for limit in limits.hugepage_limits().iter().flatten() {
        let name = format!("{}.max", limit.page_size());
        all.push(write("hugetlb", &name, limit.limit()));
    }
    // They come last: who names a file means it.
    let mut unified: Vec<_> = limits.unified().iter().flatten().collect();
    unified.sort();
    all.extend(unified.into_iter().map(|(file, value)| Write {
        controller: file.split('.').next().unwrap_or_default().to_owned(),
        file: file.clone(),
        value: value.clone(),
    }));
    all
}

/// By cgroup v1.
#[must_use]
pub fn writes_v1(limits: &LinuxResources, now: Now) -> Vec<Write> {
    let mut all = Vec::new();
    if let Some(memory) = limits.memory() {
        let limit = memory.limit();
        let both = memory.swap().filter(|_| now.memory_and_swap.is_some());
        let limit = limit.map(|limit| write("memory", "limit_in_bytes", limit));
        let write_both = both.map(|both| write("memory", "memsw.limit_in_bytes", both));
        // At no time may memory's own limit be above that of memory and swap.
        let raised = both.is_some_and(|both| {
            u64::try_from(both).map_or(true, |both| Some(both) >= now.memory_and_swap)
        });
        if raised {
            all.extend(write_both.into_iter().chain(limit));
        } else {
            all.extend(limit.into_iter().chain(write_both));
        }
    }
    if let Some(cpu) = limits.cpu() {
        let shares = cpu.shares().filter(|shares| *shares > 0);
        all.extend(shares.map(|shares| write("cpu", "shares", shares)));
        let quota = cpu.quota().map(|quota| write("cpu", "cfs_quota_us", quota));
        let period = cpu
            .period()
            .map(|period| write("cpu", "cfs_period_us", period));
        // At no time may the quotient be above the pod's: a longer period makes it smaller.
        if cpu.period() >= now.cpu_period {
            all.extend(period.into_iter().chain(quota));
        } else {
            all.extend(quota.into_iter().chain(period));
        }
        all.extend(cpu.mems().iter().map(|mems| write("cpuset", "mems", mems)));
        all.extend(cpu.cpus().iter().map(|cpus| write("cpuset", "cpus", cpus)));
    }
    for limit in limits.hugepage_limits().iter().flatten() {
        let name = format!("{}.limit_in_bytes", limit.page_size());
        all.push(write("hugetlb", &name, limit.limit()));
    }
    all
}

/// The spec counts memory in, as version 1 does, and version 2 does not.
fn swap_alone(memory: &LinuxMemory) -> Option<String> {
    match (memory.swap()?, memory.limit()) {
        (swap, limit) if swap < 0 || limit.is_some_and(|limit| limit < 0) => Some(or_max(-1)),
        (swap, Some(limit)) => Some((swap - limit).max(0).to_string()),
        // Refused before.
        (_, None) => None,
    }
}

fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// Shares (2 to 262144, usually 1024) as a weight (1 to 10000, usually 100), by the curve that runc, crun and libcontainer have
/// agreed on: it meets all three pairs. (The straight line that was there before gave the usual share a weight of 39.)
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // between 1 and 10000
pub fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = log.mul_add(log, 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{
        LinuxCpuBuilder, LinuxHugepageLimitBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder,
    };

    const MIB: i64 = 1024 * 1024;

    fn texts(writes: Vec<Write>) -> Vec<String> {
        let text = |write: Write| format!("{}={}", write.file, write.value);
        writes.into_iter().map(text).collect()
    }

    fn memory(limit: i64, swap: i64) -> LinuxResources {
        let memory = LinuxMemoryBuilder::default().limit(limit).swap(swap);
        LinuxResourcesBuilder::default()
            .memory(memory.build().expect("limits"))
            .build()
            .expect("limits")
    }

    fn cpu(quota: Option<i64>, period: Option<u64>) -> LinuxResources {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(quota) = quota {
            cpu = cpu.quota(quota);
        }
        if let Some(period) = period {
            cpu = cpu.period(period);
        }
        LinuxResourcesBuilder::default()
            .cpu(cpu.build().expect("limits"))
            .build()
            .expect("limits")
    }

    #[test]
    fn memory_by_version_two() {
        let check = |limit, swap, expect: &[&str]| {
            assert_eq!(texts(writes_v2(&memory(limit, swap), None)), expect);
        };
        check(MIB, MIB, &["memory.swap.max=0", "memory.max=1048576"]);
        check(
            MIB,
            3 * MIB,
            &["memory.swap.max=2097152", "memory.max=1048576"],
        );
        check(MIB, -1, &["memory.swap.max=max", "memory.max=1048576"]);
        check(-1, -1, &["memory.swap.max=max", "memory.max=max"]);
    }

    #[test]
    fn memory_by_version_one_never_passes_the_sum() {
        let check = |limit, swap, now: Option<u64>, expect: &[&str]| {
            let now = Now {
                memory_and_swap: now,
                ..Now::default()
            };
            assert_eq!(texts(writes_v1(&memory(limit, swap), now)), expect);
        };
        let [memory, both] = ["memory.limit_in_bytes=2", "memory.memsw.limit_in_bytes=4"];
        check(2, 4, Some(3), &[both, memory]);
        check(2, 4, Some(5), &[memory, both]);
        check(2, 4, None, &[memory]);
        check(
            -1,
            -1,
            Some(5),
            &["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"],
        );
    }

    #[test]
    fn processors() {
        let two = |quota, period, expect: &[&str]| {
            assert_eq!(texts(writes_v2(&cpu(quota, period), Some(50_000))), expect);
        };
        two(Some(20_000), Some(100_000), &["cpu.max=20000 100000"]);
        two(Some(20_000), None, &["cpu.max=20000 50000"]);
        two(Some(-1), Some(100_000), &["cpu.max=max 100000"]);
        two(None, None, &[]);
        let one = |quota, period, expect: &[&str]| {
            let now = Now {
                cpu_period: Some(50_000),
                ..Now::default()
            };
            assert_eq!(texts(writes_v1(&cpu(quota, period), now)), expect);
        };
        one(
            Some(10),
            Some(60_000),
            &["cpu.cfs_period_us=60000", "cpu.cfs_quota_us=10"],
        );
        one(
            Some(10),
            Some(40_000),
            &["cpu.cfs_quota_us=10", "cpu.cfs_period_us=40000"],
        );
        one(Some(10), None, &["cpu.cfs_quota_us=10"]);
        for (shares, expect) in [
            (0, 1),
            (2, 1),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), expect, "{shares}");
        }
    }

    #[test]
    fn the_rest() {
        let huge = LinuxHugepageLimitBuilder::default()
            .page_size("2MB")
            .limit(5_i64)
            .build()
            .expect("a limit");
        let limits = LinuxResourcesBuilder::default()
            .cpu(
                LinuxCpuBuilder::default()
                    .cpus("0-1")
                    .mems("0")
                    .shares(1024_u64)
                    .build()
                    .expect("limits"),
            )
            .hugepage_limits([huge])
            .unified(
                [("pids.max", "7"), ("memory.high", "9")]
                    .map(|(a, b)| (a.to_owned(), b.to_owned())),
            )
            .build()
            .expect("limits");
        assert_eq!(
            texts(writes_v2(&limits, None)),
            [
                "cpu.weight=100",
                "cpuset.mems=0",
                "cpuset.cpus=0-1",
                "hugetlb.2MB.max=5",
                "memory.high=9",
                "pids.max=7"
            ]
        );
        assert_eq!(
            texts(writes_v1(&limits, Now::default())),
            [
                "cpu.shares=1024",
                "cpuset.mems=0",
                "cpuset.cpus=0-1",
                "hugetlb.2MB.limit_in_bytes=5"
            ]
        );
    }
}
