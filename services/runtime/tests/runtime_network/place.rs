//! Two network namespaces joined by a veth pair, for one test:
//!
//! ```text
//!   the runtime's namespace, with its pods        outside
//!   +-----------------------------------+         +----------------------------+
//!   | pods   up0 192.0.2.1, fd01::1  ───┼─────────┼─── out0 192.0.2.2, fd01::2 |
//!   +-----------------------------------+         +----------------------------+
//! ```
//!
//! Both belong to one thread and its children and have no names, so they are gone when these end, however they end.

use crate::node::Node;
use cri_proto::runtime::{
    PodSandboxConfig, PodSandboxStatus, PodSandboxStatusRequest, RemovePodSandboxRequest,
    StopPodSandboxRequest,
};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio_stream::StreamExt as _;

/// Ranges of the routed network, and of nobody else.
pub(crate) const PODS: &str = "10.88.0.0/24,fd88::/64";
/// The node's addresses.
pub(crate) const NODE4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const NODE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1));
/// Ten times what an answer takes.
const ANSWER: Duration = Duration::from_secs(3);

pub(crate) struct Place {
    pub(crate) node: File,
    pub(crate) outside: File,
    pub(crate) handle: Handle,
}

/// Runs a test in namespaces of its own.
pub(crate) fn in_namespaces<F: Future<Output = ()>>(
    test: impl FnOnce(Place) -> F + Send + 'static,
) {
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("needs root: the test makes network namespaces");
        let outside = File::open("/proc/thread-self/ns/net").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let there = handle();
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let node = File::open("/proc/thread-self/ns/net").unwrap();
            let here = handle();
            let pair = LinkVeth::new("up0", "out0").build();
            here.link().add(pair).execute().await.unwrap();
            let peer = LinkUnspec::new_with_name("out0").setns_by_fd(outside.as_raw_fd());
            here.link().set(peer.build()).execute().await.unwrap();
            let (four, six) = (Ipv4Addr::new(192, 0, 2, 2), "fd01::2".parse().unwrap());
            up(&here, "up0", [NODE4, NODE6]).await;
            up(&there, "out0", [IpAddr::V4(four), IpAddr::V6(six)]).await;
            // The way to the pods, as a router would know it.
            let (IpAddr::V4(node4), IpAddr::V6(node6)) = (NODE4, NODE6) else {
                unreachable!()
            };
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(Ipv4Addr::new(10, 88, 0, 0), 16)
                .gateway(node4);
            there.route().add(route.build()).execute().await.unwrap();
            let route = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix("fd88::".parse().unwrap(), 64)
                .gateway(node6);
            there.route().add(route.build()).execute().await.unwrap();
            test(Place {
                node,
                outside,
                handle: here,
            })
            .await;
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn handle() -> Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

async fn up(handle: &Handle, name: &str, addresses: [IpAddr; 2]) {
    for link in ["lo", name] {
        let message = LinkUnspec::new_with_name(link).up().build();
        handle.link().set(message).execute().await.unwrap();
    }
    let mut found = handle.link().get().match_name(name).execute();
    let index = found.next().await.unwrap().unwrap().header.index;
    for address in addresses {
        let prefix = if address.is_ipv4() { 24 } else { 64 };
        let mut add = handle.address().add(index, address, prefix);
        let flags = rtnetlink::packet_route::address::AddressHeaderFlags::Nodad;
        add.message_mut().header.flags |= flags;
        add.execute().await.unwrap();
    }
}

impl Place {
    /// Names of pods' links that the node has.
    pub(crate) async fn pod_links(&self) -> Vec<String> {
        use rtnetlink::packet_route::link::LinkAttribute;
        let mut links = self.handle.link().get().execute();
        let mut names = Vec::new();
        while let Some(link) = links.next().await {
            for attribute in link.unwrap().attributes {
                if let LinkAttribute::IfName(name) = attribute
                    && (name.starts_with("orl") || name.starts_with("veth"))
                {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Routes of the runtime that the node has.
    pub(crate) async fn pod_routes(&self) -> usize {
        use rtnetlink::packet_route::{AddressFamily, route::RouteMessage};
        let mut count = 0;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            let mut routes = self.handle.route().get(filter).execute();
            while let Some(route) = routes.next().await {
                count += usize::from(u8::from(route.unwrap().header.protocol) == 0x70);
            }
        }
        count
    }
}

/// With the routed network, and no plugins.
pub(crate) async fn routed_node(ranges: &str) -> Node {
    let arguments = ["--cni-conf-dir", "/nonexistent", "--pod-cidr", ranges];
    Node::with(arguments.map(str::to_owned).to_vec(), Vec::new()).await
}

/// Does something in another namespace.
pub(crate) fn within<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let moved = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        moved.join().unwrap()
    })
}

pub(crate) fn namespace(node: &Node, sandbox: &str) -> File {
    File::open(pin(node, sandbox)).unwrap()
}

pub(crate) fn pin(node: &Node, sandbox: &str) -> PathBuf {
    node.path("state/sandboxes").join(sandbox).join("ns/net")
}

/// Serves TCP there: whoever comes is told who he is and whom he reached. Ends with the test's process.
pub(crate) fn serve_tcp(namespace: &File, name: &'static str, port: u16) {
    let listener = within(namespace, || {
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().unwrap().ip().to_canonical();
            let _ = write!(stream, "{name} sees {peer}");
        }
    });
}

/// The same with UDP. The answer ends as the question does, after `who`.
pub(crate) fn serve_udp(namespace: &File, name: &'static str, port: u16) {
    let socket = within(namespace, || {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
            let asked = String::from_utf8_lossy(&buffer[..count]);
            let rest = asked.strip_prefix("who").unwrap_or_default();
            let said = format!("{name} sees {}{rest}", peer.ip().to_canonical());
            let _ = socket.send_to(said.as_bytes(), peer);
        }
    });
}

/// What a server answers; or why there is none.
pub(crate) fn ask_tcp(from: &File, address: IpAddr, port: u16) -> String {
    within(from, || {
        let asked = || -> std::io::Result<String> {
            let address = SocketAddr::new(address, port);
            let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        asked().unwrap_or_else(|error| error.to_string())
    })
}

pub(crate) fn ask_udp(from: &File, address: IpAddr, port: u16) -> String {
    within(from, || {
        let asked = || -> std::io::Result<String> {
            let any: IpAddr = if address.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(ANSWER))?;
            socket.connect((address, port))?;
            socket.send(b"who")?;
            let mut buffer = [0; 256];
            let count = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
        };
        asked().unwrap_or_else(|error| error.to_string())
    })
}

pub(crate) async fn sandbox_status(node: &mut Node, sandbox: &str) -> PodSandboxStatus {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: sandbox.to_owned(),
        verbose: false,
    };
    let status = node.runtime_client.pod_sandbox_status(request).await;
    status.unwrap().into_inner().status.unwrap()
}

/// A pod's addresses, as a kubelet sees them.
pub(crate) async fn addresses(node: &mut Node, sandbox: &str) -> Vec<IpAddr> {
    let network = sandbox_status(node, sandbox).await.network.unwrap();
    let more = network.additional_ips.into_iter().map(|one| one.ip);
    std::iter::once(network.ip)
        .chain(more)
        .filter(|ip| !ip.is_empty())
        .map(|ip| ip.parse().unwrap())
        .collect()
}

pub(crate) async fn stop(node: &mut Node, sandbox: &str) {
    let request = StopPodSandboxRequest {
        pod_sandbox_id: sandbox.to_owned(),
    };
    node.runtime_client.stop_pod_sandbox(request).await.unwrap();
}

pub(crate) async fn remove(node: &mut Node, sandbox: &str) {
    let request = RemovePodSandboxRequest {
        pod_sandbox_id: sandbox.to_owned(),
    };
    node.runtime_client
        .remove_pod_sandbox(request)
        .await
        .unwrap();
}

/// What `NetworkReady` says: nothing where it is.
pub(crate) async fn network_fault(node: &mut Node) -> String {
    let status = node
        .runtime_client
        .status(cri_proto::runtime::StatusRequest::default())
        .await
        .unwrap()
        .into_inner()
        .status
        .unwrap();
    let condition = status
        .conditions
        .into_iter()
        .find(|condition| condition.r#type == "NetworkReady")
        .unwrap();
    assert_eq!(condition.status, condition.message.is_empty());
    condition.message
}

pub(crate) fn with_port(
    mut config: PodSandboxConfig,
    host_ip: &str,
    host_port: i32,
    container_port: i32,
) -> PodSandboxConfig {
    for protocol in [
        cri_proto::runtime::Protocol::Tcp,
        cri_proto::runtime::Protocol::Udp,
    ] {
        config.port_mappings.push(cri_proto::runtime::PortMapping {
            protocol: protocol.into(),
            host_ip: host_ip.to_owned(),
            host_port,
            container_port,
        });
    }
    config
}

pub(crate) fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
