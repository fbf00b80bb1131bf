//! The machine API from outside: a real process, real TLS, the generated client.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod support;

use machine_client::{Client, ConnectError, connect};
use machine_config::{Role as NodeRole, to_yaml};
use machine_proto::{Rpc, details::config_problems, v1alpha1 as wire};
use orlop_machine_api::planner::access::allowed;
use pki::{Role, Roles};
use support::{BOUND, Cluster, Server, first};
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
    let mut client = server.with_role(&cluster, Role::Admin).await;
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
    let (server, cluster) = Server::control_plane();
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
async fn init_that_is_gone_is_said_so() {
    let (server, cluster) = Server::control_plane();
    std::fs::remove_file(&server.init.path).unwrap();
    let mut client = server.with_role(&cluster, Role::Admin).await;
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
