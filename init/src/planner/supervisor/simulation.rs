//! Simulates the supervisor with a world of misbehaving processes, from seeds.
//!
//! Each case draws services with random dependencies and policies, lets processes crash, hang, start
//! slowly, ignore signals, hang in the kernel and lose their messages, sends requests and new plans at
//! random times, and checks every single action against a model of its own (`world.rs`). Then the
//! world calms down, and every wanted service must come up; then it shuts down.

mod world;

use super::graph::TIME_MIN;
use init_proto::plan::{
    Condition, HealthCheck, HealthProbe, Readiness, Reload, Restart, ServiceKind, ServiceSpec,
};
use init_proto::services::daemon;
use proptest::prelude::*;
use std::time::Duration;
use world::World;

/// Most services of a case; coprime to 3, by which the names are shuffled.
const SERVICES: usize = 8;
/// Longest time until a calm world is as it should be: a start timeout, a stop deadline, repeated kills
/// and a back-off at its cap, along the longest chain of services.
const CALM: Duration = Duration::from_secs(900);

/// What happens to the supervisor besides what processes do.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Start(usize),
    Stop(usize),
    Restart(usize),
    Command(usize),
    Config(usize),
    /// Leaves the plan, or comes back.
    Member(usize),
    Edges(usize, u8, u8),
    /// A plan with a cycle.
    Cycle,
    /// Reports of earlier attempts come again.
    Stale(usize),
}

fn name(at: usize) -> String {
    format!("s{}", at * 3 % SERVICES)
}

/// Names chosen by bits among the services before `at`: no cycles.
fn chosen(at: usize, bits: u8) -> Vec<String> {
    (0..at)
        .filter(|other| bits >> other & 1 == 1)
        .map(name)
        .collect()
}

fn ms(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn readiness() -> impl Strategy<Value = Readiness> {
    prop_oneof![
        Just(Readiness::Started),
        Just(Readiness::Notify),
        Just(Readiness::UnixSocket("/run/ready".into())),
        Just(Readiness::TcpPort(80)),
    ]
}

fn health() -> impl Strategy<Value = Option<HealthCheck>> {
    let probe = prop_oneof![
        Just(HealthProbe::Watchdog),
        Just(HealthProbe::TcpPort(81)),
        Just(HealthProbe::UnixSocket("/run/health".into())),
    ];
    let check = (probe, ms(1000..20_000), ms(100..3000), 1_u32..4).prop_map(
        |(probe, interval, timeout, failures)| HealthCheck {
            probe,
            interval,
            timeout,
            failures,
        },
    );
    proptest::option::of(check)
}

fn spec() -> impl Strategy<Value = ServiceSpec> {
    let kinds = (
        prop_oneof![4 => Just(ServiceKind::Daemon), 1 => Just(ServiceKind::OneShot)],
        readiness(),
        health(),
        prop_oneof![
            3 => Just(Restart::Always),
            2 => Just(Restart::OnFailure),
            1 => Just(Restart::Never)
        ],
        prop_oneof![Just(Reload::Hangup), Just(Reload::Restart)],
        any::<bool>(),
    );
    let times = (ms(10..3000), ms(1000..10_000), ms(500..20_000), ms(0..5000));
    (kinds, times).prop_map(|(kinds, times)| ServiceSpec {
        kind: kinds.0,
        readiness: kinds.1,
        health: kinds.2,
        restart: kinds.3,
        reload: kinds.4,
        condition: if kinds.5 {
            Condition::PathExists("/run/condition".into())
        } else {
            Condition::Always
        },
        backoff_initial: times.0.max(TIME_MIN),
        backoff_reset: times.1,
        start_timeout: times.2,
        stop_deadline: times.3,
        ..daemon("unnamed")
    })
}

fn specs() -> impl Strategy<Value = Vec<ServiceSpec>> {
    // Each bit is set with probability 1/4: graphs with chains, but not only one chain.
    let sparse = || (any::<u8>(), any::<u8>()).prop_map(|(some, half)| some & half);
    proptest::collection::vec((spec(), sparse(), sparse()), 1..SERVICES).prop_map(|drawn| {
        drawn
            .into_iter()
            .enumerate()
            .map(|(at, (spec, after, requires))| ServiceSpec {
                name: name(at),
                after: chosen(at, after),
                requires: chosen(at, requires),
                ..spec
            })
            .collect()
    })
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..SERVICES;
    prop_oneof![
        2 => at().prop_map(Op::Start),
        2 => at().prop_map(Op::Stop),
        2 => at().prop_map(Op::Restart),
        1 => at().prop_map(Op::Command),
        1 => at().prop_map(Op::Config),
        1 => at().prop_map(Op::Member),
        1 => (at(), any::<u8>(), any::<u8>()).prop_map(|(at, after, requires)| {
            Op::Edges(at, after, requires)
        }),
        1 => Just(Op::Cycle),
        1 => at().prop_map(Op::Stale),
    ]
}

/// Operations with the time that passes before each: often none or little, sometimes a minute.
fn script() -> impl Strategy<Value = Vec<(Duration, Op)>> {
    let pause = prop_oneof![
        Just(Duration::ZERO),
        ms(1..300),
        ms(300..20_000),
        ms(1..60_000)
    ];
    proptest::collection::vec((pause, op()), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_wanted_service_comes_up_and_everything_ends(
        specs in specs(),
        script in script(),
        seed: u64,
        deadline in ms(0..60_000),
    ) {
        let mut world = World::new(seed, specs);
        world.play(script);
        world.calm_down(CALM);
        world.expect_converged();
        world.shut_down(deadline);
    }

    #[test]
    fn a_shutdown_at_any_time_ends_within_its_deadline(
        specs in specs(),
        script in script(),
        seed: u64,
        deadline in ms(0..60_000),
        second in proptest::option::of(ms(0..60_000)),
    ) {
        let mut world = World::new(seed, specs);
        world.play(script);
        if let Some(second) = second {
            world.shut_down_twice(deadline, second);
        } else {
            world.shut_down(deadline);
        }
    }
}
