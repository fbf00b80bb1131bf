//! The time service: NTPv4 client, clock floor, battery-backed clock.
//!
//! ```text
//!   config, DHCP ──> names ──> addresses ─┐
//!   NTP servers <──> sockets ──> packets ─┼─> planner::client ──> step, slew ──> kernel clock
//!                                         │     select: who agrees            (and, every 11 minutes,
//!   last right time, time of the build ──> floor    discipline: how to correct   its battery-backed one)
//! ```
//!
//! It works without any server: the clock is then at least not before the time of the build, and
//! nothing waits.

pub mod executor;
pub mod metrics;
pub mod planner;
pub mod wiring;

use executor::clock::KernelClock;
use init_proto::paths::{RESOLV_CONF, TIME_SERVERS};
use planner::{Nanos, SECOND};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Name of the service.
pub const NAME: &str = "time";

/// UDP port of NTP.
pub const PORT: u16 = 123;

/// The floor of a release that does not say when it was built: 2026-01-01T00:00:00Z.
const BUILT_FALLBACK: Nanos = 1_767_225_600 * SECOND;
/// Says when the release was built.
const OS_RELEASE: &str = "/etc/os-release";

/// Flags of the time service.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Flags that every service has.
    #[command(flatten)]
    pub service: service::Arguments,
    /// Nameservers, in resolv.conf(5)'s form.
    #[arg(long, value_name = "FILE", default_value = RESOLV_CONF)]
    pub resolv_conf: PathBuf,
    /// Time servers that are asked where the config names none, one address per line.
    #[arg(long, value_name = "FILE", default_value = TIME_SERVERS)]
    pub time_servers: PathBuf,
    /// UDP port of the time servers.
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub ntp_port: u16,
}

/// A time that has passed for sure: that of the release's build.
#[must_use]
pub fn built() -> Nanos {
    executor::files::build_time(Path::new(OS_RELEASE))
        .unwrap_or(0)
        .max(BUILT_FALLBACK)
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// [`service::RunError`], already logged.
pub fn run(args: Args) -> Result<(), service::RunError> {
    let Args {
        service: arguments,
        resolv_conf,
        time_servers,
        ntp_port,
    } = args;
    service::run(NAME, arguments, |context| async move {
        let metrics = metrics::Metrics::default();
        context.register_metrics(|registry| metrics.register(registry));
        let (stop, stopping) = watch::channel(false);
        let seams = wiring::Seams {
            arguments: context.arguments.clone(),
            reloads: context.reloads(),
            stopping,
            resolv_conf,
            time_servers,
            port: ntp_port,
            built: built(),
            ready: Box::new({
                let context = context.clone();
                move || context.ready()
            }),
            status: Box::new({
                let context = context.clone();
                move |line| context.status(line)
            }),
        };
        let mut serve = std::pin::pin!(wiring::serve(seams, KernelClock, metrics));
        tokio::select! {
            result = &mut serve => return Ok(result?),
            () = context.stopping() => {}
        }
        let _ = stop.send(true);
        Ok(serve.await?)
    })
}
