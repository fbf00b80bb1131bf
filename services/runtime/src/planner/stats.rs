//! What a cgroup has used, from the texts of the kernel's files.
//!
//! Sources: cgroup-v2 and cgroup-v1 (the kernel's admin guide), psi (the same); the working set is kubelets': usage without
//! inactive file pages.

/// Limits above this are none: cgroup v1 writes the largest multiple of a page.
const UNLIMITED: u64 = 1 << 62;

/// What was used since the beginning, and now. None: the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time, of all CPUs together.
    pub cpu_nanoseconds: Option<u64>,
    /// Of it, that of programs.
    pub cpu_user_nanoseconds: Option<u64>,
    /// Of it, the kernel's.
    pub cpu_system_nanoseconds: Option<u64>,
    /// Periods of the quota.
    pub cpu_periods: Option<u64>,
    /// Those in which it was used up.
    pub cpu_throttled_periods: Option<u64>,
    /// How long tasks waited for the next one.
    pub cpu_throttled_nanoseconds: Option<u64>,
    /// How long tasks waited for a CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Memory, with all caches.
    pub memory_bytes: Option<u64>,
    /// The same without file pages that nobody has used for a while.
    pub memory_working_set_bytes: Option<u64>,
    /// The limit without the working set.
    pub memory_available_bytes: Option<u64>,
    /// Anonymous pages.
    pub memory_rss_bytes: Option<u64>,
    /// File pages.
    pub memory_cache_bytes: Option<u64>,
    /// Those that processes have mapped.
    pub memory_mapped_bytes: Option<u64>,
    /// How often the limit was met.
    pub memory_limit_met: Option<u64>,
    /// Processes that the kernel has ended for want of memory.
    pub out_of_memory_kills: Option<u64>,
    /// Page faults.
    pub page_faults: Option<u64>,
    /// Those that waited for a disk.
    pub major_page_faults: Option<u64>,
    /// How long tasks waited for memory.
    pub memory_pressure: Option<Pressure>,
    /// Swap.
    pub swap_bytes: Option<u64>,
    /// Its limit without its usage.
    pub swap_available_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processes without the threads in them.
    pub processes_alone: Option<u64>,
    /// How long tasks waited for disks.
    pub io_pressure: Option<Pressure>,
}

/// How long tasks have waited for something.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one.
    pub some: Stalled,
    /// All at once.
    pub full: Stalled,
}

/// Time that was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stalled {
    /// Since the beginning.
    pub total_nanoseconds: u64,
    /// Percent of the last ten seconds, minute, and five minutes.
    pub average: [f64; 3],
}

/// Texts of a cgroup's files, by version 2; "" for those that are not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `cpu.stat`.
    pub cpu_stat: &'a str,
    /// `cpu.pressure`.
    pub cpu_pressure: &'a str,
    /// `memory.current`.
    pub memory_current: &'a str,
    /// `memory.stat`.
    pub memory_stat: &'a str,
    /// `memory.max`.
    pub memory_max: &'a str,
    /// `memory.pressure`.
    pub memory_pressure: &'a str,
    /// `memory.events`.
    pub memory_events: &'a str,
    /// `cgroup.procs`.
    pub processes: &'a str,
    /// `memory.swap.current`.
    pub swap_current: &'a str,
    /// `memory.swap.max`.
    pub swap_max: &'a str,
    /// `pids.current`.
    pub pids_current: &'a str,
    /// `io.pressure`.
    pub io_pressure: &'a str,
}

/// The same by version 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextsV1<'a> {
    /// `cpuacct.usage`.
    pub cpu_usage: &'a str,
    /// `cpu.stat`.
    pub cpu_stat: &'a str,
    /// `memory.failcnt`.
    pub memory_limit_met: &'a str,
    /// `memory.oom_control`.
    pub out_of_memory: &'a str,
    /// `cgroup.procs`.
    pub processes: &'a str,
    /// `memory.usage_in_bytes`.
    pub memory_usage: &'a str,
    /// `memory.stat`.
    pub memory_stat: &'a str,
    /// `memory.limit_in_bytes`.
    pub memory_limit: &'a str,
    /// `memory.memsw.usage_in_bytes`: memory and swap.
    pub memory_and_swap: &'a str,
    /// `pids.current`.
    pub pids_current: &'a str,
}

/// What the texts say.
#[must_use]
pub fn usage(texts: &Texts<'_>) -> Usage {
    let memory_bytes = number(texts.memory_current);
    let working_set = working_set(memory_bytes, field(texts.memory_stat, "inactive_file"));
    let swap_bytes = number(texts.swap_current);
    let micro = |name| field(texts.cpu_stat, name).map(|micro| micro.saturating_mul(1000));
    Usage {
        cpu_nanoseconds: micro("usage_usec"),
        cpu_user_nanoseconds: micro("user_usec"),
        cpu_system_nanoseconds: micro("system_usec"),
        cpu_periods: field(texts.cpu_stat, "nr_periods"),
        cpu_throttled_periods: field(texts.cpu_stat, "nr_throttled"),
        cpu_throttled_nanoseconds: micro("throttled_usec"),
        memory_cache_bytes: field(texts.memory_stat, "file"),
        memory_mapped_bytes: field(texts.memory_stat, "file_mapped"),
        memory_limit_met: field(texts.memory_events, "max"),
        out_of_memory_kills: field(texts.memory_events, "oom_kill"),
        processes_alone: lines(texts.processes),
        cpu_pressure: pressure(texts.cpu_pressure),
        memory_bytes,
        memory_working_set_bytes: working_set,
        memory_available_bytes: left(limit(texts.memory_max), working_set),
        memory_rss_bytes: field(texts.memory_stat, "anon"),
        page_faults: field(texts.memory_stat, "pgfault"),
        major_page_faults: field(texts.memory_stat, "pgmajfault"),
        memory_pressure: pressure(texts.memory_pressure),
        swap_bytes,
        swap_available_bytes: left(limit(texts.swap_max), swap_bytes),
        processes: number(texts.pids_current),
        io_pressure: pressure(texts.io_pressure),
    }
}

/// What the texts say, by version 1.
#[must_use]
pub fn usage_v1(texts: &TextsV1<'_>) -> Usage {
    let memory_bytes = number(texts.memory_usage);
    let inactive = field(texts.memory_stat, "total_inactive_file");
    let working_set = working_set(memory_bytes, inactive);
    let both = number(texts.memory_and_swap);
    Usage {
        cpu_nanoseconds: number(texts.cpu_usage),
        memory_bytes,
        memory_working_set_bytes: working_set,
        memory_available_bytes: left(limit(texts.memory_limit), working_set),
        memory_rss_bytes: field(texts.memory_stat, "total_rss"),
        page_faults: field(texts.memory_stat, "total_pgfault"),
        major_page_faults: field(texts.memory_stat, "total_pgmajfault"),
        swap_bytes: both
            .zip(memory_bytes)
            .map(|(both, memory)| both.saturating_sub(memory)),
        processes: number(texts.pids_current),
        processes_alone: lines(texts.processes),
        cpu_periods: field(texts.cpu_stat, "nr_periods"),
        cpu_throttled_periods: field(texts.cpu_stat, "nr_throttled"),
        cpu_throttled_nanoseconds: field(texts.cpu_stat, "throttled_time"),
        memory_cache_bytes: field(texts.memory_stat, "total_cache"),
        memory_mapped_bytes: field(texts.memory_stat, "total_mapped_file"),
        memory_limit_met: number(texts.memory_limit_met),
        out_of_memory_kills: field(texts.out_of_memory, "oom_kill"),
        ..Usage::default()
    }
}

/// CPUs that were used, in billionths, between two looks; None: they are too near each other, or of two lives.
#[must_use]
pub fn nano_cores(before: (i64, u64), now: (i64, u64)) -> Option<u64> {
    const APART_MIN: i64 = 100_000_000;
    let passed = now
        .0
        .checked_sub(before.0)
        .filter(|passed| *passed >= APART_MIN)?;
    let used = u128::from(now.1.checked_sub(before.1)?);
    u64::try_from(used * 1_000_000_000 / u128::try_from(passed).ok()?).ok()
}

fn working_set(usage: Option<u64>, inactive: Option<u64>) -> Option<u64> {
    usage.map(|usage| usage.saturating_sub(inactive.unwrap_or(0)))
}

fn left(limit: Option<u64>, used: Option<u64>) -> Option<u64> {
    limit
        .zip(used)
        .map(|(limit, used)| limit.saturating_sub(used))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// None of a file that is not there, or that has nobody: a pod's cgroup has its processes below.
fn lines(text: &str) -> Option<u64> {
    u64::try_from(text.lines().count())
        .ok()
        .filter(|count| *count > 0)
}

/// A limit that is one.
fn limit(text: &str) -> Option<u64> {
    number(text).filter(|limit| *limit < UNLIMITED)
}

/// The number after a name at a line's beginning.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| number(value)).flatten()
    })
}

fn pressure(text: &str) -> Option<Pressure> {
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let value = |name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let average = |name| value(name).and_then(|text| text.parse().ok());
        Some(Stalled {
            total_nanoseconds: number(value("total")?)?.saturating_mul(1000),
            average: [average("avg10")?, average("avg60")?, average("avg300")?],
        })
    };
    let some = line("some")?;
    Some(Pressure {
        some,
        // Of a CPU not all tasks can wait at once, and older kernels say nothing of it.
        full: line("full").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_two() {
        let found = usage(&Texts {
            cpu_stat: "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n",
            cpu_pressure: "some avg10=1.50 avg60=0.20 avg300=0.00 total=77\n",
            memory_current: "1000000\n",
            memory_stat: "anon 4096\nfile 900000\ninactive_file 300000\npgfault 12\npgmajfault 3\n",
            memory_max: "2000000\n",
            swap_current: "10\n",
            swap_max: "max\n",
            pids_current: "5\n",
            ..Texts::default()
        });
        assert_eq!(found.cpu_nanoseconds, Some(1_234_000));
        let waited = found.cpu_pressure.expect("it is said");
        assert_eq!(waited.some.total_nanoseconds, 77_000);
        assert!((waited.some.average[0] - 1.5).abs() < 1e-9);
        assert_eq!(found.memory_working_set_bytes, Some(700_000));
        assert_eq!(found.memory_available_bytes, Some(1_300_000));
        assert_eq!(found.memory_rss_bytes, Some(4096));
        assert_eq!(
            (found.page_faults, found.major_page_faults),
            (Some(12), Some(3))
        );
        assert_eq!(
            (found.swap_bytes, found.swap_available_bytes),
            (Some(10), None)
        );
        assert_eq!(found.processes, Some(5));
        assert_eq!(found.io_pressure, None);
    }

    #[test]
    fn version_one() {
        let found = usage_v1(&TextsV1 {
            cpu_usage: "55\n",
            memory_usage: "1000\n",
            memory_stat: "inactive_file 1\ntotal_inactive_file 200\ntotal_rss 300\ntotal_pgfault 4\n",
            memory_limit: "9223372036854771712\n",
            memory_and_swap: "1500\n",
            pids_current: "1\n",
            cpu_stat: "nr_periods 9\nnr_throttled 4\nthrottled_time 77\n",
            memory_limit_met: "3\n",
            out_of_memory: "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            processes: "5\n6\n",
        });
        assert_eq!(found.processes_alone, Some(2));
        assert_eq!(found.cpu_throttled_nanoseconds, Some(77));
        assert_eq!(
            (found.memory_limit_met, found.out_of_memory_kills),
            (Some(3), Some(2))
        );
        assert_eq!(found.cpu_nanoseconds, Some(55));
        assert_eq!(found.memory_working_set_bytes, Some(800));
        assert_eq!(found.memory_available_bytes, None, "it has no limit");
        assert_eq!(found.memory_rss_bytes, Some(300));
        assert_eq!(found.swap_bytes, Some(500));
    }

    #[test]
    fn rates() {
        assert_eq!(
            nano_cores((0, 0), (1_000_000_000, 500_000_000)),
            Some(500_000_000)
        );
        assert_eq!(nano_cores((0, 0), (10, 5)), None);
        assert_eq!(nano_cores((0, 9), (1_000_000_000, 5)), None);
        assert_eq!(nano_cores((i64::MIN, 0), (i64::MAX, u64::MAX)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9 =.\n]{0,80}") {
            let _ = usage(&Texts {
                cpu_stat: &text,
                cpu_pressure: &text,
                memory_stat: &text,
                memory_current: &text,
                ..Texts::default()
            });
        }
    }
}
