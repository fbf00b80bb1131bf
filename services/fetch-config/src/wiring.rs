//! From arguments to a running service: one loop of events and actions.

use crate::{
    executor::{
        facts::facts,
        http::{Http, Timeouts},
        init,
    },
    planner::{Action, Event, Fetcher},
};
use init_proto::{
    paths::{CA_BUNDLE, CONTROL_SOCKET, RESOLV_CONF},
    services::FETCH_CONFIG,
};
use machine_config::parts::{FetchConfigPart, PartError, decode};
use service::{Context, RunError, arguments::ConfigError, chain};
use std::path::{Path, PathBuf};

/// Arguments of `orlop fetch-config`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shared flags.
    #[command(flatten)]
    pub service: service::Arguments,
    /// init's control socket.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub init_socket: PathBuf,
    /// Nameservers, in resolv.conf(5)'s form.
    #[arg(long, value_name = "FILE", default_value = RESOLV_CONF)]
    pub resolv_conf: PathBuf,
    /// Authorities that https servers are verified by, in PEM.
    #[arg(long, value_name = "FILE", default_value = CA_BUNDLE)]
    pub ca_bundle: PathBuf,
}

/// Why the service cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The config could not be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The config is not ours.
    #[error("service config")]
    Part(#[from] PartError),
    /// There is nothing to fetch.
    #[error("the service config has no URL")]
    NoUrl,
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// [`RunError`], already logged.
pub fn run(args: Args) -> Result<(), RunError> {
    let arguments = args.service.clone();
    service::run(FETCH_CONFIG, arguments, |context| async move {
        let part: FetchConfigPart =
            decode(&context.arguments.read_config()?).map_err(WiringError::from)?;
        let url = part.url.as_ref().ok_or(WiringError::NoUrl)?;
        let fetcher = Fetcher::new(url.expose().to_owned());
        context.ready();
        tokio::select! {
            () = fetch(fetcher, &part, &args, &context) => {}
            () = context.stopping() => {}
        }
        Ok(())
    })
}

/// Never ends: what was fetched changes the plan, and with it this service goes.
async fn fetch(mut fetcher: Fetcher, part: &FetchConfigPart, args: &Args, context: &Context) {
    let http = Http {
        resolv_conf: args.resolv_conf.clone(),
        ca_bundle: args.ca_bundle.clone(),
        timeouts: Timeouts::default(),
    };
    let begin = || Event::Begin(facts(part.uuid.as_ref(), part.serial.as_ref()));
    let mut event = begin();
    let mut said = false;
    loop {
        event = match fetcher.step(event, random()) {
            Action::Get(target) => {
                tracing::info!(%target, "fetching");
                // Later attempts leave the last failure where people see it.
                if !std::mem::replace(&mut said, true) {
                    context.status(&format!("fetching {target}"));
                }
                match http.get(&target).await {
                    Ok(answer) => Event::Answered(answer),
                    Err(error) => Event::Failed(chain(&error)),
                }
            }
            Action::Apply(config) => apply(&args.init_socket, config).await,
            Action::Wait { why, pause } => {
                tracing::warn!(%why, ?pause, "tried again later");
                context.status(&format!("{why} (tried again)"));
                said = true;
                tokio::time::sleep(pause).await;
                begin()
            }
            Action::Rest { generation } => {
                tracing::info!(generation, "config applied");
                context.status(&format!("config applied as generation {generation}"));
                std::future::pending().await
            }
        };
    }
}

async fn apply(socket: &Path, config: Vec<u8>) -> Event {
    tracing::info!(bytes = config.len(), "fetched; init takes it from here");
    init::apply(socket, config).await
}

fn random() -> u32 {
    let mut bytes = [0_u8; 4];
    // Without randomness the waits are merely their shortest.
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::NONBLOCK);
    u32::from_ne_bytes(bytes)
}
