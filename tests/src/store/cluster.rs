//! Members of etcd or of the store on this host: the same flags, free ports of loopback, one directory for all.

use super::usage::{self, Usage};
use crate::guard::Guarded;
use crate::programs;
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time for a program to be there as a process.
const STARTS: Duration = Duration::from_secs(1);
/// Usual time for an orderly end: leadership is given away, records are made durable.
const ENDS: Duration = Duration::from_secs(3);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The original, from its package.
    Etcd,
    /// Ours.
    Orlop,
}

impl Kind {
    /// Its name in tables and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Orlop => "orlop",
        }
    }

    /// The program with what stands before its flags.
    ///
    /// # Errors
    /// It cannot be fetched, or is not built.
    pub fn command(self) -> Result<Command> {
        Ok(match self {
            Self::Etcd => {
                let mut command = Command::new(xtask::peers::etcd()?.join("etcd"));
                // Its flags also come from the environment; at this level it is as quiet as ours.
                command.env("ETCD_LOG_LEVEL", "warn");
                command
            }
            Self::Orlop => {
                let mut command = Command::new(programs::built("orlop")?);
                command.arg("store");
                command
            }
        })
    }
}

/// Certificates of one CA for servers, peers and clients alike.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The CA (PEM).
    pub authority: PathBuf,
    /// A certificate for 127.0.0.1, for servers and clients.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many members.
    pub members: usize,
    /// Mutual TLS for clients.
    pub certificates: Option<Certificates>,
    /// Mutual TLS between members.
    pub peer_certificates: Option<Certificates>,
    /// Flags for every member besides.
    pub flags: Vec<String>,
}

impl Default for Options {
    /// One member without TLS.
    fn default() -> Self {
        Self {
            members: 1,
            certificates: None,
            peer_certificates: None,
            flags: Vec::new(),
        }
    }
}

/// One member, running or not.
#[derive(Debug)]
pub struct Member {
    /// Its name: `m1`, `m2`, ...
    pub name: String,
    kind: Kind,
    client_url: String,
    peer_url: String,
    directory: PathBuf,
    flags: Vec<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    guard: Guarded,
    pid: u32,
    log: Lines,
}

/// Members that know each other; all are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of their names.
    pub members: Vec<Member>,
    kind: Kind,
    directory: PathBuf,
    scheme: &'static str,
    peer_scheme: &'static str,
    flags: Vec<String>,
}

impl Cluster {
    /// Starts a new cluster with its data below `directory`. Its members may not have found each other yet.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub fn start(kind: Kind, directory: &Path, options: &Options) -> Result<Self> {
        let mut cluster = Self::prepare(kind, directory, options)?;
        for member in &mut cluster.members {
            member.start()?;
        }
        Ok(cluster)
    }

    /// A cluster none of whose members is started: their data may be made in another way before.
    ///
    /// # Errors
    /// No port is free.
    pub fn prepare(kind: Kind, directory: &Path, options: &Options) -> Result<Self> {
        let mut cluster = Self {
            members: Vec::new(),
            kind,
            directory: directory.to_owned(),
            scheme: scheme(options.certificates.as_ref()),
            peer_scheme: scheme(options.peer_certificates.as_ref()),
            flags: options
                .certificates
                .iter()
                .flat_map(|certificates| certificate_flags("", certificates))
                .chain(
                    options
                        .peer_certificates
                        .iter()
                        .flat_map(|certificates| certificate_flags("peer-", certificates)),
                )
                .chain(options.flags.iter().cloned())
                .collect(),
        };
        for (number, ports) in (1..).zip(free_ports(options.members)?) {
            cluster.add(number, ports);
        }
        let initial = cluster.initial_cluster();
        for member in &mut cluster.members {
            member
                .flags
                .extend(["--initial-cluster".into(), initial.clone()]);
        }
        Ok(cluster)
    }

    /// A member more, which is not started: the cluster must have been told of it before.
    ///
    /// # Errors
    /// No port is free.
    pub fn prepare_member(&mut self) -> Result<&mut Member> {
        let number = self.members.len() + 1;
        let ports = free_ports(1)?
            .pop()
            .context("one pair of ports was asked for")?;
        self.add(number, ports);
        let initial = self.initial_cluster();
        let member = self.members.last_mut().context("it was added just now")?;
        member.flags.extend([
            "--initial-cluster".into(),
            initial,
            "--initial-cluster-state".into(),
            "existing".into(),
        ]);
        Ok(member)
    }

    /// Where clients connect, for each member.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.client_url.clone())
            .collect()
    }

    /// What all members have used together.
    ///
    /// # Errors
    /// One of them does not run.
    pub fn usage(&self) -> Result<Usage> {
        self.members
            .iter()
            .try_fold(Usage::default(), |sum, member| Ok(sum + member.usage()?))
    }

    fn initial_cluster(&self) -> String {
        let entries: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url))
            .collect();
        entries.join(",")
    }

    fn add(&mut self, number: usize, (client, peer): (u16, u16)) {
        let name = format!("m{number}");
        self.members.push(Member {
            kind: self.kind,
            client_url: format!("{}://127.0.0.1:{client}", self.scheme),
            peer_url: format!("{}://127.0.0.1:{peer}", self.peer_scheme),
            directory: self.directory.join(&name),
            flags: self.flags.clone(),
            running: None,
            name,
        });
    }
}

impl Member {
    /// Starts it, for the first time or again.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub fn start(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("make {}", self.directory.display()))?;
        let mut command = self.kind.command()?;
        command
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--listen-client-urls", &self.client_url])
            .args(["--advertise-client-urls", &self.client_url])
            .args(["--listen-peer-urls", &self.peer_url])
            .args(["--initial-advertise-peer-urls", &self.peer_url])
            .args(&self.flags);
        let mut guard = Guarded::start(&command)?;
        let name = format!("{} {}", self.kind.name(), self.name);
        let path = self.directory.join("log");
        // Its pipes must be emptied, or it would wait for us.
        Lines::follow(&name, guard.stdout()?, &self.directory.join("output"))?;
        let log = Lines::follow(&name, guard.stderr()?, &path)?;
        let pid = eventually(&format!("the process of {name}"), STARTS, || {
            if guard.wait(Duration::ZERO)?.is_some() {
                bail!("{name} ended at once:\n{}", log.tail());
            }
            usage::child_of(guard.id())
        })?;
        self.running = Some(Running { guard, pid, log });
        Ok(())
    }

    /// Where clients connect.
    #[must_use]
    pub fn client_url(&self) -> &str {
        &self.client_url
    }

    /// Where peers connect.
    #[must_use]
    pub fn peer_url(&self) -> &str {
        &self.peer_url
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What it has used since it was started last.
    ///
    /// # Errors
    /// It does not run.
    pub fn usage(&self) -> Result<Usage> {
        let running = self.running()?;
        Usage::of(running.pid).with_context(|| {
            format!(
                "{} does not run any more:\n{}",
                self.name,
                running.log.tail()
            )
        })
    }

    /// The end of its log, for failures.
    #[must_use]
    pub fn log(&self) -> String {
        self.running
            .as_ref()
            .map(|running| running.log.tail())
            .unwrap_or_default()
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// It does not run or does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.wait_end().map(drop)
    }

    /// Stops it in its tracks (SIGSTOP): its sockets stay open.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until it has ended by itself; the end of its log.
    ///
    /// # Errors
    /// It does not run or does not end.
    pub fn wait_end(&mut self) -> Result<String> {
        let name = &self.name;
        let running = self.running.take();
        let mut running = running.with_context(|| format!("{name} does not run"))?;
        let bound = ENDS * crate::wait::PATIENCE;
        if running.guard.wait(bound)?.is_none() {
            bail!(
                "{name} has not ended within {bound:?}:\n{}",
                running.log.tail()
            );
        }
        running.log.wait_end(ENDS)?;
        Ok(running.log.tail())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.running()?.pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id fits")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("send {} {signal:?}", self.name))
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self
            .running
            .take()
            .with_context(|| format!("{} does not run", self.name))?;
        running.guard.kill()
    }

    fn running(&self) -> Result<&Running> {
        self.running
            .as_ref()
            .with_context(|| format!("{} does not run", self.name))
    }
}

const fn scheme(certificates: Option<&Certificates>) -> &'static str {
    match certificates {
        Some(_) => "https",
        None => "http",
    }
}

fn certificate_flags(prefix: &str, certificates: &Certificates) -> Vec<String> {
    let file = |name: &str, path: &Path| format!("--{prefix}{name}={}", path.display());
    vec![
        file("trusted-ca-file", &certificates.authority),
        file("cert-file", &certificates.certificate),
        file("key-file", &certificates.key),
        format!("--{prefix}client-cert-auth"),
    ]
}

/// Pairs of ports that nobody listens on: all are held until the last is chosen.
fn free_ports(pairs: usize) -> Result<Vec<(u16, u16)>> {
    let listeners: Vec<TcpListener> = (0..pairs * 2)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()
        .context("find free ports on loopback")?;
    let ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<std::io::Result<_>>()
        .context("find free ports on loopback")?;
    Ok(ports
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}
