//! Containers of pods with a user namespace of their own.
//!
//! ```text
//!   layers ──mapped──> BUNDLE/lower/N ─┐
//!                                      ├─overlay──> BUNDLE/rootfs       the layers stay shared between all pods
//!   upper, root's of the namespace ────┘
//!   each bind mount ──mapped where it was asked for──> BUNDLE/mounts/N, which the spec names instead
//! ```
//!
//! Who is root in the namespace is nobody on the host: he can neither read what belongs to the host's root, nor go through
//! directories that are closed to others (a kubelet's are). So all that his containers mount is put within their bundle by us, and the bundle is
//! open to his group alone.

use super::{
    super::{
        images::overlay,
        keeper::sys,
        network::namespace_file,
        records::{remove_directory, unmount},
    },
    Pods, PodsError, text,
};
use crate::planner::spec;
use oci_spec::runtime::Spec;
use rustix::{
    fd::OwnedFd,
    fs::{CWD, Mode, OFlags},
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};
use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A pod's user namespace.
#[derive(Debug, Clone)]
pub(super) struct Users {
    /// It.
    namespace: Arc<OwnedFd>,
    /// Its root: user and group of the host.
    pub root: (u32, u32),
}

impl Pods {
    /// Whether pods can have user namespaces.
    #[must_use]
    pub fn user_namespaces(&self) -> bool {
        fs::read_to_string("/proc/sys/user/max_user_namespaces")
            .is_ok_and(|text| text.trim() != "0")
    }

    /// A sandbox's user namespace; None: it has the node's.
    pub(super) fn users(&self, sandbox: &str) -> Result<Option<Users>, PodsError> {
        let record = self.known_sandbox(sandbox)?.record();
        let Some(mappings) = spec::sandbox(&record.config)?.user else {
            return Ok(None);
        };
        let file = namespace_file(&self.0.sandbox_state(sandbox), "user");
        let namespace = rustix::fs::open(&file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| PodsError::at(format!("open {}", text(&file)))(error.into()))?;
        Ok(Some(Users {
            namespace: Arc::new(namespace),
            root: mappings.root()?,
        }))
    }
}

/// Closes a bundle to all, or to all but a group and the host's root.
pub(super) fn let_in(bundle: &Path, root: Option<(u32, u32)>) -> io::Result<()> {
    let mode = match root {
        None => 0o700,
        Some((_, group)) => {
            chown(bundle, None, Some(group))?;
            0o710
        }
    };
    fs::set_permissions(bundle, fs::Permissions::from_mode(mode))
}

/// Mounts a container's root at its place in the bundle.
pub(super) fn mount_root(
    lower: &[PathBuf],
    upper: overlay::Upper<'_>,
    bundle: &Path,
    users: &Users,
) -> Result<(), PodsError> {
    let (user, group) = users.root;
    chown(upper.upper, Some(user), Some(group)).map_err(PodsError::at(
        "give a container's root to its user namespace",
    ))?;
    mount_mapped(lower, Some(upper), &bundle.join("rootfs"), bundle, users)
}

/// Mounts layers over each other, with their owners as the user namespace has them.
pub(super) fn mount_mapped(
    lower: &[PathBuf],
    upper: Option<overlay::Upper<'_>>,
    target: &Path,
    bundle: &Path,
    users: &Users,
) -> Result<(), PodsError> {
    let failed = || PodsError::at("mount layers for a user namespace");
    let directory = bundle.join("lower");
    let mut mapped = Vec::new();
    for (number, layer) in lower.iter().enumerate() {
        let place = directory.join(number.to_string());
        fs::create_dir_all(&place).map_err(failed())?;
        attach(layer, &place, false, Some(users))?;
        mapped.push(place);
    }
    let mounted = overlay::mount(&mapped, upper, target).map_err(failed());
    // The overlay has its own hold on them.
    for place in &mapped {
        unmount(place).map_err(failed())?;
    }
    remove_directory(&directory).map_err(failed())?;
    mounted
}

/// Puts what a spec binds within the bundle, and has the spec name that.
pub(super) fn bind_mounts(spec: &mut Spec, bundle: &Path, users: &Users) -> Result<(), PodsError> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for (number, mount) in mounts.iter_mut().enumerate() {
        let Some(source) = mount.source().clone().filter(|_| {
            let kind = mount.typ().as_deref();
            kind == Some("bind")
        }) else {
            continue;
        };
        let place = bundle.join("mounts").join(number.to_string());
        let is_directory = source.is_dir();
        let made = fs::create_dir_all(if is_directory {
            place.as_path()
        } else {
            place.parent().unwrap_or(bundle)
        });
        made.and_then(|()| match is_directory {
            true => Ok(()),
            false => fs::write(&place, ""),
        })
        .map_err(PodsError::at(format!("make {}", text(&place))))?;
        let mapped = mount.uid_mappings().is_some();
        attach(&source, &place, true, mapped.then_some(users))?;
        mount.set_uid_mappings(None).set_gid_mappings(None);
        mount.set_source(Some(place));
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Takes away what was mounted within a bundle beside its root. Where there is nothing, nothing is to be done. The bundle is removed next, so what
/// cannot be looked at is an error: else the volumes themselves would be removed.
pub(super) fn unbind_mounts(bundle: &Path) -> Result<(), PodsError> {
    for name in ["mounts", "lower", "images"] {
        let directory = bundle.join(name);
        let failed = || PodsError::at(format!("look into {}", text(&directory)));
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed())?,
        };
        for entry in entries {
            let place = entry.map_err(failed())?.path();
            unmount(&place).map_err(PodsError::at(format!("unmount {}", text(&place))))?;
        }
    }
    Ok(())
}

/// Mounts a file or directory once more, at another place. What the host mounts and unmounts below the source is seen there too, but not the
/// other way: else our unmounting of it would be the host's. A Bidirectional mount is thus one way, as the kernel has it in any case: a mount
/// namespace of another user namespace has the host's shared mounts as followers (mount_namespaces(7)).
fn attach(
    source: &Path,
    place: &Path,
    recursive: bool,
    mapped: Option<&Users>,
) -> Result<(), PodsError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let failed = || PodsError::at(format!("mount {}", text(source)));
    let tree = open_tree(CWD, source, flags).map_err(|error| failed()(error.into()))?;
    sys::only_follow(&tree).map_err(failed())?;
    if let Some(users) = mapped {
        sys::map_owners(&tree, &users.namespace).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => PodsError::FailedPrecondition(format!(
                "the file system of {} does not support ID-mapped mounts",
                text(source)
            )),
            _ => PodsError::at(format!("map the owners of {}", text(source)))(error),
        })?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", CWD, place, flags).map_err(|error| failed()(error.into()))
}
