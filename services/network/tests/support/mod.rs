//! Two network namespaces joined by a veth pair, for one test:
//!
//! ```text
//!   node's namespace (also its own UTS)        server's namespace
//!   +------------------------+                 +--------------------+
//!   | the service     eth0 ──┼─────────────────┼── srv0    dnsmasq  |
//!   +------------------------+                 +--------------------+
//! ```
//!
//! Both belong to one thread and its children and have no names, so they are gone when these end, however
//! they end. The host's own namespaces are never entered.

#![allow(dead_code)] // each test file uses its own part of it
#![allow(clippy::unwrap_used)] // a failed helper fails its test

use nix::sched::{CloneFlags, setns, unshare};
use orlop_network::{
    executor::netlink::Netlink,
    metrics::Metrics,
    planner::model::{Address, Kernel, Operation},
    wiring::{self, Seams},
};
use prometheus_client::registry::Registry;
use rtnetlink::{LinkUnspec, LinkVeth};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    cell::RefCell,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Longest wait for a condition that takes about a second.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);
/// Name of the node's link.
pub(crate) const LINK: &str = "eth0";

/// The node's side of a test.
pub(crate) struct Net {
    server: Rc<File>,
    node: Rc<File>,
    /// The kernel of the node's namespace.
    pub(crate) kernel: Netlink,
    server_kernel: Netlink,
    /// Scratch: `config`, `run/`, `state/`, dnsmasq's files.
    pub(crate) directory: tempfile::TempDir,
}

/// Runs a test in namespaces of its own.
pub(crate) fn in_namespaces<F: Future<Output = ()>>(test: impl FnOnce(Net) -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let message =
            "needs root: the test makes network namespaces (run it with cargo xtask test as root)";
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS).expect(message);
        let server = File::open("/proc/thread-self/ns/net").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let server_kernel = Netlink::open().unwrap();
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let node = File::open("/proc/thread-self/ns/net").unwrap();
            let net = Net {
                server: Rc::new(server),
                node: Rc::new(node),
                kernel: Netlink::open().unwrap(),
                server_kernel,
                directory: tempfile::tempdir().unwrap(),
            };
            net.join().await;
            test(net).await;
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Net {
    async fn join(&self) {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        handle
            .link()
            .add(LinkVeth::new(LINK, "srv0").build())
            .execute()
            .await
            .unwrap();
        let peer = LinkUnspec::new_with_name("srv0")
            .setns_by_fd(self.server.as_raw_fd())
            .build();
        handle.link().set(peer).execute().await.unwrap();
        for name in ["lo", "srv0"] {
            let link = self.server_link(name).await;
            self.server_kernel
                .apply(&Operation::Up { link, up: true })
                .await
                .unwrap();
        }
    }

    pub(crate) async fn server_link(&self, name: &str) -> u32 {
        index(&observe(&self.server_kernel).await, name)
    }

    /// Gives the server's link an address with a prefix of 24 bits, and only this one.
    pub(crate) async fn server_address(&self, address: &str) {
        let link = self.server_link("srv0").await;
        let wanted = Address {
            link,
            address: address.parse().unwrap(),
            prefix: 24,
        };
        for (old, _) in observe(&self.server_kernel).await.addresses {
            if old.link == link && old.address.is_ipv4() {
                self.server_kernel
                    .apply(&Operation::RemoveAddress(old))
                    .await
                    .unwrap();
            }
        }
        self.server_kernel
            .apply(&Operation::AddAddress(wanted))
            .await
            .unwrap();
    }

    /// Gives the server's link an IPv6 address with a prefix of 64 bits.
    pub(crate) async fn server_ipv6(&self, address: &str, link: u32) {
        let wanted = Address {
            link,
            address: address.parse().unwrap(),
            prefix: 64,
        };
        self.server_kernel
            .apply(&Operation::AddAddress(wanted))
            .await
            .unwrap();
    }

    /// Takes the server's end of the cable out, or puts it back.
    pub(crate) async fn cable(&self, up: bool) {
        let link = self.server_link("srv0").await;
        self.server_kernel
            .apply(&Operation::Up { link, up })
            .await
            .unwrap();
    }

    /// Sets a link of the node up.
    pub(crate) async fn set_up(&self, link: u32) {
        let up = Operation::Up { link, up: true };
        self.kernel.apply(&up).await.unwrap();
    }

    /// Adds an address to the node without our mark, as anybody else would.
    pub(crate) async fn foreign_address(&self, link: u32, address: &str) -> Address {
        let address = Address {
            link,
            address: address.parse().unwrap(),
            prefix: 24,
        };
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        handle
            .address()
            .add(link, address.address, address.prefix)
            .execute()
            .await
            .unwrap();
        address
    }

    /// What the node's kernel has.
    pub(crate) async fn observe(&self) -> Kernel {
        observe(&self.kernel).await
    }

    /// Index of a link of the node.
    pub(crate) async fn link(&self, name: &str) -> u32 {
        index(&self.observe().await, name)
    }

    /// IPv4 addresses of the node's link.
    pub(crate) async fn addresses(&self) -> Vec<IpAddr> {
        let kernel = self.observe().await;
        let link = index(&kernel, LINK);
        let ours = |address: &&Address| address.link == link && address.address.is_ipv4();
        kernel
            .addresses
            .keys()
            .filter(ours)
            .map(|address| address.address)
            .collect()
    }

    /// Starts a program in the server's namespace.
    fn spawn_server(&self, command: &mut Command) -> Child {
        setns(&*self.server, CloneFlags::CLONE_NEWNET).unwrap();
        let child = command.spawn();
        setns(&*self.node, CloneFlags::CLONE_NEWNET).unwrap();
        child.expect("start dnsmasq")
    }

    /// Starts dnsmasq on the server's link with a range `10.x.0.50` to `10.x.0.99` in the network of
    /// `address`, and more options.
    pub(crate) async fn dnsmasq(&self, address: &str, options: &[&str]) -> Dnsmasq {
        self.server_address(address).await;
        let network = address.rsplit_once('.').unwrap().0;
        let log = self.directory.path().join(format!("dnsmasq-{address}.log"));
        let mut command = Command::new(dnsmasq_program());
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--port=0",
                "--user=root",
                "--group=root",
            ])
            .args([
                "--interface=srv0",
                "--bind-interfaces",
                "--no-ping",
                "--log-dhcp",
                "--pid-file=",
            ])
            .args(["--dhcp-authoritative", "--no-resolv", "--no-hosts"])
            .arg(format!("--log-facility={}", log.display()))
            .arg(format!(
                "--dhcp-leasefile={}",
                self.directory
                    .path()
                    .join(format!("{address}.leases"))
                    .display()
            ))
            .arg(format!(
                "--dhcp-range={network}.50,{network}.99,255.255.255.0,120"
            ))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = self.spawn_server(&mut command);
        let server = Dnsmasq { child, log };
        until("dnsmasq serves", SOON, || {
            server.log().contains("DHCP, IP range")
        })
        .await;
        server
    }

    /// Sends datagrams from the server's link to every DHCP client. The server's port must be free.
    pub(crate) async fn forge(&self, messages: &[&[u8]]) {
        let link = self.server_link("srv0").await;
        assert!(link > 0);
        setns(&*self.server, CloneFlags::CLONE_NEWNET).unwrap();
        let send = || -> std::io::Result<()> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_broadcast(true)?;
            socket.bind_device(Some(b"srv0"))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 67)).into())?;
            for message in messages {
                socket.send_to(message, &SocketAddr::from((Ipv4Addr::BROADCAST, 68)).into())?;
            }
            Ok(())
        };
        let sent = send();
        setns(&*self.node, CloneFlags::CLONE_NEWNET).unwrap();
        sent.unwrap();
    }

    /// Writes the service's config.
    pub(crate) fn config(&self, json: &str) {
        std::fs::write(self.directory.path().join("config"), json).unwrap();
    }

    /// Starts the service in the node's namespace.
    pub(crate) fn service(&self) -> Service {
        let path = |name: &str| self.directory.path().join(name);
        for name in ["run", "state"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("machine-id"), "0a1b2c3d4e5f60718293a4b5c6d7e8f9\n").unwrap();
        let (reload, reloads) = watch::channel(0);
        let status = Rc::new(RefCell::new(String::new()));
        let ready = Rc::new(RefCell::new(false));
        let seams = Seams {
            arguments: service::Arguments {
                config: Some(path("config")).filter(|path| path.exists()),
                state_dir: Some(path("state")),
                runtime_dir: Some(path("run")),
                metrics_bind_address: None,
                log_level: "info".into(),
            },
            reloads,
            machine_id: path("machine-id"),
            ready: Box::new({
                let ready = Rc::clone(&ready);
                move || *ready.borrow_mut() = true
            }),
            status: Box::new({
                let status = Rc::clone(&status);
                move |line| drop(status.replace(line.to_owned()))
            }),
        };
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let task = tokio::task::spawn_local(async move {
            let error = wiring::serve(seams, metrics).await.unwrap_err();
            panic!("the service failed: {}", service::chain(&error));
        });
        Service {
            task,
            reload,
            status,
            ready,
            registry,
            directory: self.directory.path().to_owned(),
        }
    }
}

/// A running service.
pub(crate) struct Service {
    task: tokio::task::JoinHandle<()>,
    reload: watch::Sender<u64>,
    status: Rc<RefCell<String>>,
    ready: Rc<RefCell<bool>>,
    registry: Registry,
    directory: PathBuf,
}

impl Service {
    /// Its status line.
    pub(crate) fn status(&self) -> String {
        self.status.borrow().clone()
    }

    /// Whether it said that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// As SIGHUP does.
    pub(crate) fn reload(&self) {
        self.reload.send_modify(|count| *count += 1);
    }

    /// The value of a metric; 0 where the line is not there.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// A file of its runtime directory; empty where it is not there.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join("run").join(name)).unwrap_or_default()
    }

    /// The saved lease's text; empty where there is none.
    pub(crate) fn saved(&self) -> String {
        let entries = std::fs::read_dir(self.directory.join("state")).unwrap();
        entries
            .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
            .collect()
    }

    /// Ends it as a crash would.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A running dnsmasq; it ends with the value.
pub(crate) struct Dnsmasq {
    child: Child,
    log: PathBuf,
}

impl Dnsmasq {
    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it logged something with this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition; panics with its name when it does not come.
pub(crate) async fn until(what: &str, longest: Duration, mut holds: impl FnMut() -> bool) {
    until_async(what, longest, async || holds()).await;
}

/// As [`until`], for a condition that has to ask.
pub(crate) async fn until_async(
    what: &str,
    longest: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let end = Instant::now() + longest;
    while !holds().await {
        assert!(
            Instant::now() < end,
            "did not happen within {longest:?}: {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

async fn observe(kernel: &Netlink) -> Kernel {
    let mut state = Kernel::default();
    kernel.observe(&mut state).await.unwrap();
    state
}

fn index(kernel: &Kernel, name: &str) -> u32 {
    let found = kernel.links.iter().find(|(_, link)| link.name == name);
    *found.unwrap_or_else(|| panic!("no link {name}")).0
}

/// dnsmasq of the tools tree.
fn dnsmasq_program() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("ORLOP_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("orlop")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/orlop")))
        .expect("set ORLOP_CACHE or HOME");
    let program = cache.join("bin/dnsmasq");
    assert!(
        Path::new(&program).exists(),
        "{} is missing: run `cargo xtask image` once, which makes the tools tree",
        program.display()
    );
    program
}
