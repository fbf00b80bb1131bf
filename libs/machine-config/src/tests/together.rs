//! What documents say to each other, roles and keys, and that no problem shows a secret.

use super::*;

const KEY: &str =
    "|\n      -----BEGIN PRIVATE KEY-----\n      AAAA\n      -----END PRIVATE KEY-----\n";

#[test]
fn a_worker_must_not_hold_keys() {
    let machine = WORKER.replace("token:", &format!("  key: {KEY}token:"));
    check(
        &machine,
        &["document 1, line 10:7: Machine.ca.key: a worker must not hold the key of an authority"],
    );
    let secrets = format!(
        "    key: {KEY}  serviceAccountKey: {KEY}  secretboxEncryptionKey: {}=\n",
        "A".repeat(43)
    );
    check(
        &format!("{WORKER}---\n{CLUSTER}{secrets}"),
        &[
            "document 2, line 24:7: Cluster.secrets.kubernetesCA.key: a worker must not hold a key",
            "document 2, line 28:7: Cluster.secrets.serviceAccountKey: a worker must not hold a key",
            "document 2, line 31:27: Cluster.secrets.secretboxEncryptionKey: a worker must not hold",
        ],
    );
}

#[test]
fn a_control_plane_machine_needs_all_keys() {
    let machine = WORKER.replace("role: worker", "role: control-plane");
    check(
        &format!("{machine}---\n{CLUSTER}"),
        &[
            "document 1, line 5:3: Machine.ca.key: a control-plane machine needs the key",
            "document 2, line 16:3: Cluster.secrets.aggregatorCA.key: a control-plane machine needs",
            "document 2, line 16:3: Cluster.secrets.etcdCA.key: a control-plane machine needs",
            "document 2, line 16:3: Cluster.secrets.secretboxEncryptionKey: a control-plane machine",
            "document 2, line 16:3: Cluster.secrets.serviceAccountKey: a control-plane machine",
            "document 2, line 19:5: Cluster.secrets.kubernetesCA.key: a control-plane machine needs",
        ],
    );
}

#[test]
fn one_mistake_is_one_problem() {
    // The key is there, but wrong: that it is needed is not said on top.
    let machine = WORKER.replace("role: worker", "role: control-plane");
    let machine = machine.replace("token:", "  key: x\ntoken:");
    check(
        &machine,
        &["document 1, line 9:8: Machine.ca.key: is not PEM: a -----BEGIN line is missing"],
    );
}

#[test]
fn links_are_compared_with_each_other_and_with_the_cluster() {
    let link = |lines: &str| format!("{}{lines}", document("Link"));
    let first = link("selector: {name: eth0}\naddresses: [10.0.0.2/24]\n");
    check(
        &format!("{WORKER}{first}{}", link("selector: {name: ETH0}\n")),
        &["document 3, line 18:11: Link.selector: the same selector as document 2 (line 13)"],
    );
    check(
        &format!(
            "{WORKER}{first}{}",
            link("selector: {name: eth1}\naddresses: [10.0.0.2/16]\n")
        ),
        &[
            "document 3, line 19:13: Link.addresses[0]: document 2 gives the same address to another link",
        ],
    );
    let inside =
        link("selector: {name: eth0}\naddresses: [10.244.3.2/24, 10.100.0.1/32, 10.1.0.1/24]\n");
    check(
        &format!("{WORKER}---\n{CLUSTER}{inside}"),
        &[
            "document 3, line 27:13: Link.addresses[0]: 10.244.3.0/24 overlaps the pod network 10.244.0.0/16",
            "document 3, line 27:28: Link.addresses[1]: 10.100.0.1/32 overlaps the service network 10.96.0.0/12",
        ],
    );
}

/// Text that stands in the place of every secret of a config, so that a leak is seen.
const MARK: &str = "s3cr3tS3CR3T";

#[test]
fn no_problem_and_no_debug_output_shows_a_secret() {
    let pem = format!(
        "|\n      -----BEGIN PRIVATE KEY-----\n      {MARK}\n      -----END PRIVATE KEY-----\n"
    );
    let good = format!(
        "{}registries: {{credentials: {{a.b: {{token: {MARK}}}}}}}\n---\n{}    key: {pem}",
        WORKER.replace("abcdefghijklmnopqrst", &format!("{MARK}-{MARK}")),
        CLUSTER
    );
    let broken = [
        good.clone(),
        good.replace("token: ", "token: !x "),
        good.replace("token: ", "token: \"\\q"),
        good.replace("token: ", "token: *"),
        good.replace("token: ", "token: &"),
        good.replace("token: ", "token: {a: "),
        good.replace("token: ", "token: - "),
        good.replace("token: ", "token: |\n "),
        good.replace("token: ", "token: @"),
        good.replace("token: ", "token:"),
        good.replace("token: ", "token: %"),
        good.replace("token: ", "token: \t"),
        good.replace("token: ", "tokn: "),
        good.replace("token: ", "token: \u{fffe}"),
        good.replace("BEGIN PRIVATE", "BEGIN PUBLIC"),
        good.replace("-----END PRIVATE KEY-----", ""),
        good.replace("-----BEGIN PRIVATE KEY-----", ""),
        good.replace("key: |", "key: >"),
        good.replace("key: |", "key: [|"),
        good.replace("key: |", "? |"),
        good.replace(MARK, &format!("{MARK}{MARK}?")),
        good.replace("bootstrapToken: abcdef", &format!("bootstrapToken: {MARK}")),
        good.replace(
            "endpoint: https://",
            &format!("endpoint: https://u:{MARK}@"),
        ),
    ];
    for text in broken {
        let problems = parse(text.as_bytes()).unwrap_err();
        let shown = format!(
            "{problems} {problems:?} {}",
            serde_json::to_string(&problems).unwrap()
        );
        assert!(!shown.contains("s3cr3t"), "{shown}\nin\n{text}");
    }
}

#[test]
fn what_a_lesser_reader_sees_holds_no_secret_and_cannot_be_applied() {
    let text = format!("{WORKER}---\n{CLUSTER}");
    let config = parse(text.as_bytes()).unwrap();
    let redacted = to_redacted_yaml(&config);
    let shown = format!(
        "{redacted}{config:?}{}",
        serde_json::Value::from(config.redacted())
    );
    for secret in ["abcdefghijklmnopqrst", "abcdef.0123456789abcdef"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(redacted.contains("token: \"<redacted>\""), "{redacted}");
    let problems = parse(redacted.as_bytes()).unwrap_err();
    assert_eq!(problems.problems.len(), 2, "{problems}");
    assert!(
        problems
            .to_string()
            .contains("Machine.token: is redacted (this is what a reader"),
        "{problems}"
    );
}
