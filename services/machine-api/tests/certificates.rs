//! Who is who at the machine API: client certificates, strangers, pinned workers.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod support;

use machine_client::{ConnectError, Trust, connect};
use machine_config::Role as NodeRole;
use machine_proto::v1alpha1 as wire;
use pki::Role;
use std::time::{Duration, SystemTime};
use support::{BOUND, Cluster, Server};
use tonic::Code;

#[tokio::test]
async fn a_client_certificate_is_never_more_than_its_maker() {
    let (server, cluster) = Server::control_plane();
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
    let mut reader = server.with_role(&cluster, Role::Reader).await;
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
    let mut admin = server.with_role(&cluster, Role::Admin).await;
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
    let (server, cluster) = Server::control_plane();
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
    let error = client
        .client_certificate(wire::ClientCertificateRequest::default())
        .await
        .unwrap_err();
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
