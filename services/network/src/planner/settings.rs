//! What is wanted, in the planner's words. Made from the service's part of the machine config, see
//! [`crate::config`].

use super::model::Link;
use machine_config::documents::{LinkFacts, LinkSelector};
use std::net::IpAddr;

/// Everything that is wanted of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The first entry whose selector fits a link is the one that counts for it; a link that none
    /// fits is left alone.
    pub links: Vec<LinkSettings>,
    /// Nameservers; empty: those that DHCP gives.
    pub nameservers: Vec<IpAddr>,
    /// Search domains; empty: those that DHCP gives.
    pub search_domains: Vec<String>,
    /// Host name; none: what DHCP gives, else `fallback_hostname`.
    pub hostname: Option<String>,
    /// Host name of a node that nobody named.
    pub fallback_hostname: String,
}

/// What is wanted of the links that a selector fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Which links.
    pub selector: LinkSelector,
    /// Administratively up.
    pub up: bool,
    /// Largest packet in bytes; none: what DHCP gives, else the link's own.
    pub mtu: Option<u32>,
    /// Addresses with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Metric of routes from DHCPv4; none: no DHCPv4.
    pub dhcp4_route_metric: Option<u32>,
    /// Accept IPv6 router advertisements.
    pub accept_router_advertisements: bool,
    /// Static routes.
    pub routes: Vec<RouteSettings>,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// Network, host bits zero.
    pub destination: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Metric; none: the kernel's default.
    pub metric: Option<u32>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// The gateway is on the link whatever the addresses say.
    pub on_link: bool,
}

impl Settings {
    /// What is wanted of `link`; none: it is left alone.
    #[must_use]
    pub fn of(&self, link: &Link) -> Option<&LinkSettings> {
        if link.loopback {
            return None; // needs nothing but to be up, and no selector may take it down
        }
        let facts = LinkFacts {
            name: &link.name,
            mac: &link.permanent_address,
            driver: &link.driver,
            bus_path: &link.bus_path,
        };
        self.links
            .iter()
            .find(|settings| settings.selector.matches(&facts))
    }
}
