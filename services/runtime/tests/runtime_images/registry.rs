//! A registry that does what a test wants: well, or badly in one way.

use crate::support::{MANIFEST, TestImage};
use orlop_runtime::planner::images::digest::Digest;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// How many were for the same target before.
    pub(crate) before: usize,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum End {
    /// As it should.
    #[default]
    Well,
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// Nothing more is sent after so many bytes of the body; the connection stays.
    Hang(usize),
    /// Nothing is sent at all.
    Silent,
    /// The body is sent again and again.
    Endless,
}

type Hook = Box<dyn Fn(&Asked) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct State {
    content: BTreeMap<String, (String, Vec<u8>)>,
    log: Vec<Asked>,
    hook: Option<Hook>,
}

/// The server; it ends with its value.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl Registry {
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    pub(crate) async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut server = JoinSet::new();
        let serving = Arc::clone(&state);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&serving), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &state).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            state,
            _server: server,
        }
    }

    /// A reference to an image of this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub(crate) fn put(&self, path: &str, kind: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        state
            .content
            .insert(path.to_owned(), (kind.to_owned(), bytes));
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let path = format!("/v2/{repository}/blobs/{}", Digest::of(bytes));
        self.put(&path, "application/octet-stream", bytes.to_vec());
    }

    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, kind: &str, bytes: &[u8]) {
        for name in [tag, Digest::of(bytes).as_str()] {
            self.put(
                &format!("/v2/{repository}/manifests/{name}"),
                kind,
                bytes.to_vec(),
            );
        }
    }

    pub(crate) fn put_image(&self, repository: &str, tag: &str, image: &TestImage) {
        for blob in image.layers.iter().chain([&image.config]) {
            self.put_blob(repository, blob);
        }
        self.put_manifest(repository, tag, MANIFEST, &image.manifest_bytes());
    }

    /// Asked before all others; what it does not answer is answered well.
    pub(crate) fn hook(&self, hook: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) {
        self.state.lock().unwrap().hook = Some(Box::new(hook));
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.state.lock().unwrap().log.clone()
    }

    /// How often something was asked for whose target has this in it.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.log()
            .iter()
            .filter(|asked| asked.target.contains(part))
            .count()
    }
}

impl Reply {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            body: body.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let mut buffer = Vec::new();
    while let Some(mut asked) = read(&mut stream, &mut buffer).await {
        let reply = {
            let mut state = state.lock().unwrap();
            asked.before = state
                .log
                .iter()
                .filter(|before| before.target == asked.target)
                .count();
            state.log.push(asked.clone());
            let hooked = state.hook.as_ref().and_then(|hook| hook(&asked));
            hooked.unwrap_or_else(|| stored(&state.content, &asked))
        };
        if !send(&mut stream, reply).await {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        stream.read_buf(buffer).await.ok()?;
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Some(Asked {
        method,
        target,
        headers,
        body,
        before: 0,
    })
}

fn stored(content: &BTreeMap<String, (String, Vec<u8>)>, asked: &Asked) -> Reply {
    let path = asked.target.split('?').next().unwrap();
    let Some((kind, bytes)) = content.get(path) else {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}"#;
        return Reply::new(404, body);
    };
    match asked.headers.get("range") {
        None => Reply::new(200, bytes).header("Content-Type", kind),
        Some(range) => {
            let from: usize = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap()
                .parse()
                .unwrap();
            let said = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Reply::new(206, &bytes[from..]).header("Content-Range", &said)
        }
    }
}

/// Whether the connection is good for another.
async fn send(stream: &mut (impl AsyncWrite + Unpin), reply: Reply) -> bool {
    if reply.end == End::Silent {
        std::future::pending::<()>().await;
    }
    let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.end != End::Endless {
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    head.push_str("\r\n");
    let sent = match reply.end {
        End::Cut(bytes) | End::Hang(bytes) => &reply.body[..bytes],
        _ => &reply.body[..],
    };
    if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(sent).await.is_err() {
        return false;
    }
    let _ = stream.flush().await;
    match reply.end {
        End::Well => true,
        End::Hang(_) | End::Silent => std::future::pending().await,
        End::Cut(_) => false,
        End::Endless => {
            while stream.write_all(&reply.body).await.is_ok() {}
            false
        }
    }
}
