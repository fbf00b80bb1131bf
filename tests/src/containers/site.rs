//! A container runtime in mount and PID namespaces of its own: all that it has started ends with it.
//!
//! containerd calls runc, which wants a C library that this host may not have. So it runs on the tree of the peers as its root,
//! with an overlay on top; the directories of the test are there under their own names. Ours needs no root of its own.

use super::cri::Cri;
use crate::guard::Guarded;
use crate::programs;
use crate::wait::{Lines, PATIENCE};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time until CRI answers.
const STARTS: Duration = Duration::from_secs(5);

/// Runs the rest with cgroups of version 2 alone, whatever this host has.
const UNIFIED: &str = r#"mount -t cgroup2 none /sys/fs/cgroup && exec "$@""#;

/// Runs the rest with `$1` in memory, as a node has it.
const STATE: &str = r#"mount -t tmpfs -o mode=711 none "$1" && shift && exec "$@""#;

/// Makes a root of the tree `$1` at `$2`, in which `$3` is where it is, and runs the rest in it. The old one goes: whoever
/// enters a mount namespace made below a chroot finds himself outside of it.
const ROOT: &str = r#"
set -eu
tree=$1 place=$2 shared=$3; shift 3
mount -t tmpfs -o mode=755 none "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$place/upper,workdir=$place/work" none "$place/root"
cd "$place/root"
for name in bin sbin lib lib64; do [ -e "$name" ] || ln -s "usr/$name" "$name"; done
mkdir -p proc sys dev run tmp etc ".$shared"
for name in proc sys dev; do mount --rbind "/$name" "$name"; done
mount -t tmpfs none run
mount --rbind "$shared" ".$shared"
[ -e etc/hosts ] || echo "127.0.0.1 localhost" > etc/hosts
[ -e etc/resolv.conf ] || : > etc/resolv.conf
mkdir old
pivot_root . old
cd /
PATH=/usr/sbin:/usr/bin
export PATH
exec "$@"
"#;

/// Which runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Debian's, with runc.
    Containerd,
    /// Ours.
    Orlop,
}

impl Kind {
    /// Its name in tables and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Orlop => "orlop",
        }
    }
}

/// Which cgroups a runtime sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// As this host has them.
    Host,
    /// Version 2, with the controllers that this host has left to it: for crun, which refuses a mixture.
    Unified,
}

/// A runtime that runs; it and all its containers are killed when this is dropped.
#[derive(Debug)]
pub struct Site {
    /// Its calls.
    pub cri: Cri,
    kind: Kind,
    directory: PathBuf,
    log: Lines,
    _guard: Guarded,
}

impl Site {
    /// Starts one with all its data below `directory`, which both find there under this name. `pause` is the image of
    /// containerd's pods; `flags` are of ours alone.
    ///
    /// # Errors
    /// A program is missing, or does not answer.
    pub async fn start(
        kind: Kind,
        directory: &Path,
        cgroups: Cgroups,
        pause: &str,
        flags: &[String],
    ) -> Result<Self> {
        let directory = directory.join(kind.name());
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let socket = directory.join("cri.sock");
        let state = directory.join("state");
        fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
        let mut command = apart(cgroups);
        command.args(["sh", "-c", STATE, "sh"]).arg(&state);
        match kind {
            Kind::Containerd => {
                let config = directory.join("config.toml");
                fs::write(&config, containerd(&directory, &socket, pause))
                    .with_context(|| format!("write {}", config.display()))?;
                on_peers(&mut command, &directory)?;
                command.args(["containerd", "--config"]).arg(config);
            }
            Kind::Orlop => {
                command.arg(programs::built("orlop")?).arg("runtime");
                command.arg("--root").arg(directory.join("root"));
                command.arg("--state").arg(directory.join("state"));
                command
                    .arg("--listen")
                    .arg(format!("unix://{}", socket.display()));
                command.args(flags);
            }
        }
        let mut guard = Guarded::start(&command)?;
        let log = Lines::follow(kind.name(), guard.stderr()?, &directory.join("log"))?;
        let cri = Cri::connect(&socket);
        let answers = cri.clone().answers();
        tokio::time::timeout(STARTS * PATIENCE, answers)
            .await
            .map_err(|_| anyhow::anyhow!("{} does not answer:\n{}", kind.name(), log.tail()))?;
        Ok(Self {
            cri,
            kind,
            directory,
            log,
            _guard: guard,
        })
    }

    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where its data is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it said last.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.tail()
    }

    /// The runtime's processes on this host, those of its helpers too, but no container's: all whose command line names its
    /// directory.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let directory = self.directory.display().to_string();
        for entry in fs::read_dir("/proc").context("list /proc")? {
            let name = entry.context("list /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that has ended in the meantime is none.
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let program = line.split('\0').next().unwrap_or_default();
            let ours = ["containerd", "containerd-shim-runc-v2", "orlop"];
            let named = Path::new(program)
                .file_name()
                .and_then(|name| name.to_str());
            if named.is_some_and(|name| ours.contains(&name)) && line.contains(&directory) {
                found.push(pid);
            }
        }
        Ok(found)
    }
}

/// What begins in namespaces that end with it.
#[must_use]
pub fn apart(cgroups: Cgroups) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "--mount-proc",
    ]);
    command.args(["--propagation", "private", "--"]);
    if cgroups == Cgroups::Unified {
        command.args(["sh", "-c", UNIFIED, "sh"]);
    }
    command
}

/// Has the rest of `command` run on the peers' tree, where `directory` is in its place.
///
/// # Errors
/// The peers cannot be fetched, or a directory not be made.
pub fn on_peers(command: &mut Command, directory: &Path) -> Result<()> {
    let place = directory.join("place");
    fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
    command.args(["sh", "-c", ROOT, "sh"]);
    command.arg(xtask::peers::containers()?);
    command.arg(place).arg(directory);
    Ok(())
}

/// As a kubelet's node has it, and with what a host without all capabilities allows.
fn containerd(directory: &Path, socket: &Path, pause: &str) -> String {
    let (directory, socket) = (directory.display(), socket.display());
    format!(
        r#"version = 2
root = "{directory}/root"
state = "{directory}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{directory}/net.d"
"#
    )
}
