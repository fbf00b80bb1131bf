//! Several services: order of starts and stops, requirements, refused plans.

use super::*;

#[test]
fn services_start_in_order() {
    let mut story = Story::new();
    let specs = [
        after("a", "b"),
        requires("b", "c"),
        service("c"),
        after("d", "nobody"),
    ];
    story.check(
        plan(&specs),
        "config c, spawn c#1, config d, spawn d#2, a Waiting, b Waiting, c Starting, d Starting",
    );
    story.check_state("a", ServiceState::Waiting, "waits for b");
    story.check(
        started("c", 1),
        "config b, spawn b#3, b Starting, c Running!",
    );
    story.check(
        started("b", 3),
        "config a, spawn a#4, a Starting, b Running!",
    );
}

#[test]
fn a_one_shot_is_waited_for_until_it_is_done() {
    let mut story = Story::new();
    story.act(plan(&[after("b", "a"), one_shot(service("a"))]));
    story.check(started("a", 1), "");
    story.check(
        clean("a", 1),
        "kill a#1, config b, spawn b#2, a Finished!, b Starting",
    );
}

#[test]
fn what_merely_restarts_takes_nobody_with_it() {
    let mut story = Story::running(&[service("a"), requires("b", "a")]);
    story.check(crashed("a", 1), "kill a#1, a BackOff");
    story.check(crashed("b", 2), "kill b#2, b BackOff");
    story.act(restart("b"));
    story.check_state("b", ServiceState::Waiting, "waits for a");
    story.check_wait(1000, "config a, spawn a#3, a Starting");
    story.check(
        started("a", 3),
        "config b, spawn b#4, a Running!, b Starting",
    );
}

#[test]
fn what_is_stopped_takes_those_that_require_it_and_brings_them_back() {
    let mut story = Story::running(&[service("a"), requires("b", "a"), requires("c", "b")]);
    story.check(stop("a"), "signal 15 c#3, c Stopping");
    story.check(
        clean("c", 3),
        "kill c#3, signal 15 b#2, b Stopping, c Waiting",
    );
    story.check(
        clean("b", 2),
        "kill b#2, signal 15 a#1, a Stopping, b Waiting",
    );
    story.check(clean("a", 1), "kill a#1, a Stopped");
    story.check_wait(600_000, "");
    story.check(start("a"), "config a, spawn a#4, a Starting");
    story.check(
        started("a", 4),
        "config b, spawn b#5, a Running!, b Starting",
    );
    story.check(
        started("b", 5),
        "config c, spawn c#6, b Running!, c Starting",
    );
}

#[test]
fn what_failed_for_good_takes_those_that_require_it() {
    let never = ServiceSpec {
        restart: Restart::Never,
        ..service("a")
    };
    let mut story = Story::running(&[never, requires("b", "a")]);
    story.check(
        crashed("a", 1),
        "kill a#1, signal 15 b#2, a Failed, b Stopping",
    );
    story.check(clean("b", 2), "kill b#2, b Waiting");
    story.check(start("a"), "config a, spawn a#3, a Starting");
    story.check(
        started("a", 3),
        "config b, spawn b#4, a Running!, b Starting",
    );
}

#[test]
fn order_alone_never_keeps_a_service_from_running() {
    let mut story = Story::running(&[service("a"), after("b", "a")]);
    story.act(stop("a"));
    story.act(clean("a", 1));
    story.check(crashed("b", 2), "kill b#2, b BackOff");
    story.check_wait(1000, "config b, spawn b#3, b Starting");
}

#[test]
fn services_restarted_together_stop_in_reverse_and_start_in_order() {
    let mut story = Story::running(&[service("a"), after("b", "a"), after("c", "a")]);
    let changed: Vec<_> = [service("a"), after("b", "a"), after("c", "a")]
        .into_iter()
        .map(|spec| ServiceSpec { user: 7, ..spec })
        .collect();
    story.check(
        plan(&changed),
        "signal 15 c#3, signal 15 b#2, b Stopping, c Stopping",
    );
    story.check(clean("b", 2), "kill b#2, b Waiting");
    story.check(
        clean("c", 3),
        "kill c#3, signal 15 a#1, a Stopping, c Waiting",
    );
    story.check(clean("a", 1), "kill a#1, config a, spawn a#4, a Starting");
}

#[test]
fn a_process_that_hangs_in_the_kernel_is_not_waited_for() {
    let mut story = Story::running(&[service("a"), requires("b", "a")]);
    story.check(stop("a"), "signal 15 b#2, b Stopping");
    story.check_wait(5000, "kill b#2");
    story.check_wait(5000, "kill b#2, signal 15 a#1, a Stopping");
}

#[test]
fn a_cycle_is_refused_and_the_old_plan_stays() {
    let mut story = Story::running(&[service("a")]);
    story.check(
        plan(&[requires("a", "b"), after("b", "a")]),
        "refused: services wait for each other: a -> b -> a; drop one of these dependencies",
    );
    assert_eq!(story.supervisor.spec("a"), Some(&service("a")));
    assert_eq!(story.supervisor.spec("b"), None);
    story.check_state("a", ServiceState::Running, "");
}

/// Found by the simulation: `c` waited for ever.
#[test]
fn a_finished_one_shot_stays_up_when_what_it_required_is_stopped() {
    let specs = [
        service("a"),
        one_shot(requires("b", "a")),
        requires("c", "b"),
    ];
    let mut story = Story::running(&specs);
    story.act(clean("b", 2));
    story.act(started("c", 3));
    story.check(stop("a"), "signal 15 a#1, a Stopping");
    story.check(crashed("c", 3), "kill c#3, c BackOff");
    story.check_wait(1000, "config c, spawn c#4, c Starting");
}
