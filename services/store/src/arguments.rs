//! The command line: etcd's flag names, checked as a whole before anything is touched.
//!
//! Only flags that something is done about are here; others are refused as unknown rather than taken in silence.

use crate::{
    executor::{
        member::{ClusterState, Settings},
        server::Limits,
    },
    planner::compaction::{PERIOD_MAX, Policy},
};
use etcd_client::MemberUrl;
use http_server::tls::Files;
use jiff::SignedDuration;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use url::{Host, Url};

/// Longest election timeout in milliseconds (etcd's bound).
const ELECTION_MAX: u64 = 50_000;
/// Heartbeats that an election timeout must leave room for (etcd's bound).
const HEARTBEATS_PER_ELECTION_MIN: u64 = 5;

/// Flags that say which member of which cluster this is.
#[derive(Debug, Clone, clap::Args)]
pub struct Cluster {
    /// Name of this member.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Where the store keeps its files [default: NAME.etcd].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where peers are told to connect.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://localhost:2380"
    )]
    pub initial_advertise_peer_urls: Vec<String>,
    /// Names and peer URLs of all first members [default: NAME= each of --initial-advertise-peer-urls].
    #[arg(long, value_name = "NAME=URL", value_delimiter = ',')]
    pub initial_cluster: Vec<String>,
    /// Tells clusters of equal members apart.
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
}

/// Flags of `orlop store`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which member of which cluster this is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Where clients connect: http on loopback, https elsewhere, or unix:///PATH.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub listen_client_urls: Vec<String>,
    /// Where clients are told to connect.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub advertise_client_urls: Vec<String>,
    /// Where /metrics and health are served besides.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub listen_metrics_urls: Vec<String>,
    /// Where peers connect.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://localhost:2380"
    )]
    pub listen_peer_urls: Vec<String>,
    /// Whether the cluster begins now.
    #[arg(long, value_enum, default_value = "new")]
    pub initial_cluster_state: InitialState,
    /// The certificate for clients (PEM).
    #[arg(long, value_name = "FILE")]
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// CAs of clients (PEM).
    #[arg(long, value_name = "FILE")]
    pub trusted_ca_file: Option<PathBuf>,
    /// Clients must show a certificate: with https always, since there are no passwords.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub client_cert_auth: Option<bool>,
    /// The certificate for peers (PEM).
    #[arg(long, value_name = "FILE")]
    pub peer_cert_file: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE")]
    pub peer_key_file: Option<PathBuf>,
    /// CAs of peers (PEM).
    #[arg(long, value_name = "FILE")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// Peers must show a certificate: with https always.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub peer_client_cert_auth: Option<bool>,
    /// Bytes of records beyond which puts are refused; 0 for 2 GiB, less than 0 for no bound.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub quota_backend_bytes: i64,
    /// What --auto-compaction-retention counts.
    #[arg(long, value_enum, default_value = "periodic")]
    pub auto_compaction_mode: AutoCompactionMode,
    /// History that is kept: hours or a time such as 30m (periodic), a number (revision); 0 for all.
    #[arg(long, value_name = "RETENTION", default_value = "0")]
    pub auto_compaction_retention: String,
    /// Time between two comparisons of all members' data, such as 10m; 0 for never.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub experimental_corrupt_check_time: String,
    /// Operations of a transaction.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().transaction_operations)]
    pub max_txn_ops: usize,
    /// Bytes of a request.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().request_bytes)]
    pub max_request_bytes: usize,
    /// Entries of the log after which a durable checkpoint is made.
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().checkpoint_entries)]
    pub snapshot_count: u64,
    /// Milliseconds between two signs of life of the leader.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub heartbeat_interval: u64,
    /// Milliseconds without a sign of life after which an election begins.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub election_timeout: u64,
}

/// `--initial-cluster-state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InitialState {
    /// All members of the initial cluster begin it together.
    New,
    /// The cluster is there and has been told of this member.
    Existing,
}

/// `--auto-compaction-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AutoCompactionMode {
    /// By age.
    Periodic,
    /// By number.
    Revision,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Plain HTTP on loopback.
    Plain(SocketAddr),
    /// Mutual TLS.
    Tls(SocketAddr),
    /// Plain HTTP on a socket.
    Unix(PathBuf),
}

/// What the flags come to.
#[derive(Debug, Clone)]
pub struct Checked {
    /// How the member runs.
    pub member: Settings,
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Bounds of requests.
    pub limits: Limits,
    /// For clients.
    pub clients: Vec<Endpoint>,
    /// For metrics and health.
    pub metrics: Vec<Endpoint>,
    /// For peers.
    pub peers: Vec<Endpoint>,
    /// Certificates for clients, where one of their endpoints needs them.
    pub client_tls: Option<Files>,
    /// Certificates for peers, where they listen or are called by https.
    pub peer_tls: Option<Files>,
}

/// What is wrong with the flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// A URL of a flag cannot be used.
    #[error("--{flag}: {url:?}: {reason}")]
    Url {
        /// Which flag.
        flag: &'static str,
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Flags that do not fit together, or a value out of range.
    #[error("{0}")]
    Flags(String),
}

impl Args {
    /// Checks the flags as a whole.
    ///
    /// # Errors
    /// [`ArgumentsError`]: the first that is wrong.
    pub fn check(self) -> Result<Checked, ArgumentsError> {
        self.check_numbers()?;
        let listen = if self.listen_client_urls.is_empty() {
            vec!["http://localhost:2379".to_owned()]
        } else {
            self.listen_client_urls.clone()
        };
        let client_urls = match (self.listen_client_urls.len(), &*self.advertise_client_urls) {
            (0, []) => listen.clone(),
            (_, []) => {
                return Err(wrong(
                    "--advertise-client-urls is required when --listen-client-urls is set explicitly",
                ));
            }
            (_, urls) => urls.to_vec(),
        };
        for url in &client_urls {
            advertised("advertise-client-urls", url)?;
        }
        let clients = endpoints("listen-client-urls", &listen)?;
        let metrics = endpoints("listen-metrics-urls", &self.listen_metrics_urls)?;
        let peers = endpoints("listen-peer-urls", &self.listen_peer_urls)?;
        let auto_compaction = self.auto_compaction()?;
        let corruption_check = duration(&self.experimental_corrupt_check_time)
            .map_err(|fault| wrong(format!("--experimental-corrupt-check-time: {fault}")))?;
        let data_dir = self.cluster.directory();
        let identity = self.cluster.check()?;
        let election = Duration::from_millis(self.election_timeout);
        let quota_bytes = match u64::try_from(self.quota_backend_bytes) {
            Ok(0) => Settings::default().quota_bytes,
            Ok(bytes) => bytes,
            Err(_) => u64::MAX,
        };
        // etcd's rule: one and a half elections, in whole seconds, rounded up.
        let lease_seconds_min = (election * 3 / 2).as_millis().div_ceil(1000);
        let called = |(_, url): &(String, String)| url.starts_with("https:");
        let peer_tls = tls(
            peers.iter().any(is_tls) || identity.initial_cluster.iter().any(called),
            "peer-",
            [
                &self.peer_cert_file,
                &self.peer_key_file,
                &self.peer_trusted_ca_file,
            ],
            self.peer_client_cert_auth,
        )?;
        Ok(Checked {
            limits: Limits {
                request_bytes: self.max_request_bytes,
                transaction_operations: self.max_txn_ops,
                lease_seconds_min: i64::try_from(lease_seconds_min)
                    .expect("an election is bounded by less than a minute"),
                quota_bytes,
                leaderless_max: election * 3,
            },
            client_tls: tls(
                clients.iter().chain(&metrics).any(is_tls),
                "",
                [&self.cert_file, &self.key_file, &self.trusted_ca_file],
                self.client_cert_auth,
            )?,
            peer_tls: peer_tls.clone(),
            data_dir,
            member: Settings {
                cluster_state: match self.initial_cluster_state {
                    InitialState::New => ClusterState::New,
                    InitialState::Existing => ClusterState::Existing,
                },
                peer_certificates: peer_tls,
                client_urls,
                heartbeat: Duration::from_millis(self.heartbeat_interval),
                election,
                quota_bytes,
                auto_compaction,
                corruption_check: Some(corruption_check).filter(|time| !time.is_zero()),
                checkpoint_entries: self.snapshot_count,
                ..identity
            },
            clients,
            metrics,
            peers,
        })
    }

    fn auto_compaction(&self) -> Result<Policy, ArgumentsError> {
        let text = self.auto_compaction_retention.as_str();
        let fault = |fault: &str| wrong(format!("--auto-compaction-retention={text}: {fault}"));
        let number = text.parse::<i64>().ok();
        match (self.auto_compaction_mode, number) {
            (_, Some(0)) => Ok(Policy::Off),
            (_, Some(number)) if number < 0 => Err(fault("must not be below zero")),
            (AutoCompactionMode::Revision, Some(number)) => Ok(Policy::Revisions(number)),
            (AutoCompactionMode::Revision, None) => Err(fault("must be a number of revisions")),
            (AutoCompactionMode::Periodic, number) => {
                let period = match number {
                    Some(hours) => u64::try_from(hours)
                        .ok()
                        .and_then(|hours| hours.checked_mul(3600))
                        .map(Duration::from_secs)
                        .ok_or_else(|| fault("too long"))?,
                    None => duration(text).map_err(|error| fault(&error))?,
                };
                if period.is_zero() {
                    return Ok(Policy::Off);
                }
                if period > PERIOD_MAX {
                    return Err(fault("longer than ten years"));
                }
                Ok(Policy::Periodic(period))
            }
        }
    }

    fn check_numbers(&self) -> Result<(), ArgumentsError> {
        let (heartbeat, election) = (self.heartbeat_interval, self.election_timeout);
        if heartbeat == 0 || election == 0 {
            return Err(wrong(
                "--heartbeat-interval and --election-timeout must be >0 (in milliseconds)",
            ));
        }
        if election > ELECTION_MAX {
            return Err(wrong(format!(
                "--election-timeout[{election}ms] is too long, and should be set less than {ELECTION_MAX}ms"
            )));
        }
        if heartbeat.saturating_mul(HEARTBEATS_PER_ELECTION_MIN) > election {
            return Err(wrong(format!(
                "--election-timeout[{election}ms] should be at least as {HEARTBEATS_PER_ELECTION_MIN} times as --heartbeat-interval[{heartbeat}ms]"
            )));
        }
        for (flag, zero) in [
            ("max-txn-ops", self.max_txn_ops == 0),
            ("max-request-bytes", self.max_request_bytes == 0),
            ("snapshot-count", self.snapshot_count == 0),
        ] {
            if zero {
                return Err(wrong(format!("--{flag} must not be empty or zero")));
            }
        }
        Ok(())
    }
}

impl Cluster {
    /// The member's settings as far as they are here; everything else has its default.
    ///
    /// # Errors
    /// [`ArgumentsError`].
    pub fn check(self) -> Result<Settings, ArgumentsError> {
        if self.name.is_empty() {
            return Err(wrong("--name must not be empty or zero"));
        }
        for url in &self.initial_advertise_peer_urls {
            advertised("initial-advertise-peer-urls", url)?;
            MemberUrl::parse(url)
                .map_err(|fault| wrong(format!("--initial-advertise-peer-urls: {fault}")))?;
        }
        Ok(Settings {
            initial_cluster: self.members()?,
            name: self.name,
            token: self.initial_cluster_token,
            ..Settings::default()
        })
    }

    /// Where the member's files are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        let named = || PathBuf::from(format!("{}.etcd", self.name));
        self.data_dir.clone().unwrap_or_else(named)
    }

    /// Names and peer URLs of the first members; ours are those that we advertise.
    fn members(&self) -> Result<Vec<(String, String)>, ArgumentsError> {
        let ours = &self.initial_advertise_peer_urls;
        if self.initial_cluster.is_empty() {
            let member = |url: &String| (self.name.clone(), url.clone());
            return Ok(ours.iter().map(member).collect());
        }
        let mut cluster = Vec::new();
        for entry in &self.initial_cluster {
            let Some((name, url)) = entry.split_once('=').filter(|(name, _)| !name.is_empty())
            else {
                return Err(wrong(format!(
                    "--initial-cluster: {entry:?} is not NAME=URL"
                )));
            };
            advertised("initial-cluster", url)?;
            MemberUrl::parse(url).map_err(|fault| wrong(format!("--initial-cluster: {fault}")))?;
            if cluster.iter().any(|(_, known)| known == url) {
                return Err(wrong(format!("--initial-cluster has {url} twice")));
            }
            cluster.push((name.to_owned(), url.to_owned()));
        }
        let listed = |url: &String| {
            cluster
                .iter()
                .any(|(name, known)| (name, known) == (&self.name, url))
        };
        let named = cluster.iter().filter(|(name, _)| *name == self.name);
        if named.clone().next().is_none() {
            return Err(wrong(format!(
                "couldn't find local name {:?} in the initial cluster configuration",
                self.name
            )));
        }
        if let Some(url) = ours.iter().find(|url| !listed(url)) {
            return Err(wrong(format!(
                "--initial-advertise-peer-urls has {url} but missing from --initial-cluster={}",
                self.initial_cluster.join(",")
            )));
        }
        if let Some((_, url)) = named.clone().find(|(_, url)| !ours.contains(url)) {
            return Err(wrong(format!(
                "--initial-cluster has {url} but missing from --initial-advertise-peer-urls={}",
                ours.join(",")
            )));
        }
        Ok(cluster)
    }
}

/// A time as Go writes it (`1h30m`, `10s`), at least 0.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is no time such as 10m or 1h30m"))?;
    Duration::try_from(duration).map_err(|_| format!("{text:?} is below zero"))
}

fn wrong(text: impl Into<String>) -> ArgumentsError {
    ArgumentsError::Flags(text.into())
}

fn parse(flag: &'static str, text: &str) -> Result<Url, ArgumentsError> {
    let error = |reason| ArgumentsError::Url {
        flag,
        url: text.to_owned(),
        reason,
    };
    let url = Url::parse(text).map_err(|_| error("not a URL"))?;
    if !matches!(url.scheme(), "http" | "https" | "unix") {
        return Err(error("the scheme must be http, https or unix"));
    }
    if url.scheme() != "unix"
        && (url.path() != "/" || url.query().is_some() || !url.username().is_empty())
    {
        return Err(error("there must be nothing but scheme, host and port"));
    }
    Ok(url)
}

/// Checks a URL that others are told.
fn advertised(flag: &'static str, text: &str) -> Result<(), ArgumentsError> {
    let url = parse(flag, text)?;
    let error = |reason| ArgumentsError::Url {
        flag,
        url: text.to_owned(),
        reason,
    };
    match url.host() {
        Some(Host::Ipv4(address)) if address.is_unspecified() => {
            Err(error("nobody can connect to this address"))
        }
        Some(Host::Ipv6(address)) if address.is_unspecified() => {
            Err(error("nobody can connect to this address"))
        }
        _ => Ok(()),
    }
}

fn endpoints(flag: &'static str, urls: &[String]) -> Result<Vec<Endpoint>, ArgumentsError> {
    urls.iter().map(|url| endpoint(flag, url)).collect()
}

/// Where to listen. Names are not looked up: which address a name has is not the store's to choose.
fn endpoint(flag: &'static str, text: &str) -> Result<Endpoint, ArgumentsError> {
    let url = parse(flag, text)?;
    let error = |reason| ArgumentsError::Url {
        flag,
        url: text.to_owned(),
        reason,
    };
    if url.scheme() == "unix" {
        if url.host().is_some() || matches!(url.path(), "" | "/") {
            return Err(error("a socket is written unix:///PATH"));
        }
        return Ok(Endpoint::Unix(PathBuf::from(url.path())));
    }
    let ip = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(Host::Domain(_)) | None => return Err(error("expected IP in URL for binding")),
    };
    // The parser drops a port that is the scheme's own, so that it cannot be told from none.
    let port = url
        .port_or_known_default()
        .ok_or_else(|| error("the port is missing"))?;
    let address = SocketAddr::new(ip, port);
    match url.scheme() {
        "https" => Ok(Endpoint::Tls(address)),
        _ if ip.is_loopback() => Ok(Endpoint::Plain(address)),
        _ => Err(error("plain HTTP is served on loopback only: use https")),
    }
}

fn is_tls(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Tls(_))
}

/// The certificates, where something needs them. TLS is always mutual: a certificate is the only identity there is.
fn tls(
    needed: bool,
    prefix: &str,
    files: [&Option<PathBuf>; 3],
    client_certificates: Option<bool>,
) -> Result<Option<Files>, ArgumentsError> {
    if !needed {
        return Ok(None);
    }
    if client_certificates == Some(false) {
        return Err(wrong(format!(
            "--{prefix}client-cert-auth=false: https is served to those with a certificate only"
        )));
    }
    let [Some(certificate), Some(key), Some(trusted)] = files else {
        return Err(wrong(format!(
            "https needs --{prefix}cert-file, --{prefix}key-file and --{prefix}trusted-ca-file"
        )));
    };
    Ok(Some(Files {
        certificate: certificate.clone(),
        key: key.clone(),
        trusted: trusted.clone(),
    }))
}

#[cfg(test)]
mod tests;
