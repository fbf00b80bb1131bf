//! What a hostile network does to the machine API: nothing that an honest client would notice.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod support;

use machine_client::{Client, connect};
use machine_config::Role as NodeRole;
use machine_proto::v1alpha1 as wire;
use nix::sched::{CloneFlags, unshare};
use orlop_machine_api::planner::admission::{HALF_OPEN_PER_PEER_MAX, OPEN_PER_PEER_MAX};
use pki::Role;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use socket2::{Domain, Socket, Type};
use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{BOUND, Cluster, Server, loopback};

const FLOOD: usize = 10_000;

/// A network namespace of this thread's own, and descriptors enough for the flood. What the thread
/// starts afterwards lives in it; both end with the thread.
fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("network namespaces need root");
    // From iproute2, which every Debian has.
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .unwrap();
    assert!(up.success(), "ip link set lo up");
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(FLOOD).unwrap() + 2_000;
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "at most {limit:?} descriptors"
    );
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        },
    )
    .unwrap();
}

fn half_open(from: IpAddr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&server.into(), BOUND)?;
    Ok(socket.into())
}

async fn version(client: &mut Client) -> wire::VersionResponse {
    client
        .version(wire::VersionRequest {})
        .await
        .unwrap()
        .into_inner()
}

#[test]
fn ten_thousand_half_open_connections_do_no_harm() {
    own_network();
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let identity = cluster.client([Role::Reader]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut before = runtime.block_on(server.client(&cluster, &identity));
    runtime.block_on(version(&mut before));
    let flood: Vec<TcpStream> = (0..FLOOD)
        .map(|number| {
            let from = loopback(u8::try_from(2 + number % 200).unwrap());
            let stream = half_open(from, server.address).unwrap();
            // A few bytes of a hello that never ends.
            let _ = (&stream).write(&[22, 3, 1]);
            stream
        })
        .collect();
    runtime.block_on(async {
        let begun = Instant::now();
        let mut after = server.client(&cluster, &identity).await;
        version(&mut after).await;
        version(&mut before).await;
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    });
    let metrics = server.metrics();
    let gauge = |name: &str| -> usize {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(
        gauge("orlop_machine_api_half_open_connections ") <= 256,
        "{metrics}"
    );
    assert!(
        gauge("orlop_machine_api_dropped_handshakes_total ") >= FLOOD - 512,
        "{metrics}"
    );
    assert!(gauge("orlop_machine_api_connections ") >= 1, "{metrics}");
    assert!(server.descriptors() < 1_000, "{}", server.descriptors());
    drop(flood);
    server.stop();
}

#[test]
fn a_flood_from_the_clients_own_address_leaves_it_room() {
    own_network();
    let server = Server::start();
    let flood: Vec<_> = (0..2 * HALF_OPEN_PER_PEER_MAX)
        .map(|_| half_open(loopback(1), server.address).unwrap())
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { version(&mut server.anyone().await).await });
    drop(flood);
    server.stop();
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..OPEN_PER_PEER_MAX + 10 {
            clients.push(server.anyone().await);
        }
        let last = clients.last_mut().unwrap();
        version(last).await;
        let first = clients.first_mut().unwrap();
        assert!(first.version(wire::VersionRequest {}).await.is_err());
    });
    server.stop();
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A TLS connection below HTTP/2, to send what no HTTP/2 client would.
fn raw(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.address).unwrap();
    tcp.set_read_timeout(Some(BOUND)).unwrap();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// Reads until the server closes.
fn closed(mut stream: impl std::io::Read) {
    let mut buffer = [0_u8; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let timed_out = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!timed_out, "the connection stays open");
                return;
            }
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn malformed_frames_end_their_own_connection_only() {
    let server = Server::start();
    let frames: [(&str, Vec<u8>); 6] = [
        ("no preface", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "noise",
            (0..4096_u32)
                .map(|at| u8::try_from(at * 31 % 251).unwrap())
                .collect(),
        ),
        (
            "a frame beyond the size limit",
            [PREFACE, EMPTY_SETTINGS, &[255, 255, 255, 0, 0, 0, 0, 0, 1]].concat(),
        ),
        (
            "headers that do not decode",
            [
                PREFACE,
                EMPTY_SETTINGS,
                &[0, 0, 4, 1, 5, 0, 0, 0, 1, 255, 255, 255, 255],
            ]
            .concat(),
        ),
        (
            "data on a stream that is not open",
            [PREFACE, EMPTY_SETTINGS, &[0, 0, 1, 0, 0, 0, 0, 0, 9, 1]].concat(),
        ),
        (
            "settings of a wrong length",
            [PREFACE, &[0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]].concat(),
        ),
    ];
    for (name, bytes) in frames {
        let mut stream = raw(&server);
        let sent = stream.write_all(&bytes).and_then(|()| stream.flush());
        if sent.is_ok() {
            closed(&mut stream);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(async { version(&mut server.anyone().await).await });
        assert!(!answer.version.is_empty(), "after {name}");
    }
    // Below TLS: no hello, and a hello's beginning that announces more than TLS allows.
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![22, 3, 1, 255, 255, 1, 1, 1],
    ] {
        let mut tcp = TcpStream::connect(server.address).unwrap();
        tcp.set_read_timeout(Some(BOUND)).unwrap();
        tcp.write_all(&bytes).unwrap();
        closed(&mut tcp);
    }
    server.stop();
}

#[test]
fn a_client_that_opens_and_resets_streams_is_cut_off() {
    let server = Server::start();
    let mut stream = raw(&server);
    stream
        .write_all(&[PREFACE, EMPTY_SETTINGS].concat())
        .unwrap();
    // HPACK: :method POST, :scheme https, :path / (static table), :authority "x".
    let headers = [0x83, 0x87, 0x84, 0x41, 1, b'x'];
    let mut refused = false;
    for number in 0..20_000_u32 {
        let id = (2 * number + 1).to_be_bytes();
        let mut bytes = vec![0, 0, 6, 1, 4];
        bytes.extend(id);
        bytes.extend(headers);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(id);
        bytes.extend([0, 0, 0, 8]);
        if stream.write_all(&bytes).is_err() {
            refused = true;
            break;
        }
    }
    if !refused {
        closed(&mut stream);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { version(&mut server.anyone().await).await });
    server.stop();
}

#[test]
fn streams_are_bounded_and_their_end_frees_them() {
    let mut server = Server::start();
    let cluster = Cluster::new();
    server.configure(&cluster.config(NodeRole::ControlPlane));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let identity = cluster.client([Role::Reader]);
        let mut streams = Vec::new();
        let refused = loop {
            // Fewer streams per connection than it allows.
            let mut client = connect(&server.target(), &cluster.trust(), Some(&identity), BOUND)
                .await
                .unwrap();
            let mut refused = None;
            for _ in 0..16 {
                let request = wire::ResourceWatchRequest {
                    kind: "memory".into(),
                };
                match client.resource_watch(request).await {
                    Ok(stream) => streams.push(stream.into_inner()),
                    Err(error) => refused = Some(error),
                }
            }
            if let Some(error) = refused {
                break error;
            }
        };
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert_eq!(
            streams.len(),
            orlop_machine_api::executor::streams::STREAMS_MAX
        );
        drop(streams);
        let mut client = server.client(&cluster, &identity).await;
        let deadline = Instant::now() + BOUND;
        loop {
            let request = wire::ResourceWatchRequest {
                kind: "memory".into(),
            };
            match client.resource_watch(request).await {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    });
    server.stop();
}
