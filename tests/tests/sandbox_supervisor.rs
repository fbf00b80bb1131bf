//! The supervisor on sandboxed nodes: services that crash, flood, hang on and hold children.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use init_proto::control::{EventKind, ExitState, Request, Response, ServiceState, ServiceStatus};
use init_proto::plan::Mode;
use orlop_tests::sandbox::{Lab, Node, NodeOptions, node::STOPS};
use orlop_tests::toys::{self, HELD, HELD_BYTES, HELD_CODE, SOON, toy};
use orlop_tests::wait::eventually;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

fn service(node: &Node<'_>, name: &str) -> ServiceStatus {
    node.control().unwrap().service(name).unwrap()
}

/// Waits until `wanted` holds for a service.
fn until(
    node: &Node<'_>,
    name: &str,
    what: &str,
    wanted: impl Fn(&ServiceStatus) -> bool,
) -> ServiceStatus {
    toys::until(node, name, what, wanted).unwrap()
}

fn until_state(node: &Node<'_>, name: &str, state: ServiceState) -> ServiceStatus {
    until(node, name, &format!("is {state:?}"), |status| {
        status.state == state
    })
}

fn order(node: &Node<'_>, request: &Request) {
    node.control().unwrap().order(request).unwrap();
}

#[test]
fn a_crashing_service_is_restarted_ever_more_slowly_and_alone() {
    const STARTS: usize = 6;
    let lab = Lab::new().unwrap();
    let node = toys::start(
        &lab,
        vec![toy("steady", &["steady"]), toy("crasher", &["crash", "7"])],
    )
    .unwrap();
    let mut events = node.control().unwrap().events(0).unwrap();
    let mut starts = Vec::new();
    while starts.len() < STARTS {
        let event = events.receive().unwrap();
        if let EventKind::Service {
            name,
            state: ServiceState::Starting,
            ..
        } = event.kind
            && name == "crasher"
        {
            starts.push(event.time_ms);
        }
    }
    // The wait before restart n is at least half of 50 ms * 2^n: the other half is drawn at random.
    for (number, pair) in starts.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        let least = (50 << number) / 2;
        assert!(
            gap + 5 >= least,
            "restart {number} came after {gap} ms, not {least}: {starts:?}"
        );
    }
    let crasher = service(&node, "crasher");
    assert!(crasher.restarts >= 4, "{crasher:?}");
    assert!(
        crasher
            .last_exit
            .as_deref()
            .is_some_and(|exit| exit.contains('7')),
        "{crasher:?}"
    );
    let steady = service(&node, "steady");
    assert_eq!((steady.state, steady.restarts), (ServiceState::Running, 0));
}

#[test]
fn services_stop_start_and_restart_on_request() {
    let lab = Lab::new().unwrap();
    let node = toys::start(
        &lab,
        vec![toy("steady", &["steady"]), toy("stubborn", &["stubborn"])],
    )
    .unwrap();
    let first = until_state(&node, "steady", ServiceState::Running)
        .pid
        .unwrap();
    order(
        &node,
        &Request::ServiceStop {
            name: "steady".into(),
        },
    );
    assert_eq!(service(&node, "steady").state, ServiceState::Stopped);
    order(
        &node,
        &Request::ServiceStart {
            name: "steady".into(),
        },
    );
    let second = until_state(&node, "steady", ServiceState::Running)
        .pid
        .unwrap();
    assert_ne!(first, second);
    order(
        &node,
        &Request::ServiceRestart {
            name: "steady".into(),
        },
    );
    let third = until_state(&node, "steady", ServiceState::Running)
        .pid
        .unwrap();
    assert_ne!(second, third);

    until_state(&node, "stubborn", ServiceState::Running);
    let start = Instant::now();
    order(
        &node,
        &Request::ServiceStop {
            name: "stubborn".into(),
        },
    );
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(2),
        "it was given its 2 s: {took:?}"
    );
    assert!(took < Duration::from_secs(6), "and not much more: {took:?}");
    let stubborn = service(&node, "stubborn");
    assert_eq!(stubborn.state, ServiceState::Stopped);
    assert!(
        stubborn
            .last_exit
            .as_deref()
            .is_some_and(|exit| exit.contains("signal 9")),
        "{stubborn:?}"
    );

    let refused = node
        .control()
        .unwrap()
        .ask(&Request::ServiceStart {
            name: "nobody".into(),
        })
        .unwrap();
    assert!(
        matches!(&refused, Response::Refused { message, .. } if message.contains("nobody")),
        "{refused:?}"
    );
}

#[test]
fn a_service_that_is_never_ready_or_goes_silent_is_restarted() {
    let mut never = toy("never", &["never-ready"]);
    never.start_timeout = Duration::from_millis(300);
    let mut silent = toy("silent", &["silent-death"]);
    silent.health = Some(init_proto::plan::HealthCheck {
        probe: init_proto::plan::HealthProbe::Watchdog,
        interval: Duration::from_millis(300),
        timeout: Duration::from_millis(300),
        failures: 1,
    });
    let lab = Lab::new().unwrap();
    let node = toys::start(&lab, vec![never, silent]).unwrap();
    for name in ["never", "silent"] {
        until(&node, name, "is restarted", |status| status.restarts >= 2);
    }
}

#[test]
fn a_flood_of_output_blocks_nobody_and_is_bounded() {
    let lab = Lab::new().unwrap();
    let node = toys::start(
        &lab,
        vec![toy("flood", &["flood"]), toy("steady", &["steady"])],
    )
    .unwrap();
    // 50 MB of lines, and the writer is not held up: it says itself how far it is.
    let written = |status: &ServiceStatus| status.message.parse().unwrap_or(0_u64);
    until(&node, "flood", "has written 50,000 lines", |status| {
        written(status) >= 50_000
    });
    let start = Instant::now();
    until_state(&node, "steady", ServiceState::Running);
    assert!(
        start.elapsed() < SOON,
        "init answers while the flood runs: {:?}",
        start.elapsed()
    );
    let (lines, lost) = node.control().unwrap().logs("flood").unwrap();
    let kept: usize = lines.iter().map(String::len).sum();
    assert!(
        kept <= init_proto::control::LOG_RING_BYTES,
        "{kept} bytes in the ring"
    );
    assert!(lost > 0, "what is gone is said");
    let on_disk: u64 = fs::read_dir(node.data().join("log/orlop"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("flood"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(
        (1..64 * 1024 * 1024).contains(&on_disk),
        "{on_disk} bytes on DATA"
    );
    order(
        &node,
        &Request::ServiceStop {
            name: "flood".into(),
        },
    );
}

#[test]
fn children_and_descriptors_outlive_the_service_that_has_them() {
    const KILLS: usize = 5;
    let lab = Lab::new().unwrap();
    let mut holder = toy("holder", &["holder"]);
    holder.backoff_initial = Duration::from_millis(10);
    let node = toys::start(&lab, vec![holder]).unwrap();
    let mut seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut last = 0;
    for _ in 0..KILLS {
        let pid = until(&node, "holder", "runs again", |status| {
            status.state == ServiceState::Running && status.pid.is_some_and(|pid| pid != last)
        })
        .pid
        .unwrap();
        // At a random moment of the children's work.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(seed >> 24)));
        node.kill(pid).unwrap();
        last = pid;
    }
    until(&node, "holder", "runs again", |status| {
        status.state == ServiceState::Running && status.pid != Some(last)
    });
    fs::write(node.data().join("report-wanted"), "").unwrap();
    let report = eventually("the holder's report", Duration::from_secs(3), || {
        Ok(fs::read_to_string(node.data().join("report")).ok())
    })
    .unwrap();
    let mut lines: Vec<&str> = report.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> = (0..HELD)
        .map(|number| {
            format!(
                "child-{number} code {} {HELD_BYTES} bytes intact",
                HELD_CODE + i32::try_from(number).unwrap()
            )
        })
        .collect();
    expected.push("left 0".into());
    assert_eq!(lines, expected);
    let holder = service(&node, "holder");
    assert!(
        usize::try_from(holder.restarts).unwrap() >= KILLS,
        "{holder:?}"
    );
}

#[test]
fn orphans_are_reaped_and_their_exits_kept() {
    const ORPHANS: usize = 300;
    let lab = Lab::new().unwrap();
    let node = toys::start(
        &lab,
        vec![toy("orphans", &["orphans", &ORPHANS.to_string()])],
    )
    .unwrap();
    until_state(&node, "orphans", ServiceState::Running);
    let noted = fs::read_to_string(node.data().join("orphans")).unwrap();
    let mut seen = BTreeSet::new();
    for line in noted.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::ExitOf {
            pid: words[0].parse().unwrap(),
            start_time: words[1].parse().unwrap(),
        };
        let expected: i32 = words[2].parse().unwrap();
        let code = eventually("an orphan's exit", SOON, || {
            match node.control()?.ask(&request)? {
                Response::Exit(ExitState::Exited { code, .. }) => Ok(Some(code)),
                Response::Exit(ExitState::Running) => Ok(None),
                other => anyhow::bail!("{other:?}"),
            }
        })
        .unwrap();
        assert_eq!(code, expected, "{line}");
        seen.insert(words[0].to_owned());
    }
    assert_eq!(noted.lines().count(), ORPHANS);
    assert!(!seen.is_empty());
    let zombies: Vec<String> = fs::read_dir(node.root().unwrap().join("proc"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
        })
        .collect();
    assert!(zombies.is_empty(), "{zombies:?}");
}

#[test]
fn a_process_that_a_real_time_signal_kills_is_reaped_as_any_other() {
    let lab = Lab::new().unwrap();
    let node = toys::start(
        &lab,
        vec![toy("steady", &["steady"]), toy("other", &["steady"])],
    )
    .unwrap();
    // SIGRTMIN+3 ends a program that does not know it. It has no name, and whoever reads exits by the
    // signals' names sees neither this one nor any that comes after it.
    for name in ["steady", "other"] {
        let pid = until_state(&node, name, ServiceState::Running).pid.unwrap();
        node.signal_process(pid, 37).unwrap();
        let again = until(&node, name, "runs again", |status| {
            status.state == ServiceState::Running && status.pid != Some(pid)
        });
        assert_eq!(again.last_exit.as_deref(), Some("signal 37"), "{again:?}");
    }
}

#[test]
fn shutdown_is_ordered_and_ends_within_its_deadline() {
    let lab = Lab::new().unwrap();
    let mut above = toy("above", &["steady"]);
    above.requires = vec!["below".into()];
    let node = toys::start(
        &lab,
        vec![
            toy("stubborn", &["stubborn"]),
            above,
            toy("below", &["steady"]),
        ],
    )
    .unwrap();
    for name in ["stubborn", "above", "below"] {
        until_state(&node, name, ServiceState::Running);
    }
    let start = Instant::now();
    order(&node, &Request::PowerOff);
    assert_eq!(node.wait_exit(1, STOPS).unwrap(), "code 0");
    assert!(
        start.elapsed() < Duration::from_secs(2) + STOPS * 2,
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        fs::read_to_string(node.data().join("stops")).unwrap(),
        "above\nbelow\n"
    );
}

#[test]
fn a_reboot_starts_the_same_node_again() {
    let lab = Lab::new().unwrap();
    let node = toys::start(&lab, vec![toy("steady", &["steady"])]).unwrap();
    until_state(&node, "steady", ServiceState::Running);
    let before = node.control().unwrap().status().unwrap();
    assert!(before.sandboxed);
    assert_eq!(before.machine_id.len(), 32, "{before:?}");
    order(&node, &Request::Reboot);
    assert_eq!(node.wait_exit(1, STOPS).unwrap(), "code 133");
    node.wait_boot(2, STOPS).unwrap();
    until_state(&node, "steady", ServiceState::Running);
    let after = node.control().unwrap().status().unwrap();
    assert_eq!(before.machine_id, after.machine_id);
    assert_ne!(before.boot_id, after.boot_id);
}

#[test]
fn each_phase_fails_in_turn_and_the_node_says_which() {
    for phase in ["mount", "plan", "volumes", "services"] {
        let lab = Lab::new().unwrap();
        let options = NodeOptions {
            arguments: vec!["--fail-phase".into(), phase.into()],
            ..NodeOptions::default()
        };
        let node = Node::start(&lab, options).unwrap();
        let status = eventually("maintenance mode", Duration::from_secs(3), || {
            let status = node.control()?.status()?;
            let settled = status.phases.iter().all(|phase| {
                !matches!(
                    phase.state,
                    init_proto::control::PhaseState::Pending
                        | init_proto::control::PhaseState::Running
                )
            });
            Ok(settled.then_some(status))
        })
        .unwrap();
        let Mode::Maintenance { reason } = &status.mode else {
            panic!("{phase}: {:?}", status.mode)
        };
        assert!(
            reason.contains(phase) && reason.contains("injected failure"),
            "{phase}: {reason}"
        );
        let failed: Vec<&str> = status
            .phases
            .iter()
            .filter(|status| matches!(status.state, init_proto::control::PhaseState::Failed { .. }))
            .map(|status| status.name.as_str())
            .collect();
        assert_eq!(failed, [phase]);
        node.console()
            .unwrap()
            .wait(&format!("boot phase {phase} failed"), SOON)
            .unwrap();
        // The way to repair it is there.
        until_state(&node, "machine-api", ServiceState::Running);
    }
}
