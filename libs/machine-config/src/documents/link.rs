//! Kind `Link`: how one network link, or all links that a selector fits, are set up.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_ADDRESSES, MAX_ROUTES};
use crate::values::{Glob, InterfaceAddress, MacGlob, Network};

/// A network link: which one, its addresses, DHCP, routes and MTU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// Which links are meant. The first document that fits a link is the one that counts.
    pub selector: LinkSelector,
    /// Whether the link is brought up.
    #[serde(default = "yes")]
    pub up: bool,
    /// Largest packet in bytes; without it the driver's or the DHCP server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 68, "maximum" = 65_536))]
    pub mtu: Option<u32>,
    /// Static addresses with their prefix length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_ADDRESSES))]
    pub addresses: Vec<InterfaceAddress>,
    /// DHCP for IPv4; off without it.
    #[serde(default)]
    pub dhcp4: Dhcp4,
    /// Whether IPv6 router advertisements are accepted: addresses by SLAAC, routes, prefixes.
    #[serde(default = "yes")]
    pub accept_router_advertisements: bool,
    /// Static routes over this link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_ROUTES))]
    pub routes: Vec<Route>,
}

/// Properties that a link must have; all that are given must fit.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkSelector {
    /// Name that the kernel gave, such as `eth0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Glob>,
    /// Permanent hardware address, such as `52:54:00:*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacGlob>,
    /// Kernel driver, such as `virtio_net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Glob>,
    /// Place on the bus, such as `0000:00:03.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_path: Option<Glob>,
}

/// What is known of a link when a [`LinkSelector`] is asked. Unknown texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFacts<'a> {
    /// Name of the link.
    pub name: &'a str,
    /// Permanent hardware address as colon-separated hex.
    pub mac: &'a str,
    /// Kernel driver.
    pub driver: &'a str,
    /// Place on the bus.
    pub bus_path: &'a str,
}

impl LinkSelector {
    /// Whether every given property fits. An empty selector fits nothing: it is refused at parsing.
    #[must_use]
    pub fn matches(&self, link: &LinkFacts<'_>) -> bool {
        let fits = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|g| g.matches(text));
        !self.is_empty()
            && fits(&self.name, link.name)
            && self.mac.as_ref().is_none_or(|mac| mac.matches(link.mac))
            && fits(&self.driver, link.driver)
            && fits(&self.bus_path, link.bus_path)
    }

    /// Whether no property is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LinkSelector {
    /// `name=eth*,driver=virtio_net`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |glob: &Option<Glob>| glob.as_ref().map(ToString::to_string);
        let parts = [
            ("name", text(&self.name)),
            ("mac", self.mac.as_ref().map(ToString::to_string)),
            ("driver", text(&self.driver)),
            ("busPath", text(&self.bus_path)),
        ];
        let mut separator = "";
        for (property, glob) in parts {
            if let Some(glob) = glob {
                write!(f, "{separator}{property}={glob}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// DHCP for IPv4 on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dhcp4 {
    /// Whether an address is asked for.
    pub enabled: bool,
    /// Metric of the routes that the server gives; the lower one wins.
    pub route_metric: u32,
}

/// Metric of routes from DHCP: above that of static routes, which is 0 when none is given.
const DHCP_ROUTE_METRIC: u32 = 1024;

impl Default for Dhcp4 {
    fn default() -> Self {
        Self {
            enabled: false,
            route_metric: DHCP_ROUTE_METRIC,
        }
    }
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Network that is reached; `0.0.0.0/0` or `::/0` for the default route.
    pub destination: Network,
    /// Next hop; without it the destination is on the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Metric; the lower one wins. Without it the kernel's: 0 for IPv4, 1024 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Address of this machine that packets on this route are sent from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Whether the gateway counts as reachable on the link although no address of the link has it
    /// in its network.
    #[serde(default)]
    pub on_link: bool,
}

fn yes() -> bool {
    true
}
