//! The API server as a program over a store, and what users' commands show of it.
//!
//! ```text
//!   ApiServer    `orlop apiserver` on a free port of loopback, with certificates of its own
//!   credentials  what the admin's kubeconfig holds
//!   transcript   commands and what they show, as one reads them on a terminal
//! ```

pub mod credentials;
pub mod transcript;

use crate::guard::Guarded;
use crate::programs;
use crate::store::{Cluster, Usage, usage};
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time from start to readiness, on a machine that does other things besides.
const STARTS: Duration = Duration::from_secs(5);
/// Of Services.
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    guard: Guarded,
    log: Lines,
    port: u16,
    directory: PathBuf,
}

impl ApiServer {
    /// Starts one over this store, with its files below `directory`, and waits until it is ready.
    ///
    /// # Errors
    /// It is not built, does not start, or does not become ready.
    pub fn start(store: &Cluster, directory: &Path) -> Result<Self> {
        let port = free_port()?;
        Self::start_on(store, directory, port)
    }

    /// The same on a port that was another's before.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub fn start_on(store: &Cluster, directory: &Path, port: u16) -> Result<Self> {
        let server = Self::launch(store, directory, port)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// The same without a wait: nothing may be there yet, and the store need not run.
    ///
    /// # Errors
    /// It is not built, or does not start.
    pub fn launch(store: &Cluster, directory: &Path, port: u16) -> Result<Self> {
        let mut command = Command::new(programs::built("orlop")?);
        command
            .arg("apiserver")
            .arg(format!("--etcd-servers={}", store.endpoints().join(",")))
            .args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")])
            .arg(format!("--service-cluster-ip-range={SERVICE_RANGE}"))
            .arg("--cert-dir")
            .arg(directory.join("apiserver"));
        let mut guard = Guarded::start(&command)?;
        let log = Lines::follow(
            "apiserver",
            guard.stdout()?,
            &directory.join("apiserver.log"),
        )?;
        Ok(Self {
            guard,
            log,
            port,
            directory: directory.to_owned(),
        })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not, within the usual time's bound.
    pub fn wait_ready(&self) -> Result<()> {
        eventually("an API server that is ready", STARTS, || {
            let answer = self.curl("/readyz").output().context("run curl")?;
            Ok((answer.stdout == b"ok").then_some(()))
        })
        .with_context(|| self.log.tail())
    }

    /// The admin's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("apiserver/admin.kubeconfig")
    }

    /// The certificates that sign its own.
    #[must_use]
    pub fn certificate_authority(&self) -> PathBuf {
        self.directory.join("apiserver/ca.crt")
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    ///
    /// # Errors
    /// It does not run.
    pub fn id(&self) -> Result<u32> {
        usage::child_of(self.guard.id())?.context("the API server does not run")
    }

    /// What it has used since it was started.
    ///
    /// # Errors
    /// It does not run.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.id()?).with_context(|| self.log.tail())
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

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.id()?).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process id fits")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("send the API server {signal:?}"))
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it has logged last.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.tail()
    }

    /// Kills it.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> Result<()> {
        self.guard.kill()
    }

    /// curl of a path, as nobody.
    #[must_use]
    pub fn curl(&self, path: &str) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(self.certificate_authority())
            .arg(format!("{}{path}", self.url()));
        command
    }

    /// kubectl, as the admin.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn kubectl(&self) -> Result<Command> {
        let mut command = Command::new(xtask::peers::kubectl()?.join("kubectl"));
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", &self.directory)
            .current_dir(&self.directory);
        Ok(command)
    }
}

/// A port of loopback that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("read the port")?.port())
}
