//! The container's cgroup: where it is, and what it may use.

use super::{Ask, Error, absolute};
use cri_proto::runtime::{LinuxContainerResources, PodSandboxConfig};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroup, LinuxHugepageLimitBuilder, LinuxMemoryBuilder,
    LinuxResources, LinuxResourcesBuilder,
};
use std::{collections::HashMap, path::PathBuf};

/// Below which containers are whose sandbox names no parent, as `crictl` makes them.
const PARENT: &str = "/runtime";

const PARENT_FIELD: &str = "LinuxPodSandboxConfig.cgroup_parent";

/// `PARENT/ID`, below the cgroup mount.
pub(super) fn path(sandbox: &PodSandboxConfig, id: &str) -> Result<PathBuf, Error> {
    Ok(parent(sandbox)?.join(id))
}

/// The sandbox's cgroup, by the cgroupfs driver's name.
pub(super) fn parent(sandbox: &PodSandboxConfig) -> Result<PathBuf, Error> {
    let parent = sandbox
        .linux
        .as_ref()
        .map_or("", |linux| linux.cgroup_parent.as_str());
    if parent.is_empty() {
        return Ok(PathBuf::from(PARENT));
    }
    if !parent.starts_with('/') && (parent.ends_with(".slice") || parent.contains(':')) {
        return Err(Error::unsupported(
            PARENT_FIELD,
            "it is a name for systemd, and the cgroup driver is cgroupfs",
        ));
    }
    if parent.starts_with('/') {
        absolute(PARENT_FIELD, parent)
    } else {
        absolute(PARENT_FIELD, &format!("/{parent}"))
    }
}

/// What 0 and "" leave to the kernel is left out.
pub(super) fn resources(
    ask: &Ask<'_>,
    devices: Vec<LinuxDeviceCgroup>,
) -> Result<LinuxResources, Error> {
    let asked = ask
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.resources.clone())
        .unwrap_or_default();
    let mut built = limits(&asked, ask.facts.cgroup_v2, ask.facts.swap_accounting)?;
    built.set_devices(Some(devices));
    Ok(built)
}

/// The limits of a container that is made, or that is changed. `swap_accounting` is whether the kernel counts swap for
/// cgroups; without it, limits of swap are left out.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Unsupported`] for values that no cgroup has.
pub fn limits(
    asked: &LinuxContainerResources,
    cgroup_v2: bool,
    swap_accounting: bool,
) -> Result<LinuxResources, Error> {
    let mut built = LinuxResourcesBuilder::default();

    let mut cpu = LinuxCpuBuilder::default();
    if let Some(period) = positive("LinuxContainerResources.cpu_period", asked.cpu_period)? {
        cpu = cpu.period(period);
    }
    if asked.cpu_quota != 0 {
        cpu = cpu.quota(asked.cpu_quota);
    }
    if let Some(shares) = positive("LinuxContainerResources.cpu_shares", asked.cpu_shares)? {
        cpu = cpu.shares(shares);
    }
    if !asked.cpuset_cpus.is_empty() {
        cpu = cpu.cpus(asked.cpuset_cpus.as_str());
    }
    if !asked.cpuset_mems.is_empty() {
        cpu = cpu.mems(asked.cpuset_mems.as_str());
    }
    built = built.cpu(cpu.build().expect("no field of it is required"));

    let mut memory = LinuxMemoryBuilder::default();
    let limit = asked.memory_limit_in_bytes;
    let swap = asked.memory_swap_limit_in_bytes;
    if limit < -1 {
        return Err(Error::invalid(
            "LinuxContainerResources.memory_limit_in_bytes",
            limit,
            "it is negative",
        ));
    }
    if limit > 0 && swap > 0 && swap < limit {
        return Err(Error::invalid(
            "LinuxContainerResources.memory_swap_limit_in_bytes",
            swap,
            "it counts memory too, and is below the memory's limit",
        ));
    }
    if cgroup_v2 && swap > 0 && limit == 0 {
        // It is the difference that the kernel has a file for.
        return Err(Error::Missing(
            "LinuxContainerResources.memory_limit_in_bytes, which the limit of swap counts in,",
        ));
    }
    if limit != 0 {
        memory = memory.limit(limit);
    }
    if swap_accounting {
        // Memory and swap together: with a limit and no word about swap there is none.
        if swap != 0 {
            memory = memory.swap(swap);
        } else if limit != 0 {
            memory = memory.swap(limit);
        }
    }
    built = built.memory(memory.build().expect("no field of it is required"));

    let mut hugepages = Vec::new();
    for asked in &asked.hugepage_limits {
        hugepages.push(
            LinuxHugepageLimitBuilder::default()
                .page_size(page_size(&asked.page_size)?)
                // More than there can be is no limit.
                .limit(i64::try_from(asked.limit).unwrap_or(i64::MAX))
                .build()
                .expect("no field of it is required"),
        );
    }
    if !hugepages.is_empty() {
        built = built.hugepage_limits(hugepages);
    }
    if !asked.unified.is_empty() {
        built = built.unified(unified(asked, cgroup_v2)?);
    }
    Ok(built.build().expect("no field of it is required"))
}

/// What holds for a container after a change: each value that is given, in place of the one before. Swap is counted with memory, so
/// a new limit of memory without one of swap means none of it, as for a new container.
#[must_use]
pub fn update(
    before: &LinuxContainerResources,
    asked: &LinuxContainerResources,
) -> LinuxContainerResources {
    let mut after = before.clone();
    let pairs = [
        (&mut after.cpu_period, asked.cpu_period),
        (&mut after.cpu_quota, asked.cpu_quota),
        (&mut after.cpu_shares, asked.cpu_shares),
    ];
    for (value, asked) in pairs {
        if asked != 0 {
            *value = asked;
        }
    }
    if asked.memory_limit_in_bytes != 0 {
        after.memory_limit_in_bytes = asked.memory_limit_in_bytes;
        after.memory_swap_limit_in_bytes = asked.memory_swap_limit_in_bytes;
    } else if asked.memory_swap_limit_in_bytes != 0 {
        after.memory_swap_limit_in_bytes = asked.memory_swap_limit_in_bytes;
    }
    if !asked.cpuset_cpus.is_empty() {
        after.cpuset_cpus.clone_from(&asked.cpuset_cpus);
    }
    if !asked.cpuset_mems.is_empty() {
        after.cpuset_mems.clone_from(&asked.cpuset_mems);
    }
    for limit in &asked.hugepage_limits {
        after
            .hugepage_limits
            .retain(|before| before.page_size != limit.page_size);
        after.hugepage_limits.push(limit.clone());
    }
    after.unified.extend(asked.unified.clone());
    after
}

fn positive(field: &'static str, value: i64) -> Result<Option<u64>, Error> {
    match u64::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Error::invalid(field, value, "it is negative")),
    }
}

/// A part of a file's name: `2MB`, `1GB`.
fn page_size(size: &str) -> Result<String, Error> {
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_uppercase());
    let unit = &size[digits.len()..];
    if digits.is_empty()
        || !digits.bytes().all(|digit| digit.is_ascii_digit())
        || !matches!(unit, "KB" | "MB" | "GB")
    {
        return Err(Error::invalid(
            "HugepageLimit.page_size",
            size,
            "it is as 2MB or 1GB",
        ));
    }
    Ok(size.to_owned())
}

/// Each key is a file's name.
fn unified(
    asked: &LinuxContainerResources,
    cgroup_v2: bool,
) -> Result<HashMap<String, String>, Error> {
    const FIELD: &str = "LinuxContainerResources.unified";
    if !cgroup_v2 {
        return Err(Error::unsupported(FIELD, "this node has cgroup v1"));
    }
    match asked
        .unified
        .keys()
        .find(|key| key.contains('/') || !key.contains('.') || key.starts_with("cgroup."))
    {
        Some(key) => Err(Error::invalid(
            FIELD,
            key,
            "it is no controller's file, as memory.high is",
        )),
        None => Ok(asked.unified.clone()),
    }
}
