//! New namespaces that stay without a process: bind mounts of `/proc/PID/ns/*`, made by a child of the keeper.
//!
//! ```text
//!   without a user namespace    the child unshares, sets up, and mounts /proc/self/ns/*
//!
//!   with one                    child                     grandchild
//!                                 │ <──── in it ───────────── unshares CLONE_NEWUSER
//!                        writes its uid_map, gid_map
//!                                 │ ───── mapped ───────────> is root there, unshares the others, sets up
//!                        mounts /proc/GRANDCHILD/ns/* <─ done ┘
//!                                 │ ───── (closed) ─────────> ends
//! ```
//!
//! Only who is outside may write the maps and mount; only who is inside makes namespaces that belong to it.

use super::sys::{self, Fork};
use crate::planner::keeper::frames::{Pin, PinUser};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::sethostname,
};
use rustix::{fd::OwnedFd, pipe::PipeFlags};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
};

/// Longest reason of the grandchild.
const REASON_MAX: u64 = 4096;

/// Makes and pins them.
pub(super) fn make(pin: &Pin) -> Result<(), String> {
    match &pin.user {
        None => {
            set_up(pin)?;
            mount_all(pin, "self")
        }
        Some(user) => make_within(pin, user),
    }
}

fn make_within(pin: &Pin, user: &PinUser) -> Result<(), String> {
    let pipe = || {
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| format!("make a pipe: {error}"))
    };
    let ((said, says), (heard, hears)) = (pipe()?, pipe()?);
    match sys::fork().map_err(|error| format!("fork: {error}"))? {
        Fork::Child => {
            drop((said, hears));
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                within(pin, File::from(says), File::from(heard))
            }));
            sys::exit_now(i32::from(done.is_err()));
        }
        Fork::Parent(pid) => {
            drop((says, heard));
            let made = outside(pin, user, pid, said, hears);
            // Both pipes are closed: it ends, wherever it is.
            sys::reap_when_ended(pid);
            made
        }
    }
}

/// The grandchild: each line that it says is a step, or a reason.
fn within(pin: &Pin, mut says: File, mut heard: File) {
    let mut step = |result: Result<(), String>| {
        let line = match &result {
            Ok(()) => "done\n".to_owned(),
            Err(reason) => format!("{}\n", reason.replace('\n', " ")),
        };
        says.write_all(line.as_bytes()).is_ok() && result.is_ok()
    };
    let unshared = unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| format!("make a user namespace: {error}"));
    let mut mapped = [0];
    if !step(unshared) || heard.read_exact(&mut mapped).is_err() {
        return;
    }
    let root = || {
        let (user, group) = (rustix::thread::Uid::ROOT, rustix::thread::Gid::ROOT);
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)
    };
    let ready = root()
        .map_err(|error| format!("be root in the user namespace: {error}"))
        .and_then(|()| set_up(pin));
    if step(ready) {
        // Until all is mounted.
        let _ = heard.read(&mut mapped);
    }
}

fn outside(
    pin: &Pin,
    user: &PinUser,
    pid: i32,
    said: OwnedFd,
    hears: OwnedFd,
) -> Result<(), String> {
    let (mut said, mut hears) = (BufReader::new(File::from(said)), File::from(hears));
    hear(&mut said)?;
    for (name, triples) in [("uid_map", &user.uids), ("gid_map", &user.gids)] {
        let mut text = String::new();
        for (inside, outside, count) in triples {
            let _ = writeln!(text, "{inside} {outside} {count}");
        }
        fs::write(format!("/proc/{pid}/{name}"), text)
            .map_err(|error| format!("map the IDs of a user namespace ({name}): {error}"))?;
    }
    hears
        .write_all(b"m")
        .map_err(|error| format!("tell the user namespace: {error}"))?;
    hear(&mut said)?;
    mount_all(pin, &pid.to_string())
}

fn hear(said: &mut BufReader<File>) -> Result<(), String> {
    let mut line = Vec::new();
    said.take(REASON_MAX)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("hear from the user namespace: {error}"))?;
    match line.trim_ascii_end() {
        b"done" => Ok(()),
        b"" => Err("the child in the user namespace has ended without a word".to_owned()),
        reason => Err(String::from_utf8_lossy(reason).into_owned()),
    }
}

/// Makes all but the user namespace, for the calling process, and sets them up.
fn set_up(pin: &Pin) -> Result<(), String> {
    let flags = wanted(pin).into_iter().map(|(_, flag, _)| flag).collect();
    unshare(flags).map_err(|error| format!("make namespaces: {error}"))?;
    if pin.network.is_some() {
        sys::loopback_up().map_err(|error| format!("turn on the loopback: {error}"))?;
    }
    if let (Some(hostname), true) = (&pin.hostname, pin.uts.is_some()) {
        sethostname(hostname).map_err(|error| format!("set host name {hostname:?}: {error}"))?;
    }
    for (name, value) in &pin.sysctls {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).map_err(|error| format!("set sysctl {name}={value}: {error}"))?;
    }
    Ok(())
}

fn mount_all(pin: &Pin, process: &str) -> Result<(), String> {
    let user = pin.user.as_ref().map(|user| (user.file.as_str(), "user"));
    let others = wanted(pin).into_iter().map(|(file, _, name)| (file, name));
    for (file, name) in others.chain(user) {
        let namespace = format!("/proc/{process}/ns/{name}");
        mount(
            Some(namespace.as_str()),
            file,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|error| format!("pin a namespace at {file}: {error}"))?;
    }
    Ok(())
}

fn wanted(pin: &Pin) -> Vec<(&str, CloneFlags, &'static str)> {
    let all = [
        (&pin.network, CloneFlags::CLONE_NEWNET, "net"),
        (&pin.ipc, CloneFlags::CLONE_NEWIPC, "ipc"),
        (&pin.uts, CloneFlags::CLONE_NEWUTS, "uts"),
    ];
    all.into_iter()
        .filter_map(|(file, flag, name)| Some((file.as_deref()?, flag, name)))
        .collect()
}
