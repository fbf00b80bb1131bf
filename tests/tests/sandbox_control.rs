//! `init`'s control socket on sandboxed nodes: events, logs that are waited for, new plans, and requests
//! that come before the last one's answer.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use init_proto::control::{ApplyEffect, LOG_CHUNK_MAX, LOG_WAIT, Request, Response, ServiceState};
use init_proto::{frame, paths};
use orlop_tests::control::{Control, inside};
use orlop_tests::sandbox::{Lab, Node};
use orlop_tests::toys::{self, SOON, toy};
use orlop_tests::wait::{PATIENCE, eventually};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn running(node: &Node<'_>, name: &str) -> i32 {
    let up = |status: &init_proto::control::ServiceStatus| status.state == ServiceState::Running;
    let status = toys::until(node, name, "runs", up).unwrap();
    status.pid.unwrap()
}

fn apply(node: &Node<'_>, plan: Vec<u8>) {
    let request = Request::ConfigApply {
        config: plan,
        effect: ApplyEffect::NoReboot,
        only_in_maintenance: false,
    };
    let answer = node.control().unwrap().ask(&request).unwrap();
    assert!(matches!(answer, Response::Stored { .. }), "{answer:?}");
}

/// The service's cgroup as the node sees it.
fn cgroup(node: &Node<'_>, name: &str) -> PathBuf {
    inside(
        &node.root().unwrap(),
        &format!("/sys/fs/cgroup/orlop/{name}"),
    )
}

#[test]
fn the_cgroup_of_a_service_that_leaves_the_plan_goes_when_its_processes_have() {
    let lab = Lab::new().unwrap();
    let both = || vec![toy("steady", &["steady"]), toy("stubborn", &["stubborn"])];
    let node = toys::start(&lab, both()).unwrap();
    for name in ["steady", "stubborn"] {
        running(&node, name);
        assert!(cgroup(&node, name).exists(), "{name}");
    }
    apply(&node, toys::plan(vec![toy("steady", &["steady"])]).unwrap());
    // It takes its two seconds to be killed: its cgroup is in use until then.
    assert!(cgroup(&node, "stubborn").exists());
    eventually("the cgroup is removed", Duration::from_secs(2), || {
        Ok((!cgroup(&node, "stubborn").exists()).then_some(()))
    })
    .unwrap();
    assert!(cgroup(&node, "steady").exists());

    // Back and forth: what comes back has its cgroup, whatever is still to be removed.
    for _ in 0..3 {
        apply(&node, toys::plan(both()).unwrap());
        let pid = running(&node, "stubborn");
        let procs = fs::read_to_string(cgroup(&node, "stubborn").join("cgroup.procs")).unwrap();
        // The test sees the host's numbers.
        let host = node.host_pid(pid).unwrap().to_string();
        assert!(procs.lines().any(|line| line == host), "{procs:?}");
        node.kill(pid).unwrap();
        apply(&node, toys::plan(vec![toy("steady", &["steady"])]).unwrap());
    }
}

#[test]
fn a_long_backlog_of_events_comes_whole_and_its_end_is_known() {
    const RESTARTS: u64 = 60;
    let lab = Lab::new().unwrap();
    let node = toys::start(&lab, vec![toy("steady", &["steady"])]).unwrap();
    running(&node, "steady");
    let mut control = node.control().unwrap();
    for _ in 0..RESTARTS {
        let name = "steady".into();
        control.order(&Request::ServiceRestart { name }).unwrap();
    }
    running(&node, "steady");
    let last = control.status().unwrap().last_event;
    assert!(last > 2 * RESTARTS, "{last}");
    let mut events = node.control().unwrap().events(0).unwrap();
    for sequence in 1..=last {
        assert_eq!(events.receive().unwrap().sequence, sequence);
    }
}

#[test]
fn who_waits_for_a_log_is_answered_with_its_next_line_or_in_the_end() {
    let lab = Lab::new().unwrap();
    let services = || vec![toy("steady", &["steady"])];
    let node = toys::start(&lab, services()).unwrap();
    running(&node, "steady");
    let read = |control: &mut Control, cursor, wait| {
        let request = Request::Logs {
            name: "init".into(),
            cursor,
            bytes_max: u32::try_from(LOG_CHUNK_MAX).unwrap(),
            wait,
        };
        match control.ask(&request).unwrap() {
            Response::Logs { lines, next, .. } => (lines, next),
            other => panic!("{other:?}"),
        }
    };
    let mut reader = node.control().unwrap();
    let end = |reader: &mut Control| {
        let mut cursor = 0;
        loop {
            let (lines, next) = read(reader, cursor, false);
            if lines.is_empty() {
                return cursor;
            }
            cursor = next;
        }
    };
    // Nobody says anything: the answer comes at the bound, not before and not much later.
    let cursor = end(&mut reader);
    let start = Instant::now();
    let (lines, next) = read(&mut reader, cursor, true);
    assert!(start.elapsed() >= LOG_WAIT, "{lines:?}");
    assert!(start.elapsed() < LOG_WAIT + SOON * PATIENCE);
    assert_eq!((lines.len(), next), (0, cursor));

    let plan = toys::plan(services()).unwrap();
    let (line, delay) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let (lines, _) = read(&mut reader, cursor, true);
            (lines, Instant::now())
        });
        apply(&node, plan);
        let applied = Instant::now();
        let (lines, seen) = waiting.join().unwrap();
        (
            lines[0].text.clone(),
            seen.saturating_duration_since(applied),
        )
    });
    println!("the line was read {delay:?} after what it tells of");
    assert!(!line.is_empty());
    assert!(delay < SOON, "{delay:?}");
}

#[test]
fn requests_that_come_before_the_last_answer_are_served_in_their_order() {
    let lab = Lab::new().unwrap();
    let node = toys::start(&lab, vec![toy("steady", &["steady"])]).unwrap();
    running(&node, "steady");
    let socket = inside(&node.root().unwrap(), paths::CONTROL_SOCKET);
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON * PATIENCE)).unwrap();
    let name = || "steady".to_owned();
    let mut bytes = Vec::new();
    for request in [
        // Both are answered late.
        Request::ServiceStop { name: name() },
        Request::ServiceStart { name: name() },
        Request::Status,
    ] {
        bytes.extend(frame::encode(&request).unwrap());
    }
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    let mut next = || frame::read::<Response>(&mut stream).unwrap();
    assert_eq!(next(), Response::Done);
    assert_eq!(next(), Response::Done);
    assert!(matches!(next(), Response::Status(_)));
}
