//! Records, as CRI shows them.

use crate::{
    executor::{
        images::Image,
        pods::{Pods, container_state},
    },
    planner::{
        images::table::RecordUser,
        records::{ContainerRecord, ContainerState, SandboxRecord, SandboxState},
    },
};
use cri_proto::runtime::{
    Container, ContainerResources, ContainerStatus, ContainerUser, Image as CriImage, ImageSpec,
    Int64Value, LinuxContainerUser, LinuxPodSandboxStatus, Namespace, PodIp, PodSandbox,
    PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus, Signal,
};

pub(super) fn image(image: &Image) -> CriImage {
    let record = &image.record;
    let (uid, username) = match &record.user {
        RecordUser::Uid(uid) => (Some(Int64Value { value: *uid }), String::new()),
        RecordUser::Name(name) => (None, name.clone()),
    };
    CriImage {
        id: record.id.to_string(),
        repo_tags: record.repo_tags.iter().cloned().collect(),
        repo_digests: record.repo_digests.iter().cloned().collect(),
        size: record.size,
        uid,
        username,
        spec: None,
        pinned: image.pinned,
    }
}

pub(super) const fn sandbox_state(state: SandboxState) -> PodSandboxState {
    match state {
        SandboxState::Ready => PodSandboxState::SandboxReady,
        SandboxState::Making | SandboxState::NotReady => PodSandboxState::SandboxNotready,
    }
}

pub(super) fn sandbox(record: SandboxRecord) -> PodSandbox {
    PodSandbox {
        id: record.id,
        state: sandbox_state(record.state).into(),
        created_at: record.created_at,
        metadata: record.config.metadata,
        labels: record.config.labels,
        annotations: record.config.annotations,
        runtime_handler: record.handler,
    }
}

pub(super) fn sandbox_status(record: SandboxRecord) -> PodSandboxStatus {
    let options = record
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref())
        .and_then(|security| security.namespace_options.clone());
    let mut addresses = record.addresses.iter().map(ToString::to_string);
    let network = PodSandboxNetworkStatus {
        ip: addresses.next().unwrap_or_default(),
        additional_ips: addresses.map(|ip| PodIp { ip }).collect(),
    };
    PodSandboxStatus {
        id: record.id,
        state: sandbox_state(record.state).into(),
        created_at: record.created_at,
        network: Some(network),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace { options }),
        }),
        metadata: record.config.metadata,
        labels: record.config.labels,
        annotations: record.config.annotations,
        runtime_handler: record.handler,
    }
}

pub(super) fn container(record: ContainerRecord) -> Container {
    Container {
        state: container_state(&record.state).into(),
        image_ref: record.image.to_string(),
        image_id: record.image.to_string(),
        id: record.id,
        pod_sandbox_id: record.sandbox,
        created_at: record.created_at,
        metadata: record.config.metadata,
        image: record.config.image,
        labels: record.config.labels,
        annotations: record.config.annotations,
    }
}

pub(super) fn container_status(record: ContainerRecord, pods: &Pods) -> ContainerStatus {
    let state = container_state(&record.state).into();
    let (mut begun, mut finished, mut exit_code) = (0, 0, 0);
    let (mut why, mut words) = (String::new(), String::new());
    match record.state {
        ContainerState::Making | ContainerState::Created => {}
        ContainerState::Running { started_at, .. } => begun = started_at,
        ContainerState::Exited {
            started_at,
            finished_at,
            code,
            reason,
            message,
        } => {
            (begun, finished, exit_code) = (started_at, finished_at, code);
            (why, words) = (reason, message);
        }
    }
    let named = pods.image_name(&record.image);
    let asked = record.config.image.unwrap_or_default();
    let (uid, gid, supplemental_groups) = record.user;
    let resources = record.config.linux.and_then(|linux| linux.resources);
    ContainerStatus {
        id: record.id,
        metadata: record.config.metadata,
        state,
        created_at: record.created_at,
        started_at: begun,
        finished_at: finished,
        exit_code,
        image: Some(ImageSpec {
            image: named.clone().unwrap_or_else(|| asked.image.clone()),
            ..asked
        }),
        image_ref: pods
            .image_digest(&record.image)
            .unwrap_or_else(|| record.image.to_string()),
        reason: why,
        message: words,
        labels: record.config.labels,
        annotations: record.config.annotations,
        mounts: record.config.mounts,
        log_path: record
            .log
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        // Where none are asked for, there are none: containerd says so with zeros.
        resources: Some(ContainerResources {
            linux: Some(resources.unwrap_or_default()),
            windows: None,
        }),
        image_id: record.image.to_string(),
        user: Some(ContainerUser {
            linux: Some(LinuxContainerUser {
                uid,
                gid,
                supplemental_groups,
            }),
        }),
        stop_signal: signal(record.stop_signal).into(),
    }
}

/// CRI's name of a signal.
fn signal(number: i32) -> Signal {
    (0..=i32::from(u8::MAX))
        .filter_map(|value| Signal::try_from(value).ok())
        .find(|signal| {
            *signal != Signal::RuntimeDefault
                && crate::planner::spec::signal_number(*signal) == number
        })
        .unwrap_or(Signal::RuntimeDefault)
}
