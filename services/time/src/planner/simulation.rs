//! The whole planner in a simulated world: a clock that drifts and is corrected as Linux does it, and
//! servers behind networks that delay. Every run follows from its seed.

use super::{
    Nanos, SECOND, Stamp,
    client::{Action, Client, Event, INTERVAL_MAX, INTERVAL_MIN},
    discipline::{Correction, SLEW_RATE},
    packet::PACKET,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, net::SocketAddr};

const MILLISECOND: Nanos = SECOND / 1_000;
const HOUR: Nanos = 3_600 * SECOND;
const EPOCH: Nanos = 1_790_000_000 * SECOND;

/// A clock with a frequency error, corrected by the kernel's means.
struct SimulatedClock {
    drift: i64,
    frequency: i64,
    slew: Nanos,
    wall: Nanos,
    stepped: Nanos,
    steps: u32,
}

impl SimulatedClock {
    fn pass(&mut self, time: Nanos) {
        let rate = i128::from(self.drift + self.frequency);
        let gained = i64::try_from(i128::from(time) * rate / 1_000_000_000).unwrap();
        let most = i64::try_from(i128::from(time) * i128::from(SLEW_RATE) / 1_000_000_000).unwrap();
        let slewed = self.slew.clamp(-most, most);
        self.slew -= slewed;
        self.wall += time + gained + slewed;
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            steady: self.wall - self.stepped,
            wall: self.wall,
        }
    }

    fn correct(&mut self, correction: Correction) {
        match correction {
            Correction::Wait => panic!("not an action"),
            Correction::Step(offset) => {
                self.wall += offset;
                self.stepped += offset;
                self.steps += 1;
            }
            Correction::Slew {
                offset, frequency, ..
            } => (self.slew, self.frequency) = (offset, frequency),
        }
    }
}

#[derive(Debug, Clone)]
struct SimulatedServer {
    /// How wrong it is.
    error: Nanos,
    delay: Nanos,
    jitter: Nanos,
    alive: bool,
    kiss: Option<[u8; 4]>,
    /// True times of requests.
    asked: Vec<Nanos>,
}

fn server(delay: Nanos, jitter: Nanos) -> SimulatedServer {
    SimulatedServer {
        error: 0,
        delay: delay * MILLISECOND,
        jitter: jitter * MILLISECOND,
        alive: true,
        kiss: None,
        asked: Vec::new(),
    }
}

struct World {
    time: Nanos,
    clock: SimulatedClock,
    client: Client,
    servers: BTreeMap<SocketAddr, SimulatedServer>,
    arriving: BTreeMap<(Nanos, u64), (SocketAddr, Vec<u8>)>,
    random: u64,
    /// Largest error of the clock since this was set to 0.
    worst: Nanos,
}

impl World {
    fn new(seed: u64, drift: i64, offset: Nanos, servers: Vec<SimulatedServer>) -> Self {
        let clock = SimulatedClock {
            drift,
            frequency: 0,
            slew: 0,
            wall: EPOCH + offset,
            stepped: offset,
            steps: 0,
        };
        let client = Client::new(clock.stamp(), 0, EPOCH - HOUR);
        let servers: BTreeMap<SocketAddr, SimulatedServer> = servers
            .into_iter()
            .zip(1_u16..)
            .map(|(server, port)| (SocketAddr::from(([192, 0, 2, 1], port)), server))
            .collect();
        let mut world = Self {
            time: EPOCH,
            clock,
            client,
            arriving: BTreeMap::new(),
            random: seed | 1,
            worst: 0,
            servers,
        };
        let addresses = world.servers.keys().copied().collect();
        world.event(Event::Servers(addresses));
        world
    }

    /// xorshift64*.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn event(&mut self, event: Event<'_>) {
        let mut random = self.draw();
        let mut draw = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random
        };
        let actions = self.client.step(self.clock.stamp(), event, &mut draw);
        for action in actions {
            match action {
                Action::Send(to, packet) => self.request(to, &packet),
                Action::Correct(correction) => self.clock.correct(correction),
            }
        }
    }

    fn request(&mut self, to: SocketAddr, packet: &[u8; PACKET]) {
        let (there, back) = {
            let jitter = self.servers[&to].jitter.max(1).unsigned_abs();
            (self.draw() % jitter, self.draw() % jitter)
        };
        let number = self.draw();
        let time = self.time;
        let server = self.servers.get_mut(&to).unwrap();
        server.asked.push(time);
        if !server.alive {
            return;
        }
        let half = server.delay / 2;
        let received = time + half + i64::try_from(there).unwrap();
        let arrives = received + half + i64::try_from(back).unwrap();
        let mut answer = vec![0; PACKET];
        answer[0] = 4 << 3 | 4;
        answer[1] = if server.kiss.is_some() { 0 } else { 2 };
        answer[12..16].copy_from_slice(&server.kiss.unwrap_or_default());
        answer[24..32].copy_from_slice(&packet[40..48]);
        for at in [32, 40] {
            answer[at..at + 8].copy_from_slice(&ntp(received + server.error));
        }
        self.arriving.insert((arrives, number), (to, answer));
    }

    /// Runs until the true time has moved on by `time`.
    fn run(&mut self, time: Nanos) {
        let end = self.time + time;
        loop {
            let steady = self.clock.stamp().steady;
            let deadline = self
                .client
                .deadline()
                .map_or(end, |at| self.time + (at - steady).max(1));
            let packet = self.arriving.keys().next().map_or(end, |(at, _)| *at);
            let next = deadline.min(packet).min(end).max(self.time);
            self.clock.pass(next - self.time);
            self.time = next;
            self.worst = self.worst.max((self.clock.wall - self.time).abs());
            if self.time == end {
                return;
            }
            match self
                .arriving
                .first_entry()
                .filter(|entry| entry.key().0 <= next)
            {
                Some(entry) => {
                    let (from, bytes) = entry.remove();
                    self.event(Event::Packet(from, &bytes));
                }
                None => self.event(Event::Tick),
            }
        }
    }

    fn worst_of_the_next(&mut self, time: Nanos) -> Nanos {
        self.worst = 0;
        self.run(time);
        self.worst
    }
}

fn ntp(time: Nanos) -> [u8; 8] {
    let seconds = u64::try_from(time / SECOND).unwrap() + 2_208_988_800;
    let fraction = (u64::try_from(time % SECOND).unwrap() << 32) / 1_000_000_000;
    ((seconds & 0xffff_ffff) << 32 | fraction).to_be_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From any offset, drift and network, the clock gets right and stays right; a minority of liars
    /// changes nothing, and no more than one step is needed.
    #[test]
    fn every_clock_gets_right_and_stays_so(
        seed in any::<u64>(),
        drift in -200_000_i64..200_000,
        offset in prop_oneof![-86_400_000_i64..86_400_000, -600_i64..600],
        delays in proptest::collection::vec((1_i64..80, 0_i64..10), 1..5),
        lie in prop_oneof![Just(3_600_000_i64), 1_000_i64..100_000],
    ) {
        let mut servers: Vec<SimulatedServer> =
            delays.iter().map(|(delay, jitter)| server(*delay, *jitter)).collect();
        let liars = (servers.len() - 1) / 2;
        for liar in &mut servers[..liars] {
            liar.error = lie * MILLISECOND;
        }
        let mut world = World::new(seed, drift, offset * MILLISECOND, servers);
        world.run(3 * HOUR);
        let worst = world.worst_of_the_next(6 * HOUR);
        prop_assert!(worst < 25 * MILLISECOND, "{} ms wrong", worst / MILLISECOND);
        prop_assert!(world.clock.steps <= 1, "{} steps", world.clock.steps);
        let error = (world.clock.frequency + drift).abs();
        prop_assert!(error < 10_000, "{error} parts per billion wrong");
    }
}

#[test]
fn a_far_clock_is_stepped_at_once_and_a_near_one_never() {
    for (offset, steps) in [
        (3_600 * SECOND, 1),
        (-3_600 * SECOND, 1),
        (400 * MILLISECOND, 0),
        (-400 * MILLISECOND, 0),
    ] {
        let mut world = World::new(
            7,
            20_000,
            offset,
            vec![server(20, 2), server(30, 2), server(40, 2)],
        );
        world.run(10 * SECOND);
        assert_eq!(world.clock.steps, steps, "from {offset}");
        let far = (world.clock.wall - world.time).abs();
        assert!(
            far < if steps == 1 {
                20 * MILLISECOND
            } else {
                SECOND / 2
            }
        );
        world.run(HOUR);
        assert_eq!(world.clock.steps, steps, "from {offset}");
        assert!(world.client.synchronised(world.clock.stamp()));
    }
}

#[test]
fn the_interval_grows_when_all_is_calm_and_never_leaves_its_bounds() {
    let mut world = World::new(11, 5_000, SECOND, vec![server(20, 1)]);
    world.run(24 * HOUR);
    let asked = &world.servers.values().next().unwrap().asked;
    let gaps: Vec<Nanos> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let last = *gaps.last().unwrap();
    assert!((last - INTERVAL_MAX).abs() < SECOND, "{last}");
    // The first is short, after the step.
    assert!(
        gaps[1..].iter().all(|gap| *gap > INTERVAL_MIN - SECOND),
        "{gaps:?}"
    );
}

#[test]
fn a_clock_that_was_set_wrong_later_is_stepped_back_after_three_looks() {
    let mut world = World::new(13, 0, 0, vec![server(20, 1)]);
    world.run(2 * HOUR);
    assert_eq!(world.clock.steps, 0);
    world.clock.wall += 100 * SECOND;
    world.clock.stepped += 100 * SECOND;
    world.run(HOUR);
    assert_eq!(world.clock.steps, 1);
    assert!((world.clock.wall - world.time).abs() < 20 * MILLISECOND);
}

#[test]
fn servers_that_come_late_are_found_and_asked_with_back_off() {
    let mut dead = server(20, 1);
    dead.alive = false;
    let mut world = World::new(17, 50_000, 10 * SECOND, vec![dead]);
    world.run(HOUR);
    assert!(!world.client.synchronised(world.clock.stamp()));
    assert!(world.client.wants_addresses());
    let asked = world.servers.values().next().unwrap().asked.len();
    assert!((50..70).contains(&asked), "asked {asked} times in an hour");
    world.servers.values_mut().next().unwrap().alive = true;
    world.run(2 * 70 * SECOND);
    assert!(world.client.synchronised(world.clock.stamp()));
    assert!((world.clock.wall - world.time).abs() < 50 * MILLISECOND);
}

#[test]
fn two_servers_that_disagree_change_nothing() {
    let mut liar = server(20, 1);
    liar.error = HOUR;
    let mut world = World::new(19, 0, 0, vec![server(20, 1), liar]);
    world.run(HOUR);
    assert_eq!(world.clock.steps, 0);
    assert_eq!(world.clock.wall, world.time);
    assert!(!world.client.synchronised(world.clock.stamp()));
}

#[test]
fn kisses_of_death_are_obeyed() {
    for (code, most) in [(*b"DENY", 1), (*b"RATE", 6)] {
        let mut kissing = server(20, 1);
        kissing.kiss = Some(code);
        let mut world = World::new(23, 0, 0, vec![kissing, server(20, 1)]);
        world.run(24 * HOUR);
        let asked = world.servers.values().next().unwrap().asked.len();
        assert!(
            (1..=most).contains(&asked),
            "{} asked {asked} times",
            String::from_utf8_lossy(&code)
        );
        assert!(world.client.synchronised(world.clock.stamp()));
    }
}

#[test]
fn packets_that_nobody_asked_for_are_ignored() {
    let mut world = World::new(29, 0, 0, vec![server(20, 1)]);
    world.run(HOUR);
    let known = *world.servers.keys().next().unwrap();
    for from in [known, SocketAddr::from(([192, 0, 2, 99], 123))] {
        let mut forged = vec![0; PACKET];
        (forged[0], forged[1]) = (4 << 3 | 4, 1);
        world.event(Event::Packet(from, &forged));
        assert!(world.client.take_ignored().is_some());
    }
    assert_eq!(world.clock.steps, 0);
}
