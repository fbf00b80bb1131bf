//! Device nodes, and which devices the container's cgroup allows.

use super::{Ask, Error, absolute};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};
use std::path::{Path, PathBuf};

/// Whether a device is read byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A character device.
    Character,
    /// A block device.
    Block,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path: the one that the config names, or one below, with nothing resolved.
    pub path: PathBuf,
    /// Character or block.
    pub kind: Kind,
    /// Numbers, as stat(2) has them.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// Permission bits only.
    pub mode: u32,
    /// The owner on the host.
    pub uid: u32,
    /// The group on the host.
    pub gid: u32,
}

/// Major, minor and path of the nodes that every container has: the OCI runtime spec's list. libcontainer makes them
/// by itself, as it does /dev/console, /dev/ptmx and the links.
const EVERYWHERE: [(i64, Option<i64>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(1)), // console
    (5, Some(2)), // ptmx
    (136, None),  // pts/*
];

/// Made by libcontainer, or not to be passed on: mounts of the container's own are there.
const OWN: [&str; 12] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/console",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/dev/core",
];

const FIELD: &str = "ContainerConfig.devices";

/// Nodes to make, and rules in their order: the last one that fits holds.
pub(super) fn devices(ask: &Ask<'_>) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), Error> {
    if ask.security.privileged {
        let nodes = ask
            .facts
            .devices
            .iter()
            .filter(|device| {
                device.path.starts_with("/dev")
                    && !OWN.iter().any(|own| device.path.starts_with(own))
            })
            .map(|device| node(device, device.path.clone()))
            .collect();
        return Ok((nodes, vec![rule(true, None, None, None, "rwm")]));
    }
    let mut nodes: Vec<LinuxDevice> = Vec::new();
    let mut rules = vec![
        rule(false, None, None, None, "rwm"),
        // A node may be made of any device: what it is good for is decided when it is opened.
        rule(true, Some(LinuxDeviceType::C), None, None, "m"),
        rule(true, Some(LinuxDeviceType::B), None, None, "m"),
    ];
    rules.extend(
        EVERYWHERE
            .map(|(major, minor)| rule(true, Some(LinuxDeviceType::C), Some(major), minor, "rwm")),
    );
    for asked in &ask.config.devices {
        let from = absolute("Device.host_path", &asked.host_path)?;
        let to = match asked.container_path.as_str() {
            "" => from.clone(),
            path => absolute("Device.container_path", path)?,
        };
        let access = access(&asked.permissions)?;
        let mut found = false;
        for device in ask.facts.devices {
            let Ok(below) = device.path.strip_prefix(&from) else {
                continue;
            };
            found = true;
            let path = if below == Path::new("") {
                to.clone()
            } else {
                to.join(below)
            };
            if ask.users.is_some() && path != device.path {
                // Nobody there may make nodes: the host's are mounted, each at its own path.
                return Err(Error::unsupported(
                    "Device.container_path",
                    "in a user namespace a device has the path that it has on the node",
                ));
            }
            // Two for one path: the later one, as with mounts.
            nodes.retain(|node| *node.path() != path);
            nodes.push(node(device, path));
            rules.push(rule(
                true,
                Some(kind(device.kind)),
                Some(device.major.into()),
                Some(device.minor.into()),
                access,
            ));
        }
        if !found {
            return Err(Error::invalid(
                FIELD,
                &asked.host_path,
                "there is no device on the node",
            ));
        }
    }
    Ok((nodes, rules))
}

fn node(device: &HostDevice, path: PathBuf) -> LinuxDevice {
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind(device.kind))
        .major(i64::from(device.major))
        .minor(i64::from(device.minor))
        .file_mode(device.mode)
        .uid(device.uid)
        .gid(device.gid)
        .build()
        .expect("all that is required is there")
}

fn kind(kind: Kind) -> LinuxDeviceType {
    match kind {
        Kind::Character => LinuxDeviceType::C,
        Kind::Block => LinuxDeviceType::B,
    }
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut built = LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .access(access)
        .typ(kind.unwrap_or(LinuxDeviceType::A));
    if let Some(major) = major {
        built = built.major(major);
    }
    if let Some(minor) = minor {
        built = built.minor(minor);
    }
    built.build().expect("no field of it is required")
}

/// Some of "r", "w" and "m", each once; "" for all.
fn access(permissions: &str) -> Result<&str, Error> {
    let once = |letter| permissions.matches(letter).count() <= 1;
    if permissions.is_empty() {
        Ok("rwm")
    } else if permissions.chars().all(|letter| "rwm".contains(letter))
        && ['r', 'w', 'm'].into_iter().all(once)
    {
        Ok(permissions)
    } else {
        Err(Error::invalid(
            "Device.permissions",
            permissions,
            "it is some of r, w and m",
        ))
    }
}
