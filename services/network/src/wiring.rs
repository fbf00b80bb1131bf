//! The loop: look, plan, act, wait for any change, and look again.

use crate::{
    config,
    executor::{
        dhcp::{Clients, Packet},
        files::{self, LeaseFiles, RuntimeFiles},
        monitor::Monitor,
        netlink::{Netlink, NetlinkError},
    },
    metrics::Metrics,
    planner::{
        model::{Kernel, Operation},
        plan::{Leases, plan},
        settings::Settings,
    },
};
use service::{Arguments, backoff::Backoff};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Longest time without a look, should a notification ever be missed.
pub const RESYNC: Duration = Duration::from_secs(60);
/// Shortest time between two looks that notifications cause: a pod's start alone makes a dozen.
pub const SETTLE: Duration = Duration::from_millis(20);
/// First wait before a refused operation is tried again; doubles up to [`RETRY_CAP`].
pub const RETRY_INITIAL: Duration = Duration::from_millis(500);
/// Longest wait before a refused operation is tried again.
pub const RETRY_CAP: Duration = Duration::from_secs(60);
/// Longest status line.
const STATUS_MAX: usize = 400;

/// Why the service cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The runtime directory is not usable.
    #[error("prepare the runtime directory")]
    Runtime(#[source] files::FileError),
    /// No runtime directory was given.
    #[error("no runtime directory: give --runtime-dir, where resolv.conf is written")]
    NoRuntimeDirectory,
    /// The kernel cannot be watched.
    #[error("watch the kernel's links, addresses and routes")]
    Monitor(#[source] io::Error),
    /// The kernel cannot be asked.
    #[error("ask the kernel for its network state")]
    Netlink(#[from] NetlinkError),
}

/// What the service has of its supervisor.
pub struct Seams {
    /// Shared flags.
    pub arguments: Arguments,
    /// Changes when the config file changed.
    pub reloads: watch::Receiver<u64>,
    /// File with the machine id.
    pub machine_id: PathBuf,
    /// Called once, after the first plan was carried out.
    pub ready: Box<dyn Fn()>,
    /// Takes the status line.
    pub status: Box<dyn Fn(&str)>,
}

/// Runs until an error or until the future is dropped. Dropping leaves the network as it is: a node that
/// stops needs it to the end, and a service that starts again goes on where this one stopped.
///
/// # Errors
/// [`NetworkError`].
pub async fn serve(seams: Seams, metrics: Metrics) -> Result<(), NetworkError> {
    let directory = seams
        .arguments
        .runtime_dir
        .clone()
        .ok_or(NetworkError::NoRuntimeDirectory)?;
    let runtime = RuntimeFiles::open(&directory).map_err(NetworkError::Runtime)?;
    // The monitor listens before the first look, so that no change falls between them.
    let monitor = Monitor::open().map_err(NetworkError::Monitor)?;
    let netlink = Netlink::open()?;
    let leases = LeaseFiles::new(seams.arguments.state_dir.clone());
    let (clients, packets) = Clients::new(leases, metrics.clone());
    let (settings, fault) = load(&seams.arguments, &seams.machine_id, None);
    let mut wiring = Wiring {
        seams,
        metrics,
        runtime,
        monitor,
        netlink,
        clients,
        packets,
        settings,
        fault,
        hostname: None,
        refused: BTreeSet::new(),
        retries: Backoff::new(RETRY_INITIAL, RETRY_CAP),
        retry: None,
        ready: false,
    };
    loop {
        wiring.round().await?;
        wiring.wait().await?;
    }
}

struct Wiring {
    seams: Seams,
    metrics: Metrics,
    runtime: RuntimeFiles,
    monitor: Monitor,
    netlink: Netlink,
    clients: Clients,
    packets: mpsc::Receiver<Packet>,
    settings: Settings,
    /// What is wrong with the config, for the status line.
    fault: Option<String>,
    /// Last host name from a lease.
    hostname: Option<String>,
    /// Refused operations that were logged, so that each is logged once.
    refused: BTreeSet<String>,
    retries: Backoff,
    retry: Option<Instant>,
    ready: bool,
}

impl Wiring {
    async fn round(&mut self) -> Result<(), NetworkError> {
        self.metrics.round();
        let mut kernel = Kernel {
            hostname: files::hostname(),
            files: self.runtime.read(),
            ..Kernel::default()
        };
        self.netlink.observe(&mut kernel).await?;
        self.clients.sync(&self.settings, &kernel);
        let held = self.clients.leases();
        if let Some(hostname) = held.values().find_map(|lease| lease.hostname.clone()) {
            self.hostname = Some(hostname);
        }
        let leases = Leases {
            held,
            hostname: self.hostname.clone(),
        };
        let operations = plan(&self.settings, &kernel, &leases);
        let mut refused = BTreeSet::new();
        for operation in &operations {
            let result = self.apply(operation).await;
            self.metrics.operation(operation.kind(), result.is_ok());
            match result {
                Ok(()) => tracing::info!(operation = %operation, "done"),
                Err(error) => {
                    let text = service::chain(error.as_ref());
                    if !self.refused.contains(&text) {
                        tracing::warn!(operation = %operation, error = text, "refused; it is tried again");
                    }
                    refused.insert(text);
                }
            }
        }
        self.schedule_retry(refused);
        (self.seams.status)(&self.status(&kernel));
        if !self.ready {
            self.ready = true;
            (self.seams.ready)();
        }
        Ok(())
    }

    fn schedule_retry(&mut self, refused: BTreeSet<String>) {
        if refused.is_empty() {
            self.retries.reset();
            self.retry = None;
        } else if self.retry.is_none_or(|at| at <= Instant::now()) {
            // Rounds that other changes cause in the meantime try again too, and leave the time alone.
            self.retry = Some(Instant::now() + self.retries.next(u32::MAX));
        }
        self.refused = refused;
    }

    async fn apply(
        &self,
        operation: &Operation,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match operation {
            Operation::RouterAdvertisements { name, accept, .. } => {
                Ok(files::set_router_advertisements(name, *accept)?)
            }
            Operation::Hostname(name) => Ok(files::set_hostname(name)?),
            Operation::File { name, content } => Ok(self.runtime.write(name, content)?),
            Operation::Mtu { .. }
            | Operation::Up { .. }
            | Operation::AddAddress(_)
            | Operation::RemoveAddress(_)
            | Operation::SetRoute { .. }
            | Operation::RemoveRoute(_) => Ok(self.netlink.apply(operation).await?),
        }
    }

    /// Waits for whatever may make another round worth while.
    async fn wait(&mut self) -> Result<(), NetworkError> {
        let now = Instant::now();
        let resync = now + RESYNC;
        let tick = self
            .clients
            .wait()
            .map_or(resync, |wait| now + wait.min(RESYNC));
        let until = [Some(resync), self.retry]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(resync);
        tokio::select! {
            changed = self.monitor.changed() => {
                changed.map_err(NetworkError::Monitor)?;
                tokio::time::sleep(SETTLE).await;
            }
            Some(packet) = self.packets.recv() => self.clients.receive(&packet),
            () = sleep_until(tick) => self.clients.tick(),
            () = sleep_until(until) => {}
            Ok(()) = self.seams.reloads.changed() => {
                let kept = self.settings.clone();
                (self.settings, self.fault) = load(&self.seams.arguments, &self.seams.machine_id, Some(kept));
            }
        }
        Ok(())
    }

    fn status(&self, kernel: &Kernel) -> String {
        let mut text = String::new();
        if let Some(fault) = &self.fault {
            write!(text, "{fault}; ").expect("a String takes everything");
        }
        let states = self.clients.states();
        for (index, link) in &kernel.links {
            let mut parts: Vec<String> = kernel
                .addresses
                .keys()
                .filter(|address| address.link == *index && is_worth_telling(address.address))
                .map(|address| format!("{}/{}", address.address, address.prefix))
                .collect();
            if let Some(state) = states.get(index) {
                parts.push(format!("DHCP {state}"));
            }
            if !parts.is_empty() && !link.loopback && text.len() < STATUS_MAX {
                write!(text, "{} {}; ", link.name, parts.join(", "))
                    .expect("a String takes everything");
            }
        }
        match self.refused.len() {
            0 => {}
            count => write!(text, "{count} operations refused, see the log")
                .expect("a String takes everything"),
        }
        let text = text.trim_end_matches("; ");
        if text.is_empty() {
            "no addresses".to_owned()
        } else {
            text.chars().take(STATUS_MAX).collect()
        }
    }
}

/// Loopback and link-local addresses tell nobody anything.
fn is_worth_telling(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

/// The settings and what is wrong with the config. A config that cannot be read leaves the settings
/// as they were, or DHCP at the start: a node that is reachable can be repaired.
fn load(
    arguments: &Arguments,
    machine_id: &Path,
    kept: Option<Settings>,
) -> (Settings, Option<String>) {
    let machine_id = files::read_bounded(machine_id);
    let fallback = config::fallback_hostname(machine_id.as_deref());
    let bytes = arguments
        .read_config()
        .map_err(|error| service::chain(&error));
    let settings = bytes.and_then(|bytes| {
        config::settings(&bytes, fallback.clone()).map_err(|error| service::chain(&error))
    });
    match settings {
        Ok(settings) => (settings, None),
        Err(error) => {
            tracing::error!(error, "config not usable; going on without it");
            let defaults =
                || config::settings(b"", fallback).expect("no bytes are always a config");
            (
                kept.unwrap_or_else(defaults),
                Some(format!("config not usable: {error}")),
            )
        }
    }
}
