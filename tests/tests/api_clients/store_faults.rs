//! What clients see while the store is away, slow, or has gone back: 503 or 410 as fits, and never what is not there.

use super::raw::{Admin, Answer, Raw, request};
use super::{Kind, Site};
use orlop_tests::programs;
use orlop_tests::store::cluster::Member;
use orlop_tests::store::transcript::finish;
use orlop_tests::wait::eventually;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Usual time until all is well again: the server tries to follow the store at least every two seconds.
const RECOVERS: Duration = Duration::from_secs(3);
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

fn config(name: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#)
}

fn create(admin: &Admin, name: &str) -> Option<Answer> {
    admin.ask("POST", CONFIGS, &config(name))
}

fn created(admin: &Admin, name: &str) {
    let answer = create(admin, name);
    assert_eq!(
        answer.as_ref().map(|answer| answer.code),
        Some(201),
        "{answer:?}"
    );
}

/// Names of a list; the query decides from where.
fn names(answer: &Answer) -> BTreeSet<String> {
    assert_eq!(answer.code, 200, "{answer:?}");
    let list = answer.json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn list(admin: &Admin) -> BTreeSet<String> {
    names(&admin.must("GET", CONFIGS, ""))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn version(admin: &Admin) -> u64 {
    let list = admin.must("GET", CONFIGS, "").json();
    list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn watch(admin: &Admin, query: &str) -> Raw {
    let mut watch = admin.connect();
    watch.send(&request("GET", &format!("{CONFIGS}?watch=1&{query}"), ""));
    assert_eq!(watch.head().map(|(code, _)| code), Some(200));
    watch
}

fn named(event: Option<&serde_json::Value>) -> Option<(String, String)> {
    let event = event?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Some((
        text(&event["type"]),
        text(&event["object"]["metadata"]["name"]),
    ))
}

fn event(kind: &str, name: &str) -> Option<(String, String)> {
    Some((kind.to_owned(), name.to_owned()))
}

/// Writes are taken again.
fn recovered(admin: &Admin, name: &str) {
    eventually("a write that is taken", RECOVERS, || {
        let answer = create(admin, name);
        Ok(answer
            .filter(|answer| answer.code == 201 || answer.code == 409)
            .map(drop))
    })
    .unwrap();
}

#[test]
fn a_store_that_is_away_is_told_and_comes_back() {
    for kind in [Kind::Orlop, Kind::Etcd] {
        let mut site = Site::new(kind);
        let admin = Admin::of(&site.server);
        created(&admin, "before");
        let mut watching = watch(&admin, &format!("resourceVersion={}", version(&admin)));
        site.store.members[0].kill().unwrap();
        for (method, path, body) in [
            ("GET", format!("{CONFIGS}/before"), String::new()),
            ("GET", CONFIGS.to_owned(), String::new()),
            ("POST", CONFIGS.to_owned(), config("away")),
            ("PUT", format!("{CONFIGS}/before"), config("before")),
            ("PATCH", format!("{CONFIGS}/before"), "{}".to_owned()),
            ("DELETE", format!("{CONFIGS}/before"), String::new()),
        ] {
            let bytes = match method {
                "PATCH" => super::raw::with_type(
                    method,
                    &path,
                    "application/merge-patch+json",
                    body.as_bytes(),
                ),
                _ => request(method, &path, &body),
            };
            let mut connection = admin.connect();
            connection.send(&bytes);
            let answer = connection.answer().unwrap();
            assert_eq!(
                (answer.code, answer.reason().as_str()),
                (503, "ServiceUnavailable"),
                "{method} {path}: {answer:?}"
            );
        }
        // Who is content with what the server has seen is served.
        let cached = admin.must("GET", &format!("{CONFIGS}?resourceVersion=0"), "");
        assert_eq!(names(&cached), set(&["before"]));
        assert_eq!(admin.must("GET", "/livez", "").code, 200);
        let ready = admin.must("GET", "/readyz", "");
        assert_eq!(ready.code, 500, "{ready:?}");
        assert!(ready.body.contains("[-]etcd"), "{ready:?}");
        site.store.members[0].start().unwrap();
        recovered(&admin, "after");
        assert_eq!(list(&admin), set(&["after", "before"]));
        // The watch has seen nothing of it but what happened.
        assert_eq!(named(watching.line().as_ref()), event("ADDED", "after"));
        site.server.wait_ready().unwrap();
    }
}

#[test]
fn a_store_that_stands_still_is_waited_for_but_not_for_ever() {
    let site = Site::new(Kind::Orlop);
    let admin = Admin::of(&site.server);
    created(&admin, "before");
    site.store.members[0].pause().unwrap();
    let asking: Vec<_> = [("GET", ""), ("POST", "still"), ("GET", "/before")]
        .map(|(method, what)| {
            let admin = admin.clone();
            std::thread::spawn(move || match method {
                "GET" => admin.must(method, &format!("{CONFIGS}{what}"), ""),
                _ => admin.must(method, CONFIGS, &config(what)),
            })
        })
        .into();
    for asked in asking {
        let answer = asked.join().unwrap();
        assert_eq!(
            (answer.code, answer.reason().as_str()),
            (503, "ServiceUnavailable"),
            "{answer:?}"
        );
    }
    let cached = admin.must("GET", &format!("{CONFIGS}?resourceVersion=0"), "");
    assert_eq!(names(&cached), set(&["before"]));
    site.store.members[0].resume().unwrap();
    recovered(&admin, "after");
    // Whether the write was done that was given up is not known; what is there is shown alike by all ways to ask.
    let found = list(&admin);
    assert!(found.is_superset(&set(&["after", "before"])), "{found:?}");
    for name in &found {
        assert_eq!(
            admin.must("GET", &format!("{CONFIGS}/{name}"), "").code,
            200
        );
    }
    assert_eq!(
        names(&admin.must(
            "GET",
            &format!(
                "{CONFIGS}?limit=500&resourceVersion={}&resourceVersionMatch=Exact",
                version(&admin)
            ),
            ""
        )),
        found
    );
}

/// It runs and stands still in turns: what was acknowledged is there, once, and the watch has seen all of it in order.
#[test]
fn a_slow_store_loses_nothing() {
    const WRITERS: usize = 4;
    const TURNS: usize = 12;
    let site = Site::new(Kind::Orlop);
    let admin = Admin::of(&site.server);
    let mut watching = watch(&admin, &format!("resourceVersion={}", version(&admin)));
    let stop = AtomicBool::new(false);
    let acknowledged: BTreeSet<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (admin, stop) = (&admin, &stop);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let name = format!("w{writer}-{number}");
                        let answer = create(admin, &name).unwrap();
                        match answer.code {
                            201 => done.push(name),
                            503 => {}
                            _ => panic!("{answer:?}"),
                        }
                    }
                    done
                })
            })
            .collect();
        for _ in 0..TURNS {
            site.store.members[0].pause().unwrap();
            std::thread::sleep(Duration::from_millis(150));
            site.store.members[0].resume().unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let found = list(&admin);
    println!("{} acknowledged, {} found", acknowledged.len(), found.len());
    assert!(acknowledged.len() > TURNS, "only {}", acknowledged.len());
    assert!(found.is_superset(&acknowledged));
    let mut last = 0;
    let mut seen = BTreeSet::new();
    while seen.len() < found.len() {
        let event = watching.line().unwrap();
        assert_eq!(event["type"], "ADDED");
        let metadata = &event["object"]["metadata"];
        let version: u64 = metadata["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(version > last, "{version} after {last}");
        last = version;
        seen.insert(metadata["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, found);
}

/// An older copy of the store's data takes its place: what came after it was never there.
#[test]
fn a_store_that_has_gone_back_shows_no_phantoms() {
    for kind in [Kind::Orlop, Kind::Etcd] {
        println!("over {}: an older copy of its data", kind.name());
        goes_back(
            kind,
            |member, aside| {
                member.stop().unwrap();
                copy(&member.data(), aside);
                member.start().unwrap();
            },
            |member, aside| {
                std::fs::remove_dir_all(member.data()).unwrap();
                copy(aside, &member.data());
            },
        );
        println!("over {}: a snapshot", kind.name());
        goes_back(
            kind,
            |member, aside| {
                etcdctl(&[
                    "--endpoints",
                    member.client_url(),
                    "snapshot",
                    "save",
                    path(aside),
                ]);
            },
            |member, aside| {
                std::fs::remove_dir_all(member.data()).unwrap();
                restore(kind, member, aside);
            },
        );
    }
}

fn goes_back(kind: Kind, save: impl Fn(&mut Member, &Path), restore: impl Fn(&mut Member, &Path)) {
    let mut site = Site::new(kind);
    let scratch = tempfile::tempdir().unwrap();
    let aside = scratch.path().join("aside");
    let admin = Admin::of(&site.server);
    created(&admin, "kept");
    save(&mut site.store.members[0], &aside);
    recovered(&admin, "between");
    for number in 0..20 {
        created(&admin, &format!("phantom-{number}"));
    }
    let deleted = admin.must("DELETE", &format!("{CONFIGS}/kept"), "");
    assert_eq!(deleted.code, 200);
    let before = version(&admin);
    let mut watching = watch(&admin, &format!("resourceVersion={before}"));
    let gone_back = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody who asks all the time, in all ways that may be answered with what is newest.
        let (asked, over) = (&admin, &gone_back);
        let asking = scope.spawn(move || {
            let mut refused = 0;
            loop {
                let last = over.load(Ordering::Relaxed);
                for query in ["", "?limit=500", "?labelSelector=!none"] {
                    // From here on, the store that answers is the older one.
                    let answer = asked.must("GET", &format!("{CONFIGS}{query}"), "");
                    match answer.code {
                        503 => refused += 1,
                        _ if last || !names(&answer).contains("phantom-3") => {
                            assert_eq!(names(&answer), set(&["kept"]), "{query}");
                        }
                        // It was answered before.
                        _ => assert!(!last),
                    }
                }
                if last {
                    return refused;
                }
            }
        });
        site.store.members[0].stop().unwrap();
        restore(&mut site.store.members[0], &aside);
        site.store.members[0].start().unwrap();
        // Until the store answers, all is refused; its first answer is already the older one.
        eventually("the store", RECOVERS, || {
            let answer = admin.must("GET", &format!("{CONFIGS}/kept"), "");
            Ok((answer.code == 200).then_some(()))
        })
        .unwrap();
        gone_back.store(true, Ordering::Relaxed);
        println!("{} lists were refused meanwhile", asking.join().unwrap());
    });
    let phantom = admin.must("GET", &format!("{CONFIGS}/phantom-3"), "");
    assert_eq!(phantom.code, 404, "{phantom:?}");
    eventually("a list", RECOVERS, || {
        let answer = admin.must("GET", CONFIGS, "");
        Ok((answer.code == 200).then(|| assert_eq!(names(&answer), set(&["kept"]))))
    })
    .unwrap();
    let cached = admin.must("GET", &format!("{CONFIGS}?resourceVersion=0"), "");
    assert_eq!(names(&cached), set(&["kept"]));
    // Who watched is told nothing more, or that he must begin anew; and so is who comes with a version from before.
    match watching.line() {
        None => {}
        Some(event) => assert_eq!(
            (&event["type"], &event["object"]["code"]),
            (&"ERROR".into(), &410.into())
        ),
    }
    let mut late = watch(&admin, &format!("resourceVersion={before}"));
    let told = late.line().unwrap();
    assert_eq!(
        (
            &told["type"],
            &told["object"]["code"],
            &told["object"]["reason"]
        ),
        (&"ERROR".into(), &410.into(), &"Expired".into()),
        "{told}"
    );
    let old = admin.must(
        "GET",
        &format!("{CONFIGS}?resourceVersion={before}&resourceVersionMatch=Exact"),
        "",
    );
    assert!(old.code == 410 || old.code == 504, "{old:?}");
    // And life goes on.
    let mut watching = watch(&admin, &format!("resourceVersion={}", version(&admin)));
    created(&admin, "new");
    assert_eq!(named(watching.line().as_ref()), event("ADDED", "new"));
    assert_eq!(list(&admin), set(&["kept", "new"]));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ok(command: &mut Command) {
    let text = finish(command, "").unwrap();
    assert!(text.ends_with("[0]"), "{command:?}: {text}");
}

fn copy(from: &Path, to: &Path) {
    ok(Command::new("cp").arg("--archive").arg(from).arg(to));
}

fn etcdctl(words: &[&str]) {
    ok(Command::new(xtask::peers::etcd().unwrap().join("etcdctl")).args(words));
}

/// Makes of a snapshot the data of this member, alone in a new cluster.
fn restore(kind: Kind, member: &Member, file: &Path) {
    let mut command = match kind {
        Kind::Etcd => Command::new(xtask::peers::etcd().unwrap().join("etcdutl")),
        Kind::Orlop => {
            let mut command = Command::new(programs::built("orlop").unwrap());
            command.arg("store");
            command
        }
    };
    let initial = format!("{}={}", member.name, member.peer_url());
    ok(command
        .args(["snapshot", "restore", path(file), "--name", &member.name])
        .args(["--data-dir", path(&member.data())])
        .args(["--initial-cluster", &initial])
        .args(["--initial-advertise-peer-urls", member.peer_url()]));
}
