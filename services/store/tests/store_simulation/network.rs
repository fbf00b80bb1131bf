//! A network that delays, loses, repeats and reorders, and falls apart.
//!
//! ```text
//!   Peer ──gRPC request──> Link ──delay, loss, partition──> PeerService of the other member
//!     <──────────────────── delay, loss, partition ────────────────┘
//! ```
//!
//! What is carried are the requests and responses of the generated client and service, encoded as on a real connection. A request
//! that is lost is answered by the end of its time. Only Raft's own messages and read indices are repeated: HTTP/2 repeats nothing, and
//! a proposal that came twice would be carried out twice.

use crate::{
    dice::{Dice, Trace, hash},
    disk::SimulatedDisk,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use orlop_store::executor::peer::{
    proto::{AppendRequest, AppendResponse, append_response::Outcome, peer_server::PeerServer},
    service::PeerService,
    transport::{Broken, Connect, Transport},
};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body, codegen::http};
use tower::{Service, service_fn, util::BoxCloneSyncService};

/// A machine, by its place in the cluster.
pub(crate) type Machine = usize;
/// Frames of a snapshot that are under way at once.
const FRAMES_UNDER_WAY: usize = 4;

type Server = PeerServer<PeerService<SimulatedDisk>>;
type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// What the network is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_per_mille: u64,
    pub(crate) repeat_per_mille: u64,
    pub(crate) delay_millis_max: u64,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        loss_per_mille: 0,
        repeat_per_mille: 0,
        delay_millis_max: 5,
    };
}

struct Endpoint {
    server: Server,
    /// Requests that it answers.
    tasks: Vec<AbortHandle>,
}

struct State {
    weather: Weather,
    /// Which process runs on a machine that is on.
    processes: BTreeMap<Machine, u64>,
    endpoints: BTreeMap<Machine, Endpoint>,
    /// From whom nothing comes to whom.
    cut: BTreeSet<(Machine, Machine)>,
    /// Entries that are acknowledged before they arrive, by link: a planted bug.
    early: Option<BTreeMap<(Machine, u64, Machine), mpsc::UnboundedSender<Request>>>,
}

/// The network; clones are the same.
#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
    /// Machines to and from which everything waits.
    held: watch::Sender<BTreeSet<Machine>>,
    dice: Dice,
    trace: Trace,
}

impl Network {
    pub(crate) fn new(dice: Dice, trace: Trace) -> Self {
        let state = State {
            weather: Weather::FAIR,
            processes: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            cut: BTreeSet::new(),
            early: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            held: watch::Sender::new(BTreeSet::new()),
            dice,
            trace,
        }
    }

    pub(crate) fn url(machine: Machine) -> String {
        format!("http://machine-{machine}:2380")
    }

    /// How a process on a machine reaches others.
    pub(crate) fn connector(&self, from: Machine, process: u64) -> Arc<dyn Connect> {
        Arc::new(Connector {
            network: self.clone(),
            from,
            process,
        })
    }

    /// From now on, the processes of this machine before this one are unheard.
    pub(crate) fn begin(&self, machine: Machine, process: u64) {
        self.state().processes.insert(machine, process);
    }

    /// From now on, this answers for this machine.
    pub(crate) fn attach(&self, machine: Machine, server: Server) {
        let endpoint = Endpoint {
            server,
            tasks: Vec::new(),
        };
        self.state().endpoints.insert(machine, endpoint);
    }

    /// Nobody answers any more; what was being answered never is.
    pub(crate) fn detach(&self, machine: Machine) {
        self.state().processes.remove(&machine);
        let endpoint = self.state().endpoints.remove(&machine);
        for task in endpoint.map(|endpoint| endpoint.tasks).unwrap_or_default() {
            task.abort();
        }
        if let Some(early) = &mut self.state().early {
            early.retain(|(from, ..), _| *from != machine);
        }
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Cuts these links, and mends all others.
    pub(crate) fn cut(&self, links: BTreeSet<(Machine, Machine)>) {
        self.state().cut = links;
    }

    /// Has everything from and to these machines wait, and lets go of all others.
    pub(crate) fn hold(&self, machines: BTreeSet<Machine>) {
        self.held.send_replace(machines);
    }

    /// Has entries acknowledged before they arrive.
    pub(crate) fn acknowledge_early(&self) {
        self.state().early = Some(BTreeMap::new());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes(&self, from: Machine, to: Machine) -> bool {
        !self.state().cut.contains(&(from, to))
    }

    /// On the way from one machine to another; never arrives where it is lost.
    async fn travel(&self, from: Machine, to: Machine) {
        let weather = self.state().weather;
        let delay = self.dice.millis(0, weather.delay_millis_max);
        let lost = self.dice.chance(weather.loss_per_mille);
        sleep(delay).await;
        let mut held = self.held.subscribe();
        // The sender lives as long as this.
        let _ = held
            .wait_for(|held| !held.contains(&from) && !held.contains(&to))
            .await;
        if lost || !self.passes(from, to) {
            pending::<()>().await;
        }
    }

    fn lives(&self, machine: Machine, process: u64) -> bool {
        self.state().processes.get(&machine) == Some(&process)
    }

    /// Has the other machine answer, if somebody is there.
    fn deliver(&self, to: Machine, request: Request) -> oneshot::Receiver<Response> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        if let Some(endpoint) = state.endpoints.get_mut(&to) {
            let mut server = endpoint.server.clone();
            let task = tokio::spawn(async move {
                let response: Result<Response, Infallible> = server.call(request).await;
                let Ok(response) = response;
                // Who asked may have stopped waiting.
                let _ = answer.send(response);
            });
            endpoint.tasks.retain(|task| !task.is_finished());
            endpoint.tasks.push(task.abort_handle());
        }
        answered
    }
}

struct Connector {
    network: Network,
    from: Machine,
    process: u64,
}

impl Connect for Connector {
    fn connect(&self, url: &str) -> Result<Transport, String> {
        let to = url
            .strip_prefix("http://machine-")
            .and_then(|rest| rest.strip_suffix(":2380")?.parse().ok())
            .ok_or_else(|| format!("{url} is no machine"))?;
        let link = Link {
            network: self.network.clone(),
            from: self.from,
            process: self.process,
            to,
        };
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            link.clone().call(request)
        })))
    }
}

/// From a process to a machine.
#[derive(Clone)]
struct Link {
    network: Network,
    from: Machine,
    process: u64,
    to: Machine,
}

impl Link {
    async fn call(self, request: Request) -> Result<Response, Broken> {
        let limit = time_limit(request.headers());
        match timeout(limit, self.exchange(request)).await {
            Ok(answered) => answered.map_err(|status| Broken(status.into())),
            Err(_) => Err(Broken(Status::cancelled("the time is over").into())),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Response, Status> {
        let network = &self.network;
        let (parts, body) = request.into_parts();
        let method = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let method = method.to_owned();
        let answered = if method == "Install" {
            self.arrive(&method, 0).await;
            let body = self.stream(body);
            network.deliver(self.to, Request::from_parts(parts, body))
        } else {
            let body = body
                .collect()
                .await
                .map_err(|error| Status::internal(error.to_string()))?
                .to_bytes();
            let again = {
                let (parts, body) = (parts.clone(), body.clone());
                move || {
                    let body = Body::new(Full::new(body.clone()));
                    Request::from_parts(parts.clone(), body)
                }
            };
            if method == "Append"
                && let Some(response) = self.acknowledge_early(&body, again())
            {
                return Ok(response);
            }
            if matches!(&*method, "Append" | "Vote" | "PreVote" | "ReadIndex") {
                self.repeat(&method, again.clone());
            }
            self.arrive(&method, hash(0, &body)).await;
            network.deliver(self.to, again())
        };
        let response = answered
            .await
            .map_err(|_| Status::unavailable("nobody answers there"))?;
        network.travel(self.to, self.from).await;
        network.trace.note(format_args!(
            "{} <- {}: {method} answered",
            self.from, self.to
        ));
        Ok(response)
    }

    /// Travels, and is noted.
    async fn arrive(&self, method: &str, content: u64) {
        let network = &self.network;
        if !network.lives(self.from, self.process) {
            // A process that lost its power has said this.
            pending::<()>().await;
        }
        network.travel(self.from, self.to).await;
        network.trace.note(format_args!(
            "{} -> {}: {method} {content:x}",
            self.from, self.to
        ));
    }

    /// Perhaps has the request arrive a second time, some time later.
    fn repeat(&self, method: &str, again: impl Fn() -> Request + Send + Sync + 'static) {
        let network = &self.network;
        let weather = network.state().weather;
        if !network.dice.chance(weather.repeat_per_mille) {
            return;
        }
        let (link, method) = (self.clone(), method.to_owned());
        // A message that is on its way for ever ends with the simulation.
        tokio::spawn(async move {
            sleep(link.network.dice.millis(0, 200)).await;
            link.arrive(&method, 1).await;
            // Nobody waits for this answer.
            drop(link.network.deliver(link.to, again()));
        });
    }

    /// A body that travels frame by frame, and breaks off where the network does.
    fn stream(&self, mut body: Body) -> Body {
        let (sender, frames) = mpsc::channel(FRAMES_UNDER_WAY);
        let link = self.clone();
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let network = &link.network;
                let whole = network.lives(link.from, link.process)
                    && network.passes(link.from, link.to)
                    && !network
                        .dice
                        .chance(network.state().weather.loss_per_mille / 10);
                let frame = if whole {
                    frame
                } else {
                    Err(Status::unavailable("the connection broke"))
                };
                sleep(network.dice.millis(0, 5)).await;
                if sender.send(frame).await.is_err() || !whole {
                    return;
                }
            }
        });
        Body::new(StreamBody::new(ReceiverStream::new(frames)))
    }

    /// A planted bug: says "success" at once, and brings the entries later, in order, unless the sender loses power before.
    fn acknowledge_early(&self, body: &Bytes, request: Request) -> Option<Response> {
        let mut state = self.network.state();
        let early = state.early.as_mut()?;
        // Five bytes of gRPC's own come before the message.
        let append = AppendRequest::decode(body.get(5..)?).ok()?;
        if append.entries.is_empty() {
            return None;
        }
        let queue = early
            .entry((self.from, self.process, self.to))
            .or_insert_with(|| {
                let (sender, mut requests) = mpsc::unbounded_channel();
                let link = self.clone();
                tokio::spawn(async move {
                    while let Some(request) = requests.recv().await {
                        sleep(link.network.dice.millis(100, 400)).await;
                        link.arrive("Append, late", 0).await;
                        // What it says was said before.
                        let _ = link.network.deliver(link.to, request).await;
                    }
                });
                sender
            });
        queue.send(request).ok()?;
        let mut response = AppendResponse::default();
        response.set_outcome(Outcome::Success);
        Some(encode(&response))
    }
}

/// A response as gRPC has it.
fn encode(message: &impl Message) -> Response {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a small message");
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(bytes)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    response
}

/// How long a request may take, as gRPC writes it; every request to a peer says so.
fn time_limit(headers: &http::HeaderMap) -> Duration {
    let written = headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .expect("every request says how long it may take");
    let (number, unit) = written.split_at(written.len() - 1);
    let number: u64 = number.parse().expect("a number of units");
    match unit {
        "n" => Duration::from_nanos(number),
        "u" => Duration::from_micros(number),
        "m" => Duration::from_millis(number),
        "S" => Duration::from_secs(number),
        "M" => Duration::from_secs(number * 60),
        _ => Duration::from_secs(number * 3600),
    }
}
