//! gRPC connections to a member, the same for both programs.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    PutRequest, RangeRequest, RequestOp, TxnRequest, kv_client::KvClient, request_op::Request,
};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request as HttpRequest, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tonic::body::Body;
use tower::Service;

/// Flow control must not be what is measured: an answer of 10,000 keys fits into a stream's window.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
/// Of all streams of a connection.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// Longest answer that is read.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// Longest wait for a member's first answer: a start with a million keys takes seconds.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(120);
/// Pause before the next attempt to reach a member that is starting: much shorter than any start.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Puts in one transaction while filling: both programs' default bound.
const PUTS_PER_TRANSACTION: usize = 128;
/// Transactions in flight while filling.
const FILLING: usize = 8;

/// A runtime of one thread: the client's threads share nothing.
///
/// # Errors
/// The system has no descriptors left.
pub fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("make a runtime")
}

/// One connection, for all who have a copy of it: hyper's own, without the queue, the balancing and the reconnecting of
/// tonic's channel, which cost more than the rest of a request.
#[derive(Debug, Clone)]
pub struct Connection {
    requests: SendRequest<Body>,
}

impl Service<HttpRequest<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        self.requests.poll_ready(task)
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        Box::pin(self.requests.send_request(request))
    }
}

/// Connects to `http://ADDRESS`.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(endpoint: &str) -> Result<(Connection, Uri)> {
    let origin: Uri = endpoint
        .parse()
        .with_context(|| format!("{endpoint} as an address"))?;
    let address = origin
        .authority()
        .with_context(|| format!("{endpoint} has no address"))?;
    let stream = TcpStream::connect(address.as_str())
        .await
        .with_context(|| format!("connect to {endpoint}"))?;
    stream.set_nodelay(true).context("switch off delays")?;
    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(stream))
        .await
        .with_context(|| format!("speak HTTP/2 with {endpoint}"))?;
    // Its end is seen by those who wait for answers.
    tokio::spawn(connection);
    Ok((Connection { requests }, origin))
}

/// The KV service on a connection of its own.
///
/// # Errors
/// Nobody listens there.
pub async fn kv(endpoint: &str) -> Result<KvClient<Connection>> {
    let (connection, origin) = connect(endpoint).await?;
    Ok(KvClient::with_origin(connection, origin).max_decoding_message_size(ANSWER_MAX))
}

/// Waits until the member answers a linearizable read of `key`, and returns when it did and how many keys it found.
///
/// # Errors
/// It does not within [`FIRST_ANSWER_MAX`].
pub async fn first_answer(endpoint: &str, key: Bytes) -> Result<(Instant, i64)> {
    let deadline = Instant::now() + FIRST_ANSWER_MAX;
    loop {
        let error = match ask(endpoint, key.clone()).await {
            Ok(count) => return Ok((Instant::now(), count)),
            Err(error) => error,
        };
        ensure!(
            Instant::now() < deadline,
            "{endpoint} has not answered within {FIRST_ANSWER_MAX:?}: {error:#}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn ask(endpoint: &str, key: Bytes) -> Result<i64> {
    let request = RangeRequest {
        key,
        ..RangeRequest::default()
    };
    let answer = kv(endpoint).await?.range(request).await?;
    Ok(answer.into_inner().count)
}

/// Key `number` below `prefix`.
#[must_use]
pub fn key(prefix: &str, number: usize) -> Bytes {
    format!("{prefix}/{number:010}").into()
}

/// A value of `length` bytes that do not repeat themselves.
#[must_use]
pub fn value(length: usize) -> Bytes {
    let mut random = Random::new(1);
    (0..length)
        .map(|_| {
            let letter = random.below(26);
            b'a' + u8::try_from(letter).expect("there are 26 letters")
        })
        .collect::<Vec<u8>>()
        .into()
}

/// Puts keys 0 to `keys` below `prefix`, each with `value`.
///
/// # Errors
/// The member refuses, or goes away.
pub async fn fill(endpoint: &str, prefix: &str, keys: usize, value: Bytes) -> Result<()> {
    let client = kv(endpoint).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..FILLING {
        let (mut client, prefix, value) = (client.clone(), prefix.to_owned(), value.clone());
        tasks.spawn(async move {
            let mut first = part * PUTS_PER_TRANSACTION;
            while first < keys {
                let last = keys.min(first + PUTS_PER_TRANSACTION);
                let put = |number| RequestOp {
                    request: Some(Request::RequestPut(PutRequest {
                        key: key(&prefix, number),
                        value: value.clone(),
                        ..PutRequest::default()
                    })),
                };
                let request = TxnRequest {
                    success: (first..last).map(put).collect(),
                    ..TxnRequest::default()
                };
                client.txn(request).await?;
                first += FILLING * PUTS_PER_TRANSACTION;
            }
            anyhow::Ok(())
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome
            .context("fill with keys")?
            .context("fill with keys")?;
    }
    Ok(())
}

/// Small and reproducible: which key comes next (xorshift, Marsaglia 2003).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero; near seeds must not give near numbers.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`, which is small beside 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound).expect("a usize fits");
        usize::try_from(self.0 % bound).expect("it is below a usize")
    }
}
