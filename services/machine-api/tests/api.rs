//! The machine API from outside: a real process, real TLS, the generated client.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod support;

use machine_client::{Client, ConnectError, Trust, connect};
use machine_config::{Role as NodeRole, to_yaml};
use machine_proto::{Rpc, details::config_problems, v1alpha1 as wire};
use orlop_machine_api::planner::access::allowed;
use pki::{Role, Roles};
use std::{
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::{Duration, SystemTime},
};
use support::{BOUND, Cluster, Server, event, line};
use tonic::{Code, Status};

/// Calls each RPC with the least that it takes. A missing RPC does not compile.
async fn call(client: &mut Client, rpc: Rpc) -> Result<(), Status> {
    let name = "network".to_owned();
    let kind = "memory".to_owned();
    match rpc {
        Rpc::Version => client.version(wire::VersionRequest {}).await.map(drop),
        Rpc::ConfigApply => client
            .config_apply(wire::ConfigApplyRequest::default())
            .await
            .map(drop),
        Rpc::ConfigGet => client
            .config_get(wire::ConfigGetRequest::default())
            .await
            .map(drop),
        Rpc::BootPhases => client
            .boot_phases(wire::BootPhasesRequest {})
            .await
            .map(drop),
        Rpc::ServiceList => client
            .service_list(wire::ServiceListRequest {})
            .await
            .map(drop),
        Rpc::ServiceStart => client
            .service_start(wire::ServiceStartRequest { name })
            .await
            .map(drop),
        Rpc::ServiceStop => client
            .service_stop(wire::ServiceStopRequest { name })
            .await
            .map(drop),
        Rpc::ServiceRestart => client
            .service_restart(wire::ServiceRestartRequest { name })
            .await
            .map(drop),
        Rpc::ServiceLogs => {
            let request = wire::ServiceLogsRequest {
                name,
                ..Default::default()
            };
            first(client.service_logs(request).await?).await
        }
        Rpc::Dmesg => first(client.dmesg(wire::DmesgRequest::default()).await?).await,
        Rpc::Events => first(client.events(wire::EventsRequest::default()).await?).await,
        Rpc::ResourceGet => client
            .resource_get(wire::ResourceGetRequest {
                kind: kind.clone(),
                id: kind,
            })
            .await
            .map(drop),
        Rpc::ResourceList => client
            .resource_list(wire::ResourceListRequest { kind })
            .await
            .map(drop),
        Rpc::ResourceWatch => {
            first(
                client
                    .resource_watch(wire::ResourceWatchRequest { kind })
                    .await?,
            )
            .await
        }
        Rpc::Reboot => client.reboot(wire::RebootRequest {}).await.map(drop),
        Rpc::Shutdown => client.shutdown(wire::ShutdownRequest {}).await.map(drop),
        Rpc::ClientCertificate => client
            .client_certificate(wire::ClientCertificateRequest::default())
            .await
            .map(drop),
    }
}

async fn first<T>(response: tonic::Response<tonic::Streaming<T>>) -> Result<(), Status> {
    response.into_inner().message().await.map(drop)
}

#[tokio::test]
async fn maintenance_takes_a_config_and_shows_facts_only() {
    let server = Server::start();
    let mut client = server.anyone().await;
    for rpc in Rpc::ALL.iter().copied() {
        let result = call(&mut client, rpc).await;
        match (rpc, allowed(rpc).maintenance) {
            (Rpc::ConfigApply, _) => assert_eq!(result.unwrap_err().code(), Code::InvalidArgument),
            (_, true) => result.unwrap(),
            (_, false) => {
                let error = result.unwrap_err();
                assert_eq!(error.code(), Code::FailedPrecondition, "{}", rpc.name());
                assert!(
                    error.message().contains("apply a config"),
                    "{}",
                    error.message()
                );
            }
        }
    }
    let version = client
        .version(wire::VersionRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(version.mode, i32::from(wire::Mode::Maintenance));
    assert_eq!(version.maintenance_reason, "no config");
    let processes = wire::ResourceListRequest {
        kind: "processes".into(),
    };
    let error = client.resource_list(processes).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        server
            .init
            .asked()
            .iter()
            .all(|asked| asked == "Status" || asked == "ConfigGet")
    );
    server.stop();
}

#[tokio::test]
async fn a_config_is_checked_compared_stored_and_changes_who_is_trusted() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    let config = cluster.config(NodeRole::ControlPlane);
    let yaml = to_yaml(&config).into_bytes();
    let mut client = server.anyone().await;
    let bad = wire::ConfigApplyRequest {
        config: b"kind: Machine\nx: 1\n".to_vec(),
        ..Default::default()
    };
    let error = client.config_apply(bad).await.unwrap_err();
    let problems = config_problems(&error).unwrap().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.line == 2 && problem.column == 1),
        "{problems:?}"
    );
    let mut request = wire::ConfigApplyRequest {
        config: yaml.clone(),
        dry_run: true,
        ..Default::default()
    };
    let answer = client
        .config_apply(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.generation, answer.mode),
        (0, i32::from(wire::ApplyMode::NoReboot))
    );
    assert!(server.init.state.lock().unwrap().config.is_none());
    request.dry_run = false;
    let answer = client.config_apply(request).await.unwrap().into_inner();
    assert_eq!(answer.generation, 1);
    assert_eq!(
        server.init.state.lock().unwrap().config.as_deref(),
        Some(yaml.as_slice())
    );
    server.configure(&config);
    // What was let in without a certificate must not go on.
    let error = client.version(wire::VersionRequest {}).await.unwrap_err();
    assert!(!error.message().is_empty());
    let stranger = connect(&server.target(), &cluster.trust(), None, BOUND).await;
    assert!(
        matches!(stranger, Err(ConnectError::Refused { .. })),
        "{stranger:?}"
    );
    let mut client = server
        .client(&cluster, &cluster.client([Role::Admin]))
        .await;
    let version = client
        .version(wire::VersionRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(version.mode, i32::from(wire::Mode::ControlPlane));
    assert_eq!(version.cluster_name, "test");
    server.stop();
}

#[tokio::test]
async fn every_rpc_with_every_role() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let sets = [
        vec![],
        vec![Role::Admin],
        vec![Role::Operator],
        vec![Role::Reader],
        vec![Role::Backup],
    ];
    for roles in sets {
        let mut client = server
            .client(&cluster, &cluster.client(roles.clone()))
            .await;
        let set: Roles = roles.iter().copied().collect();
        for rpc in Rpc::ALL.iter().copied() {
            let denied = match call(&mut client, rpc).await {
                Err(error) if error.code() == Code::PermissionDenied => {
                    let needed = allowed(rpc).in_words();
                    assert!(error.message().contains(&needed), "{}", error.message());
                    true
                }
                _ => false,
            };
            assert_eq!(denied, !allowed(rpc).permits(set), "{set} {}", rpc.name());
        }
    }
    let metrics = server.metrics();
    assert!(
        metrics.contains("orlop_machine_api_calls_total{rpc=\"Reboot\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("orlop_machine_api_denied_total{rpc=\"Reboot\"} 3"),
        "{metrics}"
    );
    server.stop();
}

#[tokio::test]
async fn secrets_are_for_admins() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    let config = cluster.config(NodeRole::ControlPlane);
    server.configure(&config);
    let token = cluster.secrets.join_token.expose();
    for (role, with_secrets, expect) in [
        (Role::Reader, false, Ok(false)),
        (Role::Admin, false, Ok(false)),
        (Role::Admin, true, Ok(true)),
        (Role::Operator, true, Err(Code::PermissionDenied)),
    ] {
        let mut client = server.client(&cluster, &cluster.client([role])).await;
        let got = client
            .config_get(wire::ConfigGetRequest { with_secrets })
            .await;
        let got = got.map(|answer| {
            String::from_utf8(answer.into_inner().config)
                .unwrap()
                .contains(token)
        });
        assert_eq!(got.map_err(|error| error.code()), expect, "{role}");
    }
    server.stop();
}

#[tokio::test]
async fn a_client_certificate_is_never_more_than_its_maker() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let request = |roles: &[&str], hours: i64| {
        let signing = pki::Request::generate("x", &pki::Names::default()).unwrap();
        (
            wire::ClientCertificateRequest {
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                validity: Some(prost_types::Duration {
                    seconds: hours * 3600,
                    nanos: 0,
                }),
                certificate_signing_request: signing.certificate,
            },
            signing.key,
        )
    };
    let mut reader = server
        .client(&cluster, &cluster.client([Role::Reader]))
        .await;
    for roles in [&["admin"][..], &["operator"], &["reader", "backup"]] {
        let error = reader
            .client_certificate(request(roles, 1).0)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{roles:?}");
    }
    let answer = reader
        .client_certificate(request(&["reader"], 87_600).0)
        .await
        .unwrap()
        .into_inner();
    let end = pki::expires_at(&pki::der_of(&answer.certificate).unwrap()).unwrap();
    assert!(
        end <= SystemTime::now() + Duration::from_secs(3600),
        "a reader extended itself"
    );
    let mut admin = server
        .client(&cluster, &cluster.client([Role::Admin]))
        .await;
    for (roles, hours) in [(&[][..], 1), (&["root"], 1), (&["reader"], 87_601)] {
        let error = admin
            .client_certificate(request(roles, hours).0)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{roles:?}");
    }
    let (request, key) = request(&["backup"], 100);
    let answer = admin
        .client_certificate(request)
        .await
        .unwrap()
        .into_inner();
    let identity = machine_client::Identity {
        certificate: answer.certificate,
        key: key.expose().to_owned(),
    };
    let mut backup = server.client(&cluster, &identity).await;
    backup.version(wire::VersionRequest {}).await.unwrap();
    let error = backup
        .service_list(wire::ServiceListRequest {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    server.stop();
}

#[tokio::test]
async fn strangers_and_expired_clients_are_refused() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let day = Duration::from_secs(86_400);
    let expired = cluster.client_at([Role::Admin], SystemTime::now() - 3 * day, day);
    let foreign = Cluster::new().client([Role::Admin]);
    for (name, identity) in [
        ("expired", Some(expired)),
        ("foreign", Some(foreign)),
        ("none", None),
    ] {
        let client = connect(&server.target(), &cluster.trust(), identity.as_ref(), BOUND).await;
        assert!(
            matches!(client, Err(ConnectError::Refused { .. })),
            "{name}: {client:?}"
        );
    }
    let wrong = Cluster::new().trust();
    let own = cluster.client([Role::Admin]);
    assert!(
        connect(&server.target(), &wrong, Some(&own), BOUND)
            .await
            .is_err()
    );
    assert!(
        server
            .metrics()
            .contains("orlop_machine_api_failed_handshakes_total")
    );
    server.stop();
}

#[tokio::test]
async fn a_worker_is_pinned_and_still_knows_its_clients() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::Worker));
    let admin = cluster.client([Role::Admin]);
    let mut client = connect(&server.target(), &server.pinned(), Some(&admin), BOUND)
        .await
        .unwrap();
    let version = client
        .version(wire::VersionRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(version.mode, i32::from(wire::Mode::Worker));
    let error = call(&mut client, Rpc::ClientCertificate).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error.message().contains("control-plane"),
        "{}",
        error.message()
    );
    let anyone = connect(&server.target(), &Trust::Any, None, BOUND).await;
    assert!(
        matches!(anyone, Err(ConnectError::Refused { .. })),
        "{anyone:?}"
    );
    server.stop();
}

#[tokio::test]
async fn logs_tail_since_and_follow() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let mut client = server
        .client(&cluster, &cluster.client([Role::Reader]))
        .await;
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
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let (kernel, ours) = UnixDatagram::pair().unwrap();
    for number in 1..=3 {
        let record = format!("4,{number},{number}000000,-;record {number}\n SUBSYSTEM=x\n");
        kernel.send(record.as_bytes()).unwrap();
    }
    server.init.state.lock().unwrap().kernel_log = Some(Arc::new(ours));
    let identity = cluster.client([Role::Reader]);
    let mut client = server.client(&cluster, &identity).await;
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
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let mut client = server
        .client(&cluster, &cluster.client([Role::Reader]))
        .await;
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
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let mut client = server
        .client(&cluster, &cluster.client([Role::Reader]))
        .await;
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

#[tokio::test]
async fn init_that_is_gone_is_said_so() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    std::fs::remove_file(&server.init.path).unwrap();
    let mut client = server
        .client(&cluster, &cluster.client([Role::Admin]))
        .await;
    client.version(wire::VersionRequest {}).await.unwrap();
    let error = client
        .service_list(wire::ServiceListRequest {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("connect to init"),
        "{}",
        error.message()
    );
    server.stop();
}

#[tokio::test]
async fn an_oversized_config_is_refused_and_the_connection_lives() {
    let server = Server::start();
    let mut client = server
        .anyone()
        .await
        .max_encoding_message_size(64 * 1024 * 1024);
    let config = vec![b'x'; 8 * 1024 * 1024];
    let request = wire::ConfigApplyRequest {
        config,
        ..Default::default()
    };
    let error = client.config_apply(request).await.unwrap_err();
    assert_ne!(error.code(), Code::Ok);
    let config = vec![b'#'; 1024 * 1024 + 1];
    let request = wire::ConfigApplyRequest {
        config,
        ..Default::default()
    };
    let error = client.config_apply(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    server
        .anyone()
        .await
        .version(wire::VersionRequest {})
        .await
        .unwrap();
    server.stop();
}
