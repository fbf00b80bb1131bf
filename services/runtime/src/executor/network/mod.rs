//! Pods' networks: none, routed links of our own, or plugins of CNI.
//!
//! ```text
//!   a configuration in --cni-conf-dir ──> cni       whose plugins do it all
//!   else a range of pod addresses     ──> routed    a veth for each pod, routes on the node, ports by nftables
//!   else                              ──> none      pods reach themselves; NetworkReady is false
//!
//!   reserve ──> the sandbox's record ──> attach     a crash anywhere: detach, which takes what there is
//! ```
//!
//! Which one it is, is looked at for each pod anew. What a pod has is taken away by what gave it.

mod cni;
mod leftover;
mod namespace;
mod netlink;
mod plugin;
mod routed;
mod rules;
mod statistics;
mod sysctl;

pub use netlink::NetlinkError;
pub use statistics::LinkUsage;

use crate::planner::{
    network::{
        cni_attachment::Attachment,
        ipam::{Ipam, IpamError, Range},
        ports::{self, Mapping, PortError, Ports, Published},
    },
    records::SandboxRecord,
};
use cri_proto::runtime::PodSandboxConfig;
use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Why a pod gets no network, or keeps it.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No address is left.
    #[error(transparent)]
    Addresses(#[from] IpamError),
    /// A port of the node cannot be the pod's.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// Something of the pod's cannot be given to plugins.
    #[error("{0}")]
    Invalid(String),
    /// The plugins, or their configuration.
    #[error("{0}")]
    Cni(String),
    /// Links, addresses and routes.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Rules for ports.
    #[error(transparent)]
    Rules(#[from] nftables::Error),
    /// Files.
    #[error("{doing}")]
    Io {
        /// What was done.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl NetworkError {
    fn at(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// What is kept: the range that a kubelet has told, and what plugins have made.
    pub root: PathBuf,
    /// Configurations of CNI.
    pub cni_conf_dir: PathBuf,
    /// Its plugins, the first directory first.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// Longest run of a plugin.
    pub cni_plugin_timeout: Duration,
    /// Where no kubelet has told others.
    pub pod_cidrs: Vec<Range>,
}

/// Which pod is to have a network, or has one.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its sandbox's ID.
    pub sandbox: String,
    /// Where its network namespace is pinned.
    pub namespace: PathBuf,
    /// As it was asked for.
    pub config: PodSandboxConfig,
    /// When, nanoseconds since 1970.
    pub asked_at: i64,
}

/// What a pod is to get.
#[derive(Debug)]
pub struct Reserved {
    /// Known before it has them: of the routed network.
    pub addresses: Vec<IpAddr>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    None,
    Routed { publishes: bool },
    Cni(Box<Attachment>),
}

/// The node's pod network. Clones are the same.
#[derive(Debug, Clone)]
pub struct Network(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    told: PathBuf,
    cni: cni::Cni,
    state: Mutex<State>,
    rules: rules::Rules,
}

#[derive(Debug, Default)]
struct State {
    ipam: Ipam,
    ports: Ports,
}

/// The file with the range that a kubelet has told: it tells it once, and not again to the next runtime.
const TOLD: &str = "pod-cidr";

impl Network {
    /// As it is configured, and as a kubelet has told an earlier runtime.
    ///
    /// # Errors
    /// [`NetworkError::Io`].
    pub fn open(options: NetworkOptions) -> Result<Self, NetworkError> {
        let root = options.root.clone();
        fs::create_dir_all(&root).map_err(NetworkError::at(format!("make {}", root.display())))?;
        let told = root.join(TOLD);
        let mut ranges = options.pod_cidrs.clone();
        match fs::read_to_string(&told) {
            Ok(text) => match Range::parse_list(&text) {
                Ok(told) => ranges = told,
                Err(error) => {
                    tracing::warn!(%error, "the range that a kubelet told cannot be read")
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(NetworkError::at(format!("read {}", told.display()))(error)),
        }
        let mut state = State::default();
        state.ipam.set_ranges(ranges);
        Ok(Self(Arc::new(Inner {
            told,
            cni: cni::Cni::open(&options)?,
            state: Mutex::new(state),
            rules: rules::Rules::default(),
        })))
    }

    /// Whether pods can be given a network.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub async fn ready(&self) -> Result<(), String> {
        if let Some(list) = self.0.cni.configuration().await? {
            return self.0.cni.status(&list).await;
        }
        let ranges = self.ranges();
        if ranges.is_empty() {
            return Err(format!(
                "there is no pod network: no CNI configuration in {}, and no range of pod addresses; add a configuration, give \
                 --pod-cidr, or let the kubelet tell the node's pod CIDR",
                self.0.cni.conf_dir().display()
            ));
        }
        let forwarded = blocking(move || Ok(sysctl::forward(&ranges)?)).await;
        forwarded.map_err(|error| service::chain(&error))
    }

    /// Which addresses pods have, from now on. Pods that have others keep them.
    ///
    /// # Errors
    /// [`NetworkError::Addresses`]: it is no range of addresses.
    pub async fn set_cidr(&self, cidr: &str) -> Result<(), NetworkError> {
        let ranges = Range::parse_list(cidr)?;
        let list: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let network = self.clone();
        blocking(move || {
            let told = &network.0.told;
            let scratch = told.with_extension("new");
            // Held meanwhile: of two that are told at once, the file has the one that is used.
            let mut state = network.state();
            fs::write(&scratch, list.join(","))
                .and_then(|()| fs::rename(&scratch, told))
                .map_err(NetworkError::at("keep the range of pod addresses"))?;
            state.ipam.set_ranges(ranges);
            Ok(())
        })
        .await
    }

    /// A sandbox of an earlier runtime has its addresses and ports.
    pub async fn keep(&self, record: &SandboxRecord) {
        if record.addresses.is_empty() || self.0.cni.has(&record.id).await {
            return;
        }
        let mut state = self.state();
        for address in &record.addresses {
            if let Err(holder) = state.ipam.keep(*address, &record.id, record.created_at) {
                tracing::error!(%address, sandbox = record.id, holder, "two sandboxes have one address");
            }
        }
        // They were read when it was made.
        let mappings = ports::read(&record.config.port_mappings).unwrap_or_default();
        publish(&mut state.ports, &record.id, &record.addresses, mappings);
    }

    /// All sandboxes that have a network are known: what others have left goes. A table of an earlier runtime too, where the network is
    /// another now.
    pub async fn settle(&self) {
        let turn = self.0.rules.turn().await;
        let (ports, routed) = self.table();
        if let Err(error) = turn.write(&ports, routed, &[]).await {
            let error = service::chain(&error);
            if routed {
                tracing::error!(error, "the rules for pods cannot be written");
            } else {
                // Such a kernel has none of ours either.
                tracing::debug!(error, "there are no rules for pods to remove");
            }
        }
    }

    /// For the rules: ports of pods, and whether there are pods with routed links, or could be.
    fn table(&self) -> (Ports, bool) {
        let state = self.state();
        let routed = !state.ipam.ranges().is_empty() || state.ipam.is_used();
        (state.ports.clone(), routed)
    }

    /// Of which sandboxes plugins have made something.
    #[must_use]
    pub fn attached(&self) -> BTreeSet<String> {
        self.0.cni.attached()
    }

    /// Takes away what plugins have made for these sandboxes, which are no more, and looks at those of the others.
    pub async fn collect(&self, gone: BTreeSet<String>) {
        self.0.cni.collect(gone).await;
    }

    /// What a sandbox is to get is nobody else's from now on. Nothing is done yet: its record comes first.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is reserved.
    pub async fn reserve(&self, ask: &Ask) -> Result<Reserved, NetworkError> {
        let list = self
            .0
            .cni
            .configuration()
            .await
            .map_err(NetworkError::Cni)?;
        let ranges = self.ranges();
        if let Some(list) = list {
            let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            let attachment = Attachment::new(&ask.sandbox, &ask.config, &list, &ranges)
                .map_err(NetworkError::Invalid)?;
            self.0.cni.begin(&list, &attachment).await?;
            return Ok(Reserved {
                addresses: Vec::new(),
                kind: Kind::Cni(Box::new(attachment)),
            });
        }
        let mappings = ports::read(&ask.config.port_mappings)?;
        if ranges.is_empty() {
            return Ok(Reserved {
                addresses: Vec::new(),
                kind: Kind::None,
            });
        }
        let mut state = self.state();
        ports::check(&state.ports, &ask.sandbox, &mappings)?;
        let addresses = state.ipam.take(&ask.sandbox, ask.asked_at)?;
        let publishes = !mappings.is_empty();
        publish(&mut state.ports, &ask.sandbox, &addresses, mappings);
        Ok(Reserved {
            addresses,
            kind: Kind::Routed { publishes },
        })
    }

    /// Gives a sandbox its network; its addresses, the first one first.
    ///
    /// # Errors
    /// [`NetworkError`]; what was done until then is for [`Self::detach`].
    pub async fn attach(&self, ask: &Ask, reserved: Reserved) -> Result<Vec<IpAddr>, NetworkError> {
        match reserved.kind {
            Kind::None => Ok(Vec::new()),
            Kind::Cni(attachment) => self.0.cni.add(ask, *attachment).await,
            Kind::Routed { publishes } => {
                let ranges = self.ranges();
                blocking(move || Ok(sysctl::forward(&ranges)?)).await?;
                routed::attach(ask, &reserved.addresses, publishes).await?;
                // Also without ports: nothing of the pod's runs before what it sends is looked at.
                let turn = self.0.rules.turn().await;
                let (ports, routed) = self.table();
                turn.write(&ports, routed, mappings_of(&ports, &ask.sandbox))
                    .await?;
                Ok(reserved.addresses)
            }
        }
    }

    /// Takes it away. What is gone already is no error.
    ///
    /// # Errors
    /// [`NetworkError`]; it keeps its addresses until it can be done.
    pub async fn detach(&self, ask: &Ask) -> Result<(), NetworkError> {
        self.0.cni.delete(ask).await?;
        routed::detach(&ask.sandbox).await?;
        let turn = self.0.rules.turn().await;
        let (mut ports, routed) = self.table();
        if let Some(published) = ports.remove(&ask.sandbox) {
            turn.write(&ports, routed, &published.mappings).await?;
        }
        let mut state = self.state();
        state.ports.remove(&ask.sandbox);
        state.ipam.release(&ask.sandbox);
        Ok(())
    }

    /// What went through the links of a namespace, without its loopback.
    ///
    /// # Errors
    /// [`NetworkError::Netlink`].
    pub async fn usage(&self, namespace: &Path) -> Result<Vec<LinkUsage>, NetworkError> {
        Ok(statistics::of_namespace(namespace).await?)
    }

    fn ranges(&self) -> Vec<Range> {
        self.state().ipam.ranges().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits for files.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let failed = NetworkError::at("set up the network");
        Err(failed(io::Error::other(error)))
    })
}

fn mappings_of<'a>(ports: &'a Ports, sandbox: &str) -> &'a [Mapping] {
    ports
        .get(sandbox)
        .map_or(&[], |published| published.mappings.as_slice())
}

fn publish(ports: &mut Ports, sandbox: &str, addresses: &[IpAddr], mappings: Vec<Mapping>) {
    if !mappings.is_empty() {
        let published = Published {
            addresses: addresses.to_vec(),
            mappings,
        };
        ports.insert(sandbox.to_owned(), published);
    }
}

/// Where a sandbox's namespaces are pinned, in its directory.
#[must_use]
pub fn namespace_file(directory: &Path, name: &str) -> PathBuf {
    directory.join("ns").join(name)
}

/// Whether a namespace is mounted at a path: it is on a file system of its own, nsfs.
pub(super) fn is_pinned(path: &Path) -> bool {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(path)
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| kind == NSFS_MAGIC))
}
