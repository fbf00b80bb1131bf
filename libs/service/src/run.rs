//! The frame around a service's own future.

use crate::{Arguments, Context, metrics, notify::Notifier, process::Process};
use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    error::Error,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::MissedTickBehavior,
};

/// Time that a service has to end after it was asked to, before its process ends anyway. Below the
/// supervisor's own deadline, so that the end is ours and is logged.
pub const STOP_DEADLINE: Duration = Duration::from_secs(8);
const METRICS_SOCKET: &str = "metrics.sock";

/// Why a service ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Logs could not be started.
    #[error("{0}")]
    Logs(String),
    /// Runtime, signals or sockets of the frame failed.
    #[error("start {what}")]
    Start {
        /// Which part.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The service's own future failed.
    #[error("service {name} failed")]
    Failed {
        /// Its name.
        name: &'static str,
        /// Its error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service's future did not end after it was asked to.
    #[error("service {name} did not stop within {STOP_DEADLINE:?}")]
    StopTimeout {
        /// Its name.
        name: &'static str,
    },
}

/// Runs a service until its future ends, or until [`STOP_DEADLINE`] after it was asked to stop.
///
/// Starts logs, signals, the watchdog's pulse and the metrics endpoint, on one single-threaded runtime:
/// a loop that hangs stops the pulse, and the supervisor restarts the service.
///
/// # Errors
/// [`RunError`], already logged.
pub fn run<M, F>(name: &'static str, arguments: Arguments, main: M) -> Result<(), RunError>
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    run_on(Builder::new_current_thread(), name, arguments, main)
}

/// The same on as many threads as there are processors: for a service whose work for one client must not wait for that of
/// another.
///
/// # Errors
/// [`RunError`], already logged.
#[cfg(feature = "threads")]
pub fn run_threaded<M, F>(name: &'static str, arguments: Arguments, main: M) -> Result<(), RunError>
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    run_on(Builder::new_multi_thread(), name, arguments, main)
}

fn run_on<M, F>(
    mut runtime: Builder,
    name: &'static str,
    arguments: Arguments,
    main: M,
) -> Result<(), RunError>
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    crate::logs::start(&arguments.log_level).map_err(RunError::Logs)?;
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|source| RunError::Start {
            what: "runtime",
            source,
        })?;
    let result = runtime.block_on(supervise(name, arguments, main));
    // A blocking task (a file being read) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &result {
        tracing::error!(error = %chain(error), "service ends");
    }
    result
}

async fn supervise<M, F>(name: &'static str, arguments: Arguments, main: M) -> Result<(), RunError>
where
    M: FnOnce(Context) -> F,
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let start = |what| move |source| RunError::Start { what, source };
    let notifier = Arc::new(Notifier::from_env().map_err(start("notify socket"))?);
    let (stop, stopping) = watch::channel(false);
    let (reload, reloads) = watch::channel(0_u64);
    let registry: metrics::Shared = Arc::new(Mutex::new(base_registry(name)));
    let mut terminate = signal(SignalKind::terminate()).map_err(start("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(start("SIGINT"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(start("SIGHUP"))?;
    if let Some(directory) = &arguments.runtime_dir {
        let path = directory.join(METRICS_SOCKET);
        let registry = Arc::clone(&registry);
        tokio::spawn(async move { logged(metrics::serve_unix(&path, registry).await) });
    }
    if let Some(address) = arguments.metrics_bind_address {
        let listener = TcpListener::bind(address)
            .await
            .map_err(start("metrics address"))?;
        tokio::spawn({
            let registry = Arc::clone(&registry);
            async move {
                metrics::serve_tcp(listener, registry).await;
            }
        });
    }
    if let Some(longest_silence) = notifier.watchdog() {
        tokio::spawn(pulse(Arc::clone(&notifier), longest_silence / 3));
    }
    tracing::info!(service = name, version = crate::version(), "service starts");
    let context = Context {
        arguments,
        notifier: Arc::clone(&notifier),
        stopping,
        reloads,
        registry,
    };
    let mut main = std::pin::pin!(main(context));
    loop {
        tokio::select! {
            result = &mut main => return result.map_err(|source| RunError::Failed { name, source }),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload.send_modify(|count| *count += 1),
        }
    }
    notifier.send("STOPPING=1");
    let _ = stop.send(true);
    match tokio::time::timeout(STOP_DEADLINE, main).await {
        Ok(result) => result.map_err(|source| RunError::Failed { name, source }),
        Err(_) => Err(RunError::StopTimeout { name }),
    }
}

async fn pulse(notifier: Arc<Notifier>, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        notifier.send("WATCHDOG=1");
    }
}

fn base_registry(name: &str) -> Registry {
    let mut registry = Registry::default();
    let build = Family::<Vec<(String, String)>, Gauge>::default();
    build
        .get_or_create(&vec![
            ("service".to_owned(), name.to_owned()),
            ("version".to_owned(), crate::version().to_owned()),
        ])
        .set(1);
    registry.register("orlop_build_info", "Version of the running service", build);
    registry.register_collector(Box::new(Process));
    registry
}

fn logged(result: io::Result<std::convert::Infallible>) {
    let Err(error) = result;
    tracing::warn!(%error, "metrics are not served");
}

/// An error with its sources, "a: b: c".
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
