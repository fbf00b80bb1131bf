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

use crate::dice::{Dice, Trace, hash};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use orlop_store::executor::peer::{
    proto::{AppendRequest, AppendResponse, append_response::Outcome},
    service::Peering,
    transport::{Broken, Connect, Transport, Way},
};
use orlop_store::executor::watch;
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body, codegen::http};
use tower::{service_fn, util::BoxCloneSyncService};

/// A machine, by its place in the cluster.
pub(crate) type Machine = usize;
/// Frames of one stream that are under way at once.
const FRAMES_UNDER_WAY: usize = 16;
/// TCP tries this often.
const REPETITION: Duration = Duration::from_millis(50);
/// Bytes before each of gRPC's messages.
const PREFIX: usize = 5;

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
    server: Peering,
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
    /// Entries are acknowledged before they arrive: a planted bug.
    acknowledges_early: bool,
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
            acknowledges_early: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            held: watch::Sender::new(BTreeSet::new()),
            dice,
            trace,
        }
    }

    pub(crate) fn url(machine: Machine) -> String {
        format!("https://machine-{machine}:2380")
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
    pub(crate) fn attach(&self, machine: Machine, server: Peering) {
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
        self.state().acknowledges_early = true;
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
            let server = endpoint.server.clone();
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
    fn way(self: Arc<Self>, urls: &[String]) -> Result<Arc<dyn Way>, String> {
        let link = Link {
            network: self.network.clone(),
            from: self.from,
            process: self.process,
            to: machine(urls)?,
        };
        Ok(Arc::new(Straight(Mutex::new(link))))
    }
}

/// The machine of the first of these URLs.
fn machine(urls: &[String]) -> Result<Machine, String> {
    urls.first()
        .and_then(|url| url.strip_prefix("https://machine-"))
        .and_then(|rest| rest.strip_suffix(":2380")?.parse().ok())
        .ok_or_else(|| format!("{urls:?} is no machine"))
}

/// From a process to a machine, wherever that is.
struct Straight(Mutex<Link>);

impl Straight {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Straight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.link();
        write!(formatter, "{} -> {}", link.from, link.to)
    }
}

impl Way for Straight {
    fn change(&self, urls: &[String]) -> Result<(), String> {
        self.link().to = machine(urls)?;
        Ok(())
    }

    fn transport(self: Arc<Self>) -> Transport {
        BoxCloneSyncService::new(service_fn(move |request| {
            let link = self.link().clone();
            link.call(request)
        }))
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
        let answered = match limit {
            Some(limit) => timeout(limit, self.exchange(request)).await,
            // A stream that lasts as long as it lasts.
            None => Ok(self.follow(request).await),
        };
        match answered {
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
            let connection = self.connection();
            let body = connection.carry(body, (self.from, self.to));
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

    /// A stream of messages, and one of answers.
    async fn follow(&self, request: Request) -> Result<Response, Status> {
        self.arrive("Follow", 0).await;
        let network = &self.network;
        let connection = self.connection();
        let (parts, body) = request.into_parts();
        let mut body = connection.carry(body, (self.from, self.to));
        let early = network.state().acknowledges_early;
        let mut late = None;
        if early {
            let (lies, honest) = Liar::new(self.clone(), body);
            (late, body) = (Some(lies), honest);
        }
        let answered = network.deliver(self.to, Request::from_parts(parts, body));
        let response = answered
            .await
            .map_err(|_| Status::unavailable("nobody answers there"))?;
        network.travel(self.to, self.from).await;
        Ok(response.map(|mut body| {
            if let Some(late) = late {
                body = late.answers(body);
            }
            connection.carry(body, (self.to, self.from))
        }))
    }

    /// With whoever is there now.
    fn connection(&self) -> Connection {
        let processes = &self.network.state().processes;
        Connection {
            network: self.network.clone(),
            ends: [
                (self.from, Some(self.process)),
                (self.to, processes.get(&self.to).copied()),
            ],
        }
    }
}

/// Two processes, and what they have for TCP.
#[derive(Clone)]
struct Connection {
    network: Network,
    ends: [(Machine, Option<u64>); 2],
}

impl Connection {
    fn lives(&self) -> bool {
        self.ends
            .iter()
            .all(|(machine, process)| process.is_some_and(|it| self.network.lives(*machine, it)))
    }

    /// A body that travels frame by frame, in order, and breaks off where the network does.
    fn carry(&self, mut body: Body, (from, to): (Machine, Machine)) -> Body {
        let (sent, mut under_way) = mpsc::channel(FRAMES_UNDER_WAY);
        let (sender, frames) = mpsc::channel(1);
        let network = self.network.clone();
        tokio::spawn(async move {
            let mut arrival = Instant::now();
            while let Some(frame) = body.frame().await {
                let delay = network.state().weather.delay_millis_max;
                arrival = arrival.max(Instant::now() + network.dice.millis(0, delay));
                if sent.send((arrival, frame)).await.is_err() {
                    return;
                }
            }
        });
        let connection = self.clone();
        tokio::spawn(async move {
            let network = &connection.network;
            while let Some((arrival, frame)) = under_way.recv().await {
                sleep_until(arrival).await;
                let whole = connection.passes(from, to).await;
                let frame = if whole {
                    frame
                } else {
                    Err(Status::unavailable("the connection broke"))
                };
                let data = frame.as_ref().ok().and_then(|frame| frame.data_ref());
                let content = data.map_or(0, |data| hash(0, data));
                network
                    .trace
                    .note(format_args!("{from} -> {to}: frame {content:x}"));
                if sender.send(frame).await.is_err() || !whole {
                    return;
                }
            }
        });
        Body::new(StreamBody::new(ReceiverStream::new(frames)))
    }

    /// TCP repeats what is lost for a while.
    async fn passes(&self, from: Machine, to: Machine) -> bool {
        let network = &self.network;
        let loss = network.state().weather.loss_per_mille / 10;
        if network.dice.chance(loss) {
            return false;
        }
        let patience = Instant::now() + network.dice.millis(500, 8000);
        let mut held = network.held.subscribe();
        loop {
            // The sender lives as long as this.
            let _ = held
                .wait_for(|held| !held.contains(&from) && !held.contains(&to))
                .await;
            if !self.lives() || Instant::now() > patience {
                return false;
            }
            if network.passes(from, to) {
                return true;
            }
            sleep(REPETITION).await;
        }
    }
}

/// A planted bug: once a stream of entries works, they are acknowledged at once, and arrive later, in order, unless the sender
/// loses power before.
struct Liar {
    state: Arc<Mutex<Lies>>,
    /// Answers that nobody gave.
    invented: mpsc::UnboundedReceiver<Bytes>,
}

#[derive(Default)]
struct Lies {
    /// The receiver has accepted something.
    works: bool,
    /// Messages that were sent, answers that went back, and answers that came.
    sent: u64,
    answered: u64,
    came: u64,
}

impl Liar {
    /// Between this body and the member; the body that arrives there.
    fn new(link: Link, mut body: Body) -> (Self, Body) {
        let state = Arc::new(Mutex::new(Lies::default()));
        let (lie, invented) = mpsc::unbounded_channel();
        let (late, mut waiting) = mpsc::unbounded_channel::<Bytes>();
        let (sender, frames) = mpsc::channel(1);
        let lies = state.clone();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { return };
                for message in messages(&data) {
                    let append = AppendRequest::decode(message.slice(PREFIX..));
                    let last = append.ok().and_then(|append| append.entries.last()?.id);
                    let mut lies = lies.lock().unwrap_or_else(PoisonError::into_inner);
                    // Else the answers would come in another order.
                    if lies.works && lies.answered == lies.sent && last.is_some() {
                        let mut answer = AppendResponse {
                            upto: last,
                            ..AppendResponse::default()
                        };
                        answer.set_outcome(Outcome::Success);
                        lies.answered += 1;
                        // The sender may be gone, and both with it.
                        let _ = lie.send(encode(&answer));
                    }
                    lies.sent += 1;
                }
                let _ = late.send(data);
            }
        });
        tokio::spawn(async move {
            while let Some(data) = waiting.recv().await {
                sleep(link.network.dice.millis(100, 400)).await;
                let lives = link.network.lives(link.from, link.process);
                let frame: Result<_, Status> = Ok(Frame::data(data));
                if !lives || sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let body = Body::new(StreamBody::new(ReceiverStream::new(frames)));
        (Self { state, invented }, body)
    }

    /// What the sender is told.
    fn answers(mut self, mut body: Body) -> Body {
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let data = tokio::select! {
                    biased;
                    Some(answer) = self.invented.recv() => vec![answer],
                    frame = body.frame() => match frame {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => self.pass(&data),
                            Err(trailers) => {
                                // Nothing comes after them.
                                let _ = sender.send(Ok(trailers)).await;
                                return;
                            }
                        },
                        Some(Err(status)) => {
                            let _ = sender.send(Err(status)).await;
                            return;
                        }
                        None => return,
                    },
                };
                for answer in data {
                    if sender.send(Ok(Frame::data(answer))).await.is_err() {
                        return;
                    }
                }
            }
        });
        Body::new(StreamBody::new(ReceiverStream::new(frames)))
    }

    /// The answers that have not been given yet.
    fn pass(&self, data: &Bytes) -> Vec<Bytes> {
        let mut lies = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut passed = Vec::new();
        for message in messages(data) {
            let answer = AppendResponse::decode(message.slice(PREFIX..));
            lies.works |= answer.is_ok_and(|answer| answer.outcome() == Outcome::Success);
            lies.came += 1;
            if lies.came > lies.answered {
                lies.answered += 1;
                passed.push(message);
            }
        }
        passed
    }
}

/// The messages of a frame, each with gRPC's prefix.
fn messages(data: &Bytes) -> Vec<Bytes> {
    let (mut messages, mut rest) = (Vec::new(), data.clone());
    while rest.len() >= PREFIX {
        let length = rest[1..PREFIX]
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        messages.push(rest.split_to(PREFIX + length));
    }
    messages
}

/// A message with gRPC's prefix.
fn encode(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a small message");
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes.into()
}

/// How long a request may take, as gRPC writes it; every request to a peer says so, but streams of entries.
fn time_limit(headers: &http::HeaderMap) -> Option<Duration> {
    let written = headers.get("grpc-timeout")?;
    let written = written.to_str().expect("it is of ASCII");
    let (number, unit) = written.split_at(written.len() - 1);
    let number: u64 = number.parse().expect("a number of units");
    Some(match unit {
        "n" => Duration::from_nanos(number),
        "u" => Duration::from_micros(number),
        "m" => Duration::from_millis(number),
        "S" => Duration::from_secs(number),
        "M" => Duration::from_secs(number * 60),
        _ => Duration::from_secs(number * 3600),
    })
}
