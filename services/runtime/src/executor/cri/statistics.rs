//! Samples, as CRI shows them.

use crate::{
    executor::{network::LinkUsage, pods::Sample},
    planner::{
        network::cni_attachment::LINK,
        records::{ContainerRecord, SandboxRecord},
        stats::{Pressure, Stalled},
    },
};
use cri_proto::runtime::{
    ContainerAttributes, ContainerStats, CpuUsage, FilesystemIdentifier, FilesystemUsage, IoUsage,
    LinuxPodSandboxStats, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, PodSandboxAttributes,
    PodSandboxStats, ProcessUsage, PsiData, PsiStats, SwapUsage, UInt64Value,
};

pub(super) fn of_container(record: ContainerRecord, sample: &Sample) -> ContainerStats {
    let (bytes, files) = sample.written;
    ContainerStats {
        attributes: Some(ContainerAttributes {
            id: record.id,
            metadata: record.config.metadata,
            labels: record.config.labels,
            annotations: record.config.annotations,
        }),
        cpu: Some(cpu(sample)),
        memory: Some(memory(sample)),
        writable_layer: sample.writes_to.as_ref().map(|path| FilesystemUsage {
            timestamp: sample.at,
            fs_id: Some(FilesystemIdentifier {
                mountpoint: path.display().to_string(),
            }),
            used_bytes: value(Some(bytes)),
            inodes_used: value(Some(files)),
        }),
        swap: Some(SwapUsage {
            timestamp: sample.at,
            swap_available_bytes: value(sample.usage.swap_available_bytes),
            swap_usage_bytes: value(sample.usage.swap_bytes),
        }),
        io: Some(io(sample)),
    }
}

pub(super) fn of_sandbox(
    record: SandboxRecord,
    sample: &Sample,
    containers: Vec<ContainerStats>,
) -> PodSandboxStats {
    PodSandboxStats {
        attributes: Some(PodSandboxAttributes {
            id: record.id,
            metadata: record.config.metadata,
            labels: record.config.labels,
            annotations: record.config.annotations,
        }),
        linux: Some(LinuxPodSandboxStats {
            cpu: Some(cpu(sample)),
            memory: Some(memory(sample)),
            network: network(sample),
            process: Some(ProcessUsage {
                timestamp: sample.at,
                process_count: value(sample.usage.processes),
            }),
            containers,
            io: Some(io(sample)),
        }),
        windows: None,
    }
}

/// The pod's link is the default one; a pod may have made others.
fn network(sample: &Sample) -> Option<NetworkUsage> {
    let link = |one: &LinkUsage| NetworkInterfaceUsage {
        name: one.name.clone(),
        rx_bytes: value(Some(one.received_bytes)),
        rx_errors: value(Some(one.receive_errors)),
        tx_bytes: value(Some(one.sent_bytes)),
        tx_errors: value(Some(one.send_errors)),
    };
    let is_default = |one: &&LinkUsage| one.name == LINK;
    (!sample.links.is_empty()).then(|| NetworkUsage {
        timestamp: sample.at,
        default_interface: sample.links.iter().find(is_default).map(link),
        interfaces: sample
            .links
            .iter()
            .filter(|one| !is_default(one))
            .map(link)
            .collect(),
    })
}

fn cpu(sample: &Sample) -> CpuUsage {
    CpuUsage {
        timestamp: sample.at,
        usage_core_nano_seconds: value(sample.usage.cpu_nanoseconds),
        usage_nano_cores: value(sample.nano_cores),
        psi: sample.usage.cpu_pressure.map(psi),
    }
}

fn memory(sample: &Sample) -> MemoryUsage {
    let usage = &sample.usage;
    MemoryUsage {
        timestamp: sample.at,
        working_set_bytes: value(usage.memory_working_set_bytes),
        available_bytes: value(usage.memory_available_bytes),
        usage_bytes: value(usage.memory_bytes),
        rss_bytes: value(usage.memory_rss_bytes),
        page_faults: value(usage.page_faults),
        major_page_faults: value(usage.major_page_faults),
        psi: usage.memory_pressure.map(psi),
    }
}

fn io(sample: &Sample) -> IoUsage {
    IoUsage {
        timestamp: sample.at,
        psi: sample.usage.io_pressure.map(psi),
    }
}

fn psi(pressure: Pressure) -> PsiStats {
    let data = |stalled: Stalled| {
        let [avg10, avg60, avg300] = stalled.average;
        PsiData {
            total: stalled.total_nanoseconds,
            avg10,
            avg60,
            avg300,
        }
    };
    PsiStats {
        full: Some(data(pressure.full)),
        some: Some(data(pressure.some)),
    }
}

const fn value(number: Option<u64>) -> Option<UInt64Value> {
    match number {
        Some(value) => Some(UInt64Value { value }),
        None => None,
    }
}
