//! What is mounted in a container, from the root down.
//!
//! ```text
//!   file systems of its own      /proc /dev /dev/pts /dev/mqueue /sys /sys/fs/cgroup
//!   the sandbox's files          /etc/hostname /etc/hosts /etc/resolv.conf /dev/shm
//!   the image's volumes
//!   the client's mounts
//! ```
//!
//! A later group replaces what an earlier one has at the same path, and a mount of the client over /dev replaces all
//! below it. The rest is in the order of depth, so that nothing is mounted over what was mounted before.

use super::{Ask, Error, absolute};
use cri_proto::runtime::{ContainerConfig, IdMapping, MountPropagation, NamespaceMode};
use oci_spec::{
    image::ImageConfiguration,
    runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount, MountBuilder},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What the host has for one of `ContainerConfig.mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// The client's host path, with symbolic links followed.
    Host(PathBuf),
    /// The image's root file system, or the path in it that was asked for, mounted somewhere, read-only.
    Image(PathBuf),
}

/// Files that the sandbox has for its containers.
#[derive(Debug, Clone, Copy)]
pub struct SandboxFiles<'a> {
    /// For /etc/hostname.
    pub hostname: &'a Path,
    /// For /etc/hosts.
    pub hosts: &'a Path,
    /// For /etc/resolv.conf.
    pub resolv_conf: &'a Path,
    /// A tmpfs for /dev/shm; not used where IPC is the node's.
    pub shm: &'a Path,
}

/// A directory for a volume that the image asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the host.
    pub source: PathBuf,
    /// One of [`volumes`].
    pub destination: PathBuf,
}

/// Where the image wants volumes that the client has mounted nothing on, in order. Each needs a directory of the
/// container's own, with what the image has there.
///
/// # Errors
/// [`Error::Invalid`] for a path that is none.
pub fn volumes(
    config: &ContainerConfig,
    image: &ImageConfiguration,
) -> Result<Vec<PathBuf>, Error> {
    let mounted: Vec<_> = config
        .mounts
        .iter()
        .map(|mount| absolute("Mount.container_path", &mount.container_path))
        .collect::<Result<_, _>>()?;
    let asked: BTreeSet<_> = image
        .config()
        .iter()
        .filter_map(|config| config.volumes().as_ref())
        .flatten()
        .map(|path| absolute("the image's Volumes", path))
        .collect::<Result<_, _>>()?;
    let kernels = |path: &PathBuf| {
        let below = ["/proc", "/sys", "/dev"]
            .iter()
            .any(|own| path.starts_with(own));
        below || path.as_path() == Path::new("/")
    };
    if let Some(path) = asked.iter().find(|path| kernels(path)) {
        return Err(Error::invalid(
            "the image's Volumes",
            path.display(),
            "a volume there would hide what the container needs",
        ));
    }
    Ok(asked
        .into_iter()
        .filter(|path| !mounted.contains(path))
        .collect())
}

pub(super) fn mounts(ask: &Ask<'_>) -> Result<Vec<Mount>, Error> {
    let asked = ask
        .config
        .mounts
        .iter()
        .map(|mount| absolute("Mount.container_path", &mount.container_path))
        .collect::<Result<BTreeSet<_>, _>>()?;
    let over_dev = asked.contains(Path::new("/dev"));
    let mut all: Vec<Mount> = of_its_own(ask);
    all.extend(of_sandbox(ask)?);
    all.extend(ask.facts.volumes.iter().map(|volume| {
        bind(
            &volume.source,
            &volume.destination,
            ["rprivate", "rw"].map(str::to_owned).to_vec(),
        )
    }));
    all.retain(|mount| {
        let at = mount.destination();
        let replaced = asked.contains(at) || (over_dev && at.starts_with("/dev"));
        !replaced
    });
    all.extend(of_client(ask)?);
    // Stable: of equal depth the later stays later.
    all.sort_by_key(|mount| mount.destination().components().count());
    Ok(all)
}

/// How mounts of the root go on: as the client's widest propagation needs it. libcontainer adds that it holds for all below.
pub(super) fn rootfs_propagation(config: &ContainerConfig) -> Option<&'static str> {
    let widest = config.mounts.iter().map(|mount| mount.propagation).max()?;
    match MountPropagation::try_from(widest) {
        Ok(MountPropagation::PropagationBidirectional) => Some("shared"),
        Ok(MountPropagation::PropagationHostToContainer) => Some("slave"),
        _ => None,
    }
}

fn of_its_own(ask: &Ask<'_>) -> Vec<Mount> {
    let access = if ask.security.privileged { "rw" } else { "ro" };
    #[rustfmt::skip]
    let table: [(&str, &str, &str, &[&str]); 6] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
    ];
    table
        .into_iter()
        .map(|(at, kind, source, options)| {
            MountBuilder::default()
                .destination(at)
                .typ(kind)
                .source(source)
                .options(
                    options
                        .iter()
                        .map(|option| (*option).to_owned())
                        .collect::<Vec<_>>(),
                )
                .build()
                .expect("no field of it is required")
        })
        .collect()
}

fn of_sandbox(ask: &Ask<'_>) -> Result<Vec<Mount>, Error> {
    let access = if ask.security.readonly_rootfs {
        "ro"
    } else {
        "rw"
    };
    let files = ask.facts.files;
    let options = || ["rprivate", access].map(str::to_owned).to_vec();
    let node_ipc = super::mode("NamespaceOption.ipc", ask.namespaces.ipc)? == NamespaceMode::Node;
    let shm = if node_ipc {
        Path::new("/dev/shm")
    } else {
        files.shm
    };
    let mut all = vec![
        bind(files.hostname, Path::new("/etc/hostname"), options()),
        bind(files.hosts, Path::new("/etc/hosts"), options()),
        bind(files.resolv_conf, Path::new("/etc/resolv.conf"), options()),
        bind(
            shm,
            Path::new("/dev/shm"),
            ["rprivate", "nosuid", "noexec", "nodev", "rw"]
                .map(str::to_owned)
                .to_vec(),
        ),
    ];
    if let Some(users) = &ask.users {
        // They are the host's root's, and so nobody's in the pod.
        for mount in &mut all {
            mount.set_uid_mappings(Some(users.uids.clone()));
            mount.set_gid_mappings(Some(users.gids.clone()));
        }
    }
    Ok(all)
}

fn of_client(ask: &Ask<'_>) -> Result<Vec<Mount>, Error> {
    let mut all: Vec<Mount> = Vec::new();
    for (at, mount) in ask.config.mounts.iter().enumerate() {
        let destination = absolute("Mount.container_path", &mount.container_path)?;
        let propagation = MountPropagation::try_from(mount.propagation).map_err(|_| {
            Error::invalid(
                "Mount.propagation",
                mount.propagation,
                "it is no MountPropagation",
            )
        })?;
        let readonly = mount.readonly || mount.image.is_some();
        let source = match (ask.facts.mounts.get(at), &mount.image) {
            (Some(MountSource::Host(path)), None) => path,
            (Some(MountSource::Image(path)), Some(_)) => {
                if !mount.host_path.is_empty() {
                    return Err(Error::unsupported(
                        "Mount.host_path",
                        "the mount is of an image",
                    ));
                }
                path
            }
            _ => return Err(Error::Missing("what is behind ContainerConfig.mounts")),
        };
        let mut options = vec![
            match propagation {
                MountPropagation::PropagationPrivate => "rprivate",
                MountPropagation::PropagationHostToContainer => "rslave",
                MountPropagation::PropagationBidirectional => "rshared",
            }
            .to_owned(),
        ];
        if mount.recursive_read_only {
            if !readonly || propagation != MountPropagation::PropagationPrivate {
                return Err(Error::unsupported(
                    "Mount.recursive_read_only",
                    "the mount is not read-only and private",
                ));
            }
            options.push("rro".to_owned());
        } else {
            options.push(if readonly { "ro" } else { "rw" }.to_owned());
        }
        if mount.image.is_some() {
            // What the API says of such volumes.
            options.push("noexec".to_owned());
        }
        let mut built = bind(source, &destination, options);
        if mount.uid_mappings.is_empty() != mount.gid_mappings.is_empty() {
            return Err(Error::Missing(
                "one of Mount.uidMappings and Mount.gidMappings",
            ));
        }
        if !mount.uid_mappings.is_empty() {
            let (uids, gids) = (
                mappings("Mount.uidMappings", &mount.uid_mappings)?,
                mappings("Mount.gidMappings", &mount.gid_mappings)?,
            );
            let of_pod = ask.users.as_ref();
            if of_pod.is_none_or(|users| users.uids != uids || users.gids != gids) {
                return Err(Error::unsupported(
                    "Mount.uidMappings",
                    "it is not that of the pod's user namespace",
                ));
            }
            // An image's layers are mapped before they are mounted.
            if mount.image.is_none() {
                built.set_uid_mappings(Some(uids));
                built.set_gid_mappings(Some(gids));
            }
        }
        // Two at one path: the later one.
        all.retain(|before| *before.destination() != destination);
        all.push(built);
    }
    Ok(all)
}

/// With all that is mounted below the source.
fn bind(source: &Path, destination: &Path, mut options: Vec<String>) -> Mount {
    options.insert(0, "rbind".to_owned());
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options)
        .build()
        .expect("no field of it is required")
}

/// None of them empty, or past the last ID.
pub(super) fn mappings(
    field: &'static str,
    mappings: &[IdMapping],
) -> Result<Vec<LinuxIdMapping>, Error> {
    mappings
        .iter()
        .map(|mapping| {
            let ends = mapping.host_id.checked_add(mapping.length).is_some()
                && mapping.container_id.checked_add(mapping.length).is_some();
            if mapping.length == 0 || !ends {
                return Err(Error::invalid(
                    field,
                    mapping.length,
                    "it is empty, or goes past the last ID",
                ));
            }
            Ok(LinuxIdMappingBuilder::default()
                .host_id(mapping.host_id)
                .container_id(mapping.container_id)
                .size(mapping.length)
                .build()
                .expect("all of it is there"))
        })
        .collect()
}
