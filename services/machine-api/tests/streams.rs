//! What the machine API streams: logs, the kernel's log, events, watches of resources.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod support;

use machine_proto::v1alpha1 as wire;
use pki::Role;
use std::{os::unix::net::UnixDatagram, sync::Arc};
use support::{BOUND, Server, event, first, line};
use tonic::Code;

#[tokio::test]
async fn logs_tail_since_and_follow() {
    let (server, cluster) = Server::control_plane();
    let mut client = server.with_role(&cluster, Role::Reader).await;
    let request = |tail_lines, since: i64, follow| wire::ServiceLogsRequest {
        name: "network".into(),
        follow,
        tail_lines,
        since: (since > 0).then_some(prost_types::Timestamp {
            seconds: since,
            nanos: 0,
        }),
    };
    for (tail, since, expect) in [(0, 0, 5), (2, 0, 2), (0, 4, 2), (1, 4, 1), (9, 9, 0)] {
        let mut lines = client
            .service_logs(request(tail, since, false))
            .await
            .unwrap()
            .into_inner();
        let mut got = Vec::new();
        while let Some(line) = lines.message().await.unwrap() {
            got.push(line.text);
        }
        assert_eq!(got.len(), expect, "{tail} {since} {got:?}");
    }
    let mut lines = client
        .service_logs(request(1, 0, true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(lines.message().await.unwrap().unwrap().text, "line 5");
    server.init.state.lock().unwrap().lines.push(line(6));
    assert_eq!(lines.message().await.unwrap().unwrap().text, "line 6");
    let unknown = wire::ServiceLogsRequest {
        name: "x".into(),
        ..Default::default()
    };
    let error = first(client.service_logs(unknown).await.unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    server.stop();
}

#[tokio::test]
async fn the_kernels_log_tails_and_follows() {
    let (server, cluster) = Server::control_plane();
    let (kernel, ours) = UnixDatagram::pair().unwrap();
    for number in 1..=3 {
        let record = format!("4,{number},{number}000000,-;record {number}\n SUBSYSTEM=x\n");
        kernel.send(record.as_bytes()).unwrap();
    }
    server.init.state.lock().unwrap().kernel_log = Some(Arc::new(ours));
    let mut client = server.with_role(&cluster, Role::Reader).await;
    let request = wire::DmesgRequest {
        follow: true,
        tail_lines: 2,
    };
    let mut records = client.dmesg(request).await.unwrap().into_inner();
    let second = records.message().await.unwrap().unwrap();
    assert_eq!((second.sequence, second.level), (2, 4));
    assert_eq!(second.text, "record 2");
    assert_eq!(second.time.unwrap().seconds, 2);
    assert_eq!(records.message().await.unwrap().unwrap().sequence, 3);
    kernel.send(b"6,4,4,-;new\n").unwrap();
    assert_eq!(records.message().await.unwrap().unwrap().text, "new");
    server.init.state.lock().unwrap().kernel_log = None;
    let refused = client.dmesg(wire::DmesgRequest::default()).await.unwrap();
    let error = first(refused).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    server.stop();
}

#[tokio::test]
async fn events_resume_within_their_boot() {
    let (server, cluster) = Server::control_plane();
    let mut client = server.with_role(&cluster, Role::Reader).await;
    let request = |after, boot_id: &str, no_follow| wire::EventsRequest {
        after,
        boot_id: boot_id.into(),
        no_follow,
    };
    let mut kept = client
        .events(request(1, "boot-1", true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept.message().await.unwrap().unwrap().sequence, 2);
    assert_eq!(kept.message().await.unwrap().unwrap().sequence, 3);
    assert!(kept.message().await.unwrap().is_none());
    let mut none = client
        .events(request(3, "boot-1", true))
        .await
        .unwrap()
        .into_inner();
    assert!(none.message().await.unwrap().is_none());
    let mut all = client
        .events(request(3, "", false))
        .await
        .unwrap()
        .into_inner();
    server.init.state.lock().unwrap().events.push(event(4));
    assert_eq!(all.message().await.unwrap().unwrap().sequence, 4);
    let error = first(client.events(request(3, "boot-0", false)).await.unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    server.stop();
}

#[tokio::test]
async fn a_watch_sends_what_is_there_then_what_changes() {
    let (server, cluster) = Server::control_plane();
    let mut client = server.with_role(&cluster, Role::Reader).await;
    let request = wire::ResourceWatchRequest {
        kind: "processes".into(),
    };
    let mut events = client.resource_watch(request).await.unwrap().into_inner();
    let own = std::process::id().to_string();
    let mut seen = false;
    loop {
        let event = events.message().await.unwrap().unwrap();
        match wire::ResourceEventType::try_from(event.r#type).unwrap() {
            wire::ResourceEventType::Bootstrapped => break,
            kind => {
                assert_eq!(kind, wire::ResourceEventType::Added);
                seen |= event.resource.unwrap().id == own;
            }
        }
    }
    assert!(seen);
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    wait_for(&mut events, wire::ResourceEventType::Added, &pid).await;
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(&mut events, wire::ResourceEventType::Removed, &pid).await;
    let unknown = wire::ResourceWatchRequest {
        kind: "pods".into(),
    };
    assert_eq!(
        client.resource_watch(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    server.stop();
}

async fn wait_for(
    events: &mut tonic::Streaming<wire::ResourceEvent>,
    wanted: wire::ResourceEventType,
    id: &str,
) {
    let search = async {
        loop {
            let event = events.message().await.unwrap().unwrap();
            let kind = wire::ResourceEventType::try_from(event.r#type).unwrap();
            if kind == wanted && event.resource.is_some_and(|resource| resource.id == id) {
                return;
            }
        }
    };
    tokio::time::timeout(BOUND, search).await.unwrap();
}
