//! The service's part of the machine config in the planner's words.

use crate::planner::settings::{LinkSettings, RouteSettings, Settings};
use machine_config::parts::{NetworkPart, PartError};

/// Decodes the service's config; no bytes give DHCPv4 and router advertisements on Ethernet links.
///
/// # Errors
/// [`PartError`] where the bytes are not a network part.
pub fn settings(bytes: &[u8], fallback_hostname: String) -> Result<Settings, PartError> {
    let part: NetworkPart = machine_config::parts::decode(bytes)?;
    let links = part
        .links_or_default()
        .into_iter()
        .map(|link| LinkSettings {
            selector: link.selector,
            up: link.up,
            mtu: link.mtu,
            addresses: link
                .addresses
                .iter()
                .map(|address| (address.address(), address.prefix()))
                .collect(),
            dhcp4_route_metric: link.dhcp4.enabled.then_some(link.dhcp4.route_metric),
            accept_router_advertisements: link.accept_router_advertisements,
            routes: link.routes.iter().map(route).collect(),
        });
    let links = links.collect();
    let resolver = part.resolver.unwrap_or_default();
    Ok(Settings {
        links,
        nameservers: resolver.nameservers,
        search_domains: resolver
            .search_domains
            .iter()
            .map(ToString::to_string)
            .collect(),
        hostname: part.hostname,
        fallback_hostname,
    })
}

fn route(route: &machine_config::Route) -> RouteSettings {
    RouteSettings {
        destination: route.destination.address(),
        prefix: route.destination.prefix(),
        gateway: route.gateway,
        metric: route.metric,
        source: route.source,
        on_link: route.on_link,
    }
}

/// Name of a node that nobody named: "orlop-" and the first six digits of its machine id.
#[must_use]
pub fn fallback_hostname(machine_id: Option<&str>) -> String {
    let digits: String = machine_id
        .into_iter()
        .flat_map(str::chars)
        .take_while(char::is_ascii_hexdigit)
        .take(6)
        .collect();
    if digits.len() == 6 {
        format!("orlop-{digits}")
    } else {
        "orlop".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_give_dhcp_on_ethernet() {
        let settings = settings(b"", "orlop-0a1b2c".into()).unwrap();
        assert_eq!(settings.links.len(), 1);
        assert_eq!(settings.links[0].dhcp4_route_metric, Some(1024));
        assert!(settings.links[0].up && settings.links[0].accept_router_advertisements);
    }

    #[test]
    fn every_field_of_the_config_arrives() {
        let json = br#"{"hostname": "node1",
            "links": [{"selector": {"name": "eth0"}, "mtu": 1400, "addresses": ["10.0.0.2/24"],
                       "acceptRouterAdvertisements": false,
                       "routes": [{"destination": "0.0.0.0/0", "gateway": "10.0.0.1", "metric": 7,
                                   "source": "10.0.0.2", "onLink": true}]}],
            "resolver": {"nameservers": ["10.0.0.53"], "searchDomains": ["example.com"]}}"#;
        let settings = settings(json, String::new()).unwrap();
        let link = &settings.links[0];
        assert_eq!(link.mtu, Some(1400));
        assert_eq!(link.addresses, [("10.0.0.2".parse().unwrap(), 24)]);
        assert_eq!(
            (link.dhcp4_route_metric, link.accept_router_advertisements),
            (None, false)
        );
        let route = &link.routes[0];
        assert_eq!(
            (route.prefix, route.metric, route.on_link),
            (0, Some(7), true)
        );
        assert_eq!(route.gateway, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(route.source, Some("10.0.0.2".parse().unwrap()));
        assert_eq!(settings.search_domains, ["example.com"]);
        assert_eq!(settings.hostname.as_deref(), Some("node1"));
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(settings(br#"{"link": []}"#, String::new()).is_err());
    }

    #[test]
    fn an_unnamed_node_is_named_after_its_identity() {
        assert_eq!(fallback_hostname(Some("0a1b2c3d4e5f\n")), "orlop-0a1b2c");
        assert_eq!(fallback_hostname(Some("0a1b\n")), "orlop");
        assert_eq!(fallback_hostname(None), "orlop");
    }
}
