//! The network service: links, addresses, routes, DHCPv4, router advertisements, resolvers, host name.
//!
//! ```text
//!   config ──> settings ─┐
//!   kernel ──> links, addresses, routes ─┼─> planner::plan ──> operations ──> executor ──> kernel
//!   DHCP servers <──> planner::dhcp ──> leases ─┘                                 │
//!        ^                                                                        v
//!        └── any change of kernel, leases or config begins another round <────────┘
//! ```
//!
//! Everything is level-triggered: each round compares all that is wanted with all that is, so the
//! service converges from any state. It removes only what carries its own mark
//! ([`planner::model::PROTOCOL`]); addresses and routes of the kernel, of the pod network and of
//! anybody else stay.
//!
//! Written for others, in the runtime directory: `resolv.conf` and `time-servers`.

pub mod config;
pub mod executor;
pub mod metrics;
pub mod planner;
pub mod wiring;

use init_proto::paths::MACHINE_ID;
use std::path::PathBuf;

/// Name of the service.
pub const NAME: &str = "network";

/// Flags of the network service.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Flags that every service has.
    #[command(flatten)]
    pub service: service::Arguments,
    /// File with the machine id; a node without a host name is named after it.
    #[arg(long, value_name = "FILE", default_value = MACHINE_ID)]
    pub machine_id_file: PathBuf,
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// [`service::RunError`], already logged.
pub fn run(args: Args) -> Result<(), service::RunError> {
    let Args {
        service: arguments,
        machine_id_file,
    } = args;
    service::run(NAME, arguments, |context| async move {
        let metrics = metrics::Metrics::default();
        context.register_metrics(|registry| metrics.register(registry));
        let seams = wiring::Seams {
            arguments: context.arguments.clone(),
            reloads: context.reloads(),
            machine_id: machine_id_file,
            ready: Box::new({
                let context = context.clone();
                move || context.ready()
            }),
            status: Box::new({
                let context = context.clone();
                move |line| context.status(line)
            }),
        };
        tokio::select! {
            result = wiring::serve(seams, metrics) => Ok(result?),
            () = context.stopping() => Ok(()),
        }
    })
}
