//! The runtime is killed while it makes and removes pods: nothing of half-made ones is left.

use crate::place::{
    NODE4, ask_tcp, in_namespaces, namespace, remove, routed_node, serve_tcp, with_port,
};
use cri_proto::runtime::{ListPodSandboxRequest, RunPodSandboxRequest};
use std::time::Duration;

#[test]
fn half_made_networks_are_undone() {
    in_namespaces(async |place| {
        // Two addresses: one that is lost twice would be missed.
        let mut node = routed_node("10.88.0.0/30").await;
        let mut half_made = 0;
        for round in 0..64_u64 {
            if round >= 16 && half_made > 0 {
                break;
            }
            let mut client = node.runtime_client.clone();
            let config = with_port(node.sandbox_config("half"), "", 8080, 80);
            let request = RunPodSandboxRequest {
                config: Some(config),
                runtime_handler: String::new(),
            };
            let call = tokio::spawn(async move { client.run_pod_sandbox(request).await });
            // At moments of all kinds, and in every other round at one of which it is known what it is.
            if round % 2 == 0 {
                node.until_half_made("sandboxes", &call).await;
            }
            tokio::time::sleep(Duration::from_millis(round % 16)).await;
            node.kill();
            half_made += node.half_made("sandboxes");
            let _ = call.await.unwrap();
            node.start().await;
            let listed = node
                .runtime_client
                .list_pod_sandbox(ListPodSandboxRequest::default())
                .await
                .unwrap()
                .into_inner();
            // Whole or not at all.
            assert_eq!(
                place.pod_links().await.len(),
                listed.items.len(),
                "round {round}"
            );
            assert_eq!(
                place.pod_routes().await,
                listed.items.len(),
                "round {round}"
            );
            for pod in listed.items {
                remove(&mut node, &pod.id).await;
            }
            assert_eq!(place.pod_links().await, Vec::<String>::new());
            let refused = ask_tcp(&place.node, NODE4, 8080);
            assert!(refused.contains("refused"), "round {round}: {refused}");
        }
        assert!(half_made > 0, "no round has met a half-made pod");
        let config = with_port(node.sandbox_config("one"), "", 8080, 80);
        let one = node.try_run_sandbox(config).await.unwrap();
        let two = node.run_sandbox("two").await;
        serve_tcp(&namespace(&node, &one), "one", 80);
        let said = ask_tcp(&place.outside, NODE4, 8080);
        assert_eq!(said, "one sees 192.0.2.2");
        remove(&mut node, &one).await;
        remove(&mut node, &two).await;
        node.nothing_is_left();
    });
}
