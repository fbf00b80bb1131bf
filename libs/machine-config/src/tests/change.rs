//! Differences of configs, and what of them needs a reboot.

use super::*;

fn config(text: &str) -> MachineConfig {
    parse(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// Checks the changes from `old` to `new`, printed, and the reasons to reboot.
#[track_caller]
fn changes(old: &str, new: &str, expect: &[&str], reboot: &[&str]) {
    let (old, new) = (config(old), config(new));
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let found: Vec<String> = diff(&old, &new)
        .iter()
        .map(|change| {
            format!(
                "{}: {} > {}",
                change.path,
                shown(&change.old),
                shown(&change.new)
            )
        })
        .collect();
    assert_eq!(found, expect);
    assert_eq!(requires_reboot(&old, &new), reboot);
    assert_eq!(diff(&new, &old).len(), expect.len());
}

#[test]
fn equal_configs_have_no_difference() {
    changes(WORKER, WORKER, &[], &[]);
    // The spelling of a duration is no difference; neither is a default that is written out.
    let time = |lines: &str| format!("{WORKER}{}{lines}", document("Time"));
    changes(
        &time("bootTimeout: 60s\n"),
        &time("bootTimeout: 1m\ndisabled: false\n"),
        &[],
        &[],
    );
}

#[test]
fn changes_name_their_path() {
    let link = |name: &str, mtu: u32| {
        format!(
            "{}selector: {{name: {name}}}\nmtu: {mtu}\n",
            document("Link")
        )
    };
    changes(
        &format!(
            "{WORKER}hostname: a\nsysctls: {{net.a: 1}}\n{}",
            link("eth0", 1500)
        ),
        &format!(
            "{WORKER}hostname: b\nsysctls: {{net.b: 1}}\n{}",
            link("eth0", 9000)
        ),
        &[
            "Link[name=eth0].mtu: 1500 > 9000",
            "Machine.hostname: a > b",
            "Machine.sysctls[\"net.a\"]: 1 > -",
            "Machine.sysctls[\"net.b\"]: - > 1",
        ],
        &["Machine.sysctls changed: kernel parameters are set and locked at boot"],
    );
    // Links that only trade places do not differ in their fields.
    let (a, b) = (link("a", 1500), link("b", 1500));
    changes(
        &format!("{WORKER}{a}{b}"),
        &format!("{WORKER}{b}{a}"),
        &[],
        &[],
    );
}

#[test]
fn secrets_differ_without_being_shown() {
    let new = WORKER.replace("abcdefghijklmnopqrst", "qrstabcdefghijklmnop");
    changes(
        WORKER,
        &new,
        &["Machine.token: <redacted> > <redacted>"],
        &[],
    );
    let change = &diff(&config(WORKER), &config(&new))[0];
    assert!(change.secret);
}

#[test]
fn what_is_decided_at_boot_needs_a_reboot() {
    changes(
        WORKER,
        &format!(
            "{WORKER}install: {{disk: /dev/vdb}}\nkernel: {{modules: [{{name: nbd}}]}}\nnodeLabels: {{a: b}}\n"
        ),
        &[
            "Machine.install.disk: - > /dev/vdb",
            "Machine.install.wipe: - > false",
            "Machine.kernel.modules[0].name: - > nbd",
            "Machine.nodeLabels.a: - > b",
        ],
        &[
            "Machine.install changed: the system's partitions are made at boot",
            "Machine.kernel changed: modules are loaded at boot, before loading is locked",
        ],
    );
}

#[test]
fn long_and_odd_names_are_told_apart() {
    let label =
        |name: &str, value: &str| format!("  {}.example.com/{name}: {value}\n", "a".repeat(60));
    let labels = |value: &str| format!("nodeLabels:\n{}{}", label("x", "same"), label("y", value));
    let mirrors = |port: u16| {
        format!(
            "registries:\n  mirrors:\n    '*': {{endpoints: ['http://m:1']}}\n    'r:5000': \
             {{endpoints: ['http://m:{port}']}}\n"
        )
    };
    let text = |value: &str, port: u16| format!("{WORKER}{}{}", labels(value), mirrors(port));
    let path = format!(
        "Machine.nodeLabels[\"{}.example.com/y\"]: one > two",
        "a".repeat(60)
    );
    changes(
        &text("one", 1),
        &text("two", 2),
        &[
            &path,
            "Machine.registries.mirrors[\"r:5000\"].endpoints[0]: http://m:1 > http://m:2",
        ],
        &[],
    );
}
