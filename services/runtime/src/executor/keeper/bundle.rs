//! What the runtime leaves for the keeper's children: one directory for each container, on the tmpfs of STATE.
//!
//! ```text
//!   BUNDLE/config.json            the OCI runtime spec, whose capabilities are wide enough to put the filter on
//!         /config.workload.json   the capabilities that it really gets, and its filter
//!         /rootfs                 its root
//!         /exit                   how it ended, written by the keeper
//!         /exec-N.json            an OCI process of exec
//!         /exec-N.workload.json
//! ```
//!
//! A filter of system calls is put on with `CAP_SYS_ADMIN`, unless the process gives up new privileges; libcontainer has taken the
//! capabilities away by then. So it is told to leave that one, and `CAP_SETPCAP` to lower the bounding set with, and the
//! workload takes them away itself, last.

use crate::planner::keeper::frames::Exit;
use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxIdMapping, LinuxNamespace,
    LinuxNamespaceType, LinuxResources, Process, Spec,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Of the spec, within a bundle. As the OCI runtime spec names it.
pub const CONFIG: &str = "config.json";
/// Of the end.
const EXIT: &str = "exit";
/// What each file of a process has beside it.
const WORKLOAD: &str = "workload.json";

/// What is left to do when libcontainer has done its part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The sets that it keeps. None: as libcontainer has left them.
    pub capabilities: Option<LinuxCapabilities>,
    /// Classic BPF, eight bytes for each instruction. Empty: no filter.
    pub filter: Vec<u8>,
    /// What the container's cgroup asks about devices: BPF, eight bytes for each instruction. Empty: nothing.
    pub devices: Vec<u8>,
    /// Whose the pipes of its streams become: it could not open `/dev/stdout` otherwise. A user of its user namespace.
    pub user: u32,
}

/// Writes a spec and what belongs to it. The directory is there.
///
/// # Errors
/// The file system's.
pub fn write(bundle: &Path, spec: &Spec, filter: &[u8], devices: &[u8]) -> io::Result<()> {
    let mut spec = spec.clone();
    let mut workload = Workload::default();
    if let Some(process) = spec.process_mut() {
        workload = widen(process, filter);
    }
    workload.devices = devices.to_vec();
    let path = bundle.join(CONFIG);
    write_json(&beside(&path), &workload)?;
    write_json(&path, &spec)
}

/// Changes the limits of a container that was not started yet. Its devices stay.
///
/// # Errors
/// The file system's; it is not what was written.
pub fn set_limits(bundle: &Path, limits: &LinuxResources) -> io::Result<()> {
    let path = bundle.join(CONFIG);
    let mut spec: Spec = serde_json::from_slice(&fs::read(&path)?)?;
    let linux = spec
        .linux_mut()
        .as_mut()
        .ok_or_else(|| io::Error::other("the bundle is of no container"))?;
    let mut limits = limits.clone();
    let devices = linux.resources().as_ref();
    limits.set_devices(devices.and_then(|before| before.devices().clone()));
    linux.set_resources(Some(limits));
    let scratch = bundle.join("config.new");
    write_json(&scratch, &spec)?;
    fs::rename(scratch, path)
}

/// The process that a bundle is for, as it was before it was written, and its filter.
///
/// # Errors
/// The file system's; it is not what was written.
pub fn process(bundle: &Path) -> io::Result<(Process, Vec<u8>)> {
    let path = bundle.join(CONFIG);
    let spec: Spec = serde_json::from_slice(&fs::read(&path)?)?;
    let Workload {
        capabilities,
        filter,
        ..
    } = workload(&path)?;
    let mut process = spec
        .process()
        .clone()
        .ok_or_else(|| io::Error::other("the bundle has no process"))?;
    if capabilities.is_some() {
        process.set_capabilities(capabilities);
    }
    Ok((process, filter))
}

/// Writes a process of exec and what belongs to it.
///
/// # Errors
/// The file system's.
pub fn write_process(path: &Path, process: &Process, filter: &[u8]) -> io::Result<()> {
    let mut process = process.clone();
    let workload = widen(&mut process, filter);
    write_json(&beside(path), &workload)?;
    write_json(path, &process)
}

/// Removes what [`write_process`] has made.
pub fn remove_process(path: &Path) {
    for file in [path, &beside(path)] {
        let _ = fs::remove_file(file);
    }
}

/// What belongs to the spec, or the process, at this path.
///
/// # Errors
/// The file system's; it is not what was written.
pub fn workload(path: &Path) -> io::Result<Workload> {
    Ok(serde_json::from_slice(&fs::read(beside(path))?)?)
}

/// The part of a spec that is of users.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(default)]
    uid_mappings: Vec<LinuxIdMapping>,
    #[serde(default)]
    namespaces: Vec<LinuxNamespace>,
}

fn read_part(bundle: &Path) -> io::Result<Linux> {
    #[derive(Deserialize)]
    struct Part {
        linux: Linux,
    }
    let part: Part = serde_json::from_slice(&fs::read(bundle.join(CONFIG))?)?;
    Ok(part.linux)
}

/// Where the container's user namespace is; None: it has none of its own.
///
/// # Errors
/// The file system's; it is none that can be joined.
pub(super) fn user_namespace(bundle: &Path) -> io::Result<Option<PathBuf>> {
    let namespaces = read_part(bundle)?.namespaces;
    let user = namespaces
        .into_iter()
        .find(|namespace| namespace.typ() == LinuxNamespaceType::User);
    match user {
        None => Ok(None),
        Some(user) => match user.path() {
            Some(path) => Ok(Some(path.clone())),
            None => Err(io::Error::other("the user namespace has no path")),
        },
    }
}

/// Who a user of the container is on the host.
///
/// # Errors
/// The file system's; it is nobody there.
pub(super) fn user_of_host(bundle: &Path, user: u32) -> io::Result<u32> {
    let mappings = read_part(bundle)?.uid_mappings;
    if mappings.is_empty() {
        return Ok(user);
    }
    mappings
        .iter()
        .find_map(|mapping| {
            let above = user.checked_sub(mapping.container_id())?;
            (above < mapping.size()).then(|| mapping.host_id().checked_add(above))?
        })
        .ok_or_else(|| io::Error::other(format!("user {user} is not in the user namespace")))
}

/// Notes how a container ended. It is read after a crash of the keeper only.
pub(super) fn note_exit(bundle: &Path, exit: Exit) -> io::Result<()> {
    let bytes = postcard::to_stdvec(&exit).map_err(io::Error::other)?;
    let scratch = bundle.join("exit.new");
    fs::write(&scratch, bytes)?;
    fs::rename(scratch, bundle.join(EXIT))
}

/// How a container ended, if it did and that was noted.
#[must_use]
pub fn noted_exit(bundle: &Path) -> Option<Exit> {
    postcard::from_bytes(&fs::read(bundle.join(EXIT)).ok()?).ok()
}

fn widen(process: &mut Process, filter: &[u8]) -> Workload {
    let user = process.user().uid();
    if filter.is_empty() || process.no_new_privileges() == Some(true) {
        return Workload {
            capabilities: None,
            filter: filter.to_vec(),
            devices: Vec::new(),
            user,
        };
    }
    let kept = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend([Capability::SysAdmin, Capability::Setpcap]);
        Some(set)
    };
    let mut wide = LinuxCapabilities::default();
    wide.set_bounding(with(kept.bounding()))
        .set_permitted(with(kept.permitted()))
        .set_effective(with(kept.effective()))
        .set_inheritable(kept.inheritable().clone())
        .set_ambient(kept.ambient().clone());
    process.set_capabilities(Some(wide));
    Workload {
        capabilities: Some(kept),
        filter: filter.to_vec(),
        devices: Vec::new(),
        user,
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension(WORKLOAD)
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    fs::write(path, serde_json::to_vec(value)?)
}
