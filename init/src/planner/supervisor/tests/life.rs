//! One service: start, readiness, health, end, back-off, requests, new specs.

use super::*;

#[test]
fn crash_wait_and_restart() {
    let mut story = Story::new();
    story.check(plan(&[service("a")]), "config a, spawn a#1, a Starting");
    story.check(started("a", 1), "a Running!");
    story.check(crashed("a", 1), "kill a#1, a BackOff");
    story.check_state("a", ServiceState::BackOff, "signal 11 (segmentation fault)");
    story.check_wait(400, "");
    story.check_wait(600, "config a, spawn a#2, a Starting");
    story.check(crashed("a", 1), "");
    story.check(started("a", 2), "a Running!");
    assert_eq!(story.supervisor.status(story.now)[0].restarts, 1);
}

#[test]
fn waits_double_up_to_the_cap_and_start_over_after_a_long_run() {
    let mut story = Story::running(&[service("a")]);
    let mut attempt = 1;
    for full in [1, 2, 4, 8, 16, 32, 60, 60] {
        story.act(crashed("a", attempt));
        let wait = story.backoff_of("a");
        let full = Duration::from_secs(full);
        assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        attempt += 1;
        story.now += wait;
        story.act(Event::Tick);
        story.act(started("a", attempt));
    }
    story.now += Duration::from_secs(59);
    story.act(crashed("a", attempt));
    assert!(
        story.backoff_of("a") >= Duration::from_secs(30),
        "not quiet for long enough"
    );
    story.now += Duration::from_secs(60);
    story.act(Event::Tick);
    story.act(started("a", attempt + 1));
    story.now += Duration::from_secs(60);
    story.act(crashed("a", attempt + 1));
    assert!(story.backoff_of("a") <= Duration::from_secs(1));
}

#[test]
fn the_policy_says_when_an_ended_service_starts_again() {
    let cases = [
        (Restart::Always, ExitStatus::Code(0), ServiceState::BackOff),
        (
            Restart::OnFailure,
            ExitStatus::Code(0),
            ServiceState::Failed,
        ),
        (
            Restart::OnFailure,
            ExitStatus::Code(3),
            ServiceState::BackOff,
        ),
        (
            Restart::OnFailure,
            ExitStatus::Signal(9),
            ServiceState::BackOff,
        ),
        (Restart::Never, ExitStatus::Code(3), ServiceState::Failed),
    ];
    for (restart, status, state) in cases {
        let spec = ServiceSpec {
            restart,
            ..service("a")
        };
        let mut story = Story::running(&[spec]);
        story.act(exited("a", 1, status));
        story.check_state("a", state, "");
    }
}

#[test]
fn a_failed_start_is_a_failure() {
    let mut story = Story::new();
    story.act(plan(&[service("a")]));
    let failed = Event::StartFailed {
        name: "a".into(),
        attempt: Attempt(1),
        reason: "exec /usr/bin/orlop: no such file".into(),
    };
    story.check(failed, "a BackOff");
    story.check_state(
        "a",
        ServiceState::BackOff,
        "not started: exec /usr/bin/orlop",
    );
}

#[test]
fn readiness_by_notice_and_its_timeout() {
    let spec = ServiceSpec {
        readiness: Readiness::Notify,
        ..service("a")
    };
    let mut story = Story::new();
    story.act(plan(&[spec]));
    story.check(started("a", 1), "");
    story.check(said("a", 1, Notice::Status("loading".into())), "");
    story.check_state("a", ServiceState::Starting, "loading");
    story.check_wait(9_999, "");
    story.check_wait(1, "kill a#1, a Stopping");
    story.check(said("a", 1, Notice::Ready), "");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "kill a#1, a BackOff");
    story.check_state("a", ServiceState::BackOff, "not ready within 10 s");
    story.check_wait(1000, "config a, spawn a#2, a Starting");
    story.check(said("a", 1, Notice::Ready), "");
    story.check(said("a", 2, Notice::Ready), "a Running!");
}

#[test]
fn readiness_by_probe_survives_a_lost_answer() {
    let spec = ServiceSpec {
        readiness: Readiness::TcpPort(80),
        ..service("a")
    };
    let mut story = Story::new();
    story.act(plan(&[spec]));
    story.check_wait(1000, "");
    story.check(started("a", 1), "");
    story.check_wait(0, "probe a#1 at 80");
    story.check(answer("a", Purpose::Readiness, 1, false), "");
    story.check_wait(99, "");
    story.check_wait(1, "probe a#1 at 80");
    story.check_wait(1999, "");
    story.check_wait(1, "probe a#1 at 80");
    story.check(answer("a", Purpose::Readiness, 2, true), "");
    story.check(answer("a", Purpose::Readiness, 3, true), "a Running!");
}

#[test]
fn a_silent_watchdog_ends_in_a_kill() {
    let spec = ServiceSpec {
        health: daemon("a").health,
        ..service("a")
    };
    let mut story = Story::running(&[spec]);
    story.check_wait(29_000, "");
    story.check(said("a", 1, Notice::Watchdog), "");
    story.check_wait(29_999, "");
    story.check_wait(1, "kill a#1, a Stopping");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "kill a#1, a BackOff");
    story.check_state("a", ServiceState::BackOff, "no watchdog sign for 30 s");
}

#[test]
fn failed_probes_in_a_row_end_in_a_stop() {
    let spec = ServiceSpec {
        health: Some(HealthCheck {
            probe: HealthProbe::UnixSocket("/run/a".into()),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            failures: 2,
        }),
        ..service("a")
    };
    let mut story = Story::running(&[spec]);
    story.check_wait(2000, "probe a#1 at /run/a");
    story.check(answer("a", Purpose::Health, 1, false), "");
    story.check_wait(2000, "probe a#1 at /run/a");
    story.check(answer("a", Purpose::Health, 2, true), "");
    story.check_wait(2000, "probe a#1 at /run/a");
    story.check(answer("a", Purpose::Health, 3, false), "");
    story.check_wait(2000, "probe a#1 at /run/a");
    // This answer never comes: timeout and slack count as the second failure.
    story.check_wait(2000, "signal 15 a#1, a Stopping");
    story.check_wait(5000, "kill a#1");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "kill a#1, a BackOff");
    story.check_state(
        "a",
        ServiceState::BackOff,
        "2 health checks in a row failed",
    );
}

#[test]
fn a_kill_is_repeated_until_the_process_is_reaped() {
    let mut story = Story::running(&[service("a")]);
    story.check(stop("a"), "signal 15 a#1, a Stopping");
    story.check_wait(4999, "");
    story.check_wait(1, "kill a#1");
    story.check_wait(4999, "");
    story.check_wait(1, "kill a#1");
    story.check_wait(5000, "kill a#1");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "kill a#1, a Stopped");
    assert_eq!(story.supervisor.next_deadline(), None);
}

#[test]
fn a_stop_request_holds_until_a_start_request() {
    let mut story = Story::running(&[service("a")]);
    story.check(stop("a"), "signal 15 a#1, a Stopping");
    story.check(clean("a", 1), "kill a#1, a Stopped");
    let mut changed = service("a");
    changed.command.push("--more".into());
    story.check(plan(std::slice::from_ref(&changed)), "");
    story.check_wait(600_000, "");
    story.check(start("a"), "config a, spawn a#2, a Starting");
    assert_eq!(story.supervisor.spec("a"), Some(&changed));
    story.check(
        start("b"),
        "refused b: no service \"b\" in this node's plan",
    );
}

#[test]
fn a_start_request_while_it_stops_starts_it_at_its_end() {
    let mut story = Story::running(&[service("a")]);
    story.act(stop("a"));
    story.check(start("a"), "");
    story.check(clean("a", 1), "kill a#1, config a, spawn a#2, a Starting");
}

#[test]
fn a_restart_request_knows_no_wait() {
    let mut story = Story::running(&[service("a")]);
    story.check(restart("a"), "signal 15 a#1, a Stopping");
    story.check(clean("a", 1), "kill a#1, config a, spawn a#2, a Starting");
    story.check(crashed("a", 2), "kill a#2, a BackOff");
    story.check(restart("a"), "config a, spawn a#3, a Starting");
}

#[test]
fn a_service_may_stop_itself_but_not_for_ever() {
    let mut story = Story::running(&[service("a")]);
    story.check(said("a", 1, Notice::Stopping), "a Stopping");
    story.check_wait(5000, "kill a#1");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "kill a#1, a BackOff");
}

#[test]
fn a_one_shot_ends_well_once() {
    let spec = one_shot(service("a"));
    let mut story = Story::running(std::slice::from_ref(&spec));
    story.check(exited("a", 1, ExitStatus::Code(1)), "kill a#1, a BackOff");
    story.check_wait(1000, "config a, spawn a#2, a Starting");
    story.check(started("a", 2), "");
    story.check(clean("a", 2), "kill a#2, a Finished!");
    story.check_wait(600_000, "");
    let changed = ServiceSpec {
        config: vec![1],
        ..spec
    };
    story.check(plan(&[changed]), "config a, spawn a#3, a Starting");
    story.check_wait(10_000, "kill a#3, a Stopping");
    story.check_state("a", ServiceState::Stopping, "not finished within 10 s");
}

#[test]
fn a_changed_config_is_hung_up_once_the_service_is_up() {
    let spec = ServiceSpec {
        readiness: Readiness::Notify,
        ..service("a")
    };
    let with = |config: u8| ServiceSpec {
        config: vec![config],
        ..spec.clone()
    };
    let mut story = Story::new();
    story.act(plan(&[with(1)]));
    story.act(started("a", 1));
    story.check(plan(&[with(2)]), "config a");
    story.check(said("a", 1, Notice::Ready), "signal 1 a#1, a Running!");
    story.check(plan(&[with(3)]), "config a, signal 1 a#1");
    story.check(plan(&[with(3)]), "");
    let restarted = ServiceSpec {
        reload: Reload::Restart,
        ..with(4)
    };
    story.check(plan(&[restarted]), "signal 15 a#1, a Stopping");
    story.check(clean("a", 1), "kill a#1, config a, spawn a#2, a Starting");
}

#[test]
fn a_changed_spec_stops_with_the_old_and_starts_with_the_new() {
    let mut story = Story::running(&[service("a")]);
    let changed = ServiceSpec {
        stop_signal: 2,
        ..service("a")
    };
    story.check(
        plan(std::slice::from_ref(&changed)),
        "signal 15 a#1, a Stopping",
    );
    assert_eq!(story.supervisor.spec("a"), Some(&service("a")));
    story.check(clean("a", 1), "kill a#1, config a, spawn a#2, a Starting");
    assert_eq!(story.supervisor.spec("a"), Some(&changed));
}

#[test]
fn a_removed_service_is_stopped_and_forgotten_or_comes_back() {
    let mut story = Story::running(&[service("a")]);
    story.check(plan(&[]), "signal 15 a#1, a Stopping");
    story.check(plan(&[service("a")]), "");
    story.check(clean("a", 1), "kill a#1, config a, spawn a#2, a Starting");
    story.check(plan(&[]), "signal 15 a#2, a Stopping");
    story.check(clean("a", 2), "kill a#2, a Stopped");
    assert!(story.supervisor.status(story.now).is_empty());
    assert_eq!(story.supervisor.next_deadline(), None);
}

#[test]
fn a_condition_is_looked_at_until_it_is_met_and_then_no_more() {
    let spec = ServiceSpec {
        condition: Condition::PathExists("/dev/x".into()),
        ..service("a")
    };
    let seen = |path: &str, ok| Event::ConditionResult {
        name: "a".into(),
        path: path.into(),
        ok,
    };
    let mut story = Story::new();
    story.check(plan(&[spec]), "look for /dev/x of a, a Waiting");
    story.check_wait(999, "");
    story.check_wait(1, "look for /dev/x of a");
    story.check(seen("/dev/x", false), "");
    story.check_state("a", ServiceState::Waiting, "waits until /dev/x exists");
    story.check_wait(1000, "look for /dev/x of a");
    story.check(seen("/dev/old", true), "");
    story.check(seen("/dev/x", true), "config a, spawn a#1, a Starting");
    story.check(crashed("a", 1), "kill a#1, a BackOff");
    story.check_wait(1000, "config a, spawn a#2, a Starting");
}
