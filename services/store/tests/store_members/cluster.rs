//! Members on real files and loopback, for tests.

use etcd_proto::{
    etcdserverpb::{PutRequest, RangeRequest},
    mvccpb::KeyValue,
};
use http_server::{Listener, tls::Tls};
use orlop_store::{
    executor::member::{Member, MemberError, Settings},
    planner::{command::Command, state::Reply},
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Ten times what an election and a few writes take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A loopback address that no other test has, so that a member finds its own again after a restart.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let own = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let byte = |number: u32| u8::try_from(number & 0xff).expect("masked");
    let last = u8::try_from(own).expect("a few members a test");
    Ipv4Addr::new(127, byte(process >> 8) | 1, byte(process), last)
}

/// One member: its directory, and its process, as it were.
pub(crate) struct Node {
    pub(crate) directory: TempDir,
    pub(crate) settings: Settings,
    /// Where it listens for its peers.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) running: Option<(Runtime, Member)>,
}

pub(crate) const PORT: u16 = 2380;

impl Node {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            settings: Settings {
                name: name.to_owned(),
                heartbeat: Duration::from_millis(50),
                election: Duration::from_millis(400),
                request_timeout: Duration::from_secs(5),
                ..Settings::default()
            },
            listen: vec![SocketAddr::from((address(), PORT))],
            running: None,
        }
    }

    /// Where its peers are told to call it.
    pub(crate) fn urls(&self) -> Vec<String> {
        let scheme = match self.settings.peer_certificates {
            Some(_) => "https",
            None => "http",
        };
        let listen = self.listen.iter();
        listen
            .map(|address| format!("{scheme}://{address}"))
            .collect()
    }

    pub(crate) fn url(&self) -> String {
        self.urls().remove(0)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn try_start(&mut self) -> Result<(), MemberError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let member = runtime.block_on(async {
            let mut listeners = Vec::new();
            for address in &self.listen {
                let listener = match &self.settings.peer_certificates {
                    Some(files) => {
                        let tls = Tls::new(files.clone()).expect("good files");
                        Listener::tls(*address, Arc::new(tls)).await
                    }
                    None => Listener::plain(*address).await,
                };
                listeners.push(listener.expect("our own address"));
            }
            Member::open(&self.data(), self.settings.clone(), listeners).await
        })?;
        self.running = Some((runtime, member));
        Ok(())
    }

    pub(crate) fn start(&mut self) {
        self.try_start().expect("a member starts");
    }

    pub(crate) fn member(&self) -> &Member {
        &self.running.as_ref().expect("it runs").1
    }

    /// Has a request answered on the member's own runtime.
    pub(crate) fn run<T>(&self, request: impl Future<Output = T>) -> T {
        let (runtime, _) = self.running.as_ref().expect("it runs");
        runtime.block_on(request)
    }

    pub(crate) fn ready(&self) {
        let ready = async { tokio::time::timeout(PATIENCE, self.member().wait_ready()).await };
        self.run(ready).expect("in time").expect("ready");
    }

    pub(crate) fn kill(&mut self) {
        let (runtime, member) = self.running.take().expect("it runs");
        drop(member);
        runtime.shutdown_timeout(PATIENCE);
    }

    pub(crate) fn stop(&mut self) {
        self.run(self.member().stop()).expect("an orderly end");
        self.kill();
    }

    pub(crate) fn try_put(&self, key: &str, value: &str) -> Result<i64, MemberError> {
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        };
        match self.run(self.member().propose(Command::Put(request)))? {
            Reply::Put(response) => Ok(response.header.expect("a header").revision),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> i64 {
        self.try_put(key, value).expect("put")
    }

    /// What this member itself knows, with no regard to others.
    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        let request = RangeRequest {
            key: key.to_owned().into(),
            ..RangeRequest::default()
        };
        let response = self
            .member()
            .read(|state, records| state.range(&request, records));
        let mut found = response.expect("a disk").expect("a range").kvs;
        found.pop()
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let found = self.get(key)?;
        Some(String::from_utf8(found.value.to_vec()).expect("text"))
    }

    pub(crate) fn leader(&self) -> u64 {
        self.member().status().expect("a status").standing.leader_id
    }
}

/// Waits for a condition.
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(LOOK);
    }
}

pub(crate) fn cluster<const N: usize>(change: impl Fn(&mut Settings)) -> [Node; N] {
    let mut nodes = nodes();
    for node in &mut nodes {
        change(&mut node.settings);
    }
    start_all(&mut nodes);
    nodes
}

/// Tells all of all, starts them, and waits until they are ready.
pub(crate) fn start_all(nodes: &mut [Node]) {
    acquaint(nodes);
    for node in &mut *nodes {
        node.start();
    }
    for node in nodes {
        node.ready();
    }
}

/// Members that have not started.
pub(crate) fn nodes<const N: usize>() -> [Node; N] {
    std::array::from_fn(|position| Node::new(&format!("m{position}")))
}

/// Tells all of all.
pub(crate) fn acquaint(nodes: &mut [Node]) {
    let all: Vec<_> = nodes
        .iter()
        .flat_map(|node| {
            let name = node.settings.name.clone();
            node.urls().into_iter().map(move |url| (name.clone(), url))
        })
        .collect();
    for node in nodes {
        node.settings.initial_cluster = all.clone();
    }
}

/// Position of the member that leads.
pub(crate) fn leading(nodes: &[Node]) -> usize {
    let mut found = None;
    wait("a leader", || {
        found = nodes
            .iter()
            .position(|node| node.running.is_some() && node.leader() == node.member().id());
        found.is_some()
    });
    found.expect("waited for")
}
