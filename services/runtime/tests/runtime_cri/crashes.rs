//! The runtime is killed, and containers do not notice: they run on, log on, and how they end is known.

use crate::node::{Node, PATIENCE};
use cri_proto::runtime::ContainerState;
use std::time::{Duration, Instant};

/// Containers that log and end while the runtime dies.
const CONTAINERS: usize = 50;
/// Lines of each.
const LINES: usize = 40;
/// Deaths of the runtime.
const DEATHS: u64 = 6;

#[tokio::test]
async fn containers_outlive_the_runtime() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let lasting = node
        .run(
            &pod,
            "pod",
            "lasting",
            &[
                "sh",
                "-c",
                "echo one; while ! test -e /tmp/go; do sleep 0.05; done; echo two; exit 9",
            ],
        )
        .await;
    let short = node
        .run(
            &pod,
            "pod",
            "short",
            &["sh", "-c", "sleep 0.5; echo done; exit 6"],
        )
        .await;
    let waiting = node.container_config("waiting", &["true"]);
    let waiting = node.create(&pod, "pod", waiting).await.unwrap();
    node.kill();
    // It ends while there is no runtime.
    let begun = Instant::now();
    while node.logged("pod", "short", "stdout").is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.start().await;
    let status = node.exited(&short).await;
    assert_eq!(status.exit_code, 6);
    assert_eq!(node.logged("pod", "short", "stdout"), ["done"]);
    let status = node.status(&lasting).await;
    assert_eq!(status.state, i32::from(ContainerState::ContainerRunning));
    assert_eq!(
        node.exec(&lasting, &["touch", "/tmp/go"])
            .await
            .unwrap()
            .exit_code,
        0
    );
    assert_eq!(node.exited(&lasting).await.exit_code, 9);
    assert_eq!(node.logged("pod", "lasting", "stdout"), ["one", "two"]);
    node.start_container(&waiting).await.unwrap();
    assert_eq!(node.exited(&waiting).await.exit_code, 0);
    node.remove_pod(&pod).await;
    node.nothing_is_left();
}

#[tokio::test]
async fn nothing_is_lost_whenever_it_is_killed() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let mut ids = Vec::new();
    for number in 0..CONTAINERS {
        let script = format!(
            "i=0; while test $i -lt {LINES}; do echo line $i; i=$((i+1)); sleep 0.0{}; done; exit {number}",
            number % 10
        );
        let name = format!("container-{number}");
        ids.push(node.run(&pod, "pod", &name, &["sh", "-c", &script]).await);
    }
    // At moments that differ from run to run; what must hold holds at all of them.
    for death in 0..DEATHS {
        let pause = 20 + (u64::from(std::process::id()) * 7919 + death * 104_729) % 300;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        node.kill();
        tokio::time::sleep(Duration::from_millis(pause / 2)).await;
        node.start().await;
    }
    let expected: Vec<String> = (0..LINES).map(|line| format!("line {line}")).collect();
    for (number, id) in ids.iter().enumerate() {
        let status = node.exited(id).await;
        assert_eq!(usize::try_from(status.exit_code).unwrap(), number);
        let name = format!("container-{number}");
        assert_eq!(node.logged("pod", &name, "stdout"), expected, "{name}");
    }
    assert_eq!(node.count().await, CONTAINERS);
    node.remove_pod(&pod).await;
    node.nothing_is_left();
}

/// Kills, each a little later than the one before.
const ROUNDS: u64 = 8;
/// As many more, until one has met a container that was half-made.
const ROUNDS_MAX: u64 = 64;

/// A call is under way when the runtime dies: what it has half-made is undone, and the call can be made again.
#[tokio::test]
async fn what_was_half_made_is_undone() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let mut half_made = 0;
    for round in 0..ROUNDS_MAX {
        if round >= ROUNDS && half_made > 0 {
            break;
        }
        let mut client = node.runtime_client.clone();
        let config = node.container_config("half", &["sleep", "1000"]);
        let request = cri_proto::runtime::CreateContainerRequest {
            pod_sandbox_id: pod.clone(),
            config: Some(config),
            sandbox_config: Some(node.sandbox_config("pod")),
        };
        let call = tokio::spawn(async move {
            let made = client.create_container(request).await?.into_inner();
            client
                .start_container(cri_proto::runtime::StartContainerRequest {
                    container_id: made.container_id,
                })
                .await
        });
        // At moments of all kinds, and in every other round at one of which it is known what it is.
        if round % 2 == 0 {
            node.until_half_made("containers", &call).await;
        }
        tokio::time::sleep(Duration::from_millis(round % ROUNDS * 2)).await;
        node.kill();
        half_made += node.half_made("containers");
        let _ = call.await.unwrap();
        node.start().await;
        // Whole or not at all.
        let listed = node
            .runtime_client
            .list_containers(cri_proto::runtime::ListContainersRequest::default())
            .await
            .unwrap()
            .into_inner()
            .containers;
        for container in listed {
            let request = cri_proto::runtime::RemoveContainerRequest {
                container_id: container.id,
            };
            node.runtime_client.remove_container(request).await.unwrap();
        }
    }
    assert!(half_made > 0, "no round has met a half-made container");
    node.remove_pod(&pod).await;
    node.nothing_is_left();
}
