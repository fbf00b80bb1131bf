//! The keeper dies, which nothing but the kernel or a person does to it: what ran is lost, said to be lost, and everything goes on.

use crate::node::Node;
use cri_proto::runtime::RemovePodSandboxRequest;
use std::process::Command;

#[tokio::test]
async fn what_it_kept_is_lost_and_the_next_one_is_found() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let lost = node.run(&pod, "pod", "lost", &["sleep", "1000"]).await;
    let ended = node
        .run(&pod, "pod", "ended", &["sh", "-c", "exit 4"])
        .await;
    assert_eq!(node.exited(&ended).await.exit_code, 4);
    let state = node.path("state").display().to_string();
    let killed = Command::new("pkill")
        .args(["-KILL", "-f", &format!("runtime-keeper --state {state}")])
        .status()
        .unwrap();
    assert!(killed.success());
    let status = node.exited(&lost).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
    assert_eq!(node.status(&ended).await.exit_code, 4);
    let next = node.run(&pod, "pod", "next", &["sh", "-c", "exit 5"]).await;
    assert_eq!(node.exited(&next).await.exit_code, 5);
    node.runtime_client
        .remove_pod_sandbox(RemovePodSandboxRequest {
            pod_sandbox_id: pod,
        })
        .await
        .unwrap();
    node.nothing_is_left();
}
