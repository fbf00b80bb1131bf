//! The frame around a service, from outside: a real child process, a real notify socket, real HTTP.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const BOUND: Duration = Duration::from_secs(30);

fn start(directory: &Path) -> (Child, UnixDatagram) {
    let notify = UnixDatagram::bind(directory.join("notify")).unwrap();
    notify.set_read_timeout(Some(BOUND)).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_service-example"))
        .env("NOTIFY_SOCKET", directory.join("notify"))
        .env("WATCHDOG_USEC", "300000")
        .env("RUNTIME_DIRECTORY", directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    (child, notify)
}

fn wait_for(notify: &UnixDatagram, wanted: &str) {
    let deadline = Instant::now() + BOUND;
    let mut buffer = [0_u8; 4096];
    while Instant::now() < deadline {
        let length = notify
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("wait for {wanted}: {error}"));
        if buffer[..length] == *wanted.as_bytes() {
            return;
        }
    }
    panic!("{wanted} did not come within {BOUND:?}");
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn http(directory: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(directory.join("metrics.sock")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ready_pulse_reload_metrics_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, notify) = start(directory.path());
    wait_for(&notify, "READY=1");
    wait_for(&notify, "WATCHDOG=1");
    signal(&child, "HUP");
    wait_for(&notify, "STATUS=reloaded 1 times");
    let metrics = http(directory.path(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        metrics.contains("orlop_build_info{service=\"example\""),
        "{metrics}"
    );
    assert!(metrics.contains("example_reloads_total 1"), "{metrics}");
    assert!(
        http(directory.path(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404")
    );
    assert!(
        http(
            directory.path(),
            "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        .starts_with("HTTP/1.1 405")
    );
    signal(&child, "TERM");
    wait_for(&notify, "STOPPING=1");
    assert!(child.wait().unwrap().success());
    let mut logs = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut logs)
        .unwrap();
    assert!(
        logs.lines()
            .all(|line| line.starts_with('{') && line.contains("\"level\":\"INFO\"")),
        "{logs}"
    );
}

#[test]
fn a_missing_config_is_one_clear_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_service-example"))
        .args(["--config", "/nonexistent/config"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let logs = String::from_utf8(output.stdout).unwrap();
    assert!(
        logs.contains("read service config /nonexistent/config"),
        "{logs}"
    );
}
