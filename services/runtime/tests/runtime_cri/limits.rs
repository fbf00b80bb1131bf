//! Limits of containers that are there are changed: the kernel has them, and the status tells them. With cgroup v2 it is shown in a guest.

use crate::node::Node;
use cri_proto::runtime::{
    ContainerConfig, LinuxContainerResources, UpdateContainerResourcesRequest,
    UpdatePodSandboxResourcesRequest, WindowsContainerResources,
};
use std::{fs, path::Path};
use tonic::{Code, Status};

const MIB: i64 = 1024 * 1024;

fn memory(limit: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        memory_limit_in_bytes: limit,
        ..LinuxContainerResources::default()
    }
}

fn limited(node: &Node, name: &str, script: &str, limit: i64) -> ContainerConfig {
    let mut config = node.container_config(name, &["sh", "-c", script]);
    config.linux.get_or_insert_default().resources = Some(memory(limit));
    config
}

async fn update(node: &Node, id: &str, linux: LinuxContainerResources) -> Result<(), Status> {
    let request = UpdateContainerResourcesRequest {
        container_id: id.to_owned(),
        linux: Some(linux),
        ..UpdateContainerResourcesRequest::default()
    };
    let mut client = node.runtime_client.clone();
    client.update_container_resources(request).await.map(drop)
}

/// A file of a container's cgroup, whichever version this machine has.
fn file(node: &Node, id: &str, v1: (&str, &str), v2: &str) -> String {
    let below = Path::new(&node.cgroup()).join("pod").join(id);
    let of_v1 = Path::new("/sys/fs/cgroup")
        .join(v1.0)
        .join(&below)
        .join(v1.1);
    let of_v2 = Path::new("/sys/fs/cgroup").join(&below).join(v2);
    let text = fs::read_to_string(of_v1).or_else(|_| fs::read_to_string(of_v2));
    text.unwrap().trim().to_owned()
}

fn limit(node: &Node, id: &str) -> String {
    file(node, id, ("memory", "memory.limit_in_bytes"), "memory.max")
}

#[tokio::test]
async fn before_and_after_the_start_and_after_the_end() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let config = limited(&node, "main", "sleep 600", 64 * MIB);
    let id = node.create(&pod, "pod", config).await.unwrap();
    update(&node, &id, memory(96 * MIB)).await.unwrap();
    node.start_container(&id).await.unwrap();
    assert_eq!(limit(&node, &id), (96 * MIB).to_string());
    for to in [200, 48] {
        update(&node, &id, memory(to * MIB)).await.unwrap();
        assert_eq!(limit(&node, &id), (to * MIB).to_string());
    }
    let shares = LinuxContainerResources {
        cpu_shares: 2,
        ..LinuxContainerResources::default()
    };
    update(&node, &id, shares.clone()).await.unwrap();
    let weight = file(&node, &id, ("cpu", "cpu.shares"), "cpu.weight");
    assert!(matches!(weight.as_str(), "1" | "2"), "{weight}");
    let expected = LinuxContainerResources {
        cpu_shares: 2,
        ..memory(48 * MIB)
    };
    let told = node.status(&id).await.resources.unwrap().linux.unwrap();
    assert_eq!(told, expected);
    // The next runtime knows them too.
    node.kill();
    node.start().await;
    let told = node.status(&id).await.resources.unwrap().linux.unwrap();
    assert_eq!(told, expected);

    let id = node.run(&pod, "pod", "ends", &["true"]).await;
    node.exited(&id).await;
    update(&node, &id, memory(32 * MIB)).await.unwrap();
    let told = node.status(&id).await.resources.unwrap().linux.unwrap();
    assert_eq!(told, memory(32 * MIB));
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_has_changed() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    // Bytes that cannot be taken back.
    let script =
        "dd if=/dev/zero of=/dev/shm/held bs=1M count=40 2>/dev/null; echo held; sleep 600";
    let config = limited(&node, "main", script, 64 * MIB);
    let id = node.create(&pod, "pod", config).await.unwrap();
    node.start_container(&id).await.unwrap();
    node.logs("pod", "main", "held").await;
    // On a machine with swap it can be.
    if fs::read_to_string("/proc/swaps").unwrap().lines().count() < 2 {
        let refused = update(&node, &id, memory(16 * MIB)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    let negative = update(&node, &id, memory(-5)).await.unwrap_err();
    assert_eq!(negative.code(), Code::InvalidArgument, "{negative}");
    // The memory's limit goes up before the wrong word is met, and comes down again.
    let wrong = LinuxContainerResources {
        cpuset_cpus: "nonsense".to_owned(),
        ..memory(80 * MIB)
    };
    let wrong = update(&node, &id, wrong).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
    assert_eq!(limit(&node, &id), (64 * MIB).to_string());
    let told = node.status(&id).await.resources.unwrap().linux.unwrap();
    assert_eq!(told, memory(64 * MIB));
    let unknown = update(&node, "0123456789abcdef", memory(MIB))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let request = UpdateContainerResourcesRequest {
        container_id: id,
        windows: Some(WindowsContainerResources::default()),
        ..UpdateContainerResourcesRequest::default()
    };
    let windows = node
        .runtime_client
        .update_container_resources(request)
        .await;
    assert_eq!(windows.unwrap_err().code(), Code::InvalidArgument);

    let of = |id: &str| UpdatePodSandboxResourcesRequest {
        pod_sandbox_id: id.to_owned(),
        resources: Some(memory(MIB)),
        ..UpdatePodSandboxResourcesRequest::default()
    };
    let client = &mut node.runtime_client;
    client.update_pod_sandbox_resources(of(&pod)).await.unwrap();
    let unknown = client.update_pod_sandbox_resources(of("nothing")).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}
