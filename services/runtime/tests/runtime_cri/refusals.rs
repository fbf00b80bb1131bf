//! What cannot be done is refused with one clear error, nothing is left of it, and the next call works.

use crate::node::Node;
use cri_proto::runtime::{
    ContainerStatusRequest, ImageSpec, Mount, PodSandboxConfig, PodSandboxStatusRequest,
    RemoveContainerRequest, RemovePodSandboxRequest, StopContainerRequest, StopPodSandboxRequest,
};
use tonic::{Code, Status};

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(text), "{status}");
}

#[tokio::test]
async fn each_has_its_own_error() {
    let mut node = Node::new().await;
    let client = node.runtime_client.clone();
    let unknown = "0123456789abcdef".to_owned();
    refused(
        client
            .clone()
            .pod_sandbox_status(PodSandboxStatusRequest {
                pod_sandbox_id: unknown.clone(),
                verbose: false,
            })
            .await,
        Code::NotFound,
        "not found",
    );
    refused(
        client
            .clone()
            .container_status(ContainerStatusRequest {
                container_id: unknown.clone(),
                verbose: false,
            })
            .await,
        Code::NotFound,
        "not found",
    );
    refused(
        node.start_container(&unknown).await,
        Code::NotFound,
        "not found",
    );
    refused(
        node.exec(&unknown, &["true"]).await,
        Code::NotFound,
        "not found",
    );
    // What is gone has been stopped and removed.
    client
        .clone()
        .stop_container(StopContainerRequest {
            container_id: unknown.clone(),
            timeout: 0,
        })
        .await
        .unwrap();
    client
        .clone()
        .remove_container(RemoveContainerRequest {
            container_id: unknown.clone(),
        })
        .await
        .unwrap();
    client
        .clone()
        .stop_pod_sandbox(StopPodSandboxRequest {
            pod_sandbox_id: unknown.clone(),
        })
        .await
        .unwrap();
    refused(
        node.try_run_sandbox(PodSandboxConfig::default()).await,
        Code::InvalidArgument,
        "PodSandboxConfig.metadata",
    );
    let mut config = node.sandbox_config("pod");
    config.linux.get_or_insert_default().sysctls =
        [("kernel.hostname".to_owned(), "x".to_owned())].into();
    refused(
        node.try_run_sandbox(config).await,
        Code::InvalidArgument,
        "kernel.hostname",
    );
    let config = node.container_config("main", &["true"]);
    refused(
        node.create(&unknown, "pod", config).await,
        Code::NotFound,
        "not found",
    );

    let pod = node.run_sandbox("pod").await;
    let again = node.sandbox_config("pod");
    refused(
        node.try_run_sandbox(again).await,
        Code::AlreadyExists,
        "reserved",
    );
    let mut config = node.container_config("main", &["true"]);
    config.image = Some(ImageSpec {
        image: "docker.io/library/nothing:here".to_owned(),
        ..ImageSpec::default()
    });
    refused(
        node.create(&pod, "pod", config).await,
        Code::NotFound,
        "nothing",
    );
    let mut config = node.container_config("main", &["true"]);
    config.mounts.push(Mount {
        container_path: "relative".to_owned(),
        host_path: "/usr".to_owned(),
        ..Mount::default()
    });
    refused(
        node.create(&pod, "pod", config).await,
        Code::InvalidArgument,
        "relative",
    );

    // One that cannot be started has ended, and says why.
    let config = node.container_config("main", &["no-such-program"]);
    let id = node.create(&pod, "pod", config).await.unwrap();
    let config = node.container_config("main", &["true"]);
    refused(
        node.create(&pod, "pod", config).await,
        Code::AlreadyExists,
        "reserved",
    );
    refused(
        node.start_container(&id).await,
        Code::Internal,
        "exec: \"no-such-program\": executable file not found in $PATH",
    );
    let status = node.exited(&id).await;
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (128, "StartError")
    );
    assert!(
        status.message.contains("no-such-program"),
        "{}",
        status.message
    );
    refused(
        node.start_container(&id).await,
        Code::FailedPrecondition,
        "CONTAINER_EXITED",
    );
    refused(
        node.exec(&id, &["true"]).await,
        Code::FailedPrecondition,
        "not running",
    );

    client
        .clone()
        .stop_pod_sandbox(StopPodSandboxRequest {
            pod_sandbox_id: pod.clone(),
        })
        .await
        .unwrap();
    let config = node.container_config("other", &["true"]);
    refused(
        node.create(&pod, "pod", config).await,
        Code::FailedPrecondition,
        "not ready",
    );
    client
        .clone()
        .remove_pod_sandbox(RemovePodSandboxRequest {
            pod_sandbox_id: pod,
        })
        .await
        .unwrap();
    node.nothing_is_left();
    let pod = node.run_sandbox("pod").await;
    let id = node.run(&pod, "pod", "main", &["true"]).await;
    assert_eq!(node.exited(&id).await.exit_code, 0);
}
