//! The container's first process: its words, environment, directory, capabilities and limits.

use super::{Ask, Error, absolute, user::Identity};
use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, UserBuilder,
};
use std::path::{Path, PathBuf};

/// Where an image says nothing of it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of open files: what systemd gives its services, containerd's among them, and so what containers are used to.
/// Others are the keeper's own.
const OPEN_FILES_SOFT: u64 = 1024;
/// What a container's processes may raise theirs to.
pub const OPEN_FILES_HARD: u64 = 524_288;

/// The effective and the ambient ones, of a privileged container all that the kernel has.
pub(super) struct Granted {
    pub(super) all: Capabilities,
    ambient: Capabilities,
}

pub(super) fn process(
    ask: &Ask<'_>,
    user: &Identity,
    capabilities: &Granted,
) -> Result<Process, Error> {
    let mut process = ProcessBuilder::default()
        .terminal(ask.config.tty)
        .user(
            UserBuilder::default()
                .uid(user.uid)
                .gid(user.gid)
                .additional_gids(user.groups.clone())
                .build()
                .expect("no field of it is required"),
        )
        .args(args(ask)?)
        .env(env(ask)?)
        .cwd(cwd(ask)?)
        .capabilities(sets(capabilities))
        .rlimits(vec![open_files()])
        .oom_score_adj(oom_score(ask)?);
    // Where it is false, libcontainer installs filters without the right to: it must be absent.
    if ask.security.no_new_privs {
        process = process.no_new_privileges(true);
    }
    let mut process = process.build().expect("no field of it is required");
    if !ask.security.no_new_privs {
        process.set_no_new_privileges(None);
    }
    Ok(process)
}

/// The client's command replaces the image's Entrypoint, and its Cmd with it; the client's args replace Cmd alone.
fn args(ask: &Ask<'_>) -> Result<Vec<String>, Error> {
    let (command, args) = (&ask.config.command, &ask.config.args);
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let words = if !command.is_empty() {
        [command.clone(), args.clone()].concat()
    } else if !args.is_empty() {
        [of_image(ask.image.entrypoint()), args.clone()].concat()
    } else {
        [of_image(ask.image.entrypoint()), of_image(ask.image.cmd())].concat()
    };
    match words.first() {
        None => Err(Error::Missing("a command in ContainerConfig or the image")),
        Some(first) if first.is_empty() => Err(Error::invalid(
            "ContainerConfig.command",
            "",
            "a program has a name",
        )),
        Some(_) => match words.iter().find(|word| word.contains('\0')) {
            Some(word) => Err(Error::invalid(
                "ContainerConfig.command",
                word,
                "it has a zero byte",
            )),
            None => Ok(words),
        },
    }
}

/// Of one name the last value holds, at the place of the first: default, host name, terminal, image, client.
fn env(ask: &Ask<'_>) -> Result<Vec<String>, Error> {
    let hostname = match ask.sandbox.hostname.as_str() {
        "" => ask.facts.node_name,
        name => name,
    };
    let mut all = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if ask.config.tty {
        all.push("TERM=xterm".to_owned());
    }
    all.extend(ask.image.env().iter().flatten().cloned());
    for env in &ask.config.envs {
        if env.key.is_empty() || env.key.contains(['=', '\0']) || env.value.contains('\0') {
            return Err(Error::invalid(
                "ContainerConfig.envs",
                &env.key,
                "it is no variable's name, or its value has a zero byte",
            ));
        }
        all.push(format!("{}={}", env.key, env.value));
    }
    let mut merged: Vec<String> = Vec::with_capacity(all.len());
    for entry in all {
        let name = name_of(&entry);
        match merged.iter_mut().find(|before| name_of(before) == name) {
            Some(before) => *before = entry,
            None => merged.push(entry),
        }
    }
    Ok(merged)
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// The client's must be absolute. An image's that is not counts from the root, as Docker does.
fn cwd(ask: &Ask<'_>) -> Result<PathBuf, Error> {
    if !ask.config.working_dir.is_empty() {
        return absolute("ContainerConfig.working_dir", &ask.config.working_dir);
    }
    let of_image = ask.image.working_dir().as_deref().unwrap_or_default();
    Ok(Path::new("/").join(of_image))
}

fn open_files() -> PosixRlimit {
    PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .soft(OPEN_FILES_SOFT)
        .hard(OPEN_FILES_HARD)
        .build()
        .expect("no field of it is required")
}

/// Also 0 is set: else the keeper's own would hold, which is far from it.
fn oom_score(ask: &Ask<'_>) -> Result<i32, Error> {
    let asked = ask
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.resources.as_ref())
        .map_or(0, |resources| resources.oom_score_adj);
    match i32::try_from(asked) {
        Ok(asked) if (-1000..=1000).contains(&asked) => Ok(asked),
        _ => Err(Error::invalid(
            "LinuxContainerResources.oom_score_adj",
            asked,
            "it is from -1000 to 1000",
        )),
    }
}

/// The default ones with what is added and without what is dropped. "ALL" counts before single names, so that
/// dropping all and adding one leaves one.
pub(super) fn capabilities(ask: &Ask<'_>) -> Result<Granted, Error> {
    let every = || {
        ALL.iter()
            .take(ask.facts.capability_last.saturating_add(1))
            .copied()
            .collect::<Capabilities>()
    };
    if ask.security.privileged {
        return Ok(Granted {
            all: every(),
            ambient: Capabilities::new(),
        });
    }
    let asked = ask.security.capabilities.clone().unwrap_or_default();
    let added = names("Capability.add_capabilities", &asked.add_capabilities)?;
    let dropped = names("Capability.drop_capabilities", &asked.drop_capabilities)?;
    let ambient = names(
        "Capability.add_ambient_capabilities",
        &asked.add_ambient_capabilities,
    )?;
    let mut all: Capabilities = if added.every {
        every()
    } else {
        DEFAULT.into_iter().collect()
    };
    if dropped.every {
        all.clear();
    }
    all.extend(added.single);
    let mut of_ambient: Capabilities = ambient.single.into_iter().collect();
    if ambient.every {
        of_ambient.extend(every());
    }
    all.extend(of_ambient.iter().copied());
    for capability in dropped.single {
        all.remove(&capability);
        of_ambient.remove(&capability);
    }
    Ok(Granted {
        all,
        ambient: of_ambient,
    })
}

/// What may be inherited is only what is ambient: else a program with file capabilities would gain what its user has
/// not (CVE-2022-24769).
fn sets(granted: &Granted) -> LinuxCapabilities {
    LinuxCapabilitiesBuilder::default()
        .bounding(granted.all.clone())
        .effective(granted.all.clone())
        .permitted(granted.all.clone())
        .inheritable(granted.ambient.clone())
        .ambient(granted.ambient.clone())
        .build()
        .expect("no field of it is required")
}

struct Names {
    every: bool,
    single: Vec<Capability>,
}

fn names(field: &'static str, names: &[String]) -> Result<Names, Error> {
    let mut found = Names {
        every: false,
        single: Vec::new(),
    };
    for name in names {
        let upper = name.to_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if plain == "ALL" {
            found.every = true;
            continue;
        }
        match ALL
            .iter()
            .find(|capability| capability.to_string() == plain)
        {
            Some(capability) => found.single.push(*capability),
            None => return Err(Error::invalid(field, name, "it is no capability")),
        }
    }
    Ok(found)
}

/// What containers are used to have since Docker.
#[rustfmt::skip]
const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite, Capability::Chown, Capability::DacOverride, Capability::Fowner, Capability::Fsetid,
    Capability::Kill, Capability::Mknod, Capability::NetBindService, Capability::NetRaw, Capability::Setfcap,
    Capability::Setgid, Capability::Setpcap, Capability::Setuid, Capability::SysChroot,
];

/// By their numbers (linux/capability.h).
#[rustfmt::skip]
const ALL: [Capability; 41] = [
    Capability::Chown, Capability::DacOverride, Capability::DacReadSearch, Capability::Fowner, Capability::Fsetid,
    Capability::Kill, Capability::Setgid, Capability::Setuid, Capability::Setpcap, Capability::LinuxImmutable,
    Capability::NetBindService, Capability::NetBroadcast, Capability::NetAdmin, Capability::NetRaw,
    Capability::IpcLock, Capability::IpcOwner, Capability::SysModule, Capability::SysRawio, Capability::SysChroot,
    Capability::SysPtrace, Capability::SysPacct, Capability::SysAdmin, Capability::SysBoot, Capability::SysNice,
    Capability::SysResource, Capability::SysTime, Capability::SysTtyConfig, Capability::Mknod, Capability::Lease,
    Capability::AuditWrite, Capability::AuditControl, Capability::Setfcap, Capability::MacOverride,
    Capability::MacAdmin, Capability::Syslog, Capability::WakeAlarm, Capability::BlockSuspend,
    Capability::AuditRead, Capability::Perfmon, Capability::Bpf, Capability::CheckpointRestore,
];
