//! Shutdown: order, deadlines, and what is refused.

use super::*;

fn shutdown(story: &Story, ms: u64) -> Event {
    Event::Shutdown {
        deadline: story.now + Duration::from_millis(ms),
    }
}

#[test]
fn services_stop_in_reverse_and_independent_ones_at_once() {
    let mut story = Story::running(&[service("a"), after("b", "a"), after("c", "a")]);
    let order = shutdown(&story, 30_000);
    story.check(
        order,
        "signal 15 c#3, signal 15 b#2, b Stopping, c Stopping",
    );
    story.check(clean("c", 3), "kill c#3, c Stopped");
    story.check(start("c"), "refused c: the machine is stopping");
    story.check(
        plan(&[]),
        "refused: the machine is stopping; no plan is taken any more",
    );
    story.check(
        clean("b", 2),
        "kill b#2, signal 15 a#1, a Stopping, b Stopped",
    );
    story.check(clean("a", 1), "kill a#1, a Stopped, complete");
    story.check(Event::Tick, "");
    assert_eq!(story.supervisor.next_deadline(), None);
}

#[test]
fn a_service_that_is_not_up_yet_or_waits_for_its_restart_does_not_start_any_more() {
    let mut story = Story::running(&[service("a"), service("b")]);
    story.act(crashed("a", 1));
    let order = shutdown(&story, 30_000);
    story.check(order, "signal 15 b#2, a Stopped, b Stopping");
    story.check_wait(4999, "");
    story.check(clean("b", 2), "kill b#2, b Stopped, complete");
}

#[test]
fn all_is_killed_before_the_deadline_and_complete_at_it() {
    let slow = |spec| ServiceSpec {
        stop_deadline: Duration::from_secs(600),
        ..spec
    };
    let mut story = Story::running(&[slow(service("a")), slow(after("b", "a"))]);
    let order = shutdown(&story, 30_000);
    story.check(order, "signal 15 b#2, b Stopping");
    story.check_wait(27_999, "");
    story.check_wait(1, "kill a#1, kill b#2, a Stopping");
    story.check(exited("b", 2, ExitStatus::Signal(9)), "kill b#2, b Stopped");
    story.check_wait(1999, "");
    story.check_wait(1, "complete");
    story.check(exited("a", 1, ExitStatus::Signal(9)), "");
}

#[test]
fn a_deadline_that_is_over_ends_everything_at_once() {
    let mut story = Story::running(&[service("a")]);
    let order = shutdown(&story, 0);
    story.check(order, "signal 15 a#1, a Stopping, kill a#1, complete");
}

#[test]
fn with_nothing_to_stop_it_is_complete_at_once() {
    let mut story = Story::new();
    let order = shutdown(&story, 30_000);
    story.check(order, "complete");
}

#[test]
fn a_second_order_can_only_hurry() {
    let mut story = Story::running(&[service("a")]);
    let order = shutdown(&story, 4000);
    story.check(order, "signal 15 a#1, a Stopping");
    let later = shutdown(&story, 60_000);
    story.check(later, "");
    let sooner = shutdown(&story, 1000);
    story.check(sooner, "");
    story.check_wait(750, "kill a#1");
    story.check_wait(250, "complete");
}
