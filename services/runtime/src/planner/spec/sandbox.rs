//! What a sandbox is made of, before any container is in it.

use super::{Error, absolute, cgroups, mode, mounts, wrong_mode};
use cri_proto::runtime::{
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
};
use oci_spec::runtime::LinuxIdMapping;
use std::{collections::BTreeMap, path::PathBuf};

/// Bytes of a host name (`HOST_NAME_MAX`).
const HOSTNAME_MAX: usize = 64;

/// A sandbox, as it is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    /// A network namespace of its own, and with it one for the host name.
    pub network: bool,
    /// An IPC namespace of its own.
    pub ipc: bool,
    /// A PID namespace that its containers share, which needs a process.
    pub shared_pid: bool,
    /// A user namespace of its own.
    pub user: Option<UserMappings>,
    /// "" where the node's network, and so its name, is shared.
    pub hostname: String,
    /// To be written in the sandbox's namespaces, in this order.
    pub sysctls: Vec<Sysctl>,
    /// Its cgroup, below the cgroup mount.
    pub cgroup_parent: PathBuf,
}

/// Which IDs a user namespace has.
#[derive(Debug, Clone, PartialEq)]
pub struct UserMappings {
    /// Users.
    pub uids: Vec<LinuxIdMapping>,
    /// Groups.
    pub gids: Vec<LinuxIdMapping>,
}

impl UserMappings {
    /// Who is root in it, seen from the host: user and group.
    ///
    /// # Errors
    /// [`Error::Missing`] where nobody is: nothing could be set up in it.
    pub fn root(&self) -> Result<(u32, u32), Error> {
        let zero = |mappings: &[LinuxIdMapping]| {
            mappings
                .iter()
                .find(|mapping| mapping.container_id() == 0)
                .map(LinuxIdMapping::host_id)
        };
        zero(&self.uids).zip(zero(&self.gids)).ok_or(Error::Missing(
            "container_id 0 in UserNamespace.uids or UserNamespace.gids",
        ))
    }
}

/// A setting of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Below /proc/sys.
    pub path: PathBuf,
    /// What to write.
    pub value: String,
}

/// What to make for a sandbox.
///
/// # Errors
/// One for the first field that cannot be done.
pub fn sandbox(config: &PodSandboxConfig) -> Result<Sandbox, Error> {
    if config.metadata.is_none() {
        return Err(Error::Missing("PodSandboxConfig.metadata"));
    }
    if config.windows.is_some() {
        return Err(Error::unsupported(
            "PodSandboxConfig.windows",
            "this is a Linux node",
        ));
    }
    let security = security(config);
    let options = security.namespace_options.unwrap_or_default();
    let own = |field, value| match mode(field, value)? {
        NamespaceMode::Pod => Ok(true),
        NamespaceMode::Node => Ok(false),
        other => Err(wrong_mode(field, other)),
    };
    let network = own("NamespaceOption.network", options.network)?;
    let ipc = own("NamespaceOption.ipc", options.ipc)?;
    let shared_pid = match mode("NamespaceOption.pid", options.pid)? {
        NamespaceMode::Pod => true,
        NamespaceMode::Container | NamespaceMode::Node => false,
        NamespaceMode::Target => {
            return Err(Error::unsupported(
                "NamespaceOption.pid",
                "a sandbox has no target",
            ));
        }
    };
    let user = user_mappings(&options)?;
    if user.is_some() {
        // A namespace of the node's belongs to the node's users: in the pod nobody could mount /sys, /dev/mqueue or /proc.
        let shared = [
            ("NamespaceOption.network", !network),
            ("NamespaceOption.ipc", !ipc),
            (
                "NamespaceOption.pid",
                mode("NamespaceOption.pid", options.pid)? == NamespaceMode::Node,
            ),
        ];
        if let Some((field, _)) = shared.iter().find(|(_, of_node)| *of_node) {
            return Err(Error::unsupported(
                field,
                "NODE does not go with a user namespace of the pod's own",
            ));
        }
    }
    if security.run_as_group.is_some() && security.run_as_user.is_none() {
        return Err(Error::unsupported(
            "LinuxSandboxSecurityContext.run_as_group",
            "it is given without a user",
        ));
    }
    Ok(Sandbox {
        network,
        ipc,
        shared_pid,
        hostname: hostname(config, network)?,
        sysctls: sysctls(config, network, ipc, user.is_some())?,
        user,
        cgroup_parent: cgroups::parent(config)?,
    })
}

/// The one of a sandbox.
pub(super) fn user(config: &PodSandboxConfig) -> Result<Option<UserMappings>, Error> {
    user_mappings(&security(config).namespace_options.unwrap_or_default())
}

fn security(config: &PodSandboxConfig) -> LinuxSandboxSecurityContext {
    config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.clone())
        .unwrap_or_default()
}

/// The user namespace that is asked for, of a sandbox and of each of its containers.
pub(super) fn user_mappings(options: &NamespaceOption) -> Result<Option<UserMappings>, Error> {
    let Some(user) = &options.userns_options else {
        return Ok(None);
    };
    match mode("UserNamespace.mode", user.mode)? {
        NamespaceMode::Node if user.uids.is_empty() && user.gids.is_empty() => Ok(None),
        NamespaceMode::Node => Err(Error::unsupported(
            "UserNamespace.uids",
            "the node's user namespace has its own",
        )),
        NamespaceMode::Pod => {
            if user.uids.is_empty() || user.gids.is_empty() {
                return Err(Error::Missing("UserNamespace.uids or UserNamespace.gids"));
            }
            let mappings = UserMappings {
                uids: mounts::mappings("UserNamespace.uids", &user.uids)?,
                gids: mounts::mappings("UserNamespace.gids", &user.gids)?,
            };
            mappings.root()?;
            Ok(Some(mappings))
        }
        other => Err(wrong_mode("UserNamespace.mode", other)),
    }
}

fn hostname(config: &PodSandboxConfig, network: bool) -> Result<String, Error> {
    if !network {
        return Ok(String::new());
    }
    let name = config.hostname.as_str();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.len() > HOSTNAME_MAX || !name.bytes().all(letters) {
        return Err(Error::invalid(
            "PodSandboxConfig.hostname",
            name,
            "it has at most 64 letters, digits, hyphens and dots",
        ));
    }
    Ok(name.to_owned())
}

/// Those of containerd 2, where the client has no other: ports below 1024 and ping need no right of their own in a
/// namespace that is the pod's alone.
const UNPRIVILEGED_PORTS: (&str, &str) = ("net/ipv4/ip_unprivileged_port_start", "0");
/// Not in a user namespace: the IDs would have to be mapped.
const UNPRIVILEGED_PING: (&str, &str) = ("net/ipv4/ping_group_range", "0 2147483647");

fn sysctls(
    config: &PodSandboxConfig,
    network: bool,
    ipc: bool,
    user: bool,
) -> Result<Vec<Sysctl>, Error> {
    let mut all = BTreeMap::new();
    if network {
        all.insert(PathBuf::from(UNPRIVILEGED_PORTS.0), UNPRIVILEGED_PORTS.1);
        if !user {
            all.insert(PathBuf::from(UNPRIVILEGED_PING.0), UNPRIVILEGED_PING.1);
        }
    }
    let asked = config.linux.iter().flat_map(|linux| &linux.sysctls);
    for (name, value) in asked {
        let path = sysctl_path(name)?;
        let allowed = match namespace_of(&path) {
            Some(Scope::Network) => network,
            Some(Scope::Ipc) => ipc,
            // The name of the domain is in the namespace of the host name.
            Some(Scope::Uts) => network,
            None => false,
        };
        if !allowed {
            return Err(Error::invalid(
                FIELD,
                name,
                "it is no setting of a namespace that is the pod's own",
            ));
        }
        if value.contains(['\0', '\n']) {
            return Err(Error::invalid(FIELD, name, "its value is not one line"));
        }
        all.insert(path, value);
    }
    Ok(all
        .into_iter()
        .map(|(path, value)| Sysctl {
            path,
            value: value.to_owned(),
        })
        .collect())
}

const FIELD: &str = "LinuxPodSandboxConfig.sysctls";

enum Scope {
    Network,
    Ipc,
    Uts,
}

fn namespace_of(path: &std::path::Path) -> Option<Scope> {
    let text = path.to_str()?;
    let ipc = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    if text.starts_with("net/") {
        Some(Scope::Network)
    } else if ipc.contains(&text) || text.starts_with("fs/mqueue/") {
        Some(Scope::Ipc)
    } else if text == "kernel/domainname" {
        Some(Scope::Uts)
    } else {
        None
    }
}

/// As sysctl(8) reads names: where a slash comes before any dot, slashes part the name, and dots belong to it
/// (`net/ipv4/conf/eth0.1/forwarding`). Else dots part it, and slashes stand for dots.
fn sysctl_path(name: &str) -> Result<PathBuf, Error> {
    let path = match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    };
    let parts = path.split('/').collect::<Vec<_>>();
    if parts.len() < 2 || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(Error::invalid(FIELD, name, "it is no setting's name"));
    }
    absolute(FIELD, &format!("/{path}"))?;
    Ok(PathBuf::from(path))
}
