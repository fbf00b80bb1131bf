//! The crate kube, which Rust's controllers stand on: the program `tests/kube-client`.

use super::raw::Admin;
use super::{Kind, Site, check};
use orlop_tests::api::ApiServer;
use orlop_tests::guard::Guarded;
use orlop_tests::store::transcript::{self, Client};
use orlop_tests::wait::{Lines, eventually};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Usual time from a change to the line that tells of it; when the server was away, its client pauses for a second or two.
const TOLD: Duration = Duration::from_secs(3);
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn the_crate_kube_works_unchanged() {
    xtask::kube_client::program().unwrap();
    check("kube");
}

#[test]
fn watchers_of_the_crate_kube_begin_anew_when_they_must() {
    let program = xtask::kube_client::program().unwrap();
    for kind in [Kind::Orlop, Kind::Etcd] {
        for strategy in ["list", "stream"] {
            println!("over {}, by {strategy}", kind.name());
            begins_anew(kind, &program, strategy);
        }
    }
}

fn begins_anew(kind: Kind, program: &Path, strategy: &str) {
    let mut site = Site::new(kind);
    let aside = tempfile::tempdir().unwrap();
    let admin = Admin::of(&site.server);
    for name in ["a", "b", "c"] {
        write(&admin, "POST", name, "1");
    }
    let mut command = Command::new(program);
    command
        .args(["watch", "default", strategy])
        .env("KUBECONFIG", site.server.kubeconfig());
    let mut guard = Guarded::start(&command).unwrap();
    let output = guard.stdout().unwrap();
    let lines = Lines::follow("kube", output, &aside.path().join("lines")).unwrap();
    let mut told = Told { lines, position: 0 };
    told.next(&[
        "init",
        "init-apply a 1",
        "init-apply b 1",
        "init-apply c 1",
        "init-done",
    ]);
    write(&admin, "PUT", "a", "2");
    delete(&admin, "b");
    write(&admin, "POST", "b", "2");
    told.next(&["apply a 2", "delete b 1", "apply b 2"]);

    // The server is away, and another over the same store takes writes meanwhile: it has not seen what was missed, and
    // says so.
    let second = ApiServer::start(&site.store, aside.path()).unwrap();
    let beside = Admin::of(&second);
    site.server.kill().unwrap();
    write(&beside, "PUT", "a", "3");
    delete(&beside, "c");
    site.server =
        ApiServer::start_on(&site.store, site.directory.path(), site.server.port()).unwrap();
    told.next(&[
        "error 410 Expired",
        "init",
        "init-apply a 3",
        "init-apply b 2",
        "init-done",
    ]);
    let admin = Admin::of(&site.server);
    write(&admin, "PUT", "b", "3");
    told.next(&["apply b 3"]);

    // The store is away for a moment and everything that happened then is forgotten by it before the server has looked.
    site.server.pause().unwrap();
    let member = &mut site.store.members[0];
    member.stop().unwrap();
    member.start().unwrap();
    eventually("a write over the store that is back", TOLD, || {
        let body = config("a", "4");
        let answer = beside.ask("PUT", &format!("{CONFIGS}/a"), &body);
        Ok(answer.filter(|answer| answer.code == 200).map(drop))
    })
    .unwrap();
    write(&beside, "POST", "d", "1");
    delete(&beside, "b");
    let revision = eventually("a list from the store that is back", TOLD, || {
        let answer = beside.must("GET", CONFIGS, "");
        Ok((answer.code == 200).then(|| answer.json()["metadata"]["resourceVersion"].clone()))
    })
    .unwrap();
    compact(&site, aside.path(), revision.as_str().unwrap());
    site.server.resume().unwrap();
    told.next(&[
        "error 410 Expired",
        "init",
        "init-apply a 4",
        "init-apply d 1",
        "init-done",
    ]);
    write(&Admin::of(&site.server), "PUT", "d", "2");
    told.next(&["apply d 2"]);
}

/// What the program tells, read in order.
struct Told {
    lines: Lines,
    position: usize,
}

impl Told {
    /// The next lines, but for those that tell of a server that is not there, are these.
    fn next(&mut self, expected: &[&str]) {
        let away = |line: &String| line == "cut off" || line.starts_with("start refused 50");
        let mut found = Vec::new();
        let waited = eventually(&format!("{expected:?}"), TOLD, || {
            found = self.lines.since(self.position);
            found.retain(|line| !away(line));
            Ok((found.len() >= expected.len()).then_some(()))
        });
        assert_eq!(found, expected, "{waited:?}");
        self.position = self.lines.position();
    }
}

fn config(name: &str, x: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"x":"{x}"}}}}"#
    )
}

fn write(admin: &Admin, method: &str, name: &str, x: &str) {
    let path = match method {
        "POST" => CONFIGS.to_owned(),
        _ => format!("{CONFIGS}/{name}"),
    };
    let answer = admin.must(method, &path, &config(name, x));
    assert!(answer.code < 300, "{answer:?}");
}

fn delete(admin: &Admin, name: &str) {
    let answer = admin.must("DELETE", &format!("{CONFIGS}/{name}"), "");
    assert_eq!(answer.code, 200, "{answer:?}");
}

/// The store forgets what was before this revision.
fn compact(site: &Site, directory: &Path, revision: &str) {
    let client = Client {
        cluster: &site.store,
        endpoints: site.store.endpoints().join(","),
        directory,
        flags: Vec::new(),
    };
    let mut command = transcript::etcdctl_command(&client).unwrap();
    let text = transcript::finish(command.args(["compaction", revision]), "").unwrap();
    assert!(text.contains("compacted revision"), "{text}");
}
