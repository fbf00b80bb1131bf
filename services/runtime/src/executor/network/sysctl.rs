//! Settings of the node's network stack that pods' links need.

use super::NetlinkError;
use crate::planner::network::ipam::Range;
use std::{fs, io};

const ROOT: &str = "/proc/sys/net";

/// A node with a pod network is a router: packets for pods come in by its other links, and IPv6 knows no forwarding per link. Set once,
/// for all links, as Kubernetes' nodes have it; where it is set it is left alone.
///
/// A link that forwards takes router advertisements only where `accept_ra` is 2, so those that took them get that first.
pub(super) fn forward(ranges: &[Range]) -> Result<(), NetlinkError> {
    if ranges.iter().any(Range::is_ipv4) && is_off("ipv4/ip_forward") {
        set("ipv4/ip_forward", "1")?;
        tracing::info!("IPv4 is forwarded from now on, for pods");
    }
    if ranges.iter().any(|range| !range.is_ipv4()) && is_off("ipv6/conf/all/forwarding") {
        for link in fs::read_dir(format!("{ROOT}/ipv6/conf"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = link.file_name();
            let setting = format!("ipv6/conf/{}/accept_ra", name.display());
            if read(&setting).as_deref() == Some("1") {
                set(&setting, "2")?;
            }
        }
        set("ipv6/conf/all/forwarding", "1")?;
        tracing::info!("IPv6 is forwarded from now on, for pods");
    }
    Ok(())
}

/// Of the node's end of a pod's link.
pub(super) fn of_link(link: &str, ipv6: bool, publishes: bool) -> Result<(), NetlinkError> {
    set(&format!("ipv4/conf/{link}/forwarding"), "1")?;
    // What a pod sends has the pod's address, or is dropped. The table's chain `raw` sees to it in any case.
    set(&format!("ipv4/conf/{link}/rp_filter"), "1")?;
    if publishes {
        // From 127.0.0.1 of the node to a port of it that is the pod's. The pod cannot use it: see the table's chain `raw`.
        set(&format!("ipv4/conf/{link}/route_localnet"), "1")?;
    }
    let ipv6_there = read(&format!("ipv6/conf/{link}/accept_ra")).is_some();
    if ipv6 || ipv6_there {
        // A pod is no router of the node.
        set(&format!("ipv6/conf/{link}/accept_ra"), "0")?;
        set(&format!("ipv6/conf/{link}/accept_redirects"), "0")?;
    }
    if ipv6 {
        set(&format!("ipv6/conf/{link}/forwarding"), "1")?;
    }
    Ok(())
}

fn is_off(name: &str) -> bool {
    read(name).as_deref() != Some("1")
}

fn read(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("{ROOT}/{name}")).ok()?;
    Some(text.trim().to_owned())
}

fn set(name: &str, value: &'static str) -> Result<(), NetlinkError> {
    if read(name).as_deref() == Some(value) {
        return Ok(());
    }
    fs::write(format!("{ROOT}/{name}"), value).map_err(|source: io::Error| NetlinkError::Sysctl {
        name: format!("net/{name}"),
        value,
        source,
    })
}
