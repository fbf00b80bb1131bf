//! From the kernel's first program to a machine with file systems and cgroups.

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move};
use std::ffi::CStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// What the initrd has.
const FILES: [&str; 3] = ["init", "orlop", "overlay.ko"];
const NEW_ROOT: &str = "/new";
/// Where all controllers are.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// Moves to a root that containers can leave (pivot_root(2) does not work on the kernel's first one), and starts this program anew.
pub(crate) fn begin() -> Result<()> {
    fs::create_dir_all(NEW_ROOT).context("make the new root")?;
    mounted("tmpfs", NEW_ROOT, MountFlags::empty(), c"mode=755")?;
    for name in FILES {
        let (from, to) = (Path::new("/").join(name), Path::new(NEW_ROOT).join(name));
        fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
        fs::remove_file(&from).with_context(|| format!("remove {}", from.display()))?;
    }
    fs::rename(
        Path::new(NEW_ROOT).join("init"),
        Path::new(NEW_ROOT).join("guest"),
    )
    .context("rename this program")?;
    std::env::set_current_dir(NEW_ROOT).context("go to the new root")?;
    mount_move(".", "/").context("move the new root to its place")?;
    rustix::process::chroot(".").context("change the root")?;
    std::env::set_current_dir("/").context("go to the root")?;
    for directory in ["proc", "sys", "dev", "tmp", "run", "etc", "var"] {
        fs::create_dir_all(directory).with_context(|| format!("make /{directory}"))?;
    }
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mounted("proc", "/proc", safe, c"")?;
    mounted("sysfs", "/sys", safe, c"")?;
    mounted("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=755")?;
    mounted("cgroup2", CGROUPS, safe, c"")?;
    fs::create_dir_all("/dev/shm").context("make /dev/shm")?;
    let controllers = fs::read_to_string(format!("{CGROUPS}/cgroup.controllers"))
        .context("read the controllers")?;
    for controller in controllers.split_whitespace() {
        fs::write(
            format!("{CGROUPS}/cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .with_context(|| format!("enable {controller}"))?;
    }
    let module = rustix::fs::openat(
        CWD,
        "/overlay.ko",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open the module overlay")?;
    rustix::system::finit_module(&module, c"", 0).context("load the module overlay")?;
    let error = Command::new("/guest").arg("checks").exec();
    Err(error).context("start the checks")
}

fn mounted(kind: &str, at: &str, flags: MountFlags, options: &CStr) -> Result<()> {
    mount(kind, at, kind, flags, options).with_context(|| format!("mount {at}"))
}

/// Turns the machine off. What is lost is nobody's.
pub(crate) fn off() -> Result<()> {
    let _ = rustix::mount::unmount("/run", UnmountFlags::DETACH);
    rustix::system::reboot(rustix::system::RebootCommand::PowerOff).context("power off")
}
