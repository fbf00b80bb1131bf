//! Goes through what the crate kube offers, against the API server of the kubeconfig in `KUBECONFIG`, and prints what it
//! is told.
//!
//! ```text
//!   orlop-kube-client objects      each call of a typed and of a dynamic API, and what it answers
//!   orlop-kube-client reflector    a store that is kept by a watch while eight writers write
//!   orlop-kube-client controller   a controller with owned objects and a finalizer
//!   orlop-kube-client watch NAMESPACE list|stream
//!                                  what a watcher of the namespace's ConfigMaps yields, for ever
//! ```
//!
//! One line for each answer or event, and nothing in it that depends on the run.

mod controller;
mod objects;
mod reflector;
mod watch;

use anyhow::{Context as _, Result, bail};
use std::process::ExitCode;
use std::time::Duration;

/// For everything but a watch: five times what it takes, and less than the test waits, so that what was printed until
/// then is seen.
const TAKES_MAX: Duration = Duration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let client = kube::Client::try_default()
        .await
        .context("read the kubeconfig")?;
    let work = async {
        match words.as_slice() {
            ["objects"] => objects::run(&client).await,
            ["reflector"] => reflector::run(&client).await,
            ["controller"] => controller::run(&client).await,
            _ => {
                bail!("orlop-kube-client objects|reflector|controller|watch NAMESPACE list|stream")
            }
        }
    };
    if let ["watch", namespace, strategy @ ("list" | "stream")] = words.as_slice() {
        return watch::run(&client, namespace, *strategy == "stream").await;
    }
    tokio::time::timeout(TAKES_MAX, work)
        .await
        .with_context(|| format!("not done within {TAKES_MAX:?}"))?
}

/// An error's status as one line: code, reason and message.
fn refused<T>(what: &str, answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) => {
            println!(
                "{what}: {} {}: {}",
                status.code, status.reason, status.message
            );
            Ok(())
        }
        Err(other) => Err(other).with_context(|| format!("{what}: refused, but not by a Status")),
        Ok(_) => bail!("{what}: was not refused"),
    }
}
