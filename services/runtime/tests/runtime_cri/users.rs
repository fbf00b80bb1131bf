//! Pods with a user namespace of their own: their root is nobody on the host.

use crate::node::Node;
use cri_proto::runtime::{
    ContainerConfig, IdMapping, Int64Value, Mount, MountPropagation, NamespaceMode,
    NamespaceOption, PodSandboxConfig, UserNamespace,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};
use tonic::Code;

const OUTSIDE: u32 = 2_000_000;

fn mapping() -> Vec<IdMapping> {
    vec![IdMapping {
        host_id: OUTSIDE,
        container_id: 0,
        length: 65536,
    }]
}

fn options(pid: NamespaceMode) -> NamespaceOption {
    NamespaceOption {
        pid: pid.into(),
        userns_options: Some(UserNamespace {
            mode: NamespaceMode::Pod.into(),
            uids: mapping(),
            gids: mapping(),
        }),
        ..NamespaceOption::default()
    }
}

/// The directories that lead to a node's state are open to all, as those of a real one are.
async fn node() -> Node {
    let node = Node::new().await;
    fs::set_permissions(node.directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    node
}

fn sandbox(node: &Node, name: &str, pid: NamespaceMode) -> PodSandboxConfig {
    let mut config = node.sandbox_config(name);
    let linux = config.linux.get_or_insert_default();
    linux
        .security_context
        .get_or_insert_default()
        .namespace_options = Some(options(pid));
    config
}

fn container(node: &Node, name: &str, pid: NamespaceMode, script: &str) -> ContainerConfig {
    let mut config = node.container_config(name, &["sh", "-c", script]);
    let linux = config.linux.get_or_insert_default();
    let security = linux.security_context.get_or_insert_default();
    security.namespace_options = Some(options(pid));
    security.run_as_user = Some(Int64Value { value: 0 });
    config
}

#[tokio::test]
async fn root_of_a_pod_is_nobody_on_the_host() {
    for pid in [NamespaceMode::Container, NamespaceMode::Pod] {
        let mut node = node().await;
        let config = sandbox(&node, "pod", pid);
        let pod = node.try_run_sandbox(config.clone()).await.unwrap();
        let shared = node.path("shared");
        fs::create_dir_all(shared.join("closed")).unwrap();
        fs::write(shared.join("file"), "of root").unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o700)).unwrap();
        let mut wanted = container(
            &node,
            "main",
            pid,
            "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %u /above /etc/hostname /mapped/file /plain; cat /above; \
             echo; echo mine >/tmp/mine && echo ours >/mapped/ours && echo written; cat /plain/file || echo closed; \
             hostname; mkdir /tmp/a && chown 5:6 /tmp/a && stat -c %u:%g /tmp/a; ls /dev/mqueue; echo x >/dev/null; sleep 600",
        );
        wanted.mounts.push(Mount {
            container_path: "/mapped".to_owned(),
            host_path: shared.display().to_string(),
            uid_mappings: mapping(),
            gid_mappings: mapping(),
            ..Mount::default()
        });
        wanted.mounts.push(Mount {
            container_path: "/plain".to_owned(),
            host_path: shared.display().to_string(),
            ..Mount::default()
        });
        let id = node
            .create_with(&pod, config.clone(), wanted)
            .await
            .unwrap();
        node.start_container(&id).await.unwrap();
        let out = node.logs("pod", "main", "5:6").await;
        let map = format!("0 {OUTSIDE} 65536");
        // The image has /above for user 1.
        let expected = [
            "0", &map, "1", "0", "0", "65534", "above", "written", "closed", "pod", "5:6",
        ];
        let trimmed: Vec<_> = out.iter().map(|line| line.trim()).collect();
        assert_eq!(trimmed, expected);
        let upper = node
            .path("root/containers")
            .join(&id)
            .join("upper/tmp/mine");
        assert_eq!(fs::metadata(upper).unwrap().uid(), OUTSIDE);
        assert_eq!(fs::metadata(shared.join("ours")).unwrap().uid(), 0);
        let script = "id -u; tr -s ' ' </proc/self/uid_map; readlink /proc/self/ns/user; \
                      grep ^Groups /proc/self/status | tr -d '\\t '; echo y >/dev/stderr";
        let ran = node.exec(&id, &["sh", "-c", script]).await.unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let said: Vec<&str> = said.lines().map(str::trim).collect();
        assert_eq!(
            (ran.exit_code, ran.stderr.as_slice()),
            (0, &b"y\n"[..]),
            "{said:?}"
        );
        assert_eq!(said[..2], ["0", &map]);
        assert_eq!(said[3], "Groups:0", "{said:?}");
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        assert_ne!(said[2], own.display().to_string());
        let mut terminal = container(
            &node,
            "terminal",
            pid,
            "test -t 1 && echo it is one; sleep 600",
        );
        terminal.tty = true;
        let id = node
            .create_with(&pod, config.clone(), terminal)
            .await
            .unwrap();
        node.start_container(&id).await.unwrap();
        node.logs("pod", "terminal", "it is one").await;
        // Found again, and taken down by the next runtime.
        node.kill();
        node.start().await;
        node.remove_pod(&pod).await;
        node.nothing_is_left();
    }
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let mut node = node().await;
    let mut config = sandbox(&node, "pod", NamespaceMode::Container);
    let security = config
        .linux
        .get_or_insert_default()
        .security_context
        .get_or_insert_default();
    security.namespace_options.get_or_insert_default().network = NamespaceMode::Node.into();
    let refused = node.try_run_sandbox(config).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("NamespaceOption.network"),
        "{refused}"
    );

    let config = sandbox(&node, "pod", NamespaceMode::Container);
    let pod = node.try_run_sandbox(config.clone()).await.unwrap();
    let other = node.container_config("main", &["true"]);
    let refused = node
        .create_with(&pod, config.clone(), other)
        .await
        .unwrap_err();
    assert!(
        refused
            .message()
            .contains("userns_options is not supported: it is not the sandbox's"),
        "{refused}"
    );
    let mut wrong = container(&node, "main", NamespaceMode::Container, "true");
    let mut mapped = mapping();
    mapped[0].host_id += 1;
    wrong.mounts.push(Mount {
        container_path: "/mapped".to_owned(),
        host_path: "/usr".to_owned(),
        uid_mappings: mapped.clone(),
        gid_mappings: mapped,
        ..Mount::default()
    });
    let refused = node.create_with(&pod, config, wrong).await.unwrap_err();
    assert!(refused.message().contains("Mount.uidMappings"), "{refused}");
}

/// Its own mounts end with the container; the host's, which it has seen come, stay.
#[test]
fn mounts_of_the_host_outlive_the_container() {
    let shown = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("needs root: the test makes a mount namespace");
        let nothing = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(nothing, "/", nothing, private, nothing).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(the_host_s_mounts_stay());
    });
    if let Err(panic) = shown.join() {
        std::panic::resume_unwind(panic);
    }
}

async fn the_host_s_mounts_stay() {
    let nothing = None::<&str>;
    let tmpfs = |at: &Path, file: &str| {
        fs::create_dir_all(at).unwrap();
        mount(nothing, at, Some("tmpfs"), MsFlags::empty(), nothing).unwrap();
        fs::write(at.join(file), file).unwrap();
    };
    for propagation in [
        MountPropagation::PropagationPrivate,
        MountPropagation::PropagationHostToContainer,
        MountPropagation::PropagationBidirectional,
    ] {
        let mut node = node().await;
        let config = sandbox(&node, "pod", NamespaceMode::Container);
        let pod = node.try_run_sandbox(config.clone()).await.unwrap();
        let shared = node.path("shared");
        tmpfs(&shared, "top");
        mount(nothing, &shared, nothing, MsFlags::MS_SHARED, nothing).unwrap();
        tmpfs(&shared.join("before"), "first");
        fs::create_dir(shared.join("after")).unwrap();
        let script = "ls /shared/before; if test $LATER; then while ! test -e /shared/after/second; do sleep 0.05; done; fi; \
                      echo seen; sleep 600";
        let mut wanted = container(&node, "main", NamespaceMode::Container, script);
        if propagation != MountPropagation::PropagationPrivate {
            wanted.envs.push(cri_proto::runtime::KeyValue {
                key: "LATER".to_owned(),
                value: "yes".to_owned(),
            });
        }
        wanted.mounts.push(Mount {
            container_path: "/shared".to_owned(),
            host_path: shared.display().to_string(),
            propagation: propagation.into(),
            ..Mount::default()
        });
        let id = node.create_with(&pod, config, wanted).await.unwrap();
        node.start_container(&id).await.unwrap();
        tmpfs(&shared.join("after"), "second");
        assert_eq!(
            node.logs("pod", "main", "seen").await,
            ["first", "seen"],
            "{propagation:?}"
        );
        node.remove_pod(&pod).await;
        for (directory, file) in [("before", "first"), ("after", "second")] {
            let there = fs::read_to_string(shared.join(directory).join(file));
            assert_eq!(there.unwrap(), file, "{propagation:?}");
        }
        for directory in ["before", "after", "."] {
            nix::mount::umount(&shared.join(directory)).unwrap();
        }
        node.nothing_is_left();
    }
}
