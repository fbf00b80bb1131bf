//! From an image to a container that ends, and nothing is left of it.

use crate::node::{Node, PATIENCE, spec};
use cri_proto::runtime::{
    ContainerEventType, ContainerFilter, ContainerState, GetEventsRequest, ImageFsInfoRequest,
    ImageStatusRequest, KeyValue, ListContainersRequest, ListImagesRequest, ListPodSandboxRequest,
    Mount, MountPropagation, NamespaceOption, PodSandboxState, PodSandboxStatsRequest,
    PodSandboxStatusRequest, RemoveContainerRequest, RemoveImageRequest, RemovePodSandboxRequest,
    ReopenContainerLogRequest, StatusRequest, StopContainerRequest, StopPodSandboxRequest,
};
use std::{fs, time::Instant};

#[tokio::test]
async fn a_pod_lives_and_leaves_nothing() {
    let mut node = Node::new().await;
    let image = node.image();
    let found = node
        .images
        .image_status(ImageStatusRequest {
            image: Some(spec(&image)),
            verbose: true,
        })
        .await
        .unwrap()
        .into_inner();
    let found_image = found.image.unwrap();
    assert_eq!(found_image.repo_tags, std::slice::from_ref(&image));
    assert_eq!(found_image.uid.unwrap().value, 7);
    assert!(found.info["imageConfig"].contains("\"diff_ids\""));

    let pod = node.run_sandbox("pod").await;
    let mut config = node.container_config(
        "main",
        &["sh", "-c", "id -u; id -g; cat /above; ls /below; hostname; echo $GREETING; echo bad >&2; grep Seccomp: /proc/self/status; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; exit 5"],
    );
    config.envs = vec![KeyValue {
        key: "GREETING".to_owned(),
        value: "hello".to_owned(),
    }];
    let id = node.create(&pod, "pod", config).await.unwrap();
    assert_eq!(
        node.status(&id).await.state,
        i32::from(ContainerState::ContainerCreated)
    );
    node.start_container(&id).await.unwrap();
    let status = node.exited(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (5, "Error"));
    assert!(status.started_at > status.created_at && status.finished_at >= status.started_at);
    assert_eq!(status.image.unwrap().image, image);
    assert_eq!(status.image_id, found_image.id);
    assert!(
        status.image_ref.contains("app@sha256:"),
        "{}",
        status.image_ref
    );
    assert_eq!(status.user.unwrap().linux.unwrap().uid, 7);
    let out = node.logged("pod", "main", "stdout");
    assert_eq!(out, ["7", "8", "abovepod", "hello", "Seccomp:\t0", "0"]);
    let complaints = node.logged("pod", "main", "stderr");
    assert!(complaints[0].contains("/below"), "{complaints:?}");
    assert_eq!(complaints.last().unwrap(), "bad");

    let listed = node
        .runtime_client
        .list_containers(ListContainersRequest {
            filter: Some(ContainerFilter {
                pod_sandbox_id: pod.clone(),
                ..ContainerFilter::default()
            }),
        })
        .await
        .unwrap()
        .into_inner()
        .containers;
    assert_eq!(listed.len(), 1);
    node.runtime_client
        .remove_container(RemoveContainerRequest {
            container_id: id.clone(),
        })
        .await
        .unwrap();
    // Twice is as once.
    node.runtime_client
        .remove_container(RemoveContainerRequest { container_id: id })
        .await
        .unwrap();
    node.runtime_client
        .stop_pod_sandbox(StopPodSandboxRequest {
            pod_sandbox_id: pod.clone(),
        })
        .await
        .unwrap();
    let status = node
        .runtime_client
        .pod_sandbox_status(PodSandboxStatusRequest {
            pod_sandbox_id: pod.clone(),
            verbose: false,
        })
        .await
        .unwrap()
        .into_inner()
        .status
        .unwrap();
    assert_eq!(status.state, i32::from(PodSandboxState::SandboxNotready));
    for _ in 0..2 {
        node.runtime_client
            .remove_pod_sandbox(RemovePodSandboxRequest {
                pod_sandbox_id: pod.clone(),
            })
            .await
            .unwrap();
    }
    node.nothing_is_left();
    node.images
        .remove_image(RemoveImageRequest {
            image: Some(spec(&image)),
        })
        .await
        .unwrap();
    let listed = node.images.list_images(ListImagesRequest::default()).await;
    assert!(listed.unwrap().into_inner().images.is_empty());
}

#[tokio::test]
async fn exec_stop_and_events() {
    let mut node = Node::new().await;
    let mut events = node
        .runtime_client
        .get_container_events(GetEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let pod = node.run_sandbox("pod").await;
    // A shell that obeys SIGTERM, and one that does not.
    let polite = node
        .run(
            &pod,
            "pod",
            "polite",
            &[
                "sh",
                "-c",
                "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
            ],
        )
        .await;
    let rude = node
        .run(
            &pod,
            "pod",
            "rude",
            &[
                "sh",
                "-c",
                "trap '' TERM; echo ready; while :; do sleep 1; done",
            ],
        )
        .await;
    for name in ["polite", "rude"] {
        let begun = Instant::now();
        while node.logged("pod", name, "stdout").is_empty() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let ran = node
        .exec(
            &polite,
            &["sh", "-c", "echo out; echo error >&2; id -u; exit 4"],
        )
        .await
        .unwrap();
    assert_eq!(ran.exit_code, 4);
    assert_eq!(ran.stdout, b"out\n7\n");
    assert_eq!(ran.stderr, b"error\n");
    let missing = node.exec(&polite, &["no-such-program"]).await.unwrap_err();
    assert!(
        missing
            .message()
            .contains("executable file not found in $PATH"),
        "{missing}"
    );
    let mut request = cri_proto::runtime::ExecSyncRequest {
        container_id: polite.clone(),
        cmd: vec!["sleep".to_owned(), "1000".to_owned()],
        timeout: 1,
    };
    let late = node
        .runtime_client
        .exec_sync(request.clone())
        .await
        .unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
    request.cmd = ["sh", "-c", "! pgrep -f '[s]leep 1000'"]
        .map(str::to_owned)
        .to_vec();
    let gone = node.runtime_client.exec_sync(request).await.unwrap();
    assert_eq!(gone.into_inner().exit_code, 0, "what was late was ended");

    let of_pod = node
        .runtime_client
        .pod_sandbox_stats(PodSandboxStatsRequest {
            pod_sandbox_id: pod.clone(),
        })
        .await
        .unwrap()
        .into_inner()
        .stats
        .unwrap()
        .linux
        .unwrap();
    assert_eq!(of_pod.containers.len(), 2);
    for container in &of_pod.containers {
        let cpu = container.cpu.as_ref().unwrap();
        assert!(cpu.usage_core_nano_seconds.unwrap().value > 1_000_000);
        let memory = container.memory.as_ref().unwrap();
        let (all, set) = (
            memory.usage_bytes.unwrap(),
            memory.working_set_bytes.unwrap(),
        );
        assert!(all.value >= set.value && set.value > 4096);
    }

    // The log is moved away, and goes on in a new one.
    let log = node.path("logs/pod/polite.log");
    fs::rename(&log, node.path("logs/pod/polite.log.1")).unwrap();
    node.runtime_client
        .reopen_container_log(ReopenContainerLogRequest {
            container_id: polite.clone(),
        })
        .await
        .unwrap();
    let stop = |id: &str, timeout| StopContainerRequest {
        container_id: id.to_owned(),
        timeout,
    };
    let begun = Instant::now();
    node.runtime_client
        .stop_container(stop(&polite, 30))
        .await
        .unwrap();
    assert!(begun.elapsed() < PATIENCE / 2, "it was not waited for");
    assert_eq!(node.status(&polite).await.exit_code, 3);
    assert_eq!(node.logged("pod", "polite", "stdout"), ["bye"]);
    node.runtime_client
        .stop_container(stop(&rude, 1))
        .await
        .unwrap();
    assert_eq!(node.status(&rude).await.exit_code, 137);
    node.runtime_client
        .stop_container(stop(&rude, 1))
        .await
        .unwrap();
    node.runtime_client
        .remove_pod_sandbox(RemovePodSandboxRequest {
            pod_sandbox_id: pod.clone(),
        })
        .await
        .unwrap();
    node.nothing_is_left();

    let mut seen = Vec::new();
    while !seen.contains(&(pod.clone(), ContainerEventType::ContainerDeletedEvent)) {
        let event = tokio::time::timeout(PATIENCE, events.message()).await;
        let event = event.unwrap().unwrap().unwrap();
        seen.push((event.container_id.clone(), event.container_event_type()));
    }
    let of = |id: &str| -> Vec<ContainerEventType> {
        let all = seen.iter().filter(|(of, _)| of == id);
        all.map(|(_, kind)| *kind).collect()
    };
    use ContainerEventType as Event;
    let whole = [
        Event::ContainerCreatedEvent,
        Event::ContainerStartedEvent,
        Event::ContainerStoppedEvent,
        Event::ContainerDeletedEvent,
    ];
    for id in [&pod, &polite, &rude] {
        assert_eq!(of(id), whole);
    }
}

#[tokio::test]
async fn the_node_says_how_it_is() {
    let mut node = Node::new().await;
    let status = node
        .runtime_client
        .status(StatusRequest { verbose: true })
        .await;
    let conditions = status.unwrap().into_inner().status.unwrap().conditions;
    assert!(conditions[0].r#type == "RuntimeReady" && conditions[0].status);
    assert!(conditions[1].r#type == "NetworkReady" && !conditions[1].status);
    let info = node
        .images
        .image_fs_info(ImageFsInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(info.image_filesystems[0].used_bytes.unwrap().value > 0);
    let sandboxes = node
        .runtime_client
        .list_pod_sandbox(ListPodSandboxRequest::default())
        .await;
    assert!(sandboxes.unwrap().into_inner().items.is_empty());
}

#[tokio::test]
async fn containers_share_a_pid_namespace_if_they_are_to() {
    let mut node = Node::new().await;
    let mut config = node.sandbox_config("pod");
    config
        .linux
        .get_or_insert_default()
        .security_context
        .get_or_insert_default()
        .namespace_options = Some(NamespaceOption::default());
    let pod = node.try_run_sandbox(config).await.unwrap();
    let shared = |node: &Node, name: &str, script: &str| {
        let mut config = node.container_config(name, &["sh", "-c", script]);
        let security = config
            .linux
            .get_or_insert_default()
            .security_context
            .get_or_insert_default();
        security.namespace_options = Some(NamespaceOption::default());
        config
    };
    let config = shared(&node, "one", "sleep 1000 & sleep 1001");
    let one = node.create(&pod, "pod", config).await.unwrap();
    node.start_container(&one).await.unwrap();
    let config = shared(
        &node,
        "two",
        "cat /proc/1/cmdline | tr '\\0' ' '; echo; pgrep -c sleep; exec sleep 2000",
    );
    let two = node.create(&pod, "pod", config).await.unwrap();
    node.start_container(&two).await.unwrap();
    let begun = Instant::now();
    while node.logged("pod", "two", "stdout").len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let out = node.logged("pod", "two", "stdout");
    assert!(out[0].contains("runtime-pause"), "{out:?}");
    // The runtime dies, and the namespace stays.
    node.kill();
    node.start().await;
    let ran = node
        .exec(&one, &["pgrep", "-f", "runtime-pause"])
        .await
        .unwrap();
    assert_eq!(ran.stdout, b"1\n");
    // With a container goes all that it has started.
    let stop = StopContainerRequest {
        container_id: one.clone(),
        timeout: 0,
    };
    node.runtime_client.stop_container(stop).await.unwrap();
    assert_eq!(node.status(&one).await.exit_code, 137);
    let begun = Instant::now();
    loop {
        let ran = node.exec(&two, &["pgrep", "-f", "^sleep 100"]).await;
        if ran.map_or(true, |ran| ran.stdout.is_empty()) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    node.runtime_client
        .remove_pod_sandbox(RemovePodSandboxRequest {
            pod_sandbox_id: pod,
        })
        .await
        .unwrap();
    node.nothing_is_left();
}

/// A network agent's mounts: what the host mounts below later is seen, and it starts at all.
#[tokio::test]
async fn mounts_go_on_as_they_are_asked_to() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    for (name, propagation) in [
        ("slave", MountPropagation::PropagationHostToContainer),
        ("shared", MountPropagation::PropagationBidirectional),
    ] {
        let mut config = node.container_config(name, &["sh", "-c", "ls /data"]);
        let data = node.path("data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("file"), "").unwrap();
        config.mounts.push(Mount {
            container_path: "/data".to_owned(),
            host_path: data.display().to_string(),
            propagation: propagation.into(),
            ..Mount::default()
        });
        let id = node.create(&pod, "pod", config).await.unwrap();
        node.start_container(&id).await.unwrap();
        assert_eq!(node.exited(&id).await.exit_code, 0);
        assert_eq!(node.logged("pod", name, "stdout"), ["file"]);
    }
    node.runtime_client
        .remove_pod_sandbox(RemovePodSandboxRequest {
            pod_sandbox_id: pod,
        })
        .await
        .unwrap();
    node.nothing_is_left();
}

#[tokio::test]
async fn images_are_volumes() {
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let mut config = node.container_config(
        "main",
        &[
            "sh",
            "-c",
            "cat /model/above; echo; cat /part/passwd | wc -l; touch /model/x || echo refused; /model/above || echo no program; echo end",
        ],
    );
    let volume = |at: &str, below: &str| Mount {
        container_path: at.to_owned(),
        image: Some(spec(&node.image())),
        image_sub_path: below.to_owned(),
        readonly: true,
        ..Mount::default()
    };
    config
        .mounts
        .extend([volume("/model", ""), volume("/part", "etc")]);
    let (outside, nothing) = (volume("/part", "/etc"), volume("/part", "nothing"));
    let id = node.create(&pod, "pod", config).await.unwrap();
    node.start_container(&id).await.unwrap();
    let said = node.logs("pod", "main", "end").await;
    assert_eq!(said, ["above", "2", "refused", "no program", "end"]);
    for (wrong, text) in [(outside, "no relative path"), (nothing, "in the image")] {
        let mut config = node.container_config("wrong", &["true"]);
        config.mounts.push(wrong);
        let refused = node.create(&pod, "pod", config).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains(text), "{refused}");
    }
    node.remove_pod(&pod).await;
    node.nothing_is_left();
}

#[tokio::test]
async fn metrics_have_cadvisors_names() {
    use cri_proto::runtime::{ListMetricDescriptorsRequest, ListPodSandboxMetricsRequest};
    let mut node = Node::new().await;
    let pod = node.run_sandbox("pod").await;
    let id = node.run(&pod, "pod", "main", &["sleep", "600"]).await;
    let client = &mut node.runtime_client;
    let known = client
        .list_metric_descriptors(ListMetricDescriptorsRequest {})
        .await
        .unwrap();
    let known = known.into_inner().descriptors;
    let all = client
        .list_pod_sandbox_metrics(ListPodSandboxMetricsRequest {})
        .await
        .unwrap();
    let all = all.into_inner().pod_metrics;
    let [of_pod] = &all[..] else {
        panic!("{all:?}")
    };
    let [of_container] = &of_pod.container_metrics[..] else {
        panic!("{of_pod:?}")
    };
    assert_eq!(
        (&of_pod.pod_sandbox_id, &of_container.container_id),
        (&pod, &id)
    );
    for metric in of_pod.metrics.iter().chain(&of_container.metrics) {
        let descriptor = known
            .iter()
            .find(|known| known.name == metric.name)
            .unwrap();
        assert_eq!(descriptor.label_keys.len(), metric.label_values.len());
    }
    let value = |name: &str| {
        let metric = of_container
            .metrics
            .iter()
            .find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metric.label_values[0], "main");
        metric.value.unwrap().value
    };
    assert!(value("container_memory_working_set_bytes") > 0);
    assert_eq!(
        (
            value("container_processes"),
            value("container_oom_events_total")
        ),
        (1, 0)
    );
    assert!(value("container_start_time_seconds") > 1_000_000_000);
    assert!(value("container_fs_usage_bytes") > 0);
}
