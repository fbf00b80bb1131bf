//! Members on their machines: started, cut off and stopped.

use crate::{
    dice::{Dice, Trace},
    disk::Storage,
    network::{Machine, Network},
    rot::{Outcome, Outcomes},
    simulated::Crash,
};
use orlop_store::executor::{
    member::{ClusterState, Member, MemberError, Settings, Surroundings},
    peer::service::Peering,
    watch,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A member that runs, until its process is gone.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) machine: Machine,
    pub(crate) member: Member,
    gone: watch::Sender<bool>,
}

impl Running {
    /// Waits until the process is gone. What it was asked has no answer then.
    pub(crate) async fn gone(&self) {
        let mut gone = self.gone.subscribe();
        // The sender lives as long as this.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// What a request to it comes to; None: the process was gone before.
    pub(crate) async fn ask<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.gone() => None,
            answer = request => Some(answer),
        }
    }
}

struct Node {
    storage: Arc<Storage>,
    settings: Settings,
    running: Option<Running>,
    /// Nobody starts it by the way: it is damaged, or no member.
    is_out: bool,
}

/// All machines.
pub(crate) struct Cluster {
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    nodes: Vec<Mutex<Node>>,
    started: watch::Sender<u64>,
    rot: Mutex<Outcomes>,
}

fn settings(machine: Machine, all: &[(String, String)]) -> Settings {
    Settings {
        name: all[machine].0.clone(),
        initial_cluster: all.to_vec(),
        cluster_state: ClusterState::New,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_millis(500),
        // So few that checkpoints, purges, segments and snapshots come often.
        checkpoint_entries: 40,
        log_entries_kept: 10,
        segment_bytes: 8 * 1024,
        cache_bytes: 1024 * 1024,
        request_timeout: Duration::from_secs(3),
        watch_progress: Duration::from_secs(1),
        ..Settings::default()
    }
}

impl Cluster {
    /// New machines that are off.
    pub(crate) fn new(machines: usize, dice: Dice, trace: Trace) -> Arc<Self> {
        let storages = (0..machines).map(|_| Storage::new(dice.fork())).collect();
        Self::of(storages, dice, trace)
    }

    /// Machines with these disks, that are off.
    pub(crate) fn of(storages: Vec<Arc<Storage>>, dice: Dice, trace: Trace) -> Arc<Self> {
        let all: Vec<_> = (0..storages.len())
            .map(|machine| (format!("m{machine}"), Network::url(machine)))
            .collect();
        let nodes = storages.into_iter().enumerate().map(|(machine, storage)| {
            Mutex::new(Node {
                storage,
                settings: settings(machine, &all),
                running: None,
                is_out: false,
            })
        });
        Arc::new(Self {
            network: Network::new(dice.fork(), trace.clone()),
            nodes: nodes.collect(),
            trace,
            started: watch::Sender::new(0),
            rot: Mutex::default(),
        })
    }

    pub(crate) fn machines(&self) -> usize {
        self.nodes.len()
    }

    /// Starts a member.
    pub(crate) async fn start(&self, machine: Machine) -> Result<(), MemberError> {
        let (storage, settings) = {
            let node = self.node(machine);
            (node.storage.clone(), node.settings.clone())
        };
        let process = storage.process();
        self.network.begin(machine, process);
        let (disk, segments) = storage.handles();
        let surroundings = Surroundings {
            disk: Arc::new(disk),
            segments: Arc::new(segments),
            connector: self.network.connector(machine, process),
        };
        let started = Member::start(surroundings, settings, Vec::new(), None).await;
        let outcome = started
            .as_ref()
            .map_or_else(ToString::to_string, |_| "up".to_owned());
        self.trace
            .note(format_args!("machine {machine} starts: {outcome}"));
        let member = started?;
        self.network.attach(machine, Peering::new(member.clone()));
        let mut node = self.node(machine);
        node.is_out = false;
        node.running = Some(Running {
            machine,
            member,
            gone: watch::Sender::new(false),
        });
        drop(node);
        self.started.send_modify(|starts| *starts += 1);
        Ok(())
    }

    /// Cuts the power of a machine, or kills the process on it.
    pub(crate) fn crash(&self, machine: Machine, crash: Crash) {
        self.trace
            .note(format_args!("machine {machine} crashes: {crash:?}"));
        let (storage, running) = {
            let mut node = self.node(machine);
            (node.storage.clone(), node.running.take())
        };
        storage.cut(crash);
        self.network.detach(machine);
        if let Some(running) = running {
            running.gone.send_replace(true);
            // Nothing that it does from now on reaches anybody; its tasks end.
            tokio::spawn(async move {
                let _ = running.member.stop().await;
            });
        }
    }

    /// Has a member end in an orderly way.
    pub(crate) async fn stop(&self, machine: Machine) {
        let Some(running) = self.running(machine) else {
            return;
        };
        let stopped = running.member.stop().await;
        let outcome = stopped.map_or_else(|error| error.to_string(), |()| "well".to_owned());
        self.trace
            .note(format_args!("machine {machine} stops: {outcome}"));
        self.crash(machine, Crash::Kill);
    }

    /// From now on, only [`Cluster::start`] starts it.
    pub(crate) fn take_out(&self, machine: Machine) {
        self.node(machine).is_out = true;
    }

    pub(crate) fn is_out(&self, machine: Machine) -> bool {
        self.node(machine).is_out
    }

    /// A machine that is off gets new disks, to join a cluster that is there.
    pub(crate) fn wipe(&self, machine: Machine) {
        let mut node = self.node(machine);
        node.is_out = true;
        node.settings.cluster_state = ClusterState::Existing;
        node.storage.records.wipe();
        node.storage.segments.wipe();
    }

    pub(crate) fn note_rot(&self, kind: &'static str, outcome: Outcome) {
        *self.rot().entry((kind, outcome)).or_default() += 1;
    }

    /// What came of flipped bits so far.
    pub(crate) fn rot(&self) -> MutexGuard<'_, Outcomes> {
        self.rot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member of a machine, if it runs.
    pub(crate) fn running(&self, machine: Machine) -> Option<Running> {
        self.node(machine).running.clone()
    }

    /// All that run.
    pub(crate) fn all(&self) -> Vec<Running> {
        (0..self.machines())
            .filter_map(|machine| self.running(machine))
            .collect()
    }

    /// One of those that run; waits where there is none.
    pub(crate) async fn any(&self, dice: &Dice) -> Running {
        let mut started = self.started.subscribe();
        loop {
            drop(started.borrow_and_update());
            if let Some(running) = dice.choose(&self.all()) {
                return running.clone();
            }
            // The sender lives as long as this.
            let _ = started.changed().await;
        }
    }

    /// The machine whose member says that it leads, if one does.
    pub(crate) fn leader(&self) -> Option<Running> {
        self.all().into_iter().find(|running| {
            let status = running.member.status();
            status.is_ok_and(|status| status.standing.leader_id == status.standing.member_id)
        })
    }

    pub(crate) fn storage(&self, machine: Machine) -> Arc<Storage> {
        self.node(machine).storage.clone()
    }

    fn node(&self, machine: Machine) -> MutexGuard<'_, Node> {
        self.nodes[machine]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
