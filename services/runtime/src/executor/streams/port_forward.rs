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
    sync::mpsc,
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
    let (connection, opened) = spdy::begin(halves, STREAMS_MAX);
    // A client that reads nothing would hold up the rest also when it has gone.
    tokio::select! {
        () = forward_all(&pod, opened) => {}
        () = connection.gone() => {}
    }
}

async fn forward_all(pod: &Pod, mut opened: mpsc::Receiver<Opened>) {
    let begun = Instant::now();
    let mut pairing = Pairing::default();
    let mut forwards = JoinSet::new();
    loop {
        let next = pairing.next(CREATION_MAX);
        let next = begun + next.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
        tokio::select! {
            stream = opened.recv() => match stream {
                Some(stream) => pair(pod, stream, begun.elapsed(), &mut pairing, &mut forwards).await,
                None => return,
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
        Paired::Refused(stream) => stream.outgoing.reset().await,
        // Streams that were reset may have left some behind that are on their way still.
        Paired::Whole { data, error, .. } if forwards.len() >= STREAMS_MAX => {
            data.outgoing.reset().await;
            error.outgoing.reset().await;
        }
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
    let connected = tokio::select! {
        biased;
        () = incoming.reset() => None,
        connected = namespace::connect(pod.namespace.clone(), port) => Some(connected),
    };
    match connected {
        None => {}
        Some(Ok(stream)) => copy(stream, incoming, data).await,
        Some(Err(why)) => {
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
    let reset = incoming.reset();
    let up = async {
        while let Some(bytes) = incoming.next().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
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
    let both = async {
        tokio::pin!(up);
        tokio::pin!(down);
        tokio::select! {
            () = &mut down => {
                let _ = timeout(AFTER_END, up).await;
            }
            () = &mut up => down.await,
        }
    };
    // Nobody is left who would read an answer, and what is on the way is of no use.
    tokio::select! {
        biased;
        () = reset => {}
        () = both => {}
    }
}
