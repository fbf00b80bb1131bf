//! From the command line to a server that answers, and back to an orderly end.

use crate::{
    arguments::Args,
    executor::{
        access::Access,
        admission::Admission,
        allocator::Allocator,
        api::Api,
        authentication::Authenticator,
        authorization::Authorizer,
        cache::Cache,
        certificates::{self, CertificatesError},
        compaction,
        store::Store,
        tokens::{Tokens, TokensError},
    },
    planner::{
        admission::{Chain, ChainError},
        served::Catalogue,
        services::{Cidr, Ranges},
    },
};
use etcd_client::Dialer;
use http_server::{
    ListenError, Listener, Traffic,
    tls::{Files, Tls, TlsError},
};
use service::{Context, RunError};
use std::{error::Error, net::SocketAddr, path::PathBuf, sync::Arc};

/// Name of the service.
pub const NAME: &str = "apiserver";
/// Where resolvers are listed.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Names under which Pods and people reach the API.
const NAMES: [&str; 5] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// Where the store is.
    #[error("--etcd-servers: {0}")]
    Store(String),
    /// Addresses of Services.
    #[error("--service-cluster-ip-range: {0}")]
    Range(String),
    /// Flags that do not go together.
    #[error("{0}")]
    Flags(&'static str),
    /// Certificates.
    #[error("set up TLS")]
    Tls(#[from] TlsError),
    /// Certificates of our own.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// Admission plugins.
    #[error("--enable-admission-plugins, --disable-admission-plugins")]
    Admission(#[from] ChainError),
    /// Keys of tokens.
    #[error("set up tokens of service accounts")]
    Tokens(#[from] TokensError),
    /// Nobody could connect.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Runs the server until it is asked to stop.
///
/// # Errors
/// [`RunError`], already told.
pub fn run(args: Args) -> Result<(), RunError> {
    service::run_threaded(NAME, args.service.clone(), |context| async move {
        serve(context, args)
            .await
            .map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)
    })
}

async fn serve(context: Context, args: Args) -> Result<(), WiringError> {
    let address = SocketAddr::new(args.bind_address, args.secure_port);
    let files = files(&args, address)?;
    let tls = Arc::new(Tls::optional(files)?);
    let listener = Listener::tls(address, tls).await?;
    let dialer = Dialer::new(store_files(&args), PathBuf::from(RESOLV_CONF))?;
    let store = Store::new(dialer, &args.etcd_servers).map_err(WiringError::Store)?;
    let cache = Cache::new(store.clone(), &args.etcd_prefix);
    let following = tokio::spawn(cache.clone().run());
    let compacting = tokio::spawn(compaction::run(store, args.etcd_compaction_interval));
    let catalogue = Catalogue::builtin();
    let allocator = Allocator::new(cache.clone(), &catalogue, ranges(&args)?);
    let allocator = allocator.map_err(WiringError::Flags)?;
    let chain = Chain::new(
        &args.enable_admission_plugins,
        &args.disable_admission_plugins,
    )?;
    let admission = Admission::new(chain, cache.clone());
    let tokens = tokens(&args)?;
    let authorizer = Authorizer::new();
    let deciding = tokio::spawn(authorizer.clone().run(cache.clone()));
    let access = Access {
        authenticator: Authenticator::new(cache.clone(), Some(tokens.verifier().clone())),
        authorizer,
        anonymous: args.anonymous_auth,
        always: always_allow(&args)?,
    };
    let url = address.to_string();
    let api = Api::new(
        cache.clone(),
        catalogue,
        allocator,
        admission,
        access,
        tokens,
        url,
    );
    let (born, is_born) = tokio::sync::oneshot::channel();
    let bootstrap = {
        let api = api.clone();
        tokio::spawn(async move {
            api.bootstrap(address, true).await;
            // Nobody waits when the server is stopping.
            let _ = born.send(());
            api.aggregate_roles().await;
        })
    };
    let traffic = Arc::new(Traffic::default());
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let done = move || {
        let mut stopping = stopping.clone();
        async move {
            // A sender that is gone stops us, too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    };
    let serving = tokio::spawn(listener.serve(api, traffic, done));
    tracing::info!(%address, "the API is served");
    let ready = async {
        // A sender that is gone has told its error.
        if is_born.await.is_ok() {
            context.ready();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = context.stopping() => {}
        () = ready => {}
    }
    let _ = stop.send(true);
    // It ends by itself, in its own time.
    let _ = serving.await;
    following.abort();
    compacting.abort();
    deciding.abort();
    bootstrap.abort();
    Ok(())
}

/// Who decides.
fn always_allow(args: &Args) -> Result<bool, WiringError> {
    let modes: Vec<&str> = args.authorization_mode.iter().map(String::as_str).collect();
    match modes.as_slice() {
        ["AlwaysAllow"] => Ok(true),
        // Kubelets get their role by their group, until the Node authorizer is there.
        ["RBAC"] | ["Node", "RBAC"] => Ok(false),
        _ => Err(WiringError::Flags(
            "--authorization-mode: RBAC, Node,RBAC or AlwaysAllow",
        )),
    }
}

/// Keys of service accounts' tokens: those that were given, or our own.
fn tokens(args: &Args) -> Result<Tokens, WiringError> {
    let own;
    let signing = match &args.service_account_signing_key_file {
        Some(path) => Some(path.as_path()),
        None if args.service_account_key_file.is_empty() && args.tls_cert_file.is_none() => {
            own = certificates::token_key(&args.cert_dir)?;
            Some(own.as_path())
        }
        None => None,
    };
    let verifying = &args.service_account_key_file;
    Ok(Tokens::read(
        &args.service_account_issuer,
        verifying,
        signing,
    )?)
}

/// Addresses and ports of Services.
fn ranges(args: &Args) -> Result<Ranges, WiringError> {
    let addresses = args
        .service_cluster_ip_range
        .iter()
        .map(|text| Cidr::parse(text));
    let addresses: Vec<_> = addresses
        .collect::<Result<_, _>>()
        .map_err(WiringError::Range)?;
    let two = addresses.first().zip(addresses.get(1));
    if addresses.len() > 2 || two.is_some_and(|(one, other)| one.family() == other.family()) {
        return Err(WiringError::Flags(
            "--service-cluster-ip-range: one range of a family at most",
        ));
    }
    let bad = WiringError::Flags("--service-node-port-range: two ports with a dash between them");
    let ports = args.service_node_port_range.split_once('-');
    let ports = ports.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match ports {
        Some((from, to)) if from <= to && from > 0 => Ok(Ranges {
            addresses,
            ports: (from, to),
        }),
        _ => Err(bad),
    }
}

fn files(args: &Args, address: SocketAddr) -> Result<Files, WiringError> {
    match (
        &args.tls_cert_file,
        &args.tls_private_key_file,
        &args.client_ca_file,
    ) {
        (Some(certificate), Some(key), Some(trusted)) => Ok(Files {
            certificate: certificate.clone(),
            key: key.clone(),
            trusted: trusted.clone(),
        }),
        (None, None, None) => Ok(certificates::make(&args.cert_dir, address, &NAMES)?),
        _ => Err(WiringError::Flags(
            "--tls-cert-file, --tls-private-key-file and --client-ca-file are given all or none",
        )),
    }
}

fn store_files(args: &Args) -> Option<Files> {
    Some(Files {
        certificate: args.etcd_certfile.clone()?,
        key: args.etcd_keyfile.clone()?,
        trusted: args.etcd_cafile.clone()?,
    })
}
