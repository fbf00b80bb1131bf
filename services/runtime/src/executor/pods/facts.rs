//! What only the host knows, looked at for each container.

use super::{PodsError, blocking};
use crate::planner::{
    seccomp::{self, Kernel},
    spec::{HostDevice, Kind, MountSource},
};
use cri_proto::runtime::ContainerConfig;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, major, minor, openat2, stat},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Longest user database of an image.
const DATABASE_MAX: u64 = 4 * 1024 * 1024;
/// Devices below one path of the host.
const DEVICES_MAX: usize = 4096;
/// Directories below each other that are looked into for devices.
const DEVICES_DEPTH_MAX: usize = 8;

/// What does not change.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub kernel: Kernel,
    pub capability_last: usize,
    pub cgroup_v2: bool,
    pub swap_accounting: bool,
    pub apparmor: bool,
    pub node_name: String,
    /// Open files that a process can be allowed at most: without `CAP_SYS_RESOURCE`, as in other containers, no more than this one.
    pub open_files_max: u64,
}

impl Host {
    pub(super) fn look() -> io::Result<Self> {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
        let cgroup_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let swap = if cgroup_v2 {
            "/proc/swaps"
        } else {
            "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
        };
        Ok(Self {
            kernel: release.parse().map_err(io::Error::other)?,
            capability_last: last.trim().parse().map_err(io::Error::other)?,
            cgroup_v2,
            swap_accounting: Path::new(swap).exists(),
            apparmor: fs::read("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.starts_with(b"Y")),
            node_name: uname.nodename().to_string_lossy().into_owned(),
            open_files_max: open_files_max()?,
        })
    }
}

fn open_files_max() -> io::Result<u64> {
    let own = rustix::thread::capabilities(None)?.effective;
    if own.contains(rustix::thread::CapabilitySet::SYS_RESOURCE) {
        return Ok(u64::MAX);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// passwd(5) and group(5) of a root file system.
#[derive(Debug, Default)]
pub(super) struct Databases {
    pub passwd: String,
    pub group: String,
}

pub(super) async fn databases(rootfs: PathBuf) -> Result<Databases, PodsError> {
    blocking(move || {
        let read = |name: &str| {
            read_within(&rootfs, name).map_err(PodsError::at(format!("read /{name} of the image")))
        };
        Ok(Databases {
            passwd: read("etc/passwd")?,
            group: read("etc/group")?,
        })
    })
    .await
}

/// A file of a root, whose links stay within it; "" where there is none.
fn read_within(root: &Path, name: &str) -> io::Result<String> {
    let directory = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let opened = openat2(
        &directory,
        name,
        // A fifo would never be opened else.
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    );
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(DATABASE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is behind the mounts that a client wants. A path that is not there is made, as a directory: kubelets count on it.
/// `images` has the paths of those that are of images.
pub(super) async fn mounts(
    config: &ContainerConfig,
    images: Vec<Option<PathBuf>>,
) -> Result<Vec<MountSource>, PodsError> {
    let mounts = config.mounts.clone();
    blocking(move || {
        let mut sources = Vec::new();
        for (mount, image) in mounts.into_iter().zip(images) {
            if let Some(path) = image {
                sources.push(MountSource::Image(path));
                continue;
            }
            let path = Path::new(&mount.host_path);
            if !path.is_absolute() {
                return Err(PodsError::InvalidArgument(format!(
                    "Mount.host_path {:?} is not valid: it is no absolute path",
                    mount.host_path
                )));
            }
            if !path.exists() {
                fs::create_dir_all(path)
                    .map_err(PodsError::at(format!("make {}", path.display())))?;
            }
            let real = fs::canonicalize(path)
                .map_err(PodsError::at(format!("look at {}", path.display())))?;
            sources.push(MountSource::Host(real));
        }
        Ok(sources)
    })
    .await
}

/// The devices that a client names, and all of the host for a privileged container.
pub(super) async fn devices(config: &ContainerConfig) -> Result<Vec<HostDevice>, PodsError> {
    let security = config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref());
    let privileged = security.is_some_and(|security| security.privileged);
    let mut paths: Vec<PathBuf> = config
        .devices
        .iter()
        .map(|device| PathBuf::from(&device.host_path))
        .collect();
    if privileged {
        paths.push("/dev".into());
    }
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    blocking(move || {
        let mut found = Vec::new();
        for path in paths {
            collect_devices(&path, DEVICES_DEPTH_MAX, &mut found)
                .map_err(PodsError::at(format!("look at {}", path.display())))?;
        }
        Ok(found)
    })
    .await
}

fn collect_devices(path: &Path, depth: usize, found: &mut Vec<HostDevice>) -> io::Result<()> {
    // The path that was named may be a link; what is below it is taken as it is.
    let status = stat(path)?;
    let kind = match FileType::from_raw_mode(status.st_mode) {
        FileType::CharacterDevice => Kind::Character,
        FileType::BlockDevice => Kind::Block,
        FileType::Directory => {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if depth == 0 || entry.file_type()?.is_symlink() {
                    continue;
                }
                match collect_devices(&entry.path(), depth - 1, found) {
                    // Devices come and go.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    if found.len() >= DEVICES_MAX {
        return Err(io::Error::other(format!("more than {DEVICES_MAX} devices")));
    }
    found.push(HostDevice {
        path: path.to_owned(),
        kind,
        major: major(status.st_rdev),
        minor: minor(status.st_rdev),
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
    });
    Ok(())
}

/// The text of a seccomp profile.
pub(super) async fn profile(path: PathBuf) -> Result<Vec<u8>, PodsError> {
    blocking(move || {
        let file = rustix::fs::openat(
            CWD,
            &path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        );
        let failed = || PodsError::at(format!("read the seccomp profile {}", path.display()));
        let file = file.map_err(|error| failed()(error.into()))?;
        let mut bytes = Vec::new();
        // One more than it may have: the compiler says so.
        let limit = u64::try_from(seccomp::TEXT_MAX).unwrap_or(u64::MAX) + 1;
        File::from(file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(failed())?;
        Ok(bytes)
    })
    .await
}

/// Whether the kernel has ended a process of this cgroup for want of memory.
pub(super) fn out_of_memory(cgroup: &Path, v2: bool) -> bool {
    let below = cgroup.strip_prefix("/").unwrap_or(cgroup);
    let file = if v2 {
        Path::new("/sys/fs/cgroup")
            .join(below)
            .join("memory.events")
    } else {
        Path::new("/sys/fs/cgroup/memory")
            .join(below)
            .join("memory.oom_control")
    };
    fs::read_to_string(file).is_ok_and(|text| {
        text.lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count.trim() != "0")
    })
}
