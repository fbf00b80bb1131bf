//! One document at a time: types, values and rules of each kind.

use super::*;

/// Checks a Machine document with more lines behind the shortest; they begin on line 10.
#[track_caller]
fn machine(lines: &str, expect: &[&str]) {
    check(&format!("{WORKER}{lines}"), expect);
}

/// Checks a document of another kind behind a Machine; its fields begin on line 13.
#[track_caller]
fn other(kind: &str, lines: &str, expect: &[&str]) {
    check(&format!("{WORKER}{}{lines}", document(kind)), expect);
}

/// Checks a Cluster document with more lines behind the shortest; they begin on line 23.
#[track_caller]
fn cluster(lines: &str, expect: &[&str]) {
    check(&format!("{WORKER}---\n{CLUSTER}{lines}"), expect);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let text = format!(
        "{WORKER}hostnam: x\nsysctls:\n  net.x: 1\n  net.x: 2\n  bad: 3\ninstall:\n  disk: vda\n  \
         wipe: yes\n---\napiVersion: v1alpha1\nkind: Link\nselector: {{name: eth0}}\n\
         addresses: [10.0.0.2/24, 10.0.0.0/24]\nroutes:\n  - destination: 0.0.0.0/0\n    \
         gateway: 10.1.0.1\n"
    );
    check(
        &text,
        &[
            "document 1, line 10:1: Machine.hostnam: unknown key (did you mean \"hostname\"?)",
            "document 1, line 13:3: Machine.sysctls[\"net.x\"]: duplicate key (the first one is on \
             line 12)",
            "document 1, line 14:3: Machine.sysctls.bad: the key has no dot (wanted is a dotted",
            "document 1, line 16:9: Machine.install.disk: \"vda\" is not below /dev/ (wanted is a",
            "document 1, line 17:9: Machine.install.wipe: must be a boolean, found text (write true",
            "document 2, line 22:26: Link.addresses[1]: \"10.0.0.0/24\" is the address of the \
             network 10.0.0.0/24 itself (wanted is an address with its prefix length",
            "document 2, line 25:14: Link.routes[0].gateway: 10.1.0.1 is in none of the networks of \
             this link's addresses (add an address in its network, or set onLink: true)",
        ],
    );
}

#[test]
fn wrong_types_say_what_was_found() {
    machine(
        "hostname: 12\n",
        &[
            "document 1, line 10:11: Machine.hostname: must be text, found a whole number (put it in quotes)",
        ],
    );
    machine(
        "hostname: 1.5\n",
        &["document 1, line 10:11: Machine.hostname: must be text, found a number with a fraction"],
    );
    machine(
        "hostname: true\n",
        &["document 1, line 10:11: Machine.hostname: must be text, found a boolean"],
    );
    machine(
        "hostname:\n",
        &[
            "document 1, line 10:9: Machine.hostname: must be text, found no value (give it a value or remove the key)",
        ],
    );
    machine(
        "hostname: [a]\n",
        &["document 1, line 10:11: Machine.hostname: must be text, found a list"],
    );
    machine(
        "install: x\n",
        &["document 1, line 10:10: Machine.install: must be a mapping, found text"],
    );
    machine(
        "certSANs: a\n",
        &["document 1, line 10:11: Machine.certSANs: must be a list, found text (write each item"],
    );
    machine(
        "install: {wipe: 'true'}\n",
        &["document 1, line 10:17: Machine.install.wipe: must be a boolean, found text"],
    );
    machine(
        "sysctls: {a.b: [1]}\n",
        &[
            "document 1, line 10:16: Machine.sysctls[\"a.b\"]: must be text or a number, found a list",
        ],
    );
    machine(
        "sysctls: {a.b: }\n",
        &[
            "document 1, line 10:14: Machine.sysctls[\"a.b\"]: must be text or a number, found no value",
        ],
    );
    other(
        "Link",
        "selector: {name: a}\nmtu: '9000'\n",
        &[
            "document 2, line 14:6: Link.mtu: must be a whole number, found text (leave the quotes out)",
        ],
    );
    other(
        "Link",
        "selector: {name: a}\nmtu: 67\n",
        &["document 2, line 14:6: Link.mtu: must be 68 to 65536, found \"67\""],
    );
    other(
        "Link",
        "selector: {name: a}\nmtu: 0x500\n",
        &["document 2, line 14:6: Link.mtu: must be a plain decimal number of 68 to 65536"],
    );
    other(
        "Link",
        "selector: {name: a}\nmtu: 01500\n",
        &["document 2, line 14:6: Link.mtu: must be a plain decimal number"],
    );
    other(
        "Link",
        "selector: {name: a}\nmtu: 99999999999999999999\n",
        &["document 2, line 14:6: Link.mtu: must be a plain decimal number"],
    );
    other(
        "Link",
        "selector: {name: a}\ndhcp4: {routeMetric: 4294967296}\n",
        &["document 2, line 14:22: Link.dhcp4.routeMetric: must be 0 to 4294967295"],
    );
}

#[test]
fn unknown_keys_get_the_closest_name_or_their_place() {
    machine(
        "instal: {}\n",
        &["document 1, line 10:1: Machine.instal: unknown key (did you mean \"install\"?)"],
    );
    machine(
        "node_labels: {}\n",
        &["document 1, line 10:1: Machine.node_labels: unknown key (did you mean \"nodeLabels\"?)"],
    );
    machine(
        "diskSelector: {}\n",
        &[
            "document 1, line 10:1: Machine.diskSelector: unknown key (it belongs to Machine.install.diskSelector)",
        ],
    );
    machine(
        "podCIDRs: []\n",
        &[
            "document 1, line 10:1: Machine.podCIDRs: unknown key (it belongs to Cluster.network.podCIDRs)",
        ],
    );
    machine(
        "qqqqqq: 1\n",
        &["document 1, line 10:1: Machine.qqqqqq: unknown key"],
    );
    machine(
        "\"a\\u001b[31m\": 1\n",
        &["document 1, line 10:1: Machine[(not a name)]: unknown key"],
    );
    cluster(
        "componentOptions:\n  kube-apiserver: {}\n",
        &["document 2, line 24:3: Cluster.componentOptions.kube-apiserver: unknown key"],
    );
    cluster(
        "componentOptions:\n  kubelte: {}\n",
        &[
            "document 2, line 24:3: Cluster.componentOptions.kubelte: unknown key (did you mean \"kubelet\"?)",
        ],
    );
}

#[test]
fn machine_values_are_checked() {
    machine(
        "hostname: Node_1\n",
        &[
            "document 1, line 10:11: Machine.hostname: \"Node_1\" holds the upper-case letter 'N', which is not allowed (wanted is lower-case letters",
        ],
    );
    machine(
        "certSANs: [a.b, 'x y']\n",
        &["document 1, line 10:17: Machine.certSANs[1]: \"x y\" holds a blank"],
    );
    machine(
        "kernel: {modules: [{name: ../x}]}\n",
        &["document 1, line 10:27: Machine.kernel.modules[0].name: \"../x\" holds '.'"],
    );
    machine(
        "kernel: {modules: [{}]}\n",
        &[
            "document 1, line 10:20: Machine.kernel.modules[0].name: is required (Name of the module.)",
        ],
    );
    machine(
        "nodeLabels: {a/b/c: x, ok: '-'}\n",
        &[
            "document 1, line 10:14: Machine.nodeLabels[\"a/b/c\"]: the key has a name that holds '/'",
            "document 1, line 10:28: Machine.nodeLabels.ok: \"-\" does not begin and end",
        ],
    );
    machine(
        "nodeTaints: [{key: a, effect: noSchedule}]\n",
        &[
            "document 1, line 10:31: Machine.nodeTaints[0].effect: must be one of NoSchedule, PreferNoSchedule, NoExecute, found \"noSchedule\" (did you mean \"NoSchedule\"?)",
        ],
    );
    machine(
        "nodeTaints: [{key: a, effect: NoExecute}, {key: a, effect: NoExecute, value: b}]\n",
        &[
            "document 1, line 10:43: Machine.nodeTaints[1]: the same key and effect as nodeTaints[0]",
        ],
    );
    machine(
        "install: {disk: /dev/vda, diskSelector: {model: x}}\n",
        &["document 1, line 10:41: Machine.install.diskSelector: given together with disk"],
    );
    machine(
        "install: {diskSelector: {}}\n",
        &["document 1, line 10:25: Machine.install.diskSelector: selects nothing"],
    );
    machine(
        "install: {diskSelector: {minSize: 2GiB, maxSize: 1GB}}\n",
        &[
            "document 1, line 10:35: Machine.install.diskSelector.minSize: minSize 2GiB is above maxSize 1GB",
        ],
    );
    machine(
        "kernel: {modules: [{name: a-b}, {name: a_b}]}\n",
        &[
            "document 1, line 10:40: Machine.kernel.modules[1].name: the same module as kernel.modules[0]",
        ],
    );
    machine(
        "role: master\n",
        &["document 1, line 10:1: Machine.role: duplicate key"],
    );
    check(
        &WORKER.replace("role: worker", "role: controlplane"),
        &[
            "document 1, line 3:7: Machine.role: must be one of control-plane, worker, found \"controlplane\" (did you mean \"control-plane\"?)",
        ],
    );
}

#[test]
fn registries_are_checked() {
    let lines = "registries:\n  mirrors:\n    docker.io: {endpoints: []}\n    a.b: {endpoints: ['ftp://x']}\n    http://c: {endpoints: [https://x]}\n";
    machine(
        lines,
        &[
            "document 1, line 12:28: Machine.registries.mirrors[\"docker.io\"].endpoints: must not be empty",
            "document 1, line 13:23: Machine.registries.mirrors[\"a.b\"].endpoints[0]: \"ftp://x\" does not begin with http",
            "document 1, line 14:5: Machine.registries.mirrors[(not a name)]: the key ",
        ],
    );
    let lines = "registries:\n  credentials:\n    a: {username: u}\n    b: {password: p}\n    c: {username: u, password: p, token: t}\n    d: {token: t}\n    e: {username: u, password: p}\n";
    machine(
        lines,
        &[
            "document 1, line 12:8: Machine.registries.credentials.a: a username without a password",
            "document 1, line 13:8: Machine.registries.credentials.b: a password without a username",
            "document 1, line 14:8: Machine.registries.credentials.c: a password and a token",
        ],
    );
}

#[test]
fn cluster_networks_are_checked() {
    let network = |pods: &str, services: &str| {
        format!("network: {{podCIDRs: [{pods}], serviceCIDRs: [{services}]}}\n")
    };
    cluster(
        &network("10.0.0.0/16, fd00::/56", "10.96.0.0/12, 'fd01::/112'"),
        &[],
    );
    cluster(
        &network("10.96.0.0/16", "10.96.0.0/12"),
        &[
            "document 2, line 23:52: Cluster.network.serviceCIDRs[0]: 10.96.0.0/12 overlaps 10.96.0.0/16 (Cluster.network.podCIDRs[0])",
        ],
    );
    cluster(
        &network("10.0.0.0/16, 10.1.0.0/16", "10.96.0.0/12"),
        &[
            "document 2, line 23:35: Cluster.network.podCIDRs[1]: 10.1.0.0/16 is of the same family as 10.0.0.0/16",
        ],
    );
    cluster(
        &network("fd00::/56", "10.96.0.0/12"),
        &[
            "document 2, line 23:21: Cluster.network.podCIDRs: services have an IPv4 network, pods have none",
        ],
    );
    cluster(
        &network("10.0.0.0/25", "10.96.0.0/8"),
        &[
            "document 2, line 23:22: Cluster.network.podCIDRs[0]: 10.0.0.0/25 is too small",
            "document 2, line 23:51: Cluster.network.serviceCIDRs[0]: \"10.96.0.0/8\" has host bits set; the network is 10.0.0.0/8",
        ],
    );
    cluster(
        &network("10.128.0.0/9", "10.0.0.0/9"),
        &["document 2, line 23:52: Cluster.network.serviceCIDRs[0]: 10.0.0.0/9 is too large"],
    );
    cluster(
        &network("", "10.96.0.0/12"),
        &["document 2, line 23:21: Cluster.network.podCIDRs: must not be empty"],
    );
    cluster(
        &network("a, 10.0.0.0, 10.0.0.0/33", "10.96.0.0/12"),
        &["document 2, line 23:21: Cluster.network.podCIDRs: has 3 items; at most 2 are taken"],
    );
    cluster(
        "network: {dnsDomain: Cluster.Local}\n",
        &[
            "document 2, line 23:22: Cluster.network.dnsDomain: \"Cluster.Local\" holds the upper-case letter 'C'",
        ],
    );
    cluster(
        "componentOptions: {kubelet: {--v: 2, max-pods: 250, a: true}}\n",
        &["document 2, line 23:30: Cluster.componentOptions.kubelet.--v: the key begins with '-'"],
    );
}

#[test]
fn links_are_checked() {
    let link = |lines: &str, expect: &[&str]| {
        other("Link", &format!("selector: {{name: a}}\n{lines}"), expect)
    };
    other(
        "Link",
        "selector: {}\n",
        &["document 2, line 13:11: Link.selector: selects nothing"],
    );
    other(
        "Link",
        "up: true\n",
        &["document 2, line 11:1: Link.selector: is required"],
    );
    other(
        "Link",
        "selector: {mac: 52-54-00-12-34-56}\n",
        &["document 2, line 13:17: Link.selector.mac: \"52-54-00-12-34-56\" is joined by '-'"],
    );
    link(
        "up: false\ndhcp4: {enabled: true}\n",
        &["document 2, line 14:5: Link.up: a link that is down"],
    );
    link(
        "mtu: 1000\naddresses: ['fd00::2/64']\n",
        &["document 2, line 14:6: Link.mtu: 1000 is too small for the IPv6"],
    );
    link(
        "addresses: [10.0.0.1/24, 10.0.0.1/16]\n",
        &["document 2, line 14:26: Link.addresses[1]: the same address as addresses[0]"],
    );
    let route = |route: &str, expect: &[&str]| {
        link(
            &format!(
                "addresses: [10.0.0.2/24]\nacceptRouterAdvertisements: false\nroutes: [{{{route}}}]\n"
            ),
            expect,
        )
    };
    route("destination: 0.0.0.0/0, gateway: 10.0.0.1", &[]);
    route(
        "destination: 0.0.0.0/0, gateway: 10.9.0.1, onLink: true",
        &[],
    );
    route("destination: '::/0', gateway: 'fe80::1'", &[]);
    route(
        "destination: 0.0.0.0/0, gateway: 10.9.0.1",
        &["document 2, line 16:44: Link.routes[0].gateway: 10.9.0.1 is in none"],
    );
    route(
        "destination: 0.0.0.0/0, gateway: 10.0.0.2",
        &["document 2, line 16:44: Link.routes[0].gateway: is an address of this link itself"],
    );
    route(
        "destination: 0.0.0.0/0, gateway: 'fe80::1'",
        &[
            "document 2, line 16:44: Link.routes[0].gateway: an IPv6 gateway for an IPv4 destination",
        ],
    );
    route(
        "destination: 0.0.0.0/0, gateway: 0.0.0.0",
        &[
            "document 2, line 16:44: Link.routes[0].gateway: 0.0.0.0 is not an address that a gateway can have",
        ],
    );
    route(
        "destination: 0.0.0.0/0, source: 10.0.0.3",
        &["document 2, line 16:43: Link.routes[0].source: is not an address of this link"],
    );
    route(
        "destination: 0.0.0.0/0, source: 'fd00::1'",
        &["document 2, line 16:43: Link.routes[0].source: an IPv6 source for an IPv4 destination"],
    );
    route(
        "destination: 10.0.0.1/8",
        &["document 2, line 16:24: Link.routes[0].destination: \"10.0.0.1/8\" has host bits set"],
    );
    route(
        "destination: 0.0.0.0/0}, {destination: 0.0.0.0/0",
        &["document 2, line 16:36: Link.routes[1]: the same destination and metric as routes[0]"],
    );
    link(
        "dhcp4: {enabled: true}\nroutes: [{destination: 0.0.0.0/0, gateway: 10.9.0.1}]\n",
        &[],
    );
}

#[test]
fn resolver_and_time_are_checked() {
    other(
        "Resolver",
        "nameservers: [10.0.0.53, 10.0.0.53, 0.0.0.0]\n",
        &[
            "document 2, line 13:26: Resolver.nameservers[1]: 10.0.0.53 is listed twice",
            "document 2, line 13:37: Resolver.nameservers[2]: 0.0.0.0 is not an address that a nameserver",
        ],
    );
    other(
        "Resolver",
        "nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]\n",
        &["document 2, line 13:14: Resolver.nameservers: has 4 items; at most 3"],
    );
    other(
        "Resolver",
        "nameservers: [10.0.0.53/24, dns]\n",
        &[
            "document 2, line 13:15: Resolver.nameservers[0]: \"10.0.0.53/24\" has a prefix length where none belongs",
            "document 2, line 13:29: Resolver.nameservers[1]: \"dns\" is not an IP address",
        ],
    );
    other(
        "Time",
        "disabled: true\nservers: [a.b]\n",
        &["document 2, line 13:11: Time.disabled: given together with servers"],
    );
    other(
        "Time",
        "bootTimeout: 11m\n",
        &["document 2, line 13:14: Time.bootTimeout: 11m is too long to wait at boot"],
    );
    other(
        "Time",
        "bootTimeout: 30\n",
        &["document 2, line 13:14: Time.bootTimeout: must be text, found a whole number"],
    );
    other(
        "Time",
        "bootTimeout: '30'\n",
        &["document 2, line 13:14: Time.bootTimeout: \"30\" needs one of the units ms, h, m, s"],
    );
}
