//! Requests to the API server as the admin: HTTP/2 over TLS, with the client's own frames ([`Calls`]).

use crate::api::ApiServer;
use crate::api::credentials::Credentials;
use crate::load::calls::{AUTHORITY, CONTENT_TYPE, Calls, Framing, Headers, PATH};
use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// HPACK's static table: `:method: GET`, `:method: POST`, `:scheme: https`.
const GET: u8 = 0x82;
const POST: u8 = 0x83;
const HTTPS: u8 = 0x87;
/// A literal behind the name `:method`.
const METHOD: &[u8] = &[0x42];
/// Longest wait for the answer to a single request.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What a connection's requests do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
}

/// Connects to one server. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Client {
    port: u16,
    config: Arc<ClientConfig>,
}

impl Client {
    /// As the admin, with what the server has put into its directory.
    ///
    /// # Errors
    /// It is not there yet.
    pub(super) fn new(server: &ApiServer) -> Result<Self> {
        let credentials = Credentials::read(&server.kubeconfig())?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&credentials.authority) {
            let authority = authority.context("the CA")?;
            roots.add(authority).context("the CA")?;
        }
        let certificates = CertificateDer::pem_slice_iter(&credentials.certificate);
        let certificates = certificates
            .collect::<Result<_, _>>()
            .context("the admin's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&credentials.key).context("the admin's key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up TLS")?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates, key)
            .context("the admin's certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            port: server.port(),
            config: Arc::new(config),
        })
    }

    /// A connection for requests of one method and path.
    pub(super) async fn open(&self, method: Method, path: &str, framing: Framing) -> Result<Calls> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .context("connect to the API server")?;
        stream.set_nodelay(true).context("switch off delays")?;
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        let stream = TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
            .context("TLS with the API server")?;
        let authority = format!("127.0.0.1:{}", self.port);
        let mut literals = vec![(PATH, path), (AUTHORITY, authority.as_str())];
        let known: &[u8] = match method {
            Method::Get => &[GET, HTTPS],
            Method::Post => &[POST, HTTPS],
            Method::Put => {
                literals.insert(0, (METHOD, "PUT"));
                &[HTTPS]
            }
        };
        if method != Method::Get {
            literals.push((CONTENT_TYPE, "application/json"));
        }
        let headers = Headers::new(known, &literals)?;
        Ok(Calls::over(Box::new(stream), headers, framing))
    }

    /// A get on a connection of its own; the body.
    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut calls = self.open(Method::Get, path, Framing::Whole).await?;
        ask(&mut calls, Vec::new()).await
    }

    /// Creates objects with these bodies, `at_once` under way on one connection, and looks for `kind` in the answers.
    pub(super) async fn create(
        &self,
        path: &str,
        kind: &str,
        at_once: usize,
        bodies: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<()> {
        let mut calls = self.open(Method::Post, path, Framing::Whole).await?;
        let (mut bodies, mut answers) = (bodies.into_iter(), Vec::new());
        let mut under_way = 0;
        for body in bodies.by_ref().take(at_once) {
            calls.send(0, body)?;
            under_way += 1;
        }
        while under_way > 0 {
            tokio::time::timeout(ANSWER_MAX, calls.answers(&mut answers))
                .await
                .context("a create is not answered")??;
            for (_, answer) in answers.drain(..) {
                is_of(kind, &answer)?;
                match bodies.next() {
                    Some(body) => calls.send(0, body)?,
                    None => under_way -= 1,
                }
            }
        }
        Ok(())
    }
}

/// One request on a connection with nothing else under way; the body.
pub(super) async fn ask(calls: &mut Calls, body: Vec<u8>) -> Result<Vec<u8>> {
    calls.send(0, body)?;
    let mut answers = Vec::new();
    tokio::time::timeout(ANSWER_MAX, calls.answers(&mut answers))
        .await
        .context("a request is not answered")??;
    let (_, answer) = answers.pop().context("an answer")?;
    Ok(answer)
}

/// Whether an answer is of this kind, by its first bytes: a fault is a Status.
pub(super) fn is_of(kind: &str, answer: &[u8]) -> Result<()> {
    let head = &answer[..answer.len().min(80)];
    let sought = format!("\"kind\":\"{kind}\"");
    ensure!(
        contains(head, sought.as_bytes()),
        "no {kind} but {}",
        String::from_utf8_lossy(&answer[..answer.len().min(500)])
    );
    Ok(())
}

/// Where a text is.
pub(super) fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes
        .windows(sought.len())
        .position(|window| window == sought)
}

fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    find(bytes, sought).is_some()
}
