//! What is shown. Each check is one line on the console: `check NAME: ok WHAT` or `check NAME: failed WHY`.

use super::image;
use super::node::{Node, Pod, cgroup_file, log};
use anyhow::{Context as _, Result, bail, ensure};
use cri_proto::runtime::{self as cri, LinuxContainerResources, NamespaceMode, NamespaceOption};
use std::fs;
use std::time::{Duration, Instant};

const MIB: i64 = 1024 * 1024;
/// Containers of the measurement.
const MANY: usize = 20;

pub(crate) fn all() -> Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start tokio")?;
    tokio.block_on(async {
        loopback().await?;
        let name = image::serve()?;
        let mut node = Node::new(name).await.with_context(log)?;
        let node = &mut node;
        said("memory-limit", memory_limit(node).await);
        said("pod-limit", pod_limit(node).await);
        said("cpu-quota", cpu_quota(node).await);
        said("pids-limit", pids_limit(node).await);
        said("devices", devices(node).await);
        said("devices-privileged", devices_privileged(node).await);
        said("devices-given", devices_given(node).await);
        said("devices-survive", devices_survive(node).await);
        said("update", update(node).await);
        said("update-refused", update_refused(node).await);
        said("update-created", update_created(node).await);
        said("users", users(node).await);
        said("statistics", statistics(node).await);
        said("cgroup-mount", cgroup_mount(node).await);
        said("beside", beside(node).await);
        println!("checks: done");
        anyhow::Ok(())
    })
}

fn said(name: &str, result: Result<String>) {
    match result {
        Ok(what) => println!("check {name}: ok {what}"),
        Err(error) => {
            println!("check {name}: failed {error:#}");
            println!("{}", log());
        }
    }
}

async fn loopback() -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
    tokio::spawn(connection);
    let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .context("turn on the loopback")
}

/// One PID namespace for each container.
fn own() -> NamespaceOption {
    NamespaceOption {
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    }
}

async fn pod(node: &mut Node, name: &str) -> Result<Pod> {
    node.pod(name, &[], own()).await
}

fn memory(mebibytes: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        memory_limit_in_bytes: mebibytes * MIB,
        ..Default::default()
    }
}

/// A field of a flat file of the kernel.
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name} in {text:?}"))?
        .trim()
        .parse()
        .context("a number")
}

async fn memory_limit(node: &mut Node) -> Result<String> {
    let pod = pod(node, "memory").await?;
    let calm = node.limited(&pod, memory(48), &["hold", "8"]).await?;
    let hog = node.limited(&pod, memory(32), &["hold", "64"]).await?;
    let status = node.exited(&hog).await?;
    ensure!(
        status.exit_code == 137 && status.reason == "OOMKilled",
        "{status:?}"
    );
    ensure!(node.runs(&calm).await?, "the other container has ended too");
    let said = node.logged(&calm, 1).await?;
    ensure!(said.contains("held"), "{said}");
    node.remove_pod(&pod).await?;
    Ok("OOMKilled 137, and the other one runs".to_owned())
}

async fn pod_limit(node: &mut Node) -> Result<String> {
    let limits = [("memory.max", "41943040"), ("memory.swap.max", "0")];
    let pod = node.pod("whole", &limits, own()).await?;
    let config = node.container(&pod, &["hold", "64"]);
    let hog = node.run(&pod, config).await?;
    let status = node.exited(&hog).await?;
    ensure!(
        status.exit_code == 137 && status.reason == "OOMKilled",
        "{status:?}"
    );
    node.remove_pod(&pod).await?;
    Ok("the pod's cgroup holds its containers".to_owned())
}

async fn cpu_quota(node: &mut Node) -> Result<String> {
    let pod = pod(node, "cpu").await?;
    let limits = LinuxContainerResources {
        cpu_quota: 20_000,
        cpu_period: 100_000,
        cpu_shares: 512,
        ..Default::default()
    };
    let id = node.limited(&pod, limits, &["burn", "600"]).await?;
    let usage = || {
        Ok::<_, anyhow::Error>((
            Instant::now(),
            field(&cgroup_file("cpu", &id, "cpu.stat")?, "usage_usec")?,
        ))
    };
    let before = usage()?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = usage()?;
    let passed = u64::try_from((after.0 - before.0).as_micros()).context("microseconds")?;
    let percent = (after.1 - before.1) * 100 / passed;
    let throttled = field(&cgroup_file("cpu", &id, "cpu.stat")?, "nr_throttled")?;
    ensure!((5..=30).contains(&percent), "{percent} percent of a CPU");
    ensure!(throttled > 10, "{throttled} times throttled");
    let weight = cgroup_file("cpu", &id, "cpu.weight")?;
    ensure!(weight == "59", "cpu.weight {weight}");
    node.remove_pod(&pod).await?;
    Ok(format!(
        "{percent} percent of 20, throttled {throttled} times, weight {weight}"
    ))
}

async fn pids_limit(node: &mut Node) -> Result<String> {
    let pod = node.pod("pids", &[("pids.max", "16")], own()).await?;
    let limits = LinuxContainerResources {
        unified: [("pids.max".to_owned(), "9".to_owned())].into(),
        ..Default::default()
    };
    let id = node.limited(&pod, limits, &["forks"]).await?;
    let said = node.logged(&id, 1).await?;
    ensure!(said == "forked 8, then EAGAIN", "{said}");
    let config = node.container(&pod, &["forks"]);
    let id = node.run(&pod, config).await?;
    let of_pod = node.logged(&id, 1).await?;
    ensure!(of_pod.ends_with("then EAGAIN"), "{of_pod}");
    node.remove_pod(&pod).await?;
    Ok(format!("{said}; of the pod's 16: {of_pod}"))
}

const NODES: [&str; 4] = [
    "nodes",
    "/tmp/null:c:1:3",
    "/tmp/disk:b:8:0",
    "/tmp/kmsg:c:1:11",
];
const OPENS: [&str; 7] = [
    "devices",
    "/dev/null:rw",
    "/tmp/null:rw",
    "/tmp/disk:r",
    "/tmp/disk:w",
    "/tmp/kmsg:r",
    "/dev/zero:r",
];
const REFUSED: &str = "/dev/null:rw works\n/tmp/null:rw works\n/tmp/disk:r EPERM\n/tmp/disk:w EPERM\n/tmp/kmsg:r EPERM\n/dev/zero:r works";

async fn devices(node: &mut Node) -> Result<String> {
    let pod = pod(node, "devices").await?;
    let config = node.container(&pod, &["wait"]);
    let id = node.run(&pod, config).await?;
    let made = node.exec(&id, &NODES).await?;
    ensure!(
        made.lines().count() == 3 && made.lines().all(|line| line.ends_with(" works")),
        "{made}"
    );
    let opened = node.exec(&id, &OPENS).await?;
    ensure!(opened == REFUSED, "{opened}");
    // From its first instruction on, and not only what comes later.
    let config = node.container(&pod, &["devices", "/dev/null:rw", "/dev/full:r"]);
    let id = node.run(&pod, config).await?;
    let first = node.logged(&id, 2).await?;
    ensure!(first == "/dev/null:rw works\n/dev/full:r works", "{first}");
    node.remove_pod(&pod).await?;
    Ok("nodes are made, and only the usual ones can be opened".to_owned())
}

async fn devices_privileged(node: &mut Node) -> Result<String> {
    let pod = pod(node, "privileged").await?;
    let mut config = node.container(&pod, &["wait"]);
    let linux = config.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().privileged = true;
    let id = node.run(&pod, config).await?;
    node.exec(&id, &NODES).await?;
    let opened = node.exec(&id, &OPENS).await?;
    // There is no such disk in this machine, which the kernel says only to those who may open it.
    ensure!(
        opened.contains("/tmp/disk:r ENXIO") && opened.contains("/tmp/kmsg:r works"),
        "{opened}"
    );
    node.remove_pod(&pod).await?;
    Ok("all of them can be opened".to_owned())
}

async fn devices_given(node: &mut Node) -> Result<String> {
    let pod = pod(node, "given").await?;
    let mut config = node.container(
        &pod,
        &["devices", "/dev/given:r", "/dev/given:w", "/dev/given:rw"],
    );
    config.devices = vec![cri::Device {
        container_path: "/dev/given".to_owned(),
        host_path: "/dev/kmsg".to_owned(),
        permissions: "w".to_owned(),
    }];
    let id = node.run(&pod, config).await?;
    let opened = node.logged(&id, 3).await?;
    ensure!(
        opened == "/dev/given:r EPERM\n/dev/given:w works\n/dev/given:rw EPERM",
        "{opened}"
    );
    node.remove_pod(&pod).await?;
    Ok("it can be written, as it was given, and not read".to_owned())
}

async fn devices_survive(node: &mut Node) -> Result<String> {
    let pod = pod(node, "survive").await?;
    let config = node.container(&pod, &["wait"]);
    let id = node.run(&pod, config).await?;
    node.exec(&id, &NODES).await?;
    node.restart().await?;
    ensure!(
        node.runs(&id).await?,
        "the container has ended with the runtime"
    );
    let opened = node.exec(&id, &OPENS).await?;
    ensure!(opened == REFUSED, "{opened}");
    node.remove_pod(&pod).await?;
    Ok("the rules outlive the runtime".to_owned())
}

async fn update(node: &mut Node) -> Result<String> {
    let pod = pod(node, "update").await?;
    let id = node.limited(&pod, memory(32), &["hold", "8"]).await?;
    let of = |file: &str| cgroup_file("update", &id, file);
    ensure!(of("memory.max")? == "33554432", "{}", of("memory.max")?);
    let wanted = LinuxContainerResources {
        cpu_quota: 50_000,
        cpu_period: 100_000,
        cpu_shares: 1024,
        memory_limit_in_bytes: 96 * MIB,
        cpuset_cpus: "0".to_owned(),
        unified: [("pids.max".to_owned(), "77".to_owned())].into(),
        ..Default::default()
    };
    node.update(&id, wanted.clone()).await?;
    let expected = [
        ("memory.max", "100663296"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "100"),
        ("cpuset.cpus", "0"),
        ("pids.max", "77"),
    ];
    for (file, value) in expected {
        ensure!(of(file)? == value, "{file} is {}", of(file)?);
    }
    let told = node
        .status(&id)
        .await?
        .resources
        .unwrap_or_default()
        .linux
        .unwrap_or_default();
    ensure!(told == wanted, "{told:?}");
    // Lower again, and what it has not changed stays.
    node.update(&id, memory(64)).await?;
    ensure!(
        of("memory.max")? == "67108864" && of("cpu.max")? == "50000 100000",
        "not lowered"
    );
    node.remove_pod(&pod).await?;
    Ok("limits are raised and lowered, and told".to_owned())
}

async fn update_created(node: &mut Node) -> Result<String> {
    let pod = pod(node, "created").await?;
    let config = node.container(&pod, &["wait"]);
    let id = node.create(&pod, config).await?;
    node.update(&id, memory(40)).await?;
    node.start(&id).await?;
    let limit = cgroup_file("created", &id, "memory.max")?;
    ensure!(limit == "41943040", "{limit}");
    let opened = node.exec(&id, &["devices", "/dev/null:rw"]).await?;
    ensure!(opened == "/dev/null:rw works", "{opened}");
    node.remove_pod(&pod).await?;
    Ok("it starts with the new limit".to_owned())
}

/// The first user of the host that is one of the pod's.
const OUTSIDE: u32 = 500_000;

async fn users(node: &mut Node) -> Result<String> {
    let mapping = vec![cri::IdMapping {
        host_id: OUTSIDE,
        container_id: 0,
        length: 65536,
    }];
    let options = NamespaceOption {
        userns_options: Some(cri::UserNamespace {
            mode: NamespaceMode::Pod.into(),
            uids: mapping.clone(),
            gids: mapping,
        }),
        ..own()
    };
    let pod = node.pod("users", &[], options).await?;
    let id = node.limited(&pod, memory(48), &["wait"]).await?;
    let map = node.exec(&id, &["show", "/proc/self/uid_map"]).await?;
    let map: Vec<&str> = map.split_whitespace().collect();
    ensure!(map == ["0", &OUTSIDE.to_string(), "65536"], "{map:?}");
    for path in ["/guest", "/etc/hosts", "/proc/self", "/tmp"] {
        let owner = node.exec(&id, &["owner", path]).await?;
        ensure!(owner == "0", "{path} is of {owner}");
    }
    let opened = node
        .exec(&id, &["devices", "/dev/null:rw", "/dev/zero:r"])
        .await?;
    ensure!(
        opened == "/dev/null:rw works\n/dev/zero:r works",
        "{opened}"
    );
    let made = node.exec(&id, &NODES[..3]).await?;
    ensure!(made.lines().all(|line| line.ends_with(" EPERM")), "{made}");
    let limit = node
        .exec(&id, &["show", "/sys/fs/cgroup/memory.max"])
        .await?;
    ensure!(limit == "50331648", "{limit}");
    let first = cgroup_file("users", &id, "cgroup.procs")?;
    let first = first.lines().next().unwrap_or_default();
    let status =
        fs::read_to_string(format!("/proc/{first}/status")).context("the first process")?;
    ensure!(status.contains(&format!("Uid:\t{OUTSIDE}\t")), "{status}");
    node.remove_pod(&pod).await?;
    Ok("root in the pod, nobody on the host".to_owned())
}

async fn update_refused(node: &mut Node) -> Result<String> {
    let pod = pod(node, "refused").await?;
    let id = node.limited(&pod, memory(64), &["hold", "40"]).await?;
    node.logged(&id, 1).await?;
    let mut wanted = memory(16);
    wanted.cpu_shares = 2;
    let Err(refused) = node.update(&id, wanted).await else {
        bail!("a limit below what is used was taken")
    };
    ensure!(
        refused.code() == tonic::Code::FailedPrecondition,
        "{refused}"
    );
    ensure!(refused.message().contains("is below the"), "{refused}");
    let wrong = LinuxContainerResources {
        memory_limit_in_bytes: 80 * MIB,
        unified: [("memory.high".to_owned(), "nothing".to_owned())].into(),
        ..Default::default()
    };
    let Err(wrong) = node.update(&id, wrong).await else {
        bail!("a value that is none was taken")
    };
    ensure!(wrong.code() == tonic::Code::InvalidArgument, "{wrong}");
    ensure!(
        cgroup_file("refused", &id, "memory.max")? == "67108864",
        "the limit has changed"
    );
    ensure!(node.runs(&id).await?, "the container has ended");
    node.remove_pod(&pod).await?;
    Ok(format!(
        "{}; {}",
        refused.message().split(": ").last().unwrap_or_default(),
        wrong.code()
    ))
}

async fn statistics(node: &mut Node) -> Result<String> {
    let pod = pod(node, "statistics").await?;
    let id = node.limited(&pod, memory(96), &["hold", "40"]).await?;
    node.logged(&id, 1).await?;
    let request = cri::ContainerStatsRequest {
        container_id: id.clone(),
    };
    let stats = node
        .client
        .container_stats(request)
        .await?
        .into_inner()
        .stats
        .context("statistics")?;
    let (cpu, memory) = (stats.cpu.context("cpu")?, stats.memory.context("memory")?);
    let value = |value: Option<cri::UInt64Value>| value.map(|value| value.value).context("a value");
    let used = value(memory.working_set_bytes)? / 1024 / 1024;
    ensure!((40..=60).contains(&used), "{used} MiB");
    ensure!(value(memory.rss_bytes)? / 1024 / 1024 >= 40, "rss");
    ensure!(
        value(memory.available_bytes)? / 1024 / 1024 <= 56,
        "available"
    );
    let seconds = value(cpu.usage_core_nano_seconds)?;
    ensure!(
        (1_000_000..60_000_000_000).contains(&seconds),
        "{seconds} ns of CPU"
    );
    ensure!(
        cpu.psi.is_some() && memory.psi.is_some() && stats.io.context("io")?.psi.is_some(),
        "no pressure"
    );
    let metrics = node
        .client
        .list_pod_sandbox_metrics(cri::ListPodSandboxMetricsRequest {})
        .await?;
    let metrics = metrics.into_inner().pod_metrics;
    let of = metrics
        .iter()
        .flat_map(|pod| &pod.container_metrics)
        .find(|of| of.container_id == id)
        .context("metrics")?;
    for name in [
        "container_memory_working_set_bytes",
        "container_cpu_cfs_periods_total",
        "container_pressure_memory_waiting_seconds_total",
        "container_threads",
        "container_oom_events_total",
    ] {
        ensure!(
            of.metrics.iter().any(|metric| metric.name == name),
            "no {name}"
        );
    }
    let request = cri::PodSandboxStatsRequest {
        pod_sandbox_id: pod.id.clone(),
    };
    let stats = node
        .client
        .pod_sandbox_stats(request)
        .await?
        .into_inner()
        .stats
        .context("statistics")?;
    let linux = stats.linux.context("of Linux")?;
    let processes = value(linux.process.context("processes")?.process_count)?;
    ensure!(
        processes == 1 && linux.containers.len() == 1,
        "{processes} processes"
    );
    node.remove_pod(&pod).await?;
    Ok(format!(
        "{used} MiB, {} ms of CPU, {processes} process, pressure",
        seconds / 1_000_000
    ))
}

async fn cgroup_mount(node: &mut Node) -> Result<String> {
    let pod = pod(node, "mount").await?;
    let id = node.limited(&pod, memory(32), &["wait"]).await?;
    let limit = node
        .exec(&id, &["show", "/sys/fs/cgroup/memory.max"])
        .await?;
    ensure!(limit == "33554432", "{limit}");
    let written = node
        .exec(&id, &["writes", "/sys/fs/cgroup/memory.max"])
        .await?;
    ensure!(written == "EROFS", "{written}");
    let own = node.exec(&id, &["show", "/proc/self/cgroup"]).await?;
    ensure!(own == "0::/", "{own}");
    node.remove_pod(&pod).await?;
    Ok("it shows the container's own, and cannot be written".to_owned())
}

async fn beside(node: &mut Node) -> Result<String> {
    let pod = pod(node, "beside").await?;
    let before = [resident(node.pid())?, keeper()?];
    for _ in 0..MANY {
        let config = node.container(&pod, &["wait"]);
        node.run(&pod, config).await?;
    }
    let after = [resident(node.pid())?, keeper()?];
    let each = (after
        .iter()
        .sum::<u64>()
        .saturating_sub(before.iter().sum()))
        / u64::try_from(MANY)?;
    ensure!(each < 1024, "{each} KiB for each container");
    node.remove_pod(&pod).await?;
    Ok(format!(
        "{MANY} containers: runtime {} to {} KiB, keeper {} to {} KiB, {each} KiB for each",
        before[0], after[0], before[1], after[1]
    ))
}

fn keeper() -> Result<u64> {
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.contains("runtime-keeper") {
            return resident(pid);
        }
    }
    bail!("there is no keeper")
}

/// KiB.
fn resident(pid: u32) -> Result<u64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .context("a number")
}
