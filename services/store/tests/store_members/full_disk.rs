//! A member whose disk fills up: who writes is told, who reads is served, nothing that was acknowledged is lost, and it goes
//! on when there is space again.

use crate::{
    cluster::{LOOK, PATIENCE},
    simulated::{Crash, Simulated},
};
use etcd_client::Dialer;
use etcd_proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
use orlop_store::{
    executor::{
        disk::Disk as _,
        member::{Member, MemberError, Settings, Surroundings},
    },
    planner::{command::Command, state::Reply},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

struct Disks {
    records: Simulated,
    segments: Simulated,
}

impl Disks {
    fn new() -> Self {
        Self {
            records: Simulated::default(),
            segments: Simulated::default(),
        }
    }

    async fn start(&self, settings: Settings) -> Member {
        let dialer = Dialer::new(None, settings.resolv_conf.clone()).expect("no certificates");
        let surroundings = Surroundings {
            disk: Arc::new(self.records.clone()),
            segments: Arc::new(self.segments.clone()),
            connector: Arc::new(dialer),
        };
        let member = Member::start(surroundings, settings, Vec::new(), None);
        let member = member.await.expect("good disks");
        let ready = async {
            member.wait_ready().await.expect("ready");
            member.published().await;
        };
        timeout(PATIENCE, ready).await.expect("in time");
        member
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn put(key: &str, bytes: usize) -> Command {
    Command::Put(PutRequest {
        key: key.to_owned().into(),
        value: vec![b'v'; bytes].into(),
        ..PutRequest::default()
    })
}

fn delete(key: &str) -> Command {
    Command::DeleteRange(DeleteRangeRequest {
        key: key.to_owned().into(),
        ..DeleteRangeRequest::default()
    })
}

fn has(member: &Member, key: &str) -> bool {
    member
        .read(|state, _| state.index().get(key.as_bytes()).is_some())
        .expect("readable")
}

/// Proposes until it is taken: space came back, and the member notices that a little later.
async fn propose(member: &Member, command: Command) -> Reply {
    let taken = async {
        loop {
            match member.propose(command.clone()).await {
                Ok(reply) => return reply,
                Err(MemberError::DiskFull { .. } | MemberError::Timeout) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, taken).await.expect("in time")
}

/// Waits until the member refuses a command for want of space, which it notices a little later. Until then, so few are taken that
/// their records need not be written, and take no space.
async fn refused(member: &Member, command: Command) -> MemberError {
    let refused = async {
        loop {
            match member.propose(command.clone()).await {
                Err(error @ MemberError::DiskFull { .. }) => return error,
                Ok(_) | Err(MemberError::Timeout) => sleep(LOOK).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("in time")
}

#[test]
fn puts_are_refused_before_the_disk_is_full_and_deletes_a_little_later() {
    let disks = Disks::new();
    runtime().block_on(async {
        let settings = Settings {
            free_bytes_min: 100 * 1024,
            ..Settings::default()
        };
        let member = disks.start(settings.clone()).await;
        propose(&member, put("a", 100)).await;
        disks.records.space(Some(80 * 1024));
        let error = refused(&member, put("b", 100)).await;
        // A checkpoint may have taken some of them.
        assert!(
            matches!(
                error,
                MemberError::DiskFull {
                    free_bytes: ..=81_920,
                    needed_bytes: 102_400
                }
            ),
            "{error}"
        );
        propose(&member, delete("a")).await;
        disks.records.space(Some(20 * 1024));
        let error = refused(&member, delete("a")).await;
        assert!(matches!(error, MemberError::DiskFull { .. }), "{error}");
        member.linearize().await.expect("reads go on");
        disks.records.space(None);
        propose(&member, put("c", 100)).await;
        assert!(!has(&member, "a") && has(&member, "c"));
        member.stop().await.expect("good disks");
    });
}

/// Somebody else fills the disk to the last byte, log and records, while writes are under way.
#[test]
fn a_disk_that_is_full_to_the_last_byte_delays_and_loses_nothing() {
    let disks = Disks::new();
    let settings = Settings {
        free_bytes_min: 0,
        request_timeout: Duration::from_millis(300),
        // So that the records are written as well.
        checkpoint_entries: 20,
        ..Settings::default()
    };
    let acknowledged = runtime().block_on(async {
        let member = disks.start(settings.clone()).await;
        let mut acknowledged = Vec::new();
        for (round, full) in [&disks.segments, &disks.records].into_iter().enumerate() {
            full.space(Some(64 * 1024));
            for number in 0.. {
                let key = format!("key {round} {number}");
                match member.propose(put(&key, 1000)).await {
                    Ok(_) => acknowledged.push(key),
                    Err(error) => {
                        let etcds = error.refusal().is_some();
                        assert!(etcds, "nothing but late: {error}");
                        // A machine that stalls makes answers late as well.
                        if full.free().expect("in memory") == 0 {
                            break;
                        }
                    }
                }
            }
            assert!(acknowledged.iter().all(|key| has(&member, key)));
            full.space(None);
            let after = format!("after {round}");
            propose(&member, put(&after, 10)).await;
            acknowledged.push(after);
        }
        assert!(acknowledged.len() > 60, "{}", acknowledged.len());
        acknowledged
    });
    // It was not stopped, and the power goes.
    for disk in [&disks.records, &disks.segments] {
        disk.crash(Crash::Clean);
    }
    runtime().block_on(async {
        let member = disks.start(settings).await;
        let lost = acknowledged.iter().find(|key| !has(&member, key));
        assert_eq!(lost, None);
        member.stop().await.expect("good disks");
    });
}
