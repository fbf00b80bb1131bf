//! Mounts of the kernel's file systems, the switch to the read-only root, and their undoing.

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

/// Where a mount is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// On a whole machine and in a sandbox.
    Both,
    /// On a whole machine only.
    Machine,
    /// In a sandbox only.
    Sandbox,
}

/// One row of the table.
struct Row {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static str,
    place: Where,
    /// The node works without it.
    optional: bool,
}

const fn row(kind: &'static str, target: &'static str, place: Where) -> Row {
    Row {
        kind,
        target,
        flags: MountFlags::NOSUID
            .union(MountFlags::NODEV)
            .union(MountFlags::NOEXEC),
        data: "",
        place,
        optional: false,
    }
}

/// What is mounted, in this order. In a sandbox `/sys` is read-only, because most of it is the host's.
const TABLE: &[Row] = &[
    row("proc", "/proc", Where::Both),
    row("sysfs", "/sys", Where::Machine),
    Row {
        flags: MountFlags::NOSUID
            .union(MountFlags::NODEV)
            .union(MountFlags::NOEXEC)
            .union(MountFlags::RDONLY),
        ..row("sysfs", "/sys", Where::Sandbox)
    },
    Row {
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: "mode=0755",
        ..row("devtmpfs", "/dev", Where::Machine)
    },
    Row {
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: "mode=0755,size=1m",
        ..row("tmpfs", "/dev", Where::Sandbox)
    },
    Row {
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: "newinstance,ptmxmode=0666,mode=0620,gid=5",
        ..row("devpts", "/dev/pts", Where::Both)
    },
    Row {
        data: "mode=1777,size=25%",
        ..row("tmpfs", "/dev/shm", Where::Both)
    },
    Row {
        data: "mode=0755,size=25%",
        ..row("tmpfs", "/run", Where::Machine)
    },
    Row {
        data: "nsdelegate,memory_recursiveprot",
        ..row("cgroup2", "/sys/fs/cgroup", Where::Machine)
    },
    row("cgroup2", "/sys/fs/cgroup", Where::Sandbox),
    Row {
        optional: true,
        ..row("securityfs", "/sys/kernel/security", Where::Machine)
    },
    Row {
        optional: true,
        data: "mode=0700",
        ..row("bpf", "/sys/fs/bpf", Where::Machine)
    },
    Row {
        optional: true,
        ..row("pstore", "/sys/fs/pstore", Where::Machine)
    },
];

/// Device nodes of a sandbox: name, major, minor. All are stateless.
const SANDBOX_NODES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that programs expect in `/dev`.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// A failed operation on a mount.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}: {source}")]
pub(crate) struct MountError {
    operation: &'static str,
    object: String,
    source: io::Error,
}

pub(crate) fn failed(
    operation: &'static str,
    object: impl Into<String>,
) -> impl FnOnce(rustix::io::Errno) -> MountError {
    let object = object.into();
    move |error| MountError {
        operation,
        object,
        source: error.into(),
    }
}

fn failed_io(operation: &'static str, object: &Path) -> impl FnOnce(io::Error) -> MountError {
    let object = object.display().to_string();
    move |source| MountError {
        operation,
        object,
        source,
    }
}

/// What the first mounts found.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    /// Optional mounts that could not be made, and why.
    pub(crate) missing: Vec<String>,
    /// A sandbox's launcher has given a place for STATE.
    pub(crate) state_given: bool,
}

/// Makes all mounts of the table for this kind of node.
pub(crate) fn kernel_file_systems(sandboxed: bool) -> Result<Mounted, MountError> {
    if sandboxed {
        // Whatever the launcher did, nothing mounted here may appear on the host.
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", all).map_err(failed("make private", "/"))?;
    }
    let mut mounted = Mounted::default();
    for row in TABLE {
        let here = match row.place {
            Where::Both => true,
            Where::Machine => !sandboxed,
            Where::Sandbox => sandboxed,
        };
        // What the launcher has mounted stays: it may have more locks on it than ours would.
        if !here || (sandboxed && is_mounted(row.target)) {
            continue;
        }
        let result = mount_row(row);
        match result {
            Ok(()) => {}
            Err(error) if row.optional => mounted.missing.push(error.to_string()),
            Err(error) => return Err(error),
        }
        if row.target == "/dev" && sandboxed {
            make_nodes()?;
        }
    }
    device_links();
    if sandboxed {
        mounted.state_given = is_mounted(init_proto::paths::STATE);
        for target in ["/run", "/tmp", "/var", init_proto::paths::STATE] {
            if !is_mounted(target) {
                temporary(target, "mode=0755")?;
            }
        }
    }
    Ok(mounted)
}

fn mount_row(row: &Row) -> Result<(), MountError> {
    let path = Path::new(row.target);
    if !path.is_dir() {
        fs::create_dir_all(path).map_err(failed_io("create", path))?;
    }
    let data = std::ffi::CString::new(row.data).unwrap_or_default();
    let mounted = rustix::mount::mount(
        row.kind,
        row.target,
        row.kind,
        row.flags,
        (!row.data.is_empty()).then_some(data.as_c_str()),
    );
    match mounted {
        // The kernel was built to mount devtmpfs itself, or the launcher has mounted it: as wanted.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        // Options that older kernels do not know are refinements.
        Err(rustix::io::Errno::INVAL) if row.kind == "cgroup2" => {
            rustix::mount::mount(row.kind, row.target, row.kind, row.flags, None)
                .map_err(failed("mount", row.target))
        }
        other => other.map_err(failed("mount", row.target)),
    }
}

fn make_nodes() -> Result<(), MountError> {
    for (name, major, minor) in SANDBOX_NODES {
        let path = format!("/dev/{name}");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            rustix::fs::makedev(*major, *minor),
        )
        .map_err(failed("make device node", path.clone()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
            .map_err(failed_io("chmod", Path::new(&path)))?;
    }
    // "pts/ptmx" belongs to this devpts instance; the node 5:2 would be the host's.
    let _ = symlink("pts/ptmx", "/dev/ptmx");
    Ok(())
}

fn device_links() {
    for (to, link) in DEVICE_LINKS {
        // Already there on a second try: as wanted.
        let _ = symlink(to, link);
    }
}

/// Mounts an empty tmpfs with these options, beside nosuid and nodev.
pub(crate) fn temporary(target: &str, options: &str) -> Result<(), MountError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let data = std::ffi::CString::new(options).unwrap_or_default();
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(data.as_c_str()))
        .map_err(failed("mount", target))
}

/// Whether something is mounted exactly here.
pub(crate) fn is_mounted(target: &str) -> bool {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(target))
}

/// Where the initrd keeps the root file system, and where it is mounted before it becomes `/`.
pub(crate) const ROOT_IMAGE: &str = "/root.erofs";
const NEW_ROOT: &str = "/root";

/// Mounts the erofs file where it lies, moves the kernel's file systems into it and makes it the root.
/// `free` is removed from the initrd before it disappears from view; what is mounted stays.
pub(crate) fn switch_root(free: &[&str]) -> Result<(), MountError> {
    fs::create_dir_all(NEW_ROOT).map_err(failed_io("create", Path::new(NEW_ROOT)))?;
    // Not nosuid: the image test holds that there are no setuid files, and the flag would forbid
    // file capabilities of a future runtime.
    rustix::mount::mount(
        ROOT_IMAGE,
        NEW_ROOT,
        "erofs",
        MountFlags::RDONLY | MountFlags::NODEV,
        None,
    )
    .map_err(failed("mount", ROOT_IMAGE))?;
    for path in free {
        let _ = fs::remove_dir_all(path);
    }
    for target in ["/dev", "/proc", "/sys", "/run"] {
        let to = format!("{NEW_ROOT}{target}");
        rustix::mount::mount_move(target, &to).map_err(failed("move", target))?;
    }
    rustix::process::chdir(NEW_ROOT).map_err(failed("chdir", NEW_ROOT))?;
    rustix::mount::mount_move(".", "/").map_err(failed("move", NEW_ROOT))?;
    rustix::process::chroot(".").map_err(failed("chroot", NEW_ROOT))?;
    rustix::process::chdir("/").map_err(failed("chdir", "/"))?;
    temporary("/tmp", "mode=1777,size=25%")
}

/// Mounts a volume of the disk. `exec` for DATA only: containers run from it.
pub(crate) fn volume(device: &str, target: &str, exec: bool) -> Result<(), MountError> {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    if !exec {
        flags |= MountFlags::NOEXEC;
    }
    let what = format!("{target} ({device})");
    rustix::mount::mount(
        format!("/dev/{device}"),
        target,
        "ext4",
        flags,
        Some(c"errors=remount-ro"),
    )
    .map_err(failed("mount", what))
}

/// Unmounts, or where something still uses it, makes it read-only; says what could not be done.
pub(crate) fn release(target: &str) -> Result<(), MountError> {
    if let Ok(file) = rustix::fs::open(target, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::fs::syncfs(&file);
    }
    match rustix::mount::unmount(target, UnmountFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(_) => rustix::mount::mount_remount(
            target,
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV,
            c"",
        )
        .map_err(failed("remount read-only", target)),
    }
}

/// A directory with exactly this mode and owner; existing contents stay.
pub(crate) fn directory(path: &str, mode: u32, user: u32, group: u32) -> Result<(), MountError> {
    let path = Path::new(path);
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed_io("create", path)(error)),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(failed_io("chmod", path))?;
    std::os::unix::fs::chown(path, Some(user), Some(group)).map_err(failed_io("chown", path))
}
