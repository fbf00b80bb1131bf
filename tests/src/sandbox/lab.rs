//! A lab: a network namespace of its own with one bridge, on which nodes are plugged.
//!
//! ```text
//!   lab namespace                      10.77.0.0/24
//!     lab (bridge)  10.77.0.1          the test's end: clients, DHCP server
//!       n1 ── eth0 of node 1           10.77.0.11
//!       n2 ── eth0 of node 2           10.77.0.12
//! ```
//! Each lab has the same addresses: namespaces keep them apart, so labs run in parallel. The namespace
//! lives as long as the descriptor or a process in it. It has no way out.

use crate::guard::Guarded;
use crate::leftovers::{self, Scratch};
use crate::programs;
use crate::sandbox::links;
use crate::wait::Lines;
use anyhow::{Context as _, Result};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// Name of the bridge.
pub const BRIDGE: &str = "lab";
/// The bridge's own address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Prefix length of the lab's network.
pub const PREFIX: u8 = 24;
/// First host number of a node; the lab's own numbers are below.
const FIRST_NODE: u8 = 11;
/// Usual time for dnsmasq to say that it serves.
const DHCP_STARTS: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Lab {
    namespace: OwnedFd,
    scratch: Scratch,
    nodes: AtomicU8,
}

/// A node's place in a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub number: u8,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub hardware_address: [u8; 6],
}

impl Lab {
    /// Makes the namespace and the bridge.
    ///
    /// # Errors
    /// Not root, or the kernel has no network namespaces, bridges or veth.
    pub fn new() -> Result<Self> {
        let namespace = thread::scope(|scope| {
            let made = scope.spawn(|| -> Result<OwnedFd> {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                    .context("make a network namespace: sandboxes need root")?;
                links::make_bridge(BRIDGE, ADDRESS, PREFIX)?;
                let file =
                    File::open("/proc/thread-self/ns/net").context("hold the network namespace")?;
                Ok(file.into())
            });
            joined(made)
        })?;
        Ok(Self {
            namespace,
            scratch: leftovers::scratch("lab")?,
            nodes: AtomicU8::new(0),
        })
    }

    /// Runs `work` in a thread of its own inside the lab's network namespace.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(self.namespace.as_fd(), work)
    }

    /// Starts a program inside the lab. A process inherits the namespace of the thread that starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.inside(|| {
            command
                .spawn()
                .with_context(|| format!("start {}", command.get_program().display()))
        })
    }

    /// Runs a program inside the lab to its end.
    ///
    /// # Errors
    /// It cannot be started. Its exit status is for the caller to judge.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        self.inside(|| {
            command
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("run {}", command.get_program().display()))
        })
    }

    /// The next node's place.
    ///
    /// # Errors
    /// The lab is full.
    pub fn place(&self) -> Result<Place> {
        let number = self
            .nodes
            .fetch_add(1, Ordering::Relaxed)
            .checked_add(1)
            .context("the lab is full")?;
        let host = number
            .checked_add(FIRST_NODE - 1)
            .filter(|host| *host < 255)
            .context("the lab is full")?;
        Ok(Place {
            number,
            address: Ipv4Addr::new(10, 77, 0, host),
            // Locally administered.
            hardware_address: [0x02, 0x77, 0, 0, 0, host],
        })
    }

    /// Files of this lab; removed with it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts dnsmasq, a real DHCP server, which gives each node the address of its place.
    ///
    /// # Errors
    /// It cannot be started or does not serve.
    pub fn serve_dhcp(&self, lease: Duration) -> Result<DhcpServer> {
        self.dnsmasq(lease, &["--port=0".to_owned()])
    }

    /// The same, and it names the lab's own address to whoever looks `name` up, and to nodes as time server.
    ///
    /// # Errors
    /// As [`Lab::serve_dhcp`].
    pub fn serve_dhcp_and_name(&self, lease: Duration, name: &str) -> Result<DhcpServer> {
        let record = format!("--host-record={name},{ADDRESS}");
        let time = format!("--dhcp-option=option:ntp-server,{ADDRESS}");
        self.dnsmasq(lease, &[record, time])
    }

    fn dnsmasq(&self, lease: Duration, more: &[String]) -> Result<DhcpServer> {
        let mut command = programs::tool("dnsmasq")?;
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-hosts",
                "--no-resolv",
                "--no-ping",
            ])
            .args([
                "--user=root",
                "--log-dhcp",
                "--log-facility=-",
                "--bind-interfaces",
            ])
            .arg(format!("--interface={BRIDGE}"))
            .args([
                "--except-interface=lo",
                "--dhcp-authoritative",
                "--pid-file=",
            ])
            .arg(format!(
                "--dhcp-leasefile={}",
                self.scratch.path().join("leases").display()
            ))
            .arg(format!(
                "--dhcp-range=10.77.0.0,static,255.255.255.0,{}",
                lease.as_secs()
            ))
            .arg("--dhcp-option=option:router,10.77.0.1")
            .arg("--dhcp-option=option:dns-server,10.77.0.1")
            .arg("--dhcp-option=option:domain-name,lab.test")
            .args(more);
        for host in FIRST_NODE..255 {
            command.arg(format!(
                "--dhcp-host=02:77:00:00:00:{host:02x},10.77.0.{host}"
            ));
        }
        let mut process = self.inside(|| Guarded::start(&command))?;
        let lines = Lines::follow(
            "dnsmasq",
            process.stderr()?,
            &self.scratch.path().join("dnsmasq.log"),
        )?;
        lines.wait("static leases only", DHCP_STARTS)?;
        Ok(DhcpServer { process, lines })
    }
}

/// dnsmasq in a lab; stopped when dropped.
#[derive(Debug)]
pub struct DhcpServer {
    process: Guarded,
    lines: Lines,
}

impl DhcpServer {
    /// What it says: `DHCPDISCOVER`, `DHCPACK` and so on, with hardware addresses.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Stops it: from now on nobody answers.
    ///
    /// # Errors
    /// The system refuses to wait for it.
    pub fn stop(mut self) -> Result<()> {
        self.process.kill()
    }
}

/// Runs `work` in a thread of its own inside a network namespace.
pub(super) fn inside<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        joined(scope.spawn(|| {
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace, kind)
                .context("enter a network namespace")?;
            work()
        }))
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
