//! Runs one DHCPv4 client per link: sockets, moments and random numbers around the pure client.

use super::{files::LeaseFiles, packet_socket::PacketSocket};
use crate::{
    metrics::Metrics,
    planner::{
        dhcp::{
            client::{Client, Input, Send},
            lease::{Lease, Moment},
            message::Identity,
        },
        frame,
        model::{Kernel, Link, LinkIndex},
        plan::wants_dhcp,
        settings::Settings,
    },
};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Packets that wait to be looked at, of all links; what comes in beyond is dropped, as by a full
/// socket buffer.
const PACKETS_MAX: usize = 64;
/// Pause after a socket error, so that a broken link costs no processor.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// A DHCP message and the link that it came by.
pub type Packet = (LinkIndex, Vec<u8>);

/// All clients.
#[derive(Debug)]
pub struct Clients {
    running: BTreeMap<LinkIndex, Running>,
    files: LeaseFiles,
    metrics: Metrics,
    sender: mpsc::Sender<Packet>,
}

#[derive(Debug)]
struct Running {
    name: String,
    mac: [u8; 6],
    /// Name that servers are told.
    hostname: Option<String>,
    client: Client,
    socket: Arc<PacketSocket>,
    receiver: JoinHandle<()>,
    /// Holds port 68 of the leased address while it is renewed, or the kernel would answer the server
    /// with "port unreachable".
    renewal: Option<Socket>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Clients {
    /// No clients yet; the receiver gives the packets that go to [`Clients::receive`].
    #[must_use]
    pub fn new(files: LeaseFiles, metrics: Metrics) -> (Self, mpsc::Receiver<Packet>) {
        let (sender, packets) = mpsc::channel(PACKETS_MAX);
        (
            Self {
                running: BTreeMap::new(),
                files,
                metrics,
                sender,
            },
            packets,
        )
    }

    /// Starts and stops clients as settings and links want it, and tells them of carriers.
    pub fn sync(&mut self, settings: &Settings, kernel: &Kernel) {
        let stays = |index: &LinkIndex, running: &Running| {
            kernel.links.get(index).is_some_and(|link| {
                wants_dhcp(settings, link)
                    && mac(link) == Some(running.mac)
                    && link.name == running.name
                    && settings.hostname == running.hostname
            })
        };
        let metrics = self.metrics.clone();
        self.running.retain(|index, running| {
            let stays = stays(index, running);
            if !stays {
                metrics.forget_dhcp(&running.name);
            }
            stays
        });
        for (&index, link) in &kernel.links {
            if !wants_dhcp(settings, link) || !link.ethernet {
                continue;
            }
            let Some(mac) = mac(link) else { continue };
            if !self.running.contains_key(&index) {
                match self.start(index, link, mac, settings.hostname.clone()) {
                    Ok(running) => drop(self.running.insert(index, running)),
                    Err(error) => {
                        tracing::warn!(link = link.name, %error, "DHCP cannot use the link");
                        continue;
                    }
                }
            }
            self.step(index, Input::Carrier(link.up && link.carrier));
        }
    }

    fn start(
        &self,
        index: LinkIndex,
        link: &Link,
        mac: [u8; 6],
        hostname: Option<String>,
    ) -> io::Result<Running> {
        let socket = Arc::new(PacketSocket::open(index)?);
        let receiver = tokio::spawn(receive(Arc::clone(&socket), index, self.sender.clone()));
        let earlier = self.files.load(mac);
        let identity = Identity {
            mac,
            hostname: hostname.clone(),
        };
        let client = Client::new(identity, earlier.held, earlier.address);
        Ok(Running {
            name: link.name.clone(),
            mac,
            hostname,
            client,
            socket,
            receiver,
            renewal: None,
        })
    }

    /// Hands a packet to its client.
    pub fn receive(&mut self, (index, message): &Packet) {
        self.step(*index, Input::Message(message));
    }

    /// Lets time go by for all clients.
    pub fn tick(&mut self) {
        let indexes: Vec<LinkIndex> = self.running.keys().copied().collect();
        for index in indexes {
            self.step(index, Input::Tick);
        }
    }

    /// Time until [`Clients::tick`] has something to do.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let deadline = self
            .running
            .values()
            .filter_map(|running| running.client.deadline())
            .min()?;
        Some(deadline.saturating_sub(now()))
    }

    /// The leases that hold.
    #[must_use]
    pub fn leases(&self) -> BTreeMap<LinkIndex, Lease> {
        let lease = |(index, running): (&LinkIndex, &Running)| {
            Some((*index, running.client.lease()?.clone()))
        };
        self.running.iter().filter_map(lease).collect()
    }

    /// Each link's state by the link's index.
    #[must_use]
    pub fn states(&self) -> BTreeMap<LinkIndex, &'static str> {
        self.running
            .iter()
            .map(|(index, running)| (*index, running.client.state()))
            .collect()
    }

    fn step(&mut self, index: LinkIndex, input: Input<'_>) {
        let Some(running) = self.running.get_mut(&index) else {
            return;
        };
        let before = running.client.lease().cloned();
        let state = running.client.state();
        let send = running.client.step(now(), input, random());
        if let Some(ignored) = running.client.take_ignored() {
            tracing::debug!(
                link = running.name,
                reason = ignored.label(),
                "DHCP message ignored"
            );
            self.metrics.dhcp_ignored(&running.name, ignored.label());
        }
        if let Some(send) = send {
            self.metrics.dhcp_sent(&running.name);
            if let Err(error) = running.send(&send) {
                tracing::debug!(link = running.name, %error, "DHCP message not sent; it is sent again");
            }
        }
        if running.client.state() != state {
            self.metrics
                .dhcp_state(&running.name, running.client.state());
        }
        if running.client.lease() != before.as_ref() {
            self.lease_changed(index, before.as_ref());
        }
    }

    fn lease_changed(&mut self, index: LinkIndex, before: Option<&Lease>) {
        let Some(running) = self.running.get_mut(&index) else {
            return;
        };
        running.renewal = None;
        let saved = match running.client.lease() {
            Some(lease) => {
                if before.map(|before| before.address) == Some(lease.address) {
                    tracing::debug!(link = running.name, address = %lease.address, "lease renewed");
                } else {
                    tracing::info!(link = running.name, address = %lease.address, prefix = lease.prefix,
                        server = %lease.server, seconds = lease.terms.map(|terms| terms.expire.as_secs()),
                        "lease granted");
                }
                self.files.save(running.mac, lease)
            }
            None => {
                tracing::warn!(
                    link = running.name,
                    address = before.map(|lease| lease.address.to_string()),
                    "lease lost"
                );
                if running.client.remembered().is_none() {
                    self.files.forget(running.mac)
                } else {
                    Ok(())
                }
            }
        };
        if let Err(error) = saved {
            tracing::warn!(
                link = running.name,
                error = service::chain(&error),
                "lease not saved"
            );
        }
    }
}

impl Running {
    fn send(&mut self, send: &Send) -> io::Result<()> {
        match send.unicast {
            None => {
                let packet =
                    frame::build(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &send.message)
                        .ok_or_else(|| io::Error::other("message is too long"))?;
                self.socket.broadcast(&packet)
            }
            Some((from, to)) => {
                let socket = Socket::new(
                    Domain::IPV4,
                    Type::DGRAM.nonblocking().cloexec(),
                    Some(Protocol::UDP),
                )?;
                socket.set_reuse_address(true)?;
                socket.bind_device(Some(self.name.as_bytes()))?;
                socket
                    .bind(&SocketAddr::from(SocketAddrV4::new(from, frame::CLIENT_PORT)).into())?;
                let to = SocketAddr::from(SocketAddrV4::new(to, frame::SERVER_PORT));
                socket.send_to(&send.message, &to.into())?;
                self.renewal = Some(socket);
                Ok(())
            }
        }
    }
}

async fn receive(socket: Arc<PacketSocket>, index: LinkIndex, sender: mpsc::Sender<Packet>) {
    loop {
        match socket.receive().await {
            Ok(packet) => {
                if let Some(message) = frame::parse(&packet) {
                    // Full: the packet is lost, as it may be on any network.
                    let _ = sender.try_send((index, message.to_vec()));
                }
            }
            // Said once when the link goes down.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
            Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
        }
    }
}

fn mac(link: &Link) -> Option<[u8; 6]> {
    <[u8; 6]>::try_from(link.address.as_slice())
        .ok()
        .filter(|mac| *mac != [0; 6])
}

fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Where the kernel has no random numbers yet, the clock's nanoseconds have to do: an exchange's id only
/// has to differ from other clients'.
fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => now().subsec_nanos().wrapping_mul(2_654_435_761).into(),
    }
}
