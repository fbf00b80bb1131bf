//! From a ready descriptor to events, and from an event to what it changes.

use super::{Event, Machine, Work, stop::Ending};
use crate::executor::poller::{Ready, Source};
use crate::executor::{devices, notify_socket, time, uevents};
use crate::planner::uevents::Uevent;
use rustix::fd::OwnedFd;
use std::time::Duration;

/// Signals taken in one turn.
const SIGNALS_MAX: usize = 64;
/// Connections accepted in one turn.
const ACCEPTS_MAX: usize = 16;

impl Machine {
    /// Takes what a ready descriptor has, a bounded amount of it.
    pub(super) fn receive(&mut self, ready: Ready) -> Vec<Event> {
        match ready.source {
            Source::Signals => self.receive_signals(),
            Source::Uevents => take(self.uevents.as_ref(), uevents::BATCH, uevents::receive)
                .map(Event::Device)
                .collect(),
            Source::Notify => take(
                self.notify.as_ref(),
                notify_socket::BATCH,
                notify_socket::receive,
            )
            .map(Event::Notification)
            .collect(),
            Source::Control => vec![Event::Connect],
            Source::Connection(number) => vec![Event::Connection(number, ready.hangup)],
            Source::Output(number) => vec![Event::Output(number)],
            Source::Probe(number) => self
                .probes
                .ready(number)
                .map(|(probe, ok)| Event::Probed(probe, ok))
                .into_iter()
                .collect(),
            Source::Input(number) => vec![Event::Input(number)],
        }
    }

    fn receive_signals(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut children = false;
        for _ in 0..SIGNALS_MAX {
            let Some(signals) = &self.signals else { break };
            match signals.read_signal() {
                Ok(Some(info)) if info.ssi_signo == libc::SIGCHLD.cast_unsigned() => {
                    children = true;
                }
                Ok(Some(info)) => events.push(Event::Signal(info.ssi_signo)),
                _ => break,
            }
        }
        if children {
            events.push(Event::Children);
        }
        events
    }

    /// Acts on one event.
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Signal(signal) => self.on_signal(signal),
            Event::Children => self.reap_children(),
            Event::Device(uevent) => self.on_device(uevent),
            Event::Notification(datagram) => self.on_notification(datagram),
            Event::Connect => {
                for _ in 0..ACCEPTS_MAX {
                    let more = self
                        .control
                        .as_ref()
                        .is_some_and(|control| self.connections.accept(&self.poller, control));
                    if !more {
                        break;
                    }
                }
            }
            Event::Connection(number, hangup) => self.on_connection(number, hangup),
            Event::Output(number) => self.drain_output(number),
            Event::Probed(probe, ok) => self.probed(probe, ok),
            Event::Input(number) => self.on_input(number),
            Event::Tick => self.tick(),
        }
    }

    fn on_signal(&mut self, signal: u32) {
        let Ok(signal) = i32::try_from(signal) else {
            return;
        };
        match signal {
            // Ctrl-Alt-Del, once the kernel was told not to reboot by itself.
            libc::SIGINT => self.begin_end(Ending::Reboot, "Ctrl-Alt-Del"),
            libc::SIGTERM if self.options.sandboxed => {
                self.begin_end(Ending::PowerOff, "SIGTERM from the host");
            }
            _ => {}
        }
    }

    fn on_device(&mut self, uevent: Uevent) {
        match uevent {
            Uevent::Device { subsystem, alias } => {
                if subsystem == "block" {
                    self.block_change = time::monotonic();
                }
                if subsystem == "input" {
                    self.watch_power_buttons();
                }
                // Until then the coldplug passes see every device.
                if let (Some(alias), true) = (alias, self.coldplugged)
                    && !self.queue(Work::Drivers(Some(alias)))
                {
                    self.look_at_all_devices();
                }
            }
            Uevent::Lost => self.look_at_all_devices(),
            Uevent::Other => {}
        }
    }

    /// Too many devices at once to know each: one look at all does for them, and only one of it waits, so
    /// that it may go over the bound of what waits.
    fn look_at_all_devices(&mut self) {
        self.work.retain(|work| !matches!(work, Work::Drivers(_)));
        self.work.push_back(Work::Drivers(None));
    }

    fn on_input(&mut self, number: u32) {
        let Some((_, device)) = self.inputs.get(&number) else {
            return;
        };
        let mut bytes = [0_u8; devices::INPUT_EVENT_BYTES * 64];
        match rustix::io::read(device, &mut bytes) {
            Ok(length) if devices::power_pressed(&bytes[..length]) => {
                self.begin_end(Ending::PowerOff, "power button");
            }
            Ok(1..) | Err(rustix::io::Errno::AGAIN) => {}
            // The device is gone.
            Ok(_) | Err(_) => {
                self.inputs.remove(&number);
            }
        }
    }

    fn tick(&mut self) {
        let now = time::monotonic();
        self.check_boot_deadline();
        if !self.starving
            && let Some(watchdog) = &mut self.watchdog
        {
            watchdog.feed(now);
        }
        // Signals of one kind are merged, and one turn reaps a bounded number: look each time.
        self.reap_children();
        for (probe, ok) in self.probes.expired(now) {
            self.probed(probe, ok);
        }
        if self
            .supervisor
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.supervise(crate::planner::supervisor::Event::Tick);
        }
        self.forget_services();
        self.serve_waiters(now);
    }

    fn check_boot_deadline(&mut self) {
        let over = !self.booted
            && !self.starving
            && !self.options.sandboxed
            && time::boottime() > self.options.boot_deadline;
        if !over {
            return;
        }
        self.starving = true;
        let seconds = self.options.boot_deadline.as_secs();
        self.say(1, &format!("boot did not end within {seconds} s: reset"));
        // The watchdog would reset as well, but not every machine has one.
        self.reset_now();
    }

    /// Begins to end the machine, if it does not end already. What waits before it is refused or short,
    /// and it never meets the bound of what waits: there is one at most, and it must not be lost.
    pub(super) fn begin_end(&mut self, ending: Ending, reason: &str) {
        if self.stopping.is_none() {
            self.stopping = Some(format!("{}: {reason}", ending.word()));
            self.work.push_back(Work::End(ending));
        }
    }

    /// Time from the origin of this node's clock.
    pub(super) fn uptime(&self) -> Duration {
        time::boottime().saturating_sub(self.origin)
    }
}

fn take<T>(
    socket: Option<&OwnedFd>,
    most: usize,
    receive: impl Fn(&OwnedFd) -> Option<T>,
) -> impl Iterator<Item = T> {
    let mut taken = Vec::new();
    while let Some(socket) = socket
        && taken.len() < most
        && let Some(value) = receive(socket)
    {
        taken.push(value);
    }
    taken.into_iter()
}
