//! The whole service against NTP servers on the loopback interface, on a clock that is not the host's.

#![allow(clippy::unwrap_used)] // a failed helper fails its test

use orlop_time::{
    executor::clock::{Clock, KernelClock},
    metrics::Metrics,
    planner::{Nanos, SECOND, Stamp},
    wiring::{self, Seams},
};
use prometheus_client::registry::Registry;
use std::{
    cell::{Cell, RefCell},
    io,
    path::Path,
    rc::Rc,
    time::Duration,
};
use tokio::{net::UdpSocket, sync::watch, task::LocalSet};

const SOON: Duration = Duration::from_secs(30);
const HOUR: Nanos = 3_600 * SECOND;
const UNIX_EPOCH: u64 = 2_208_988_800;

/// The host's clock and a difference, which is all that is ever set.
#[derive(Clone, Default)]
struct ShiftedClock {
    shift: Rc<Cell<Nanos>>,
    frequency: Rc<Cell<i64>>,
}

impl ShiftedClock {
    fn off_by(shift: Nanos) -> Self {
        let clock = Self::default();
        clock.shift.set(shift);
        clock
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Stamp {
        let real = KernelClock.now();
        Stamp {
            steady: real.steady,
            wall: real.wall + self.shift.get(),
        }
    }

    fn step(&mut self, offset: Nanos) -> io::Result<()> {
        self.shift.set(self.shift.get() + offset);
        Ok(())
    }

    fn slew(&mut self, offset: Nanos, frequency: i64, _error: Nanos) -> io::Result<()> {
        self.shift.set(self.shift.get() + offset);
        self.frequency.set(frequency);
        Ok(())
    }

    fn frequency(&self) -> io::Result<i64> {
        Ok(self.frequency.get())
    }
}

/// Answers requests with the host's time plus `error`, each after a broken answer that must not count.
async fn serve_ntp(socket: UdpSocket, error: Nanos) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!(length, 48);
        let time = KernelClock.now().wall + error;
        let seconds = u64::try_from(time / SECOND).unwrap() + UNIX_EPOCH;
        let fraction = (u64::try_from(time % SECOND).unwrap() << 32) / 1_000_000_000;
        let stamp = ((seconds & 0xffff_ffff) << 32 | fraction).to_be_bytes();
        let mut answer = [0; 48];
        (answer[0], answer[1]) = (4 << 3 | 4, 2);
        answer[24..32].copy_from_slice(&buffer[40..48]);
        answer[32..40].copy_from_slice(&stamp);
        answer[40..48].copy_from_slice(&stamp);
        let mut forged = answer;
        forged[24] ^= 1;
        socket.send_to(&forged, from).await.unwrap();
        socket.send_to(&answer, from).await.unwrap();
    }
}

struct Running {
    stop: watch::Sender<bool>,
    reload: watch::Sender<u64>,
    status: Rc<RefCell<String>>,
    ready: Rc<Cell<bool>>,
    registry: Registry,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(directory: &Path, clock: ShiftedClock, config: &str, port: u16, built: Nanos) -> Self {
        std::fs::write(directory.join("config"), config).unwrap();
        let (stop, stopping) = watch::channel(false);
        let (reload, reloads) = watch::channel(0);
        let status = Rc::new(RefCell::new(String::new()));
        let ready = Rc::new(Cell::new(false));
        let seams = Seams {
            arguments: service::Arguments {
                config: Some(directory.join("config")),
                state_dir: Some(directory.to_owned()),
                runtime_dir: None,
                metrics_bind_address: None,
                log_level: "info".into(),
            },
            reloads,
            stopping,
            resolv_conf: directory.join("resolv.conf"),
            time_servers: directory.join("time-servers"),
            port,
            built,
            ready: Box::new({
                let ready = Rc::clone(&ready);
                move || ready.set(true)
            }),
            status: Box::new({
                let status = Rc::clone(&status);
                move |line| *status.borrow_mut() = line.to_owned()
            }),
        };
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let task =
            tokio::task::spawn_local(
                async move { wiring::serve(seams, clock, metrics).await.unwrap() },
            );
        Self {
            stop,
            reload,
            status,
            ready,
            registry,
            task,
        }
    }

    fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + SOON;
        while !holds(self) {
            assert!(!self.task.is_finished(), "the service ended");
            assert!(
                tokio::time::Instant::now() < end,
                "did not happen: {what}; {}",
                self.status.borrow()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(SOON, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn local<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// A port on which no other test answers, taken on these loopback addresses.
async fn servers(errors: &[(&str, Nanos)]) -> u16 {
    loop {
        let first = UdpSocket::bind((errors[0].0, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut sockets = vec![first];
        for (address, _) in &errors[1..] {
            match UdpSocket::bind((*address, port)).await {
                Ok(socket) => sockets.push(socket),
                Err(_) => break,
            }
        }
        if sockets.len() == errors.len() {
            for (socket, (_, error)) in sockets.into_iter().zip(errors) {
                tokio::task::spawn_local(serve_ntp(socket, *error));
            }
            return port;
        }
    }
}

const THREE: &str = r#"{"time": {"servers": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}}"#;

#[test]
fn a_clock_an_hour_off_is_stepped_and_a_liar_is_outvoted() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let port = servers(&[
            ("127.0.0.1", 0),
            ("127.0.0.2", -77 * SECOND),
            ("127.0.0.3", 0),
        ])
        .await;
        let clock = ShiftedClock::off_by(-HOUR);
        clock.frequency.set(12_000);
        let service = Running::start(directory.path(), clock.clone(), THREE, port, 0);
        service
            .until("synchronised", |service| {
                service.metric("orlop_time_synchronised") == 1.0
            })
            .await;
        service.until("ready", |service| service.ready.get()).await;
        assert!(
            clock.shift.get().abs() < SECOND / 10,
            "{} ns off",
            clock.shift.get()
        );
        assert_eq!(service.metric("orlop_time_steps_total"), 1.0);
        assert_eq!(service.metric("orlop_time_stratum"), 2.0);
        assert_eq!(service.metric("orlop_time_servers"), 3.0);
        service
            .until("slewed after the step", |service| {
                service.metric("orlop_time_slews_total") >= 1.0
            })
            .await;
        service
            .until("status", |service| {
                service.status.borrow().contains("2 of 3 servers agree")
            })
            .await;
        assert!(service.metric("orlop_time_ignored_total{reason=\"wrong_origin\"}") >= 3.0);
        assert!(service.metric("orlop_time_offset_seconds").abs() < 0.1);
        assert_eq!(service.metric("orlop_time_frequency_ppm"), 12.0);
        service.stop().await;
        let saved: i64 = std::fs::read_to_string(directory.path().join("last-synchronised"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!((saved * SECOND - KernelClock.now().wall).abs() < 10 * SECOND);
    });
}

#[test]
fn without_servers_an_absurd_clock_is_lifted_to_the_floor_and_nothing_waits() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let real = KernelClock.now().wall;
        let built = real - 100 * HOUR;
        let clock = ShiftedClock::off_by(-real);
        let service = Running::start(directory.path(), clock.clone(), "{}", 9, built);
        service.until("ready", |service| service.ready.get()).await;
        let wall = clock.now().wall;
        assert!((built..built + HOUR).contains(&wall), "{wall}");
        service.stop().await;
        assert!(
            !directory.path().join("last-synchronised").exists(),
            "a wrong time must not be saved"
        );

        // The last right time is a better floor.
        let last = (real - HOUR) / SECOND;
        std::fs::write(
            directory.path().join("last-synchronised"),
            format!("{last}\n"),
        )
        .unwrap();
        let clock = ShiftedClock::off_by(-real);
        let service = Running::start(directory.path(), clock.clone(), "{}", 9, built);
        service.until("ready", |service| service.ready.get()).await;
        assert!(clock.now().wall >= last * SECOND);
        service.stop().await;
    });
}

#[test]
fn a_disabled_service_leaves_the_clock_alone() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = ShiftedClock::off_by(-HOUR);
        let config = r#"{"time": {"disabled": true, "servers": ["127.0.0.1"]}}"#;
        let service = Running::start(
            directory.path(),
            clock.clone(),
            config,
            9,
            KernelClock.now().wall,
        );
        service.until("ready", |service| service.ready.get()).await;
        service
            .until("status", |service| {
                service.status.borrow().contains("disabled")
            })
            .await;
        assert_eq!(clock.shift.get(), -HOUR);
        service.stop().await;
    });
}

#[test]
fn booting_waits_for_silent_servers_no_longer_than_it_is_told() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        // Bound and never read: nobody answers.
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let config = r#"{"time": {"servers": ["127.0.0.1"], "bootTimeout": "1s"}}"#;
        let service = Running::start(directory.path(), ShiftedClock::default(), config, port, 0);
        service
            .until("a request", |service| {
                service.status.borrow().contains("0 of 1 servers answered")
            })
            .await;
        assert!(!service.ready.get());
        service.until("ready", |service| service.ready.get()).await;
        // The server comes to life later.
        tokio::task::spawn_local(serve_ntp(silent, 0));
        service
            .until("synchronised", |service| {
                service.metric("orlop_time_synchronised") == 1.0
            })
            .await;
        service.stop().await;
    });
}

#[test]
fn servers_from_dhcp_are_asked_where_the_config_names_none_and_a_new_config_counts_at_once() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let port = servers(&[("127.0.0.1", 0), ("127.0.0.2", 0)]).await;
        std::fs::write(directory.path().join("time-servers"), "127.0.0.1\n").unwrap();
        let service = Running::start(directory.path(), ShiftedClock::off_by(HOUR), "{}", port, 0);
        service
            .until("synchronised", |service| {
                service.metric("orlop_time_synchronised") == 1.0
            })
            .await;
        std::fs::write(directory.path().join("config"), THREE).unwrap();
        service.reload.send_modify(|count| *count += 1);
        service
            .until("three servers", |service| {
                service.metric("orlop_time_servers") == 3.0
            })
            .await;
        service.stop().await;
    });
}
