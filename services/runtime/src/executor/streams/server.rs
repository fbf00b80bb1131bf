//! Who comes to a URL: HTTP/1.1 until its connection is upgraded.

use super::{
    Call, Streaming, attach, exec,
    handshake::{self, Answer, refuse},
    port_forward::{self, Pod},
    socket, spdy, transport,
};
use crate::planner::streams::protocol::{
    FORWARD_SOCKETS, FORWARD_SPDY, SOCKETS, SPDY, SocketTerms, SpdyTerms, Wanted,
};
use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::sleep,
};

/// Until all of a request's headers are there.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(30);
/// Of a request's line and headers.
const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// After accept failed, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For ever. All connections end with it.
pub(super) async fn serve(streaming: Streaming, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Some(slot) = streaming.slot().await {
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(streaming.clone(), stream, slot));
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection of streams");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(streaming: Streaming, stream: TcpStream, slot: OwnedSemaphorePermit) {
    // What is typed is sent as it is typed.
    let _ = stream.set_nodelay(true);
    // At most one request of a connection is upgraded, and it is the last.
    let (begin, mut begun) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|request| {
        let (streaming, begin) = (streaming.clone(), begin.clone());
        async move {
            let (answer, work) = respond(&streaming, request);
            if let Some(work) = work {
                let _ = begin.try_send(work);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WAIT_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of streams");
    }
    if let Ok((upgrade, work)) = begun.try_recv() {
        work_on(streaming, upgrade, work).await;
    }
    drop(slot);
}

/// What an upgraded connection is for.
enum Work {
    Spdy(Call, SpdyTerms),
    ForwardSpdy(Call),
    Socket(Call, SocketTerms),
}

fn respond(
    streaming: &Streaming,
    mut request: Request<Incoming>,
) -> (Answer, Option<(OnUpgrade, Work)>) {
    if ![Method::GET, Method::POST].contains(request.method()) {
        let text = "405: Method Not Allowed";
        return (refuse(StatusCode::METHOD_NOT_ALLOWED, text), None);
    }
    let call = call(streaming, request.uri().path());
    let Some(call) = call else {
        return (refuse(StatusCode::NOT_FOUND, "404 page not found"), None);
    };
    match agree(&request, call) {
        Ok((work, answer)) => (answer, Some((hyper::upgrade::on(&mut request), work))),
        Err(answer) => (*answer, None),
    }
}

/// Whether it was used before, has expired or was never given makes no difference to who comes.
fn call(streaming: &Streaming, path: &str) -> Option<Call> {
    let (kind, token) = path.strip_prefix('/')?.split_once('/')?;
    let call = streaming.take(token)?;
    (call.path() == kind).then_some(call)
}

fn agree(request: &Request<Incoming>, call: Call) -> Result<(Work, Answer), Box<Answer>> {
    let headers = request.headers();
    let forwards = matches!(call, Call::PortForward { .. });
    if handshake::is_socket(headers) {
        let known: &[SocketTerms] = if forwards { &FORWARD_SOCKETS } else { &SOCKETS };
        let (terms, answer) = handshake::socket(headers, known)?;
        if let Call::PortForward { ports, .. } = &call
            && ports.is_empty()
            && !terms.tunnel
        {
            let text = "query parameter \"port\" is required";
            return Err(Box::new(refuse(StatusCode::BAD_REQUEST, text)));
        }
        return Ok((Work::Socket(call, terms), answer));
    }
    if forwards {
        let (_, answer) = handshake::spdy(headers, &[FORWARD_SPDY], |name| name)?;
        return Ok((Work::ForwardSpdy(call), answer));
    }
    let (terms, answer) = handshake::spdy(headers, &SPDY, |terms| terms.name)?;
    Ok((Work::Spdy(call, *terms), answer))
}

async fn work_on(streaming: Streaming, upgrade: OnUpgrade, work: Work) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("a connection of streams is none of TCP");
        return;
    };
    let (stream, begun) = (parts.io.into_inner(), parts.read_buf);
    match work {
        Work::Spdy(call, terms) => {
            let halves = transport::plain(stream, begun);
            let Some(wanted) = wanted(&call) else { return };
            match spdy::streams(halves, wanted, terms).await {
                Some(streams) => attend(streaming, call, streams).await,
                None => tracing::info!("timed out waiting for client to create streams"),
            }
        }
        Work::ForwardSpdy(call) => {
            if let Some((pod, _)) = pod(&streaming, call) {
                port_forward::pairs(pod, transport::plain(stream, begun)).await;
            }
        }
        Work::Socket(call, terms) => on_socket(streaming, call, terms, stream, begun).await,
    }
}

async fn on_socket(
    streaming: Streaming,
    call: Call,
    terms: SocketTerms,
    stream: TcpStream,
    begun: Bytes,
) {
    let socket = socket::over(stream, begun).await;
    if let Some(wanted) = wanted(&call) {
        let streams = socket::streams(socket, wanted, terms).await;
        return attend(streaming, call, streams).await;
    }
    let Some((pod, ports)) = pod(&streaming, call) else {
        return;
    };
    if terms.tunnel {
        port_forward::pairs(pod, transport::tunnel(socket)).await;
    } else {
        port_forward::channels(pod, ports, socket, terms).await;
    }
}

const fn wanted(call: &Call) -> Option<Wanted> {
    match call {
        Call::Exec { wanted, .. } | Call::Attach { wanted, .. } => Some(*wanted),
        Call::PortForward { .. } => None,
    }
}

/// None: its sandbox is gone since.
fn pod(streaming: &Streaming, call: Call) -> Option<(Pod, Vec<u16>)> {
    let Call::PortForward { sandbox, ports } = call else {
        return None;
    };
    let record = streaming.0.pods.sandbox(&sandbox).ok()?;
    let namespace = streaming.0.pods.network_namespace(&record);
    Some((Pod { sandbox, namespace }, ports))
}

async fn attend(streaming: Streaming, call: Call, streams: super::connection::Streams) {
    let pods = streaming.0.pods.clone();
    match call {
        Call::Exec {
            container,
            command,
            wanted,
        } => exec::run(pods, container, command, wanted, streams).await,
        Call::Attach { container, .. } => attach::run(pods, container, streams).await,
        Call::PortForward { .. } => {}
    }
}
