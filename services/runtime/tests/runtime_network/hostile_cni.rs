//! Plugins and configurations that are broken or worse: each has one clear error, nothing is left, and the next pod works.

use crate::{
    node::Node,
    place::{addresses, in_namespaces, network_fault, remove},
    plugins::Plugins,
};
use cri_proto::runtime::ListPodSandboxRequest;
use std::{fs, time::Instant};

/// Answers VERSION and DEL as it should, and ADD with what follows.
fn script(add: &str) -> String {
    format!(
        r#"#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}}';;
DEL) ;;
STATUS) ;;
GC) cat > "$(dirname "$0")/../collected" ;;
*) {add} ;;
esac
"#
    )
}

const GOOD: &str = r#"cat > "$(dirname "$0")/../asked"; env > "$(dirname "$0")/../environment"; ls /proc/self/fd > "$(dirname "$0")/../descriptors"; echo '{"cniVersion":"1.1.0","ips":[{"address":"10.88.7.7/32"}]}'"#;
const LIST: &str =
    r#"{"cniVersion":"1.1.0","name":"bad","plugins":[{"type":"bad","capabilities":{"dns":true}}]}"#;

async fn refusal(node: &mut Node, name: &str) -> String {
    let config = node.sandbox_config(name);
    let error = node.try_run_sandbox(config).await.unwrap_err();
    let listed = node
        .runtime_client
        .list_pod_sandbox(ListPodSandboxRequest::default());
    assert_eq!(listed.await.unwrap().into_inner().items, []);
    node.nothing_is_left();
    error.message().to_owned()
}

#[test]
fn each_has_its_own_error() {
    in_namespaces(async |_place| {
        let plugins = Plugins::new();
        plugins.plugin("bad", &script(GOOD));
        plugins.config("10-bad.conflist", LIST);
        let mut node = plugins.node().await;
        let failed = "plugin type=\"bad\" name=\"bad\" failed (add): ";
        for (add, expected) in [
            ("echo garbage", "its result is no JSON"),
            ("true", "its result is no JSON"),
            (
                "head -c 3000000 /dev/zero",
                "it has written more than 1048576 bytes",
            ),
            (
                r#"echo '{"code":11,"msg":"try again","details":"the lease is taken"}'; exit 1"#,
                "try again; the lease is taken",
            ),
            ("echo broken >&2; exit 3", "netplugin failed: \"broken\""),
            (
                "exit 3",
                "netplugin failed with no error message: exit status: 3",
            ),
            (
                "kill -9 $$",
                "netplugin failed with no error message: signal: 9 (SIGKILL)",
            ),
            (
                r#"echo '{"ips":[{"address":"10.0.0.1"}]}'"#,
                "ips[0].address",
            ),
        ] {
            plugins.plugin("bad", &script(add));
            let begun = Instant::now();
            let said = refusal(&mut node, "pod").await;
            assert!(
                said.contains(failed) && said.contains(expected),
                "{add}: {said}"
            );
            assert!(
                said.starts_with("failed to setup network for sandbox \""),
                "{said}"
            );
            assert!(said.len() < 2000 && begun.elapsed().as_secs() < 20);
        }
        plugins.plugin("bad", &script("echo '{}'"));
        let said = refusal(&mut node, "pod").await;
        assert!(
            said.contains("its plugins gave the pod no address"),
            "{said}"
        );

        // The configuration: said by NetworkReady, and by each pod.
        for (content, expected) in [
            (&LIST[..30], "it is no JSON"),
            ("", "it is no JSON"),
            (
                r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"../../../bin/sh"}]}"#,
                "is no program's name",
            ),
            (
                r#"{"cniVersion":"9.0.0","name":"x","plugins":[{"type":"bad"}]}"#,
                "has none of 0.3.0",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"nothing"}]}"#,
                "failed to find plugin \"nothing\" in path",
            ),
            (
                r#"{"cniVersion":"0.3.1","name":"x","plugins":[{"type":"bad"}]}"#,
                "does not support config version \"0.3.1\"",
            ),
        ] {
            plugins.config("10-bad.conflist", content);
            let fault = network_fault(&mut node).await;
            assert!(fault.contains(expected), "{content}: {fault}");
            let said = refusal(&mut node, "pod").await;
            assert!(said.contains(expected), "{content}: {said}");
        }
        plugins.config("10-bad.conflist", &" ".repeat(300_000));
        let fault = network_fault(&mut node).await;
        assert!(fault.contains("more than 262144 bytes"), "{fault}");

        plugins.config("10-bad.conflist", LIST);
        plugins.plugin("bad", &script(GOOD));
        assert_eq!(network_fault(&mut node).await, "");
        let pod = node.run_sandbox("pod").await;
        assert_eq!(addresses(&mut node, &pod).await[0].to_string(), "10.88.7.7");
        let environment = fs::read_to_string(plugins.path("environment")).unwrap();
        let mut names: Vec<_> = environment
            .lines()
            .filter_map(|line| line.split('=').next())
            .filter(|name| !matches!(*name, "PWD" | "_" | "SHLVL" | "OLDPWD"))
            .collect();
        names.sort_unstable();
        let expected = [
            "CNI_ARGS",
            "CNI_COMMAND",
            "CNI_CONTAINERID",
            "CNI_IFNAME",
            "CNI_NETNS",
            "CNI_PATH",
            "PATH",
        ];
        assert_eq!(names, expected);
        assert!(
            environment.contains("K8S_POD_NAMESPACE=tests;K8S_POD_NAME=pod;"),
            "{environment}"
        );
        let descriptors = fs::read_to_string(plugins.path("descriptors")).unwrap();
        // Its own three, and the directory that `ls` reads.
        assert_eq!(
            descriptors.split_whitespace().collect::<Vec<_>>(),
            ["0", "1", "2", "3"]
        );

        // The next start tells plugins who is there (GC of 1.1).
        node.kill();
        node.start().await;
        let begun = Instant::now();
        let told = || fs::read_to_string(plugins.path("collected"));
        while !told().is_ok_and(|text| text.contains(&pod)) {
            assert!(begun.elapsed() < crate::node::PATIENCE);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        remove(&mut node, &pod).await;
        node.nothing_is_left();
    });
}

#[test]
fn those_that_take_too_long_are_ended() {
    in_namespaces(async |_place| {
        let plugins = Plugins::new();
        plugins.plugin("bad", &script(GOOD));
        plugins.config("10-bad.conflist", LIST);
        let mut node = plugins.impatient_node("2").await;
        for add in ["yes >&2", "sleep 100"] {
            plugins.plugin("bad", &script(add));
            let begun = Instant::now();
            let said = refusal(&mut node, "pod").await;
            let expected =
                "plugin type=\"bad\" name=\"bad\" failed (add): it was not done within 2s";
            assert!(said.contains(expected), "{add}: {said}");
            assert!(begun.elapsed().as_secs() < 20);
        }
    });
}

/// What cannot be deleted is said, stays, and goes when it can.
#[test]
fn a_pod_that_cannot_leave_stays_until_it_can() {
    in_namespaces(async |_place| {
        let plugins = Plugins::new();
        plugins.plugin("bad", &script(GOOD));
        plugins.config("10-bad.conflist", LIST);
        let mut node = plugins.node().await;
        let pod = node.run_sandbox("pod").await;
        plugins.plugin(
            "bad",
            "#!/bin/sh\necho '{\"code\":5,\"msg\":\"not now\"}'; exit 1\n",
        );
        let request = || cri_proto::runtime::RemovePodSandboxRequest {
            pod_sandbox_id: pod.clone(),
        };
        let refused = node
            .runtime_client
            .remove_pod_sandbox(request())
            .await
            .unwrap_err();
        assert!(
            refused
                .message()
                .contains("failed to destroy network for sandbox")
                && refused
                    .message()
                    .contains("plugin type=\"bad\" name=\"bad\" failed (del): not now"),
            "{refused}"
        );
        node.kill();
        node.start().await;
        let refused = node
            .runtime_client
            .remove_pod_sandbox(request())
            .await
            .unwrap_err();
        assert!(refused.message().contains("not now"), "{refused}");
        plugins.plugin("bad", &script(GOOD));
        remove(&mut node, &pod).await;
        node.nothing_is_left();
    });
}
