//! From what a client asks for to what the kernel is told: CRI and image config to the OCI runtime spec.
//!
//! ```text
//!   PodSandboxConfig ──sandbox──> namespaces to make, sysctls to set in them        [`sandbox`]
//!
//!   ContainerConfig ──┐
//!   PodSandboxConfig ─┼─container──> OCI runtime spec, filter, user, stop signal    [`container`]
//!   image config ─────┤
//!   [`Facts`] ────────┘   what only the host knows: paths, devices, user database
//! ```
//!
//! The rules are those that kubelets know from containerd's CRI plugin; where ours differ, the file says so. What
//! cannot be done is an error that names the field, and never left out in silence, but for SELinux, which no host here
//! has, and for settings of containers that `privileged` overrides.
//!
//! This module knows nothing of files, mounts or processes: whoever calls it has looked at the host before.

mod cgroups;
mod devices;
mod filter;
mod mounts;
mod pause;
mod process;
mod sandbox;
mod security;
mod signals;
mod user;

#[cfg(test)]
mod tests;

pub use cgroups::{limits, update};
pub use devices::{HostDevice, Kind};
pub use filter::{Record, Wanted, find_by_prefix};
pub use mounts::{MountSource, SandboxFiles, Volume, volumes};
pub use pause::{Pause, pause};
pub use process::OPEN_FILES_HARD;
pub use sandbox::{Sandbox, Sysctl, UserMappings, sandbox};
pub use security::seccomp_path;
pub use signals::{signal_number, stop_signal};

use super::{
    devices as device_program,
    seccomp::{self, Kernel, Program},
};
use cri_proto::runtime::{
    ContainerConfig, LinuxContainerSecurityContext, LinuxContainerUser, NamespaceMode,
    NamespaceOption, PodSandboxConfig, Signal,
};
use oci_spec::{
    image::{Config, ImageConfiguration},
    runtime::{
        LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, RootBuilder, Spec,
        SpecBuilder,
    },
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Of the OCI runtime spec.
const VERSION: &str = "1.2.0";

/// What only the host knows.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The new container's ID.
    pub id: &'a str,
    /// Where its root file system is mounted.
    pub rootfs: &'a Path,
    /// Its image's config.
    pub image: &'a ImageConfiguration,
    /// The content of the image's /etc/passwd; "" where it has none.
    pub passwd: &'a str,
    /// The content of the image's /etc/group; "" where it has none.
    pub group: &'a str,
    /// The sandbox's namespaces.
    pub namespaces: Namespaces<'a>,
    /// The sandbox's files.
    pub files: SandboxFiles<'a>,
    /// What is behind each of `ContainerConfig.mounts`, in the same order.
    pub mounts: &'a [MountSource],
    /// A directory for each of [`volumes`].
    pub volumes: &'a [Volume],
    /// All devices below the host paths that the config names; of a privileged container all below the host's /dev.
    pub devices: &'a [HostDevice],
    /// The text of the profile that [`seccomp_path`] asked for.
    pub seccomp_profile: Option<&'a [u8]>,
    /// The kernel's version.
    pub kernel: Kernel,
    /// The kernel's highest capability (/proc/sys/kernel/cap_last_cap).
    pub capability_last: usize,
    /// Whether the host has cgroup v2 only.
    pub cgroup_v2: bool,
    /// Whether the kernel counts swap for cgroups.
    pub swap_accounting: bool,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// The host's name, for pods that share its network.
    pub node_name: &'a str,
}

/// Where a sandbox's namespaces are pinned: None for those that are the host's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Namespaces<'a> {
    /// Network.
    pub network: Option<&'a Path>,
    /// System V IPC and POSIX message queues.
    pub ipc: Option<&'a Path>,
    /// Host name.
    pub uts: Option<&'a Path>,
    /// Users.
    pub user: Option<&'a Path>,
    /// Of the pod, or of the target container: whichever the container's config asks for.
    pub pid: Option<&'a Path>,
}

/// A container, as it is to be made.
#[derive(Debug, Clone)]
pub struct Container {
    /// Whole, with the seccomp profile that `filter` was made of.
    pub spec: Spec,
    /// The filter of system calls; none for "unconfined" and privileged containers.
    pub filter: Option<Program>,
    /// What the kernel asks before a device is opened or made, with cgroup v2; none for privileged containers, and with
    /// cgroup v1, where libcontainer writes the rules.
    pub devices: Option<device_program::Program>,
    /// Who its first process is.
    pub user: LinuxContainerUser,
    /// What asks it to stop; never `RuntimeDefault`.
    pub stop_signal: Signal,
}

/// Why a container or sandbox cannot be made as asked.
#[derive(Debug, Error)]
pub enum Error {
    /// Needed, and not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Nothing that this runtime can do.
    #[error("{field} is not supported: {reason}")]
    Unsupported {
        /// Its name in CRI or the image config.
        field: &'static str,
        /// What stands in the way.
        reason: String,
    },
    /// Not a value that the field can have.
    #[error("{field} {value:?} is not valid: {reason}")]
    Invalid {
        /// Its name in CRI or the image config.
        field: &'static str,
        /// The value.
        value: String,
        /// What would be one.
        reason: &'static str,
    },
    /// A name that the image's user database does not have.
    #[error("no {kind} {name:?} in the image")]
    Unknown {
        /// "user" or "group".
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A profile that cannot be used.
    #[error("container's seccomp profile")]
    Seccomp(#[from] seccomp::Error),
    /// Rules that are none.
    #[error("container's devices")]
    Devices(#[from] device_program::Error),
}

impl Error {
    fn invalid(field: &'static str, value: impl ToString, reason: &'static str) -> Self {
        Self::Invalid {
            field,
            value: value.to_string(),
            reason,
        }
    }

    fn unsupported(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            field,
            reason: reason.into(),
        }
    }
}

/// What to make for a container in a sandbox.
///
/// # Errors
/// One for the first field that cannot be done.
pub fn container(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    facts: &Facts<'_>,
) -> Result<Container, Error> {
    refuse_what_is_not_there(config)?;
    let ask = Ask::new(config, sandbox, facts)?;
    let user = user::resolve(&ask)?;
    let capabilities = process::capabilities(&ask)?;
    let profile = security::profile(&ask, &capabilities)?;
    let filter = profile.as_ref().map(seccomp::compile).transpose()?;
    security::apparmor(&ask)?;
    let process = process::process(&ask, &user, &capabilities)?;
    let mounts = mounts::mounts(&ask)?;
    let propagation = mounts::rootfs_propagation(config);
    let (devices, device_rules) = devices::devices(&ask)?;
    let device_program = match facts.cgroup_v2 {
        true => device_program::compile(&device_rules)?,
        false => None,
    };

    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(&ask)?)
        .cgroups_path(cgroups::path(sandbox, facts.id)?)
        .resources(cgroups::resources(&ask, device_rules)?)
        .devices(devices);
    // Left out, the builder's own lists would hold.
    let (masked, readonly) = if ask.security.privileged {
        (Vec::new(), Vec::new())
    } else {
        (
            ask.security.masked_paths.clone(),
            ask.security.readonly_paths.clone(),
        )
    };
    linux = linux.masked_paths(masked).readonly_paths(readonly);
    if let Some(profile) = profile {
        linux = linux.seccomp(profile);
    }
    if let Some(users) = ask.users.clone() {
        linux = linux.uid_mappings(users.uids).gid_mappings(users.gids);
    }
    if let Some(propagation) = propagation {
        linux = linux.rootfs_propagation(propagation);
    }
    let mut spec = SpecBuilder::default()
        .version(VERSION)
        .root(
            RootBuilder::default()
                .path(facts.rootfs)
                .readonly(ask.security.readonly_rootfs)
                .build()
                .expect("no field of it is required"),
        )
        .mounts(mounts)
        .process(process)
        .annotations(annotations(config, sandbox))
        .linux(linux.build().expect("no field of it is required"))
        .build()
        .expect("no field of it is required");
    // The builder's default is a name that only tests of its authors use; the sandbox's namespace has the pod's.
    spec.set_hostname(None);
    Ok(Container {
        spec,
        filter,
        devices: device_program,
        user: user.into_cri(),
        stop_signal: stop_signal(config, facts.image)?,
    })
}

/// All that the parts look at, with what was left out filled in.
struct Ask<'a> {
    config: &'a ContainerConfig,
    sandbox: &'a PodSandboxConfig,
    security: LinuxContainerSecurityContext,
    namespaces: NamespaceOption,
    /// Of the pod's own user namespace.
    users: Option<UserMappings>,
    image: Config,
    facts: &'a Facts<'a>,
}

impl<'a> Ask<'a> {
    fn new(
        config: &'a ContainerConfig,
        sandbox: &'a PodSandboxConfig,
        facts: &'a Facts<'a>,
    ) -> Result<Self, Error> {
        let security = config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.clone())
            .unwrap_or_default();
        let namespaces = security.namespace_options.clone().unwrap_or_default();
        let users = sandbox::user_mappings(&namespaces)?;
        if users != sandbox::user(sandbox)? {
            return Err(Error::unsupported(
                "NamespaceOption.userns_options",
                "it is not the sandbox's",
            ));
        }
        Ok(Self {
            config,
            sandbox,
            namespaces,
            users,
            security,
            image: facts.image.config().clone().unwrap_or_default(),
            facts,
        })
    }
}

fn refuse_what_is_not_there(config: &ContainerConfig) -> Result<(), Error> {
    if config.metadata.is_none() {
        return Err(Error::Missing("ContainerConfig.metadata"));
    }
    if config.windows.is_some() {
        return Err(Error::unsupported(
            "ContainerConfig.windows",
            "this is a Linux node",
        ));
    }
    if !config.cdi_devices.is_empty() {
        return Err(Error::unsupported(
            "ContainerConfig.CDI_devices",
            "there is no device specification",
        ));
    }
    Ok(())
}

/// One of its own for mounts, and for cgroups where there is but one tree; the sandbox's, or the host's, for the rest.
fn namespaces(ask: &Ask<'_>) -> Result<Vec<LinuxNamespace>, Error> {
    let given = ask.facts.namespaces;
    let mut all = vec![namespace(LinuxNamespaceType::Mount, None)];
    if ask.facts.cgroup_v2 && !ask.security.privileged {
        all.push(namespace(LinuxNamespaceType::Cgroup, None));
    }
    let pinned = |field, path: Option<&Path>, kind| {
        path.map(|path| namespace(kind, Some(path)))
            .ok_or(Error::Missing(field))
    };
    match mode("NamespaceOption.network", ask.namespaces.network)? {
        NamespaceMode::Pod => {
            all.push(pinned(
                "the sandbox's network namespace",
                given.network,
                LinuxNamespaceType::Network,
            )?);
            // A pod on the node's network has the node's name.
            all.push(pinned(
                "the sandbox's UTS namespace",
                given.uts,
                LinuxNamespaceType::Uts,
            )?);
        }
        NamespaceMode::Node => {}
        other => return Err(wrong_mode("NamespaceOption.network", other)),
    }
    match mode("NamespaceOption.ipc", ask.namespaces.ipc)? {
        NamespaceMode::Pod => all.push(pinned(
            "the sandbox's IPC namespace",
            given.ipc,
            LinuxNamespaceType::Ipc,
        )?),
        NamespaceMode::Node => {}
        other => return Err(wrong_mode("NamespaceOption.ipc", other)),
    }
    match mode("NamespaceOption.pid", ask.namespaces.pid)? {
        NamespaceMode::Container => all.push(namespace(LinuxNamespaceType::Pid, None)),
        NamespaceMode::Node => {}
        NamespaceMode::Pod => all.push(pinned(
            "the sandbox's PID namespace",
            given.pid,
            LinuxNamespaceType::Pid,
        )?),
        NamespaceMode::Target => {
            if ask.namespaces.target_id.is_empty() {
                return Err(Error::Missing("NamespaceOption.target_id"));
            }
            all.push(pinned(
                "the target container's PID namespace",
                given.pid,
                LinuxNamespaceType::Pid,
            )?);
        }
    }
    if ask.users.is_some() {
        all.push(pinned(
            "the sandbox's user namespace",
            given.user,
            LinuxNamespaceType::User,
        )?);
    }
    Ok(all)
}

fn namespace(kind: LinuxNamespaceType, path: Option<&Path>) -> LinuxNamespace {
    let built = LinuxNamespaceBuilder::default().typ(kind);
    match path {
        Some(path) => built.path(path),
        None => built,
    }
    .build()
    .expect("no field of it is required")
}

fn mode(field: &'static str, mode: i32) -> Result<NamespaceMode, Error> {
    NamespaceMode::try_from(mode).map_err(|_| Error::invalid(field, mode, "it is no NamespaceMode"))
}

fn wrong_mode(field: &'static str, mode: NamespaceMode) -> Error {
    Error::invalid(field, mode.as_str_name(), "only POD and NODE are possible")
}

/// For people who look at a node: whose container it is. The client's own annotations are kept by the runtime's
/// records, and nothing obeys them.
fn annotations(config: &ContainerConfig, sandbox: &PodSandboxConfig) -> HashMap<String, String> {
    let pod = sandbox.metadata.clone().unwrap_or_default();
    let name = config.metadata.clone().unwrap_or_default().name;
    [
        ("io.kubernetes.container.name", name),
        ("io.kubernetes.pod.name", pod.name),
        ("io.kubernetes.pod.namespace", pod.namespace),
        ("io.kubernetes.pod.uid", pod.uid),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// A path of a client: absolute, without `..`, without doubled or final slashes.
fn absolute(field: &'static str, path: &str) -> Result<PathBuf, Error> {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::Normal(_) => clean.push(component),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::invalid(field, path, "it leaves its directory"));
            }
        }
    }
    if clean.is_absolute() && !path.contains('\0') {
        Ok(clean)
    } else {
        Err(Error::invalid(field, path, "it is no absolute path"))
    }
}
