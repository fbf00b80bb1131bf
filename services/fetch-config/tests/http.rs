//! Requests to real servers on loopback: what is asked, whom it trusts, and every bound.
#![allow(clippy::unwrap_used)] // a failed helper fails its test

use init_proto::paths::CA_BUNDLE;
use orlop_fetch_config::{
    executor::http::{BODY_MAX, HEADERS_MAX, Http, HttpError, Timeouts},
    planner::{Answer, Target},
};
use pki::{CertificateAuthority, Names, Validity};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

/// Ten times what a loaded machine has shown.
const BOUND: Duration = Duration::from_secs(30);

/// Answers every connection with the same bytes, and tells what was asked.
struct Server {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => serve(stream, &answer, &tell).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &answer, &tell).await;
                        }
                    }
                }
            }
        });
        Self { address, asked }
    }

    async fn plain(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), None).await
    }

    fn url(&self, scheme: &str) -> Target {
        Target::parse(&format!("{scheme}://{}/node?x=1", self.address)).unwrap()
    }

    async fn asked(&mut self) -> String {
        let asked = tokio::time::timeout(BOUND, self.asked.recv()).await;
        asked.unwrap().unwrap()
    }
}

/// One request's head, then the answer; a client that hangs up meanwhile is part of the tests.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &[u8],
    tell: &mpsc::UnboundedSender<String>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = tell.send(String::from_utf8(head).unwrap());
    let _ = stream.write_all(answer).await;
    if answer.is_empty() {
        // Says nothing until the client has had enough.
        let _ = stream.read_u8().await;
    }
    let _ = stream.shutdown().await;
}

fn http(ca_bundle: &Path) -> Http {
    Http {
        resolv_conf: "/nonexistent/resolv.conf".into(),
        ca_bundle: ca_bundle.to_owned(),
        timeouts: Timeouts::default(),
    }
}

async fn get(target: &Target) -> Result<Answer, HttpError> {
    let http = http(Path::new("/nonexistent/bundle"));
    tokio::time::timeout(BOUND, http.get(target)).await.unwrap()
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    answer.push_str(std::str::from_utf8(body).unwrap());
    answer.into_bytes()
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_asked_and_what_is_answered() {
    let mut server = Server::plain(ok(b"kind: Machine\n")).await;
    let target = Target::parse(&format!("http://us:pw@{}/a?b=c#d", server.address)).unwrap();
    let answer = get(&target).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &b"kind: Machine\n"[..])
    );
    let asked = server.asked().await;
    assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("host: {}\r\n", server.address)),
        "{asked}"
    );
    assert!(
        asked.contains("authorization: Basic dXM6cHc=\r\n"),
        "{asked}"
    );

    let redirect = "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 3\r\n\r\nbye";
    let server = Server::plain(redirect).await;
    let answer = get(&server.url("http")).await.unwrap();
    assert_eq!(
        (answer.status, answer.location.as_deref()),
        (302, Some("/other"))
    );
    assert!(answer.body.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_is_believed_by_its_certificate_only() {
    let directory = tempfile::tempdir().unwrap();
    let validity = Validity::new(SystemTime::now(), Duration::from_secs(3600));
    let bundle = |name: &str, authority: &CertificateAuthority| {
        let path = directory.path().join(name);
        std::fs::write(&path, authority.certificate()).unwrap();
        path
    };
    let authority = CertificateAuthority::generate("one", validity).unwrap();
    let stranger = CertificateAuthority::generate("two", validity).unwrap();
    let (own, other) = (bundle("one", &authority), bundle("two", &stranger));
    let acceptor = |name: &str| {
        let names = Names::parse([name]).unwrap();
        let issued = authority.issue_server(&names, validity).unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key.expose().as_bytes()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    };
    let ours = Server::start(ok(b"x"), Some(acceptor("127.0.0.1"))).await;
    let answer = http(&own).get(&ours.url("https")).await.unwrap();
    assert_eq!(answer.body, b"x");

    // Another authority, and the public ones, which must all be understood.
    for bundle in [other.as_path(), Path::new(CA_BUNDLE)] {
        let refused = http(bundle).get(&ours.url("https")).await.unwrap_err();
        let said = service::chain(&refused);
        assert!(
            said.contains("UnknownIssuer"),
            "{}: {said}",
            bundle.display()
        );
    }
    let missing = http(Path::new("/nonexistent/bundle"));
    let refused = missing.get(&ours.url("https")).await.unwrap_err();
    assert!(
        matches!(refused, HttpError::Authorities { .. }),
        "{refused:?}"
    );

    let another = Server::start(ok(b"x"), Some(acceptor("config.example"))).await;
    let refused = http(&own).get(&another.url("https")).await.unwrap_err();
    let said = service::chain(&refused);
    assert!(matches!(refused, HttpError::Handshake { .. }), "{said}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_has_its_bound() {
    let largest = "x".repeat(BODY_MAX);
    let server = Server::plain(ok(largest.as_bytes())).await;
    let answer = get(&server.url("http")).await.unwrap();
    assert_eq!(answer.body.len(), BODY_MAX);

    let server = Server::plain(ok(format!("{largest}x").as_bytes())).await;
    let refused = get(&server.url("http")).await.unwrap_err();
    assert!(matches!(refused, HttpError::TooLong), "{refused:?}");

    // Without a length: a chunk after the other.
    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..BODY_MAX / 0x8000 + 1 {
        endless.extend_from_slice(b"8000\r\n");
        endless.extend_from_slice(&largest.as_bytes()[..0x8000]);
        endless.extend_from_slice(b"\r\n");
    }
    let server = Server::plain(endless).await;
    let refused = get(&server.url("http")).await.unwrap_err();
    assert!(matches!(refused, HttpError::TooLong), "{refused:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn bad_answers_are_errors() {
    let fields = "a: b\r\n".repeat(HEADERS_MAX + 1);
    let long = format!("a: {}\r\n", "b".repeat(64 * 1024));
    for answer in [
        "SSH-2.0-dropbear\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{long}content-length: 0\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\ncut".to_owned(),
    ] {
        let server = Server::plain(answer.clone()).await;
        let refused = get(&server.url("http")).await.unwrap_err();
        let start: String = answer.chars().take(40).collect();
        assert!(
            matches!(refused, HttpError::Http(_)),
            "{start:?}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn silence_has_an_end() {
    let soon = Duration::from_millis(50);
    let silent = Server::plain("").await;
    let mut http = http(Path::new("/nonexistent/bundle"));
    http.timeouts.head = soon;
    let late = http.get(&silent.url("http")).await.unwrap_err();
    assert!(late.to_string().contains("the answer's head"), "{late}");

    http.timeouts.head = BOUND;
    http.timeouts.total = soon;
    let late = http.get(&silent.url("http")).await.unwrap_err();
    assert!(late.to_string().contains("the whole request"), "{late}");

    // Nobody there: the port of a listener that has ended.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let target = Target::parse(&format!("http://{address}/")).unwrap();
    let refused = get(&target).await.unwrap_err();
    assert!(matches!(refused, HttpError::Connect { .. }), "{refused:?}");
    let named = Target::parse("http://config.example/").unwrap();
    let refused = get(&named).await.unwrap_err();
    assert!(matches!(refused, HttpError::Name(_)), "{refused:?}");
}
