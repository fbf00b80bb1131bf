//! Links and addresses of labs and nodes, over rtnetlink in the calling thread's network namespace.

use super::specification::Link;
use anyhow::{Context as _, Result};
use netlink_packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use std::net::{IpAddr, Ipv4Addr};

/// Runs `work` with a netlink handle, on a runtime of its own in this thread.
fn with_handle<F>(work: impl FnOnce(Handle) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("start a runtime")?;
    runtime.block_on(async {
        let (connection, handle, _) =
            rtnetlink::new_connection().context("open a netlink socket")?;
        tokio::spawn(connection);
        work(handle).await
    })
}

/// Brings loopback up and makes `bridge` with `address`.
///
/// # Errors
/// The kernel refuses; the error names the step.
pub fn make_bridge(bridge: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    let bridge = bridge.to_owned();
    with_handle(async move |handle| {
        up(&handle, "lo").await?;
        handle
            .link()
            .add(LinkBridge::new(&bridge).build())
            .execute()
            .await
            .with_context(|| format!("make the bridge {bridge}"))?;
        add_address(&handle, &bridge, address, prefix).await?;
        up(&handle, &bridge).await
    })
}

/// Makes a veth pair between this namespace and the one of process `pid`, where its end is `eth0`.
///
/// # Errors
/// The kernel refuses; the error names the step.
pub fn connect(link: &Link, pid: i32) -> Result<()> {
    let link = link.clone();
    let pid = u32::try_from(pid).context("a process id is not negative")?;
    with_handle(async move |handle| {
        // After a reboot the kernel removes the old pair in its own time: it may still be there.
        if let Ok(old) = index(&link.lab_end) {
            // It may be gone by now.
            let _ = handle.link().del(old).execute().await;
        }
        let peer = LinkUnspec::new_with_name("eth0")
            .setns_by_pid(pid)
            .address(link.hardware_address.to_vec())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(&link.lab_end, "eth0")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        handle
            .link()
            .add(pair)
            .execute()
            .await
            .with_context(|| format!("make the link {}", link.lab_end))?;
        let bridge = index(&link.bridge)?;
        handle
            .link()
            .set(
                LinkUnspec::new_with_name(&link.lab_end)
                    .controller(bridge)
                    .up()
                    .build(),
            )
            .execute()
            .await
            .with_context(|| format!("put {} on the bridge {}", link.lab_end, link.bridge))
    })
}

/// What a node finds at its start: loopback up, and `eth0` with its address where it has one.
///
/// # Errors
/// The kernel refuses; the error names the step.
pub fn set_up_inside(link: Option<&Link>) -> Result<()> {
    let address = link.and_then(|link| link.address);
    with_handle(async move |handle| {
        up(&handle, "lo").await?;
        if let Some((address, prefix)) = address {
            add_address(&handle, "eth0", address, prefix).await?;
            up(&handle, "eth0").await?;
        }
        Ok(())
    })
}

async fn up(handle: &Handle, name: &str) -> Result<()> {
    handle
        .link()
        .set(LinkUnspec::new_with_name(name).up().build())
        .execute()
        .await
        .with_context(|| format!("bring {name} up"))
}

async fn add_address(handle: &Handle, name: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    handle
        .address()
        .add(index(name)?, IpAddr::V4(address), prefix)
        .execute()
        .await
        .with_context(|| format!("give {name} the address {address}/{prefix}"))
}

/// The index of a link of this thread's namespace.
fn index(name: &str) -> Result<u32> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .context("open a socket")?;
    rustix::net::netdevice::name_to_index(&socket, name)
        .with_context(|| format!("find the link {name}"))
}
