//! Rules of kind `Cluster`, and of its secrets with the machine's role.

use super::Report;
use crate::documents::{CertificateAndKey, Cluster, Role};
use crate::kinds::Placed;
use crate::values::Network;

/// Most host bits of a service CIDR: kube-apiserver's bound (its allocator's bitmap).
const SERVICE_BITS_MAX: u8 = 20;

/// Longest prefix of pod CIDRs by family: a node takes a /24 or a /64, and one must be left over.
const POD_PREFIX_MAX: (u8, u8) = (24, 64);

pub(super) fn check(placed: &Placed<Cluster>, report: &mut Report<'_>) {
    let network = &placed.value.network;
    let named = |name: &str, list: &[Network]| -> Vec<(String, Network)> {
        let path = |index| format!("Cluster.network.{name}[{index}]");
        list.iter()
            .enumerate()
            .map(|(index, cidr)| (path(index), *cidr))
            .collect()
    };
    let pods = named("podCIDRs", &network.pod_cidrs);
    let services = named("serviceCIDRs", &network.service_cidrs);
    for list in [&pods, &services] {
        if let [(_, first), (path, second)] = list.as_slice()
            && first.is_ipv6() == second.is_ipv6()
        {
            let message = format!("{second} is of the same family as {first}");
            report.at(
                placed,
                path,
                message,
                "dual stack is one IPv4 and one IPv6 network",
            );
        }
    }
    let all: Vec<_> = pods.iter().chain(&services).collect();
    for (index, (path, cidr)) in all.iter().enumerate() {
        if let Some((other_path, other)) = all[..index].iter().find(|(_, o)| o.overlaps(cidr)) {
            let message = format!("{cidr} overlaps {other} ({other_path})");
            report.at(
                placed,
                path,
                message,
                "pods and services need networks of their own",
            );
        }
    }
    check_families(placed, &pods, &services, report);
    for (path, cidr) in &pods {
        let max = if cidr.is_ipv6() {
            POD_PREFIX_MAX.1
        } else {
            POD_PREFIX_MAX.0
        };
        if cidr.prefix() > max {
            let message = format!("{cidr} is too small: a node takes a /{max} of it");
            report.at(
                placed,
                path,
                message,
                format!("use a prefix of at most /{max}"),
            );
        }
    }
    for (path, cidr) in &services {
        let bits = if cidr.is_ipv6() { 128 } else { 32 } - cidr.prefix();
        if bits > SERVICE_BITS_MAX {
            let most = if cidr.is_ipv6() { 108 } else { 12 };
            let message = format!("{cidr} is too large");
            report.at(
                placed,
                path,
                message,
                format!("use a prefix of at least /{most}"),
            );
        }
    }
}

fn check_families(
    placed: &Placed<Cluster>,
    pods: &[(String, Network)],
    services: &[(String, Network)],
    report: &mut Report<'_>,
) {
    for ipv6 in [false, true] {
        let has = |list: &[(String, Network)]| list.iter().any(|(_, cidr)| cidr.is_ipv6() == ipv6);
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        if has(services) && !has(pods) {
            report.at(
                placed,
                "Cluster.network.podCIDRs",
                format!("services have an {family} network, pods have none"),
                "give pods and services the same families",
            );
        }
    }
}

/// What each role must and must not hold.
pub(super) fn check_secrets(placed: &Placed<Cluster>, role: Role, report: &mut Report<'_>) {
    let secrets = &placed.value.secrets;
    let key = |authority: &CertificateAndKey| authority.key.is_some();
    // (path, whether the part is there, whether its private half is there)
    let parts = [
        ("kubernetesCA.key", key(&secrets.kubernetes_ca)),
        (
            "aggregatorCA.key",
            secrets.aggregator_ca.as_ref().is_some_and(key),
        ),
        ("etcdCA.key", secrets.etcd_ca.as_ref().is_some_and(key)),
        ("serviceAccountKey", secrets.service_account_key.is_some()),
        (
            "secretboxEncryptionKey",
            secrets.secretbox_encryption_key.is_some(),
        ),
    ];
    for (name, present) in parts {
        let path = format!("Cluster.secrets.{name}");
        match (role, present) {
            (Role::Worker, true) => report.at(
                placed,
                path,
                "a worker must not hold a key of the cluster",
                "remove it; workers hold certificates and the bootstrap token only",
            ),
            (Role::ControlPlane, false) => report.at(
                placed,
                path,
                "a control-plane machine needs this key",
                "take it from the secrets file, or let \"orlopctl gen config\" write the config",
            ),
            _ => {}
        }
    }
}
