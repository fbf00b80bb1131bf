//! The smallest service, as an example of the frame and as the tests' subject: counts its reloads.

use clap::Parser as _;
use orlop_service::{Arguments, run};
use prometheus_client::metrics::counter::Counter;
use std::process::ExitCode;

#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    service: Arguments,
}

fn main() -> ExitCode {
    let ended = run("example", Args::parse().service, |context| async move {
        context.arguments.read_config()?;
        let reloads = Counter::<u64>::default();
        context.register_metrics(|registry| {
            registry.register(
                "example_reloads",
                "Times the config was put in place",
                reloads.clone(),
            );
        });
        let mut changes = context.reloads();
        context.ready();
        loop {
            tokio::select! {
                () = context.stopping() => return Ok(()),
                changed = changes.changed() => {
                    changed?;
                    reloads.inc();
                    context.status(&format!("reloaded {} times", reloads.get()));
                }
            }
        }
    });
    if ended.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
