//! The loop: ask servers, correct the clock, save the time, look names up again.

use crate::{
    executor::{clock::Clock, files, names},
    metrics::{Metrics, seconds},
    planner::{
        Nanos, SECOND, Stamp,
        client::{Action, Client, Event},
        discipline::Correction,
        floor,
    },
};
use machine_config::parts::TimePart;
use service::{Arguments, backoff::Backoff};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How often the right time is saved.
pub const SAVE_INTERVAL: Duration = Duration::from_secs(3600);
/// How often it is checked whether DHCP gave other servers.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// Longest time between two look-ups of all names.
pub const LOOK_UP_INTERVAL: Duration = Duration::from_secs(3600);
/// First wait before names that gave no usable server are looked up again; doubles up to a minute.
const LOOK_UP_RETRY: Duration = Duration::from_secs(2);
const LOOK_UP_RETRY_CAP: Duration = Duration::from_secs(60);
/// Largest datagram that is looked at; NTP's own are 48 bytes, or a little more with extensions.
const DATAGRAM_MAX: usize = 512;

/// Why the service cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// No UDP socket for any family.
    #[error("open a UDP socket")]
    Socket(#[source] io::Error),
}

/// What the service has of its supervisor, and where it finds things.
pub struct Seams {
    /// Shared flags.
    pub arguments: Arguments,
    /// Changes when the config file changed.
    pub reloads: watch::Receiver<u64>,
    /// Becomes true when the service shall end.
    pub stopping: watch::Receiver<bool>,
    /// Nameservers.
    pub resolv_conf: PathBuf,
    /// Time servers from DHCP.
    pub time_servers: PathBuf,
    /// UDP port of time servers.
    pub port: u16,
    /// A time that has passed for sure: that of the build.
    pub built: Nanos,
    /// Called once: the clock is right, or booting has waited long enough for it.
    pub ready: Box<dyn Fn()>,
    /// Takes the status line.
    pub status: Box<dyn Fn(&str)>,
}

/// Runs until it is asked to stop.
///
/// # Errors
/// [`TimeError`].
pub async fn serve(seams: Seams, clock: impl Clock, metrics: Metrics) -> Result<(), TimeError> {
    let sockets = Sockets::open().await.map_err(TimeError::Socket)?;
    let config = load(&seams.arguments, None);
    let mut wiring = Wiring::new(seams, clock, metrics, config);
    wiring.lift();
    wiring.look_up();
    wiring.run(&sockets).await;
    wiring.save();
    Ok(())
}

struct Sockets {
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
}

impl Sockets {
    async fn open() -> io::Result<Self> {
        let ipv4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        // A kernel without IPv6 is no reason to fail.
        let ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok();
        match (ipv4, ipv6) {
            (Err(error), None) => Err(error),
            (ipv4, ipv6) => Ok(Self {
                ipv4: ipv4.ok(),
                ipv6,
            }),
        }
    }

    fn send(&self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        let socket = if to.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let socket = socket
            .as_ref()
            .ok_or_else(|| io::Error::other("no socket for this address family"))?;
        socket.try_send_to(packet, to).map(drop)
    }

    async fn receive(
        socket: Option<&UdpSocket>,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr)> {
        match socket {
            Some(socket) => socket.recv_from(buffer).await,
            None => std::future::pending().await,
        }
    }
}

struct Wiring<C> {
    seams: Seams,
    clock: C,
    metrics: Metrics,
    config: TimePart,
    client: Client,
    /// The look-up that runs, if any.
    look_ups: JoinSet<Vec<SocketAddr>>,
    /// Hosts of the last look-up that was begun.
    hosts: Vec<String>,
    /// Hosts whose addresses the client has.
    asked: Vec<String>,
    next_look_up: Instant,
    look_up_retries: Backoff,
    /// When booting has waited long enough; none once it was told.
    ready_by: Option<Instant>,
    saves: Instant,
}

impl<C: Clock> Wiring<C> {
    fn new(seams: Seams, clock: C, metrics: Metrics, config: TimePart) -> Self {
        let time = config.time.clone().unwrap_or_default();
        let frequency = clock.frequency().unwrap_or(0);
        let client = Client::new(clock.now(), frequency, seams.built);
        let waits = !time.disabled && !time.servers.is_empty();
        let boot_timeout = if waits {
            time.boot_timeout.duration()
        } else {
            Duration::ZERO
        };
        Self {
            seams,
            clock,
            metrics,
            config,
            client,
            look_ups: JoinSet::new(),
            hosts: Vec::new(),
            asked: Vec::new(),
            next_look_up: Instant::now(),
            look_up_retries: Backoff::new(LOOK_UP_RETRY, LOOK_UP_RETRY_CAP),
            ready_by: Some(Instant::now() + boot_timeout),
            saves: Instant::now() + SAVE_INTERVAL,
        }
    }

    async fn run(&mut self, sockets: &Sockets) {
        let (mut buffer4, mut buffer6) = ([0; DATAGRAM_MAX], [0; DATAGRAM_MAX]);
        let mut stopping = self.seams.stopping.clone();
        loop {
            self.step(sockets, Event::Tick);
            self.report();
            let wake = self.wake();
            tokio::select! {
                Ok((length, from)) = Sockets::receive(sockets.ipv4.as_ref(), &mut buffer4) => {
                    self.step(sockets, Event::Packet(from, &buffer4[..length]));
                }
                Ok((length, from)) = Sockets::receive(sockets.ipv6.as_ref(), &mut buffer6) => {
                    self.step(sockets, Event::Packet(from, &buffer6[..length]));
                }
                Some(Ok(addresses)) = self.look_ups.join_next() => {
                    // A look-up that fails does not take servers away that work.
                    if !addresses.is_empty() || self.asked != self.hosts {
                        self.asked.clone_from(&self.hosts);
                        self.step(sockets, Event::Servers(addresses));
                    }
                }
                () = sleep_until(wake) => self.housekeeping(),
                Ok(()) = self.seams.reloads.changed() => {
                    self.config = load(&self.seams.arguments, Some(self.config.clone()));
                    self.look_up();
                }
                // The sender's end means the same.
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    fn wake(&self) -> Instant {
        let now = Instant::now();
        let steady = self.clock.now().steady;
        let deadline = self.client.deadline().map(|deadline| {
            now + Duration::from_nanos(u64::try_from(deadline.saturating_sub(steady)).unwrap_or(0))
        });
        let check = now + CHECK_INTERVAL;
        let look_up = self.look_ups.is_empty().then_some(self.next_look_up);
        [deadline, self.ready_by, look_up]
            .into_iter()
            .flatten()
            .fold(check, Instant::min)
    }

    /// Lets one event happen and carries out what comes of it.
    fn step(&mut self, sockets: &Sockets, event: Event<'_>) {
        let now = self.clock.now();
        let actions = self.client.step(now, event, &mut random);
        if let Some(ignored) = self.client.take_ignored() {
            tracing::debug!(reason = ignored.label(), "NTP packet ignored");
            self.metrics.ignored(ignored.label());
        }
        for action in actions {
            match action {
                Action::Send(to, packet) => {
                    if let Err(error) = sockets.send(to, &packet) {
                        tracing::debug!(server = %to, %error, "NTP request not sent");
                    }
                }
                Action::Correct(correction) => self.correct(correction),
            }
        }
    }

    fn correct(&mut self, correction: Correction) {
        let result = match correction {
            Correction::Wait => return,
            Correction::Step(offset) => {
                tracing::warn!(seconds = seconds(offset), "clock stepped");
                self.metrics.stepped();
                self.clock.step(offset)
            }
            Correction::Slew {
                offset,
                frequency,
                error,
            } => {
                tracing::debug!(
                    seconds = seconds(offset),
                    parts_per_billion = frequency,
                    "clock slewed"
                );
                self.metrics.slewed();
                self.clock.slew(offset, frequency, error)
            }
        };
        match result {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "clock not corrected: is CAP_SYS_TIME missing?"),
        }
    }

    /// Steps a clock that is before the floor to it.
    fn lift(&mut self) {
        if self.config.time.as_ref().is_some_and(|time| time.disabled) {
            return;
        }
        let saved = self
            .seams
            .arguments
            .state_dir
            .as_deref()
            .and_then(files::load);
        let floor = floor::floor(self.seams.built, saved);
        if let Some(offset) = floor::lift(self.clock.now().wall, floor) {
            tracing::warn!(
                seconds = seconds(offset),
                "clock is before the time of the build or the last right time"
            );
            self.correct(Correction::Step(offset));
        }
    }

    fn housekeeping(&mut self) {
        let now = Instant::now();
        if now >= self.saves {
            self.saves = now + SAVE_INTERVAL;
            self.save();
        }
        let due = now >= self.next_look_up || (self.wanted_hosts() != self.hosts);
        if due && self.look_ups.is_empty() {
            self.look_up();
        }
    }

    /// Saves the time where it is right: a wrong one would be the floor of the next boot.
    fn save(&self) {
        let now = self.clock.now();
        let Some(state) = &self.seams.arguments.state_dir else {
            return;
        };
        if self.client.synchronised(now)
            && let Err(error) = files::save(state, now.wall)
        {
            tracing::warn!(%error, "time not saved");
        }
    }

    fn wanted_hosts(&self) -> Vec<String> {
        let time = self.config.time.clone().unwrap_or_default();
        if time.disabled {
            return Vec::new();
        }
        if time.servers.is_empty() {
            return files::time_servers(&self.seams.time_servers)
                .iter()
                .map(ToString::to_string)
                .collect();
        }
        time.servers.iter().map(ToString::to_string).collect()
    }

    fn look_up(&mut self) {
        let hosts = self.wanted_hosts();
        if hosts != self.hosts {
            self.look_up_retries.reset();
        }
        self.hosts.clone_from(&hosts);
        let wait = if self.client.wants_addresses() && !hosts.is_empty() {
            self.look_up_retries.next(u32::MAX)
        } else {
            self.look_up_retries.reset();
            LOOK_UP_INTERVAL
        };
        self.next_look_up = Instant::now() + wait;
        let (resolv_conf, port) = (self.seams.resolv_conf.clone(), self.seams.port);
        self.look_ups.abort_all();
        self.look_ups
            .spawn(async move { names::resolve(&hosts, &resolv_conf, port).await });
    }

    fn report(&mut self) {
        let now = self.clock.now();
        self.metrics.update(&self.client, now);
        let synchronised = self.client.synchronised(now);
        (self.seams.status)(&self.line(now));
        let due = self
            .ready_by
            .is_some_and(|by| synchronised || by <= Instant::now());
        if due {
            self.ready_by = None;
            (self.seams.ready)();
        }
        if synchronised || !self.client.wants_addresses() {
            return;
        }
        // No server answered: their addresses may have changed, or nameservers came late.
        let soon = Instant::now() + LOOK_UP_RETRY_CAP;
        self.next_look_up = self.next_look_up.min(soon);
    }

    fn line(&self, now: Stamp) -> String {
        let summary = self.client.summary();
        if self.config.time.as_ref().is_some_and(|time| time.disabled) {
            return "disabled by the machine config".into();
        }
        if self.hosts.is_empty() {
            return "no time servers; the machine's own clock counts".into();
        }
        if !self.client.synchronised(now) {
            return format!(
                "not synchronised; {} of {} servers answered",
                summary.answered, summary.servers
            );
        }
        format!(
            "synchronised, stratum {}, {} of {} servers agree, last offset {:.6} s",
            summary.stratum,
            summary.agreed,
            summary.servers,
            seconds(summary.offset)
        )
    }
}

/// The part of the config; one that cannot be read leaves what was.
fn load(arguments: &Arguments, kept: Option<TimePart>) -> TimePart {
    let bytes = arguments
        .read_config()
        .map_err(|error| service::chain(&error));
    let part = bytes.and_then(|bytes| {
        machine_config::parts::decode::<TimePart>(&bytes).map_err(|error| service::chain(&error))
    });
    part.unwrap_or_else(|error| {
        tracing::error!(error, "config not usable; going on without it");
        kept.unwrap_or_default()
    })
}

/// A nonce. Where the kernel has no random numbers yet, one that is at least not the same each time.
fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            u64::try_from(time.tv_nsec.wrapping_mul(SECOND | 1) & i64::MAX).unwrap_or(1)
        }
    }
}
