//! crun and runc, called by themselves on a bundle whose root is unpacked.
//!
//! They want the peers' C library, and a process that enters a root for each call would be measured, too. So one worker, this
//! program again, lives in that root, and calls them when it is told to.

use crate::containers::site::{Cgroups, apart, on_peers};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Crun,
    Runc,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Crun => "crun",
            Self::Runc => "runc",
        }
    }
}

/// A worker that calls one of them; it ends with this.
#[derive(Debug)]
pub(super) struct Program {
    worker: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Program {
    pub(super) fn start(directory: &Path, peer: Peer, cgroup: &str) -> Result<Self> {
        let directory = directory.join(peer.name());
        let long = bundle(&directory, "long", &["/contained", "pause"], cgroup)?;
        let short = bundle(&directory, "short", &["/contained", "exit", "0"], cgroup)?;
        let own = directory.join("worker");
        let program = std::env::current_exe().context("find this program")?;
        fs::copy(&program, &own).with_context(|| format!("copy {}", program.display()))?;
        let mut command = apart(Cgroups::Unified);
        on_peers(&mut command, &directory)?;
        let mut worker = command
            .arg(own)
            .args(["call", peer.name()])
            .args([directory.join("state"), long, short])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker")?;
        let say = worker.stdin.take().context("a worker's input")?;
        let hear = BufReader::new(worker.stdout.take().context("a worker's output")?);
        Ok(Self { worker, say, hear })
    }

    /// Microseconds from nothing to a container that runs; it is removed afterwards.
    pub(super) fn started(&mut self) -> Result<f64> {
        self.ask("started")
    }

    /// Microseconds from nothing to the removal of a container that ends at once.
    pub(super) fn whole(&mut self) -> Result<f64> {
        self.ask("whole")
    }

    fn ask(&mut self, what: &str) -> Result<f64> {
        writeln!(self.say, "{what}").context("tell a worker")?;
        let mut answer = String::new();
        self.hear.read_line(&mut answer).context("hear a worker")?;
        answer
            .trim()
            .parse()
            .with_context(|| format!("a worker said {answer:?}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// The worker: `PEER STATE LONG SHORT`; each line of standard input is a call, each line of standard output what it took.
///
/// # Errors
/// A call fails.
pub fn work(arguments: &[String]) -> Result<()> {
    let [peer, state, long, short] = arguments else {
        bail!("call PEER STATE BUNDLE BUNDLE");
    };
    let call = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(peer)
            .args(["--root", state])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let status = status.with_context(|| format!("run {peer}"))?;
        ensure!(status.success(), "{peer} {arguments:?}: {status}");
        Ok(())
    };
    for line in std::io::stdin().lines() {
        let line = line.context("read what to do")?;
        let began = Instant::now();
        let took = match line.as_str() {
            "started" => {
                call(&["run", "--detach", "--bundle", long, "long"])?;
                let took = began.elapsed();
                call(&["delete", "--force", "long"])?;
                took
            }
            "whole" => {
                call(&["run", "--bundle", short, "short"])?;
                began.elapsed()
            }
            _ => bail!("what is {line:?}?"),
        };
        println!("{}", took.as_secs_f64() * 1e6);
    }
    Ok(())
}

/// A bundle as the runtime makes them for the same container, with the root unpacked.
fn bundle(directory: &Path, name: &str, arguments: &[&str], cgroup: &str) -> Result<PathBuf> {
    let bundle = directory.join(name);
    let root = bundle.join("rootfs");
    for name in ["dev", "proc", "sys", "tmp", "etc"] {
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    }
    let program = crate::programs::built("contained")?;
    fs::copy(&program, root.join("contained"))
        .with_context(|| format!("copy {}", program.display()))?;
    let config = bundle.join("config.json");
    let spec = spec(arguments, &format!("{cgroup}/{name}"));
    fs::write(&config, spec.to_string()).with_context(|| format!("write {}", config.display()))?;
    Ok(bundle)
}

/// As CRI's config of the bench comes to.
fn spec(arguments: &[&str], cgroup: &str) -> Value {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": arguments, "env": ["PATH=/"], "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
