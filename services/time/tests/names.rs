//! Time servers by name, in a network namespace with a real DNS server of the tools tree.

#![allow(clippy::unwrap_used)] // a failed helper fails its test

use nix::sched::{CloneFlags, unshare};
use orlop_time::executor::names;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(30);

/// A program of the tools tree.
fn program(name: &str) -> Command {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("ORLOP_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("orlop")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/orlop")))
        .expect("set ORLOP_CACHE or HOME");
    let path = cache.join("bin").join(name);
    let missing = "is missing: run `cargo xtask image` once, which makes the tools tree";
    assert!(path.exists(), "{} {missing}", path.display());
    Command::new(path)
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a test in a network namespace of its own, which has no name and ends with it.
fn in_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("needs root: the test makes a network namespace");
        let up = program("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn dns() -> Server {
    let child = program("dnsmasq")
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
        ])
        .args([
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
            "--log-facility=/dev/null",
        ])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces"])
        .args(["--host-record=ntp.example,192.0.2.1,fd00::1"])
        .args((2..20).map(|host| format!("--host-record=many.example,192.0.2.{host}")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Server(child.unwrap())
}

#[test]
fn names_become_addresses_and_wrong_ones_none() {
    in_namespace(async || {
        let directory = tempfile::tempdir().unwrap();
        let resolv_conf = directory.path().join("resolv.conf");
        let hosts: Vec<String> = [
            "ntp.example",
            "203.0.113.9",
            "nobody.example",
            "many.example",
        ]
        .map(str::to_owned)
        .into();
        let literal = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 123));
        // No nameservers yet: addresses need none.
        assert_eq!(names::resolve(&hosts, &resolv_conf, 123).await, [literal]);

        std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
        let _server = dns();
        let end = Instant::now() + SOON;
        let found = loop {
            let found = names::resolve(&hosts, &resolv_conf, 123).await;
            if found.len() > 1 {
                break found;
            }
            assert!(Instant::now() < end, "no answer: {found:?}");
        };
        let has = |text: &str| found.contains(&text.parse().unwrap());
        assert!(
            has("192.0.2.1:123") && found.contains(&literal),
            "{found:?}"
        );
        let many = found.iter().filter(|address| address.ip() != literal.ip());
        assert!(many.count() <= 2 * names::ADDRESSES_MAX, "{found:?}");
    });
}
