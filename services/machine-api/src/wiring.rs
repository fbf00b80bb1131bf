//! From arguments to a running service, and from a changed world to new settings.

use crate::executor::{
    addresses,
    credentials::{CredentialsError, Observed, Settings, settings},
    gate::Gate,
    init::Init,
    listener::{Connections, listen},
    machine::Api,
    metrics::Metrics,
    resources::{Hub, Sources},
    streams::STREAMS_MAX,
};
use init_proto::paths::CONTROL_SOCKET;
use machine_config::parts::{MachineApiPart, PartError, decode};
use machine_proto::{MESSAGE_MAX, v1alpha1::machine_server::MachineServer};
use rtnetlink::Handle;
use rustix::time::{ClockId, clock_gettime};
use service::{Context, RunError, arguments::ConfigError};
use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use tokio::sync::{Mutex, Semaphore, watch};

/// Longest time between two looks at the clock: the serving certificate is renewed months before
/// its end, and clocks step.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// After a change of addresses, wait for more: links come up in bursts.
const SETTLE: Duration = Duration::from_millis(100);
/// When the API first answered on this boot, in the runtime directory: it outlives our restarts.
const READY_FILE: &str = "ready-at";

/// Arguments of `orlop machine-api`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shared flags.
    #[command(flatten)]
    pub service: service::Arguments,
    /// Where to listen. The default takes IPv6 and IPv4, and IPv4 alone on a machine without IPv6.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:50000")]
    pub listen_address: SocketAddr,
    /// init's control socket.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub init_socket: PathBuf,
    /// Take no config in maintenance mode: the machine has one, and nobody can say whom it trusts.
    #[arg(long)]
    pub closed: bool,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The config could not be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The config is not ours.
    #[error("service config")]
    Part(#[from] PartError),
    /// No identity.
    #[error("set up TLS")]
    Credentials(#[from] CredentialsError),
    /// The port.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Netlink.
    #[error("open netlink")]
    Netlink(#[source] io::Error),
    /// Netlink's answer.
    #[error("read the node's addresses")]
    Addresses(#[source] rtnetlink::Error),
}

/// Runs the machine API until it is asked to stop.
///
/// # Errors
/// [`RunError`], already logged.
pub fn run(args: Args) -> Result<(), RunError> {
    let arguments = args.service.clone();
    service::run("machine-api", arguments, |context| async move {
        serve(args, context)
            .await
            .map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)
    })
}

async fn serve(args: Args, context: Context) -> Result<(), WiringError> {
    let (netlink, network_changes) = addresses::open().map_err(WiringError::Netlink)?;
    let metrics = Metrics::default();
    context.register_metrics(|registry| metrics.register(registry));
    let mut looker = Looker {
        context: context.clone(),
        netlink: netlink.clone(),
        changes: network_changes.clone(),
        port: args.listen_address.port(),
        part: read_part(&context)?,
        closed: args.closed,
    };
    let first = looker.look(None).await?;
    let listener = listen(args.listen_address).map_err(|source| WiringError::Listen {
        address: args.listen_address,
        source,
    })?;
    if let Ok(address) = listener.local_addr() {
        looker.port = address.port();
        tracing::info!(%address, "listening");
    }
    looker.tell(&first).await;
    let (publish, current) = watch::channel(Arc::new(first));
    let init = Arc::new(Init::new(args.init_socket));
    let ready_at = Arc::new(OnceLock::new());
    let sources = Sources {
        init: Arc::clone(&init),
        netlink,
    };
    let api = Api {
        init,
        settings: current.clone(),
        hub: Arc::new(Hub::new(sources, network_changes)),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        applying: Mutex::new(()),
        ready_at: Arc::clone(&ready_at),
    };
    let gate = Gate {
        settings: current,
        server: MachineServer::new(api)
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX),
        metrics,
    };
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(Connections::new(gate, stopping).serve(listener));
    let _ = ready_at.set(first_ready(&context));
    context.ready();
    tokio::select! {
        () = context.stopping() => {}
        () = looker.keep_up(&publish) => {}
    }
    let _ = stop.send(true);
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener ended badly");
    }
    Ok(())
}

fn read_part(context: &Context) -> Result<MachineApiPart, WiringError> {
    Ok(decode(&context.arguments.read_config()?)?)
}

/// Milliseconds of CLOCK_BOOTTIME when the API was first ready on this boot.
fn first_ready(context: &Context) -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    let now = seconds * 1000 + nanoseconds / 1_000_000;
    let Some(path) = context
        .arguments
        .runtime_dir
        .as_ref()
        .map(|directory| directory.join(READY_FILE))
    else {
        return now;
    };
    let kept = std::fs::read_to_string(&path).ok();
    if let Some(before) = kept.and_then(|text| text.trim().parse::<u64>().ok())
        && before <= now
    {
        return before;
    }
    if let Err(error) = std::fs::write(&path, format!("{now}\n")) {
        tracing::debug!(%error, "time of readiness is not kept");
    }
    now
}

/// Turns what the world is into settings.
struct Looker {
    context: Context,
    netlink: Handle,
    changes: watch::Receiver<u64>,
    port: u16,
    part: MachineApiPart,
    closed: bool,
}

impl Looker {
    async fn look(&self, before: Option<&Settings>) -> Result<Settings, WiringError> {
        let addresses = self.addresses().await?;
        let observed = Observed {
            part: self.part.clone(),
            hostname: hostname(),
            addresses,
            closed: self.closed,
            state_dir: self.context.arguments.state_dir.as_deref(),
            now: SystemTime::now(),
        };
        Ok(settings(observed, before)?)
    }

    async fn addresses(&self) -> Result<Vec<IpAddr>, WiringError> {
        addresses::read(&self.netlink)
            .await
            .map_err(WiringError::Addresses)
    }

    /// Publishes new settings whenever config, addresses or the clock ask for them. Never ends.
    async fn keep_up(&mut self, publish: &watch::Sender<Arc<Settings>>) {
        let mut reloads = self.context.reloads();
        let mut changes = self.changes.clone();
        loop {
            tokio::select! {
                Ok(()) = reloads.changed() => match read_part(&self.context) {
                    Ok(part) => self.part = part,
                    Err(error) => {
                        tracing::error!(error = %service::chain(&error), "new config is not taken");
                        continue;
                    }
                },
                Ok(()) = changes.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    changes.mark_unchanged();
                }
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let before = Arc::clone(&publish.borrow());
            match self.look(Some(&before)).await {
                Ok(settings) => {
                    self.tell(&settings).await;
                    if differs(&before, &settings) {
                        tracing::info!(
                            fingerprint = settings.fingerprint,
                            role = settings.part.role.map_or("none", |role| role.as_str()),
                            "new settings"
                        );
                        publish.send_replace(Arc::new(settings));
                    }
                }
                Err(error) => {
                    tracing::error!(error = %service::chain(&error), "the old settings stay");
                }
            }
        }
    }

    /// The line that the supervisor shows: in maintenance mode it is what an operator needs.
    async fn tell(&self, settings: &Settings) {
        let addresses = self.addresses().await.unwrap_or_default();
        let place = place(&addresses, self.port);
        let fingerprint = &settings.fingerprint;
        let line = match settings.part.role {
            None if settings.closed => {
                format!("maintenance, closed: {place} fingerprint sha256 {fingerprint}")
            }
            None if settings.issued => format!("maintenance, for its own cluster: {place}"),
            None => format!("maintenance: {place} fingerprint sha256 {fingerprint}"),
            Some(role) if settings.issued => format!("{}: {place}", role.as_str()),
            Some(role) => format!(
                "{}: {place} fingerprint sha256 {fingerprint}",
                role.as_str()
            ),
        };
        self.context.status(&line);
    }
}

fn differs(before: &Settings, after: &Settings) -> bool {
    before.fingerprint != after.fingerprint
        || before.trust != after.trust
        || before.part != after.part
}

/// IPv4 first: it is what people type.
fn place(addresses: &[IpAddr], port: u16) -> String {
    let first = addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first());
    match first {
        Some(address) => format!("https://{}", SocketAddr::new(*address, port)),
        None => format!("no address yet, port {port}"),
    }
}

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_shows_an_address_that_people_type() {
        let addresses: Vec<IpAddr> = ["fd00::1", "10.0.0.5"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(place(&addresses, 50_000), "https://10.0.0.5:50000");
        assert_eq!(place(&addresses[..1], 50_000), "https://[fd00::1]:50000");
        assert_eq!(place(&[], 50_000), "no address yet, port 50000");
    }
}
