//! Real sockets: HTTP/1.1 as curl speaks it, the JSON gateway, health, metrics, mutual TLS.

use super::{
    http::Http,
    metrics::Metrics,
    server::{
        Api, Limits, Services,
        tests::{PATIENCE, local::Local, run},
    },
    watch,
};
use http_server::{
    ListenError, Listener,
    tls::{Files, Tls, TlsError},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, sync::Arc};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::{TcpStream, UnixStream},
    time::timeout,
};

fn http(store: &Local) -> Http<Local> {
    let metrics = Metrics::new(1000, Vec::new());
    let api = Api::new(store.clone(), Limits::default());
    Http::new(Services::new(api, metrics.calls()), metrics)
}

/// Serves a store on loopback until the sender is dropped.
async fn serve(store: &Local) -> (SocketAddr, watch::Sender<bool>) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::plain(any).await.expect("a free port");
    let address = listener.address().expect("TCP");
    let stop = watch::Sender::new(false);
    let stopping = stop.subscribe();
    tokio::spawn(listener.serve(http(store), Arc::default(), watch::done(stopping)));
    (address, stop)
}

/// One request as it is written; status and body of the answer.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let code = answer[9..12].parse().expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (code, body.to_owned())
}

async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    exchange(stream, method, path, body).await
}

async fn post(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    let (code, body) = ask(address, "POST", path, &body.to_string()).await;
    (code, serde_json::from_str(&body).expect("JSON"))
}

#[test]
fn the_gateway_answers_as_etcd_documents_it() {
    run(async {
        let (address, _stop) = serve(&Local::default()).await;
        let put = json!({"key": "Zm9v", "value": "YmFy"});
        let header =
            json!({"cluster_id": "51966", "member_id": "48879", "revision": "2", "raft_term": "2"});
        assert_eq!(
            post(address, "/v3/kv/put", &put).await,
            (200, json!({"header": header}))
        );
        let (code, answer) = post(address, "/v3/kv/range", &json!({"key": "Zm9v"})).await;
        assert_eq!((code, &answer["kvs"][0]["value"]), (200, &json!("YmFy")));
        let text = "etcdserver: key is not provided";
        assert_eq!(
            post(address, "/v3/kv/range", &json!({})).await,
            (400, json!({"error": text, "code": 3, "message": text}))
        );
        let (code, answer) = post(address, "/v3/kv/range", &json!({"unknown": 1})).await;
        assert_eq!((code, &answer["code"]), (400, &json!(3)));
        let (code, _) = ask(address, "GET", "/v3/kv/range", "").await;
        assert_eq!(code, 405);
        let (code, _) = post(address, "/v3/kv/nothing", &json!({})).await;
        assert_eq!(code, 404);
        let (code, _) = post(address, "/v3/maintenance/defragment", &json!({})).await;
        assert_eq!(code, 200);
        let (code, answer) = post(address, "/v3/cluster/member/list", &json!({})).await;
        assert_eq!(
            (code, &answer["members"][0]["name"]),
            (200, &json!("alone"))
        );
    });
}

/// The next line of JSON in a chunked answer.
async fn line(stream: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await.expect("a line");
        assert!(read > 0, "the stream ended");
        if line.starts_with('{') {
            return serde_json::from_str(&line).expect("JSON");
        }
    }
}

#[test]
fn a_watch_through_the_gateway_is_lines() {
    run(async {
        let (address, _stop) = serve(&Local::default()).await;
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut stream = BufReader::new(stream);
        let create = json!({"create_request": {"key": "Zm9v"}}).to_string();
        let request = format!(
            "POST /v3/watch HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{create}",
            create.len()
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        assert_eq!(line(&mut stream).await["result"]["created"], json!(true));
        post(
            address,
            "/v3/kv/put",
            &json!({"key": "Zm9v", "value": "YmFy"}),
        )
        .await;
        let told = line(&mut stream).await;
        assert_eq!(
            told["result"]["events"][0]["kv"]["mod_revision"],
            json!("2")
        );
    });
}

#[test]
fn health_version_and_metrics() {
    run(async {
        let store = Local::default();
        let (address, _stop) = serve(&store).await;
        let get = async |path| ask(address, "GET", path, "").await;
        let well = (200, r#"{"health":"true","reason":""}"#.to_owned());
        assert_eq!(get("/health").await, well);
        assert_eq!(get("/readyz").await, (200, "ok\n".to_owned()));
        assert_eq!(
            get("/livez/serializable_read").await,
            (200, "ok\n".to_owned())
        );
        assert_eq!(get("/livez/nothing").await.0, 404);
        assert_eq!(get("/readyzz").await.0, 404);
        assert_eq!(get("/").await.0, 404);
        assert_eq!(ask(address, "POST", "/health", "").await.0, 405);
        let version = r#"{"etcdcluster":"3.5.0","etcdserver":"3.5.16"}"#.to_owned();
        assert_eq!(get("/version").await, (200, version));
        let json = json!({"action": "ACTIVATE", "memberID": 1, "alarm": "NOSPACE"});
        assert_eq!(post(address, "/v3/maintenance/alarm", &json).await.0, 200);
        let ill = (
            503,
            r#"{"health":"false","reason":"ALARM NOSPACE"}"#.to_owned(),
        );
        assert_eq!(get("/health").await, ill);
        assert_eq!(get("/health?exclude=NOSPACE").await, well);
        store.lose_leader(true);
        let ill = (
            503,
            r#"{"health":"false","reason":"RAFT NO LEADER"}"#.to_owned(),
        );
        assert_eq!(get("/health?exclude=NOSPACE").await, ill);
        assert_eq!(get("/health?exclude=NOSPACE&serializable=true").await, well);
        let (code, text) = get("/readyz").await;
        assert_eq!(code, 503);
        assert!(
            text.contains("[-]linearizable_read failed: etcdserver: no leader\n"),
            "{text}"
        );
        assert!(get("/livez").await.0 == 200);
        let (code, text) = get("/metrics").await;
        assert_eq!(code, 200);
        for expect in [
            "etcd_server_has_leader 0\n",
            "etcd_server_quota_backend_bytes 1000\n",
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="etcdserverpb.Maintenance",grpc_method="Alarm",grpc_code="OK"} 1"#,
        ] {
            assert!(text.contains(expect), "{expect} in {text}");
        }
    });
}

#[test]
fn plain_http_is_for_loopback_and_unix_sockets() {
    run(async {
        let refused = Listener::plain(SocketAddr::from(([0, 0, 0, 0], 0))).await;
        assert!(matches!(refused, Err(ListenError::NotLoopback(_))));
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.sock");
        // One that a process before us left.
        drop(Listener::unix(path.clone()).expect("a socket"));
        let listener = Listener::unix(path.clone()).expect("a socket");
        let stop = watch::Sender::new(false);
        let stopping = stop.subscribe();
        let serving = tokio::spawn(listener.serve(
            http(&Local::default()),
            Arc::default(),
            watch::done(stopping),
        ));
        let stream = UnixStream::connect(&path).await.expect("it listens");
        let (code, _) = exchange(stream, "GET", "/version", "").await;
        assert_eq!(code, 200);
        stop.send_replace(true);
        timeout(PATIENCE, serving)
            .await
            .expect("it stops")
            .expect("it served");
    });
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        Self { issuer }
    }

    /// Certificate and key.
    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["store.test".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate, key)
    }

    fn write(&self, directory: &Path) -> Files {
        let files = Files {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            trusted: directory.join("trusted.pem"),
        };
        let (certificate, key) = self.issue();
        fs::write(&files.certificate, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        fs::write(&files.trusted, self.issuer.pem()).expect("written");
        files
    }

    /// Asks for the version, with a client certificate or without; None where TLS refuses.
    async fn ask(&self, address: SocketAddr, with_certificate: bool) -> Option<u16> {
        let mut trusted = RootCertStore::empty();
        let issuer = CertificateDer::from(self.issuer.der().to_vec());
        trusted.add(issuer).expect("a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trusted);
        let config = if with_certificate {
            let (certificate, key) = self.issue();
            let chain = vec![certificate.der().clone()];
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await.expect("it listens");
        let name = ServerName::try_from("store.test").expect("a name");
        let mut stream = connector.connect(name, stream).await.ok()?;
        let request = b"GET /version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.ok()?;
        std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
    }
}

#[test]
fn tls_is_mutual_and_follows_its_files() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Authority::new();
        let files = first.write(directory.path());
        let tls = Arc::new(Tls::new(files.clone()).expect("good files"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::tls(any, tls).await.expect("a free port");
        let address = listener.address().expect("TCP");
        let stop = watch::Sender::new(false);
        let stopping = stop.subscribe();
        tokio::spawn(listener.serve(
            http(&Local::default()),
            Arc::default(),
            watch::done(stopping),
        ));
        assert_eq!(first.ask(address, true).await, Some(200));
        assert_eq!(first.ask(address, false).await, None);
        let second = Authority::new();
        assert_eq!(second.ask(address, true).await, None);
        // Half replaced: those of before stay in force.
        fs::write(&files.key, "no key").expect("written");
        assert_eq!(first.ask(address, true).await, Some(200));
        second.write(directory.path());
        assert_eq!(second.ask(address, true).await, Some(200));
        assert_eq!(first.ask(address, true).await, None);
        fs::write(&files.trusted, "").expect("written");
        let empty = Tls::new(files);
        assert!(matches!(empty, Err(TlsError::Empty { .. })));
    });
}
