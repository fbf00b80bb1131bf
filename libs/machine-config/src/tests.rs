//! The parser from outside: texts in, configs or problems out.

use super::*;

/// A worker's config, the shortest that is valid.
const WORKER: &str = "\
apiVersion: v1alpha1
kind: Machine
role: worker
ca:
  crt: |
    -----BEGIN CERTIFICATE-----
    AAAA
    -----END CERTIFICATE-----
token: abcdefghijklmnopqrst
";

#[test]
fn a_short_config_parses_and_comes_back() {
    let config = parse(WORKER.as_bytes()).unwrap();
    assert_eq!(config.machine.role, Role::Worker);
    let text = to_yaml(&config);
    assert_eq!(parse(text.as_bytes()).unwrap(), config, "{text}");
}

/// Checks that `text` has exactly these problems, printed.
fn check(text: &str, expect: &[&str]) {
    let found = match parse(text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expect, "in\n{text}");
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
            "document 1, line 14:3: Machine.sysctls.bad: the key has no dot (wanted is a dotted \
             kernel parameter, such as net.ipv4.ip_forward)",
            "document 1, line 16:9: Machine.install.disk: \"vda\" is not below /dev/ (wanted is a \
             device file below /dev, such as /dev/vda or /dev/disk/by-id/...)",
            "document 1, line 17:9: Machine.install.wipe: must be a boolean, found text (write true \
             or false, without quotes)",
            "document 2, line 22:26: Link.addresses[1]: \"10.0.0.0/24\" is the address of the \
             network 10.0.0.0/24 itself (wanted is an address with its prefix length, such as \
             10.0.0.2/24)",
            "document 2, line 25:14: Link.routes[0].gateway: 10.1.0.1 is in none of the networks of \
             this link's addresses (add an address in its network, or set onLink: true)",
        ],
    );
}
