//! From the command line to a running member, and back to an orderly end.
//!
//! ```text
//!   flags ──checked──> listeners bound ──> member opened ──> clients served ──> ready
//!   SIGTERM ──> leadership given away, no new calls, watches ended ──> checkpoint ──> end
//! ```
//!
//! A member that cannot go on (its disk failed) ends the process: the supervisor starts it again.

use crate::{
    arguments::{self, Checked, Endpoint},
    executor::{
        http::Http,
        member::{Member, MemberError, MemberMetrics},
        metrics::Metrics,
        server::{Api, Services},
        watch,
    },
    tools::Tool,
};
use http_server::{
    ListenError, Listener,
    tls::{Files, Tls, TlsError},
};
use prometheus_client::collector::Collector;
use service::{Context, RunError, process::Process};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// Name of the service.
pub const NAME: &str = "store";
/// Clients wait this long for a member that finds no quorum: some elections.
const PUBLISHED_MAX: Duration = Duration::from_secs(5);

/// Arguments of `orlop store`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shared flags.
    #[command(flatten)]
    pub service: service::Arguments,
    /// etcd's flags.
    #[command(flatten)]
    pub flags: arguments::Args,
    /// Something else than running a member.
    #[command(subcommand)]
    pub tool: Option<Tool>,
}

/// Why the store does not run.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A flag.
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentsError),
    /// Nobody could connect.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Certificates.
    #[error("set up TLS")]
    Tls(#[from] TlsError),
    /// The member.
    #[error(transparent)]
    Member(#[from] MemberError),
}

/// Runs one member until it is asked to stop, or does what a tool does.
///
/// # Errors
/// [`RunError`], already told.
pub fn run(args: Args) -> Result<(), RunError> {
    if let Some(tool) = args.tool {
        // A tool speaks to a person: one line, and no log.
        return tool.run().or_else(|error| {
            eprintln!("orlop store: {}", service::chain(&error));
            std::process::exit(1)
        });
    }
    let mut arguments = args.service;
    // openraft tells each step of an election at `info`. A filter that names it goes first.
    arguments.log_level = format!("openraft=warn,{}", arguments.log_level);
    service::run(NAME, arguments, |context| async move {
        let checked = args.flags.check().map_err(WiringError::from)?;
        serve(context, checked)
            .await
            .map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)
    })
}

async fn serve(context: Context, checked: Checked) -> Result<(), WiringError> {
    let clients = listen(&checked.clients, checked.client_tls.as_ref()).await?;
    let metrics_only = listen(&checked.metrics, checked.client_tls.as_ref()).await?;
    let peers = listen(&checked.peers, checked.peer_tls.as_ref()).await?;
    let name = checked.member.name.clone();
    let member = Member::open(&checked.data_dir, checked.member, peers).await?;
    let collectors: Vec<Box<dyn Collector>> =
        vec![Box::new(MemberMetrics(member.clone())), Box::new(Process)];
    let metrics = Metrics::new(checked.limits.quota_bytes, collectors);
    let api = Api::new(member.clone(), checked.limits);
    let traffic = metrics.traffic();
    let http = Http::new(Services::new(api, metrics.calls()), metrics);
    let stop = watch::Sender::new(false);
    let stopping = stop.subscribe();
    let mut serving = JoinSet::new();
    for listener in clients {
        let published = published(member.clone(), stopping.clone());
        let serve = listener.serve(http.clone(), traffic.clone(), watch::done(stopping.clone()));
        serving.spawn(async move {
            published.await;
            serve.await;
        });
    }
    for listener in metrics_only {
        serving.spawn(listener.serve(
            http.without_store(),
            traffic.clone(),
            watch::done(stopping.clone()),
        ));
    }
    tracing::info!(
        name,
        member = format!("{:x}", member.id()),
        cluster = format!("{:x}", member.cluster_id()),
        "the member serves clients"
    );
    let ended = tokio::select! {
        error = until_ready(&context, &member) => Some(error),
        () = context.stopping() => None,
    };
    stop.send_replace(true);
    let stopped = member.stop().await;
    while serving.join_next().await.is_some() {}
    match ended {
        // Why it ended comes before what came of ending it.
        Some(error) => Err(error.into()),
        None => Ok(stopped?),
    }
}

/// Waits until lists of members tell where this one serves clients, as etcd does: a client that asks at once is told nothing
/// wrong. A member that finds no quorum serves what it can after a while.
async fn published(member: Member, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = member.published() => {}
        () = sleep(PUBLISHED_MAX) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// Tells the supervisor when the member has a leader and is up to date; returns when the member has stopped by itself.
async fn until_ready(context: &Context, member: &Member) -> MemberError {
    let ready = async {
        if member.wait_ready().await.is_ok() {
            member.published().await;
            context.ready();
        }
        std::future::pending().await
    };
    tokio::select! {
        error = member.ended() => error,
        error = ready => error,
    }
}

async fn listen(
    endpoints: &[Endpoint],
    files: Option<&Files>,
) -> Result<Vec<Listener>, WiringError> {
    let tls = files.cloned().map(Tls::new).transpose()?.map(Arc::new);
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        let listener = match (endpoint, &tls) {
            (Endpoint::Plain(address), _) => Listener::plain(*address).await?,
            (Endpoint::Unix(path), _) => Listener::unix(path.clone())?,
            (Endpoint::Tls(address), Some(tls)) => Listener::tls(*address, Arc::clone(tls)).await?,
            (Endpoint::Tls(_), None) => unreachable!("flags are checked: https has its files"),
        };
        listeners.push(listener);
    }
    Ok(listeners)
}
