//! HTTP/1.1 over TLS by hand: for clients with bad manners, which no library would let be.

use super::credentials;
use orlop_tests::api::ApiServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for anything: longer than the server's own bounds for calls to the store.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How one connects as the admin.
#[derive(Clone)]
pub(crate) struct Admin {
    config: Arc<ClientConfig>,
    port: u16,
}

/// One connection.
pub(crate) struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Read, and not yet part of an answer.
    rest: Vec<u8>,
}

/// An answer; a connection that was closed instead has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Reason and message of the Status that it has.
    pub(crate) fn reason(&self) -> String {
        self.field("reason")
    }

    pub(crate) fn message(&self) -> String {
        self.field("message")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn field(&self, name: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        value[name].as_str().unwrap_or_default().to_owned()
    }
}

impl Admin {
    pub(crate) fn of(server: &ApiServer) -> Self {
        let (certificate, key) = credentials(server.directory());
        let mut roots = RootCertStore::empty();
        let authority = server.directory().join("apiserver/ca.crt");
        for root in CertificateDer::pem_file_iter(authority).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let chain = CertificateDer::pem_file_iter(certificate).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        Self {
            config: Arc::new(config),
            port: server.port(),
        }
    }

    /// TCP alone.
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
        stream
    }

    /// With the handshake done.
    pub(crate) fn connect(&self) -> Raw {
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        let connection = ClientConnection::new(self.config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, self.tcp());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Raw {
            stream,
            rest: Vec::new(),
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        self.connect().ask(method, path, body)
    }

    /// The same, which must be answered.
    pub(crate) fn must(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.ask(method, path, body);
        answer.unwrap_or_else(|| panic!("{method} {path}: the connection was closed"))
    }
}

/// A request with JSON, as bytes.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    with_type(method, path, "application/json", body.as_bytes())
}

/// The same with any body.
pub(crate) fn with_type(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Raw {
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<Answer> {
        self.send(&request(method, path, body));
        self.answer()
    }

    /// Sends as much as the other side takes; whether that was all.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok() && self.stream.flush().is_ok()
    }

    /// Reads an answer; None: the connection is closed, or reset.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let (code, head) = self.head()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is = name.eq_ignore_ascii_case("content-length");
            is.then(|| value.parse::<usize>().unwrap())
        });
        let length = length.unwrap_or_default();
        while self.rest.len() < length {
            self.read()?;
        }
        let body = self.rest.drain(..length).collect::<Vec<_>>();
        Some(Answer {
            code,
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Reads an answer's code and its head, where the body is read by [`Raw::line`].
    pub(crate) fn head(&mut self) -> Option<(u16, String)> {
        let end = loop {
            let found = self.rest.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(end) => break end + 4,
                None => self.read()?,
            }
        };
        let head = self.rest.drain(..end).collect::<Vec<_>>();
        let head = String::from_utf8_lossy(&head).into_owned();
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, head))
    }

    /// The next line of a body that does not end, such as a watch's; None: it has ended.
    pub(crate) fn line(&mut self) -> Option<serde_json::Value> {
        loop {
            // Sizes of chunks stand on lines of their own: events begin with a brace.
            if let Some(end) = self.rest.windows(2).position(|two| two == b"}\n") {
                let begin = self.rest.iter().position(|byte| *byte == b'{')?;
                let event = serde_json::from_slice(&self.rest[begin..=end]).unwrap();
                self.rest.drain(..end + 2);
                return Some(event);
            }
            if self.rest.ends_with(b"0\r\n\r\n") {
                return None;
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes).ok()?;
        self.rest.extend_from_slice(&bytes[..count]);
        (count > 0).then_some(())
    }
}
