//! Connections of a client to ports of a pod.
//!
//! ```text
//!   client ──data──> 127.0.0.1 or ::1 in the pod's network namespace      an end of one side is an end for the other
//!          <─data──
//!          <─error── why a connection could not be made                   the others go on
//! ```

use super::{
    CREATION_MAX,
    connection::{CHUNK, Connection, Incoming, Outgoing},
    namespace, socket, spdy,
    spdy::Opened,
    transport::{Sink, Source},
};
use crate::planner::streams::{
    port_forward::{Paired, Pairing, describe},
    protocol::SocketTerms,
};
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Streams at once on one connection: half as many connections to the pod.
const STREAMS_MAX: usize = 1024;
/// After the pod has closed its side, for what the client still sends; containerd's.
const AFTER_END: Duration = Duration::from_secs(1);

/// Where connections go.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    /// Its sandbox's ID.
    pub(super) sandbox: String,
    /// None: the node's.
    pub(super) namespace: Option<PathBuf>,
}

/// Over SPDY: a pair of streams for each connection.
pub(super) async fn pairs(pod: Pod, halves: (Source, Sink)) {
    let (connection, mut opened) = spdy::begin(halves, STREAMS_MAX);
    let begun = Instant::now();
    let mut pairing = Pairing::default();
    let mut forwards = JoinSet::new();
    loop {
        let next = pairing.next(CREATION_MAX);
        let next = begun + next.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
        tokio::select! {
            stream = opened.recv() => match stream {
                Some(stream) => pair(&pod, stream, begun.elapsed(), &mut pairing, &mut forwards).await,
                None => break,
            },
            Some(_) = forwards.join_next(), if !forwards.is_empty() => {}
            () = sleep_until(next) => {
                for (described, stream) in pairing.expired(begun.elapsed(), CREATION_MAX) {
                    let Opened { outgoing, .. } = stream;
                    let why = format!("(request={}) timed out waiting for streams", described.request);
                    let _ = outgoing.send(why.into_bytes()).await;
                    outgoing.end().await;
                }
            }
        }
    }
    drop(connection);
}

async fn pair(
    pod: &Pod,
    opened: Opened,
    now: Duration,
    pairing: &mut Pairing<Opened>,
    forwards: &mut JoinSet<()>,
) {
    let described = match describe(opened.stream, &opened.headers) {
        Ok(described) => described,
        Err(why) => {
            tracing::info!(why, "a stream of port-forward is refused");
            return opened.outgoing.reset().await;
        }
    };
    match pairing.push(now, described, opened) {
        Paired::Half => {}
        Paired::Twice(stream) => stream.outgoing.reset().await,
        Paired::Whole { port, data, error } => {
            let pod = pod.clone();
            forwards.spawn(async move {
                forward(&pod, port, data.incoming, data.outgoing, error.outgoing).await;
            });
        }
    }
}

/// Over channels: two for each port, whose first messages say which.
pub(super) async fn channels(
    pod: Pod,
    ports: Vec<u16>,
    socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    terms: SocketTerms,
) {
    let numbered = || {
        let channels = (0_u8..).step_by(2);
        ports.iter().copied().zip(channels)
    };
    let of_data: Vec<u8> = numbered().map(|(_, channel)| channel).collect();
    let (connection, mut incomings, queue) = socket::begin(socket, terms, &of_data);
    let gone = connection.gone();
    let mut forwards = JoinSet::new();
    for (port, channel) in numbered() {
        let outgoing = |channel| Outgoing::new(u32::from(channel), queue.clone());
        let (data, error) = (outgoing(channel), outgoing(channel + 1));
        for stream in [&data, &error] {
            let _ = stream.send(port.to_le_bytes().to_vec()).await;
        }
        if let Some(incoming) = incomings.remove(&channel) {
            let pod = pod.clone();
            forwards.spawn(async move { forward(&pod, port, incoming, data, error).await });
        }
    }
    let all = async { while forwards.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = gone => return,
    }
    Connection::finish(connection).await;
}

async fn forward(pod: &Pod, port: u16, incoming: Incoming, data: Outgoing, error: Outgoing) {
    match namespace::connect(pod.namespace.clone(), port).await {
        Ok(stream) => copy(stream, incoming, data).await,
        Err(why) => {
            let why = format!(
                "error forwarding port {port} to pod {}, uid : failed to execute portforward in network namespace: {why}",
                pod.sandbox
            );
            tracing::info!(why, "a connection of port-forward fails");
            let _ = error.send(why.into_bytes()).await;
            data.end().await;
        }
    }
    error.end().await;
}

async fn copy(stream: TcpStream, mut incoming: Incoming, data: Outgoing) {
    let _ = stream.set_nodelay(true);
    let (mut read, mut write) = stream.into_split();
    // False: nobody is left who would read an answer.
    let up = async {
        while let Some(bytes) = incoming.next().await {
            if write.write_all(&bytes).await.is_err() {
                return true;
            }
        }
        if incoming.was_reset() {
            return false;
        }
        let _ = write.shutdown().await;
        true
    };
    let down = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if data.send(bytes).await.is_err() {
                break;
            }
        }
        data.end().await;
    };
    tokio::pin!(up);
    tokio::pin!(down);
    tokio::select! {
        () = &mut down => {
            let _ = timeout(AFTER_END, up).await;
        }
        waits = &mut up => if waits {
            down.await;
        },
    }
}
