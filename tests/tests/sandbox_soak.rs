//! A sandboxed node under crashes, kills, floods, new plans and rude clients, for as long as it is told,
//! from a seed. `cargo xtask soak` runs it longer.
//!
//! What must hold all the while: `init` answers; its memory and descriptors stay within bounds that do not
//! grow with time; nothing stays a zombie. In the end: the good services run, and the node powers off in
//! order.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use init_proto::control::{ApplyEffect, Request, Response, ServiceState};
use init_proto::plan::ServiceSpec;
use orlop_tests::control::{Control, Events};
use orlop_tests::sandbox::{Lab, Node, node::STOPS};
use orlop_tests::toys::{self, toy};
use orlop_tests::wait::eventually;
use std::fs;
use std::time::{Duration, Instant};

/// Set by `cargo xtask soak`.
const SECONDS: &str = "ORLOP_SOAK_SECONDS";
const SEED: &str = "ORLOP_SOAK_SEED";
const SECONDS_IN_CI: u64 = 20;
/// Resident memory of `init`, whatever it has seen: rings of 256 KiB for each of eight services, 4,096 events
/// and exits, and itself. 20 s have shown 4 MiB.
const MEMORY_MAX_KIB: u64 = 16 * 1024;
/// Descriptors of `init`: its own, two pipes per process, and the clients that this test holds. 20 s have
/// shown 50.
const DESCRIPTORS_MAX: usize = 128;
/// Time between two looks at the bounds.
const LOOK: Duration = Duration::from_millis(500);
/// Clients that hold a connection and read nothing.
const RUDE_MAX: usize = 16;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Those that must be there in the end.
fn good() -> Vec<ServiceSpec> {
    let mut above = toy("above", &["steady"]);
    above.requires = vec!["below".into()];
    vec![above, toy("below", &["steady"])]
}

/// Those that come and go.
fn bad() -> Vec<ServiceSpec> {
    vec![
        toy("crasher", &["crash", "7"]),
        toy("flood", &["flood"]),
        toy("stubborn", &["stubborn"]),
        toy("orphans", &["orphans", "20"]),
        ServiceSpec {
            start_timeout: Duration::from_millis(300),
            ..toy("never", &["never-ready"])
        },
    ]
}

struct Soak<'a, 'lab> {
    node: &'a Node<'lab>,
    random: Random,
    rude: Vec<Events>,
    done: [u64; 6],
    memory_max: u64,
    descriptors_max: usize,
}

impl Soak<'_, '_> {
    fn act(&mut self) {
        let action = self.random.below(self.done.len());
        match action {
            0 => self.kill(),
            1 => self.ask_for_a_restart(),
            2 => self.change_the_plan(),
            3 => self.connect_rudely(),
            4 => self.hang_up_while_waiting(),
            _ => self.talk_nonsense(),
        }
        self.done[action] += 1;
    }

    fn control(&self) -> Control {
        self.node.control().unwrap()
    }

    /// Any main process, by any signal that kills.
    fn kill(&mut self) {
        let services = self.control().services().unwrap();
        let live: Vec<i32> = services.iter().filter_map(|service| service.pid).collect();
        if let Some(pid) = (!live.is_empty()).then(|| live[self.random.below(live.len())]) {
            let signal = [9, 6, 11, 37, 64][self.random.below(5)];
            // It may have ended by itself meanwhile.
            let _ = self.node.signal_process(pid, signal);
        }
    }

    fn ask_for_a_restart(&mut self) {
        let services = self.control().services().unwrap();
        let name = services[self.random.below(services.len())].name.clone();
        // The answer may be that it left the plan, or takes too long: nobody waits for it.
        let mut control = self.control();
        control.send(&Request::ServiceRestart { name }).unwrap();
    }

    fn change_the_plan(&mut self) {
        let bits = self.random.next();
        let mut services = good();
        let chosen = bad().into_iter().enumerate();
        services.extend(chosen.filter_map(|(at, spec)| (bits >> at & 1 == 1).then_some(spec)));
        let request = Request::ConfigApply {
            config: toys::plan(services).unwrap(),
            effect: ApplyEffect::NoReboot,
            only_in_maintenance: false,
        };
        let answer = self.control().ask(&request).unwrap();
        assert!(matches!(answer, Response::Stored { .. }), "{answer:?}");
    }

    /// A subscriber that reads nothing.
    fn connect_rudely(&mut self) {
        if self.rude.len() == RUDE_MAX {
            let at = self.random.below(RUDE_MAX);
            self.rude.swap_remove(at);
        }
        self.rude.push(self.control().events(0).unwrap());
    }

    fn hang_up_while_waiting(&mut self) {
        let request = Request::Logs {
            name: "init".into(),
            cursor: u64::MAX,
            bytes_max: 1000,
            wait: true,
        };
        self.control().send(&request).unwrap();
    }

    fn talk_nonsense(&mut self) {
        let mut bytes = self.random.next().to_le_bytes().to_vec();
        bytes.resize(64, 0xff);
        self.control().send_raw(&bytes).unwrap();
    }

    /// What must hold at any time.
    fn look(&mut self) {
        let pid = self.node.pid().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        self.memory_max = self.memory_max.max(memory);
        self.descriptors_max = self.descriptors_max.max(descriptors);
        assert!(memory <= MEMORY_MAX_KIB, "init has {memory} KiB");
        assert!(
            descriptors <= DESCRIPTORS_MAX,
            "init has {descriptors} descriptors"
        );
        let status = self.control().status().unwrap();
        assert!(!status.stopping, "{status:?}");
    }
}

fn zombies(node: &Node<'_>) -> Vec<String> {
    fs::read_dir(node.root().unwrap().join("proc"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
        })
        .collect()
}

#[test]
fn a_node_holds_out_under_crashes_floods_and_rude_clients() {
    let seconds = environment(SECONDS).unwrap_or(SECONDS_IN_CI);
    let seed = environment(SEED).unwrap_or(1);
    println!("seed {seed}, {seconds} s");
    let lab = Lab::new().unwrap();
    let node = toys::start(&lab, [good(), bad()].concat()).unwrap();
    let mut soak = Soak {
        node: &node,
        random: Random(seed),
        rude: Vec::new(),
        done: [0; 6],
        memory_max: 0,
        descriptors_max: 0,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut look = Instant::now();
    while Instant::now() < end {
        soak.act();
        if Instant::now() >= look {
            soak.look();
            look = Instant::now() + LOOK;
        }
    }
    let [kills, restarts, plans, rude, hang_ups, nonsense] = soak.done;
    println!(
        "{kills} kills, {restarts} restarts, {plans} plans, {rude} rude subscribers, {hang_ups} hang-ups, \
         {nonsense} senders of nonsense; init at most {} KiB, {} descriptors",
        soak.memory_max, soak.descriptors_max
    );
    soak.rude.clear();

    let request = Request::ConfigApply {
        config: toys::plan(good()).unwrap(),
        effect: ApplyEffect::NoReboot,
        only_in_maintenance: false,
    };
    let answer = node.control().unwrap().ask(&request).unwrap();
    assert!(matches!(answer, Response::Stored { .. }), "{answer:?}");
    // A back-off may be at its cap of a minute, so they are asked for.
    for name in ["below", "above"] {
        let name = name.to_owned();
        let order = Request::ServiceStart { name };
        node.control().unwrap().order(&order).unwrap();
    }
    eventually("the good services run", Duration::from_secs(3), || {
        let services = node.control()?.services()?;
        let up = services.len() == 2
            && services
                .iter()
                .all(|service| service.state == ServiceState::Running);
        Ok(up.then_some(()))
    })
    .unwrap();
    eventually("zombies are reaped", toys::SOON, || {
        Ok(zombies(&node).is_empty().then_some(()))
    })
    .unwrap();
    let left: Vec<_> = fs::read_dir(node.root().unwrap().join("sys/fs/cgroup/orlop"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect();
    assert!(left.len() <= 2, "cgroups that nobody needs: {left:?}");
    node.control().unwrap().order(&Request::PowerOff).unwrap();
    assert_eq!(node.wait_exit(1, STOPS).unwrap(), "code 0");
}
