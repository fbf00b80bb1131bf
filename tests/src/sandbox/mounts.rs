//! The file systems of a sandboxed node, mounted in its own mount namespace before `init` starts.
//!
//! ```text
//!   /                 the release's root tree, bound read-only
//!   /run /tmp /dev    tmpfs; /dev has null, zero, full, random, urandom, tty, pts, shm and no more
//!   /proc             of its own PID namespace; /proc/sys read-only but for /proc/sys/net
//!   /sys              read-only, of its own network namespace; /sys/fs/cgroup its own tree
//!   /system/state     a host directory
//!   /var              a host directory
//! ```

use super::Specification;
use anyhow::{Context as _, Result};
use init_proto::paths;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Device nodes that a program may count on; each is the host's own, bound.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Files of `/proc` through which root could change or read the whole machine.
const PROC_READ_ONLY: [&str; 4] = ["sys", "sysrq-trigger", "irq", "bus"];
/// Files of `/proc` that the node must not read: the host's kernel log and memory.
const PROC_MASKED: [&str; 2] = ["kmsg", "kcore"];
/// Bounds of the memory file systems, so that a runaway node cannot fill the host's memory.
const TMPFS_OPTIONS: &std::ffi::CStr = c"size=128m,mode=0755";
const TMP_OPTIONS: &std::ffi::CStr = c"size=128m,mode=1777";

/// Mounts everything and makes it the root of the calling process, which is PID 1 of the new namespaces.
///
/// # Errors
/// The first mount that the kernel refuses, by name.
pub fn set_up(specification: &Specification, with_cgroups: bool) -> Result<()> {
    let root = specification.mount_point.as_path();
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .context("keep the host out of the node's mounts")?;
    bind(&specification.root, root)?;
    read_only(root)?;
    file_system(
        "tmpfs",
        &root.join("run"),
        MountFlags::NOSUID | MountFlags::NODEV,
        TMPFS_OPTIONS,
    )?;
    file_system(
        "tmpfs",
        &root.join("tmp"),
        MountFlags::NOSUID | MountFlags::NODEV,
        TMP_OPTIONS,
    )?;
    devices(&root.join("dev"))?;
    proc(&root.join("proc"))?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    file_system("sysfs", &root.join("sys"), quiet | MountFlags::RDONLY, c"")?;
    if with_cgroups {
        file_system("cgroup2", &root.join("sys/fs/cgroup"), quiet, c"")?;
    }
    bind(&specification.state, &inside(root, paths::STATE))?;
    bind(&specification.data, &inside(root, paths::DATA))?;
    for (source, target) in &specification.overlays {
        let target = root.join(target.strip_prefix("/").unwrap_or(target));
        bind(source, &target)?;
        read_only(&target)?;
    }
    if let Some(config) = &specification.config {
        let target = inside(root, paths::SANDBOX_CONFIG);
        fs::copy(config, &target).with_context(|| format!("inject {}", config.display()))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600))
            .context("protect the injected config")?;
    }
    pivot(root)
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount_bind(source, target)
        .with_context(|| format!("bind {} to {}", source.display(), target.display()))
}

fn read_only(target: &Path) -> Result<()> {
    mount_remount(
        target,
        MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID,
        c"",
    )
    .with_context(|| format!("make {} read-only", target.display()))
}

fn file_system(
    kind: &str,
    target: &Path,
    flags: MountFlags,
    options: &std::ffi::CStr,
) -> Result<()> {
    mount(kind, target, kind, flags, options)
        .with_context(|| format!("mount {kind} on {}", target.display()))
}

fn devices(dev: &Path) -> Result<()> {
    file_system("tmpfs", dev, MountFlags::NOSUID, TMPFS_OPTIONS)?;
    for name in DEVICES {
        let target = dev.join(name);
        fs::write(&target, "").with_context(|| format!("make {}", target.display()))?;
        bind(&Path::new("/dev").join(name), &target)?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).with_context(|| format!("make /dev/{name}"))?;
    }
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    file_system(
        "devpts",
        &dev.join("pts"),
        quiet,
        c"newinstance,ptmxmode=0666,mode=0620",
    )?;
    file_system(
        "tmpfs",
        &dev.join("shm"),
        quiet | MountFlags::NODEV,
        TMP_OPTIONS,
    )?;
    for (link, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(link)).with_context(|| format!("link /dev/{link}"))?;
    }
    Ok(())
}

fn proc(proc: &Path) -> Result<()> {
    file_system(
        "proc",
        proc,
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        c"",
    )?;
    for name in PROC_READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            bind(&path, &path)?;
            read_only(&path)?;
        }
    }
    // The node's own network namespace has its own values there: a bind of its own, made writable again.
    let net = proc.join("sys/net");
    bind(&net, &net)?;
    mount_remount(&net, MountFlags::BIND | MountFlags::NOSUID, c"")
        .context("make /proc/sys/net writable")?;
    for name in PROC_MASKED {
        let path = proc.join(name);
        if path.exists() {
            bind(Path::new("/dev/null"), &path)?;
        }
    }
    Ok(())
}

/// Changes the root without a directory for the old one: the new root is put over it, then it is let go.
fn pivot(root: &Path) -> Result<()> {
    let old = rustix::fs::open(
        "/",
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open the old root")?;
    std::env::set_current_dir(root).with_context(|| format!("enter {}", root.display()))?;
    rustix::process::pivot_root(".", ".").context("change the root")?;
    rustix::process::fchdir(&old).context("enter the old root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).context("let go of the old root")?;
    std::env::set_current_dir("/").context("enter the new root")
}
