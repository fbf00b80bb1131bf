//! Addresses and ports of Services: what a Service has, what it asks for, and what it is given.
//!
//! ```text
//!   service, as it is to be ──complete──> families, cluster IPs, node ports ──> Claims{take, release}
//! ```
//!
//! A claim is a key of the store that names its owner. It is written in the same transaction as the Service, on condition that
//! nobody has it: an address is never given twice, and none is lost in a crash.
//!
//! Sources: the page on Services ("Choosing your own IP address", "IPv4/IPv6 dual-stack"), KEP-3070 on static and dynamic ranges.

use objects::{
    field::{ErrorList, FieldError, Path},
    metadata::Metadata,
    status::{Qualified, Status},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Addresses that are tried before all are looked at one by one.
const GUESSES: usize = 64;
/// Addresses that are looked at one by one.
const SCAN_MAX: u128 = 65_536;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    first: IpAddr,
    bits: u8,
}

/// What the cluster's Services may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// One of each family at most; the first is for those who do not choose.
    pub addresses: Vec<Cidr>,
    /// Ports on nodes, from and to.
    pub ports: (u16, u16),
}

/// Something that one Service at a time has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A cluster IP.
    Address(IpAddr),
    /// A port on all nodes.
    Port(u16),
}

/// What a write takes and what it lets go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// It must be nobody's.
    pub take: BTreeSet<Claim>,
    /// It is nobody's afterwards.
    pub release: BTreeSet<Claim>,
}

impl Cidr {
    /// `10.96.0.0/16`, `fd00::/112`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("invalid CIDR address: {text}");
        let (address, bits) = text.split_once('/').ok_or_else(fault)?;
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let bits: u8 = bits.parse().map_err(|_| fault())?;
        let width = width(address);
        if bits > width {
            return Err(fault());
        }
        if width - bits < 1 {
            return Err(format!("{text} has no room for Services"));
        }
        let cidr = Self {
            first: address,
            bits,
        };
        let first = number(address) & !(cidr.size() - 1);
        Ok(Self {
            first: of_number(first, address),
            bits,
        })
    }

    /// The first address that a Service can have.
    #[must_use]
    pub fn service_first(&self) -> IpAddr {
        self.at(1)
    }

    /// Whether a Service can have it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        if address.is_ipv4() != self.first.is_ipv4() {
            return false;
        }
        let offset = number(address).wrapping_sub(number(self.first));
        offset >= 1 && offset < self.usable_end()
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}/{}", self.first, self.bits)
    }

    /// `IPv4` or `IPv6`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        family(self.first)
    }

    fn size(&self) -> u128 {
        1_u128
            .checked_shl(u32::from(width(self.first) - self.bits))
            .unwrap_or(u128::MAX)
    }

    /// Without the broadcast address of IPv4.
    fn usable_end(&self) -> u128 {
        if self.first.is_ipv4() {
            self.size() - 1
        } else {
            self.size()
        }
    }

    fn at(&self, offset: u128) -> IpAddr {
        of_number(number(self.first).wrapping_add(offset), self.first)
    }

    /// A free one. The lower part of a range is left to those who choose, as long as there is another.
    fn free(&self, random: u64, taken: &dyn Fn(&Claim) -> bool) -> Option<IpAddr> {
        let end = self.usable_end();
        let lower = (end / 16).clamp(16, 256);
        let lower = if lower + 1 < end { lower } else { 1 };
        let is_free = |offset: u128| {
            let address = self.at(offset);
            (!taken(&Claim::Address(address))).then_some(address)
        };
        let mut state = random;
        let guessed = (0..GUESSES).find_map(|_| {
            state = next(state);
            is_free(lower + u128::from(state) % (end - lower))
        });
        let upper = || {
            (lower..end)
                .take(usize::try_from(SCAN_MAX).unwrap_or(usize::MAX))
                .find_map(is_free)
        };
        let below = || (1..lower).find_map(is_free);
        guessed.or_else(upper).or_else(below)
    }
}

fn next(state: u64) -> u64 {
    // Numbers of one sequence suffice: who guesses the same loses the race and guesses again.
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        .rotate_left(17)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn of_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => {
            Ipv4Addr::from(u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default()).into()
        }
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// What a Service that is stored has.
#[must_use]
pub fn held(service: &Value) -> BTreeSet<Claim> {
    let mut held = BTreeSet::new();
    for address in list(service, "/spec/clusterIPs") {
        if let Some(address) = address.as_str().and_then(|text| text.parse().ok()) {
            held.insert(Claim::Address(address));
        }
    }
    let ports = list(service, "/spec/ports")
        .iter()
        .map(|port| &port["nodePort"]);
    let health = service.pointer("/spec/healthCheckNodePort");
    for port in ports.chain(health) {
        let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
        held.extend(port.filter(|port| *port != 0).map(Claim::Port));
    }
    held
}

/// Completes a Service that is to be written: `old` is what is stored. `taken`: claims of others, as far as they are known.
///
/// # Errors
/// What it asks for cannot be had.
pub fn complete(
    service: &mut Value,
    old: Option<&Value>,
    ranges: &Ranges,
    random: u64,
    taken: &dyn Fn(&Claim) -> bool,
) -> Result<Claims, Status> {
    if let Some(old) = old {
        keep_families(service, old);
    }
    let before = old.map(held).unwrap_or_default();
    let mut errors = ErrorList::default();
    let others = |claim: &Claim| taken(claim) && !before.contains(claim);
    families(service, ranges, &mut errors);
    addresses(service, ranges, random, &others, &mut errors);
    ports(service, ranges, random, &others, &mut errors);
    if !errors.is_empty() {
        let name = Metadata::of(service).name();
        return Err(Status::invalid(Qualified::core("Service"), name, &errors));
    }
    let now = held(service);
    Ok(Claims {
        take: now.difference(&before).cloned().collect(),
        release: before.difference(&now).cloned().collect(),
    })
}

/// Families that a client left out stay. Addresses and ports do by the type's own rules.
fn keep_families(service: &mut Value, old: &Value) {
    if kind(service) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        let absent = service["spec"].get(field).is_none_or(Value::is_null);
        if let Some(value) = old["spec"].get(field).filter(|_| absent) {
            service["spec"][field] = value.clone();
        }
    }
}

fn families(service: &mut Value, ranges: &Ranges, errors: &mut ErrorList) {
    if kind(service) == "ExternalName" {
        return;
    }
    let spec = Path::new("spec");
    // The two forms of the same are one.
    let (one, many) = (
        text(service, "/spec/clusterIP").to_owned(),
        list(service, "/spec/clusterIPs").to_vec(),
    );
    match (one.as_str(), many.first().and_then(Value::as_str)) {
        ("", Some(first)) => service["spec"]["clusterIP"] = first.into(),
        ("", None) => {}
        (one, None) => service["spec"]["clusterIPs"] = json!([one]),
        (one, Some(first)) if one != first => {
            let path = spec.child("clusterIPs");
            let why = "first value must match `clusterIP`";
            errors.push(FieldError::invalid(&path, many.clone(), why));
        }
        _ => {}
    }
    let mut wanted: Vec<String> = list(service, "/spec/ipFamilies")
        .iter()
        .filter_map(|family| family.as_str().map(str::to_owned))
        .collect();
    let policy = text(service, "/spec/ipFamilyPolicy").to_owned();
    let served: Vec<&str> = ranges.addresses.iter().map(Cidr::family).collect();
    if wanted.is_empty() {
        let given = list(service, "/spec/clusterIPs").iter();
        wanted = given
            .filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok())
            .map(|address| family(address).to_owned())
            .collect();
    }
    if wanted.is_empty() {
        wanted.extend(served.first().map(|family| (*family).to_owned()));
    }
    let policy = if policy.is_empty() {
        if wanted.len() > 1 {
            "RequireDualStack"
        } else {
            "SingleStack"
        }
        .to_owned()
    } else {
        policy
    };
    let dual = served.len() > 1;
    if policy == "RequireDualStack" && !dual {
        let path = spec.child("ipFamilyPolicy");
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&path, policy.as_str(), why));
    }
    for (place, family) in wanted.iter().enumerate() {
        if !served.contains(&family.as_str()) {
            let path = spec.child("ipFamilies");
            let path = path.index(place);
            let why = "not configured on this cluster";
            errors.push(FieldError::invalid(&path, family.as_str(), why));
        }
    }
    if matches!(policy.as_str(), "PreferDualStack" | "RequireDualStack")
        && dual
        && wanted.len() == 1
    {
        let other = served.iter().find(|family| **family != wanted[0]);
        wanted.extend(other.map(|family| (*family).to_owned()));
    }
    if policy == "SingleStack" {
        wanted.truncate(1);
    }
    service["spec"]["ipFamilies"] = json!(wanted);
    service["spec"]["ipFamilyPolicy"] = policy.into();
}

fn addresses(
    service: &mut Value,
    ranges: &Ranges,
    random: u64,
    taken: &dyn Fn(&Claim) -> bool,
    errors: &mut ErrorList,
) {
    let headless = text(service, "/spec/clusterIP") == "None";
    if headless || kind(service) == "ExternalName" || !errors.is_empty() {
        return;
    }
    let spec = Path::new("spec");
    let path = spec.child("clusterIPs");
    let given = list(service, "/spec/clusterIPs").to_vec();
    let families = list(service, "/spec/ipFamilies").to_vec();
    let mut chosen: Vec<Value> = Vec::new();
    for (place, family) in families.iter().enumerate() {
        let range = ranges
            .addresses
            .iter()
            .find(|range| *family == range.family());
        let Some(range) = range else { continue };
        let asked = given
            .get(place)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        let Some(asked) = asked else {
            match range.free(random, taken) {
                Some(address) => chosen.push(address.to_string().into()),
                None => {
                    let why = "failed to allocate a serviceIP: range is full";
                    errors.push(FieldError::internal(&path, why));
                }
            }
            continue;
        };
        let mut refuse = |why: String| {
            let why = format!("failed to allocate IP {asked}: {why}");
            errors.push(FieldError::invalid(&path, given.clone(), why));
        };
        match asked.parse::<IpAddr>() {
            Ok(address) if !range.contains(address) => refuse(format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {}",
                range.text()
            )),
            Ok(address) if taken(&Claim::Address(address)) => {
                refuse("provided IP is already allocated".to_owned());
            }
            Ok(_) => chosen.push(asked.into()),
            // The type's own rules say what is wrong with it, in its place.
            Err(_) => chosen.push(asked.into()),
        }
    }
    if errors.is_empty() {
        if let Some(first) = chosen.first() {
            service["spec"]["clusterIP"] = first.clone();
        }
        service["spec"]["clusterIPs"] = chosen.into();
    }
}

fn ports(
    service: &mut Value,
    ranges: &Ranges,
    random: u64,
    taken: &dyn Fn(&Claim) -> bool,
    errors: &mut ErrorList,
) {
    let (from, to) = ranges.ports;
    let free = |ours: &BTreeSet<u16>| {
        let is_free = |port: &u16| !ours.contains(port) && !taken(&Claim::Port(*port));
        let count = u64::from(to - from) + 1;
        // From somewhere on, once around.
        let start = next(random) % count;
        let ports =
            (0..count).map(|step| from + u16::try_from((start + step) % count).unwrap_or_default());
        ports.into_iter().find(is_free)
    };
    let check = |port: u16| {
        if port < from || port > to {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {from}-{to}"
            ));
        }
        if taken(&Claim::Port(port)) {
            return Err("provided port is already allocated".to_owned());
        }
        Ok(())
    };
    let spec = Path::new("spec");
    let mut ours: BTreeSet<u16> = BTreeSet::new();
    if needs_ports(service) {
        let all = spec.child("ports");
        // The same port of another protocol is the same number on nodes, where none was asked for.
        let mut numbers: Vec<(Value, u16)> = Vec::new();
        let mut listed = list(service, "/spec/ports").to_vec();
        for (place, port) in listed.iter_mut().enumerate() {
            let path = all.index(place);
            let path = path.child("nodePort");
            let asked = port["nodePort"].as_u64().unwrap_or_default();
            if asked != 0 {
                let asked = u16::try_from(asked).unwrap_or_default();
                if let Err(why) = check(asked) {
                    errors.push(FieldError::invalid(&path, u64::from(asked), why));
                }
                ours.insert(asked);
                numbers.push((port["port"].clone(), asked));
                continue;
            }
            let shared = numbers
                .iter()
                .find(|(number, _)| *number == port["port"])
                .map(|(_, node)| *node);
            match shared.or_else(|| free(&ours)) {
                Some(node) => {
                    ours.insert(node);
                    numbers.push((port["port"].clone(), node));
                    port["nodePort"] = node.into();
                }
                None => errors.push(FieldError::internal(
                    &path,
                    "failed to allocate a nodePort: range is full",
                )),
            }
        }
        service["spec"]["ports"] = listed.into();
    }
    if needs_check(service) {
        let path = spec.child("healthCheckNodePort");
        let asked = service["spec"]["healthCheckNodePort"]
            .as_u64()
            .unwrap_or_default();
        if asked == 0 {
            if let Some(port) = free(&ours) {
                service["spec"]["healthCheckNodePort"] = port.into();
            }
        } else if let Err(why) = check(u16::try_from(asked).unwrap_or_default()) {
            errors.push(FieldError::invalid(&path, asked, why));
        }
    }
}

/// The object that says whose an address is.
#[must_use]
pub fn address_object(address: IpAddr, service: &Value, uid: &str, created: &Value) -> Value {
    let owner = Metadata::of(service);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "uid": uid,
            "creationTimestamp": created,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family(address),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {
            "parentRef": {
                "group": "",
                "resource": "services",
                "namespace": owner.namespace(),
                "name": owner.name(),
            },
        },
    })
}

fn kind(service: &Value) -> &str {
    service
        .pointer("/spec/type")
        .and_then(Value::as_str)
        .unwrap_or("ClusterIP")
}

fn needs_ports(service: &Value) -> bool {
    let allocates =
        service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => allocates,
        _ => false,
    }
}

fn needs_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(service, "/spec/externalTrafficPolicy") == "Local"
}

fn text<'a>(service: &'a Value, pointer: &str) -> &'a str {
    service
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(service: &'a Value, pointer: &str) -> &'a [Value] {
    service
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(cidrs: &[&str]) -> Ranges {
        Ranges {
            addresses: cidrs
                .iter()
                .map(|text| Cidr::parse(text).expect("good"))
                .collect(),
            ports: (30_000, 30_003),
        }
    }

    /// What becomes of `spec`, given the old one and what others have: claims that are taken, or the first mistake.
    fn check(
        spec: Value,
        old: Option<Value>,
        others: &[Claim],
        expect: Result<&[Claim], &str>,
    ) -> Value {
        let mut service = json!({"metadata": {"name": "s"}, "spec": spec});
        let old = old.map(|spec| json!({"metadata": {"name": "s"}, "spec": spec}));
        let taken = |claim: &Claim| others.contains(claim);
        let claims = complete(
            &mut service,
            old.as_ref(),
            &ranges(&["10.0.0.0/30"]),
            7,
            &taken,
        );
        match (claims, expect) {
            (Ok(claims), Ok(expect)) => {
                assert_eq!(claims.take, expect.iter().cloned().collect::<BTreeSet<_>>());
            }
            (Err(status), Err(why)) => assert!(status.message.contains(why), "{}", status.message),
            (claims, expect) => panic!("{claims:?}, not {expect:?}"),
        }
        service["spec"].take()
    }

    fn address(text: &str) -> Claim {
        Claim::Address(text.parse().expect("an address"))
    }

    #[test]
    fn addresses_are_given() {
        let one = address("10.0.0.1");
        let two = address("10.0.0.2");
        let port = json!([{"port": 80}]);
        let made = check(
            json!({"ports": port}),
            None,
            std::slice::from_ref(&one),
            Ok(std::slice::from_ref(&two)),
        );
        assert_eq!(made["clusterIP"], "10.0.0.2");
        assert_eq!(made["clusterIPs"], json!(["10.0.0.2"]));
        assert_eq!(made["ipFamilies"], json!(["IPv4"]));
        assert_eq!(made["ipFamilyPolicy"], "SingleStack");
        check(
            json!({"ports": port}),
            None,
            &[one.clone(), two],
            Err("range is full"),
        );
        check(
            json!({"clusterIP": "10.0.0.1"}),
            None,
            std::slice::from_ref(&one),
            Err("failed to allocate IP 10.0.0.1: provided IP is already allocated"),
        );
        check(
            json!({"clusterIP": "10.0.0.3"}),
            None,
            &[],
            Err("The range of valid IPs is 10.0.0.0/30"),
        );
        check(
            json!({"clusterIP": "10.0.0.1"}),
            None,
            &[],
            Ok(std::slice::from_ref(&one)),
        );
        check(json!({"clusterIP": "None"}), None, &[], Ok(&[]));
        check(json!({"type": "ExternalName"}), None, &[], Ok(&[]));
        check(
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            None,
            &[],
            Err("not configured for dual-stack"),
        );
        // What it has is its own, also when others are thought to have it.
        let has = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": port});
        check(has.clone(), Some(has), &[one], Ok(&[]));
    }

    #[test]
    fn ports_are_given() {
        let node_port = json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}, {"port": 80}]});
        let made = check(
            node_port,
            None,
            &[Claim::Port(30_000), Claim::Port(30_001)],
            Ok(&[Claim::Port(30_002), Claim::Port(30_003)]),
        );
        assert_eq!(made["ports"][0]["nodePort"], made["ports"][1]["nodePort"]);
        let asked = |port: u64| json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 1, "nodePort": port}]});
        check(
            asked(30_001),
            None,
            &[Claim::Port(30_001)],
            Err("provided port is already allocated"),
        );
        check(
            asked(80),
            None,
            &[],
            Err("The range of valid ports is 30000-30003"),
        );
        check(asked(30_001), None, &[], Ok(&[Claim::Port(30_001)]));
    }

    #[test]
    fn ranges_are_read() {
        let cidr = Cidr::parse("10.96.3.4/16").expect("good");
        assert_eq!(
            (
                cidr.text().as_str(),
                cidr.service_first().to_string().as_str()
            ),
            ("10.96.0.0/16", "10.96.0.1")
        );
        assert!(cidr.contains("10.96.255.254".parse().expect("good")));
        assert!(!cidr.contains("10.96.255.255".parse().expect("good")));
        assert!(!cidr.contains("10.96.0.0".parse().expect("good")));
        assert!(Cidr::parse("fd00::/112").is_ok());
        for bad in ["10.0.0.0", "10.0.0.0/33", "a/8", "10.0.0.1/32"] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_service_is_completed_or_refused(random: u64, spec in objects_of_services()) {
            let mut service = json!({"metadata": {"name": "s"}, "spec": spec});
            let done = complete(&mut service, None, &ranges(&["10.0.0.0/24", "fd00::/112"]), random, &|_| false);
            if let Ok(claims) = done {
                proptest::prop_assert_eq!(claims.take, held(&service));
                // Done again, nothing is claimed.
                let mut again = service.clone();
                let claims = complete(&mut again, Some(&service), &ranges(&["10.0.0.0/24", "fd00::/112"]), random, &|_| true);
                proptest::prop_assert_eq!(claims, Ok(Claims::default()));
                proptest::prop_assert_eq!(again, service);
            }
        }
    }

    fn objects_of_services() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let kind = prop_oneof![
            Just("ClusterIP"),
            Just("NodePort"),
            Just("LoadBalancer"),
            Just("ExternalName")
        ];
        let ip = prop_oneof![
            Just(Value::Null),
            Just("None".into()),
            Just("10.0.0.7".into()),
            Just("x".into())
        ];
        let policy = prop_oneof![
            Just(Value::Null),
            Just("SingleStack".into()),
            Just("PreferDualStack".into()),
            Just("RequireDualStack".into())
        ];
        let ports = proptest::collection::vec(
            (1_u16..4, prop_oneof![Just(0_u16), 30_000_u16..30_004]),
            0..3,
        );
        (kind, ip, policy, ports, any::<bool>()).prop_map(|(kind, ip, policy, ports, local)| {
            let ports: Vec<Value> = ports
                .into_iter()
                .map(|(port, node)| json!({"port": port, "nodePort": node}))
                .collect();
            let mut spec = json!({"type": kind, "ports": ports});
            if !ip.is_null() {
                spec["clusterIP"] = ip;
            }
            if !policy.is_null() {
                spec["ipFamilyPolicy"] = policy;
            }
            if local {
                spec["externalTrafficPolicy"] = "Local".into();
            }
            spec
        })
    }
}
