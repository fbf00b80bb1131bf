//! What went through a pod's links, counted by the kernel.

use super::netlink::{Netlink, NetlinkError, asked};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use std::{path::Path, pin::pin};
use tokio_stream::StreamExt as _;

/// Links of one pod that are shown. A pod may make as many as it likes.
const LINKS_MAX: usize = 64;

/// Of one link, since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkUsage {
    /// Its name.
    pub name: String,
    /// Bytes that came.
    pub received_bytes: u64,
    /// Packets that came and were no good.
    pub receive_errors: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// Packets that could not go.
    pub send_errors: u64,
}

/// Of a namespace's links without its loopback.
pub(super) async fn of_namespace(namespace: &Path) -> Result<Vec<LinkUsage>, NetlinkError> {
    let netlink = Netlink::within(namespace).await?;
    let links = netlink.handle.link().get().execute();
    let counted = async {
        let mut links = pin!(links);
        let mut all = Vec::new();
        while let Some(link) = links.next().await {
            let link = link?;
            if !link.header.flags.contains(LinkFlags::Loopback) && all.len() < LINKS_MAX {
                all.push(usage(&link));
            }
        }
        Ok(all)
    };
    asked("list the links of a pod", counted).await
}

fn usage(link: &LinkMessage) -> LinkUsage {
    let mut usage = LinkUsage::default();
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => usage.name.clone_from(name),
            LinkAttribute::Stats64(counted) => {
                usage.received_bytes = counted.rx_bytes;
                usage.receive_errors = counted.rx_errors;
                usage.sent_bytes = counted.tx_bytes;
                usage.send_errors = counted.tx_errors;
            }
            _ => {}
        }
    }
    usage
}
