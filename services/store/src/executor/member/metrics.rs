//! What a member tells Prometheus beside its status, under etcd's names; read at each scrape.

use super::Member;
use openraft::async_runtime::WatchReceiver;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

/// The collector of one member.
pub struct MemberMetrics(pub Member);

impl fmt::Debug for MemberMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "metrics of member {:x}", self.0.id())
    }
}

impl Collector for MemberMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let member = &self.0;
        let machine = member.machine();
        let (tally, inner) = (&machine.tally, &member.inner);
        let counters = [
            (
                "etcd_server_leader_changes_seen",
                "Leaders that this member saw come",
                inner.leaders_seen.get(),
            ),
            (
                "etcd_server_proposals_failed",
                "Proposals that came to no answer here",
                inner.proposals_failed.get(),
            ),
            (
                "etcd_server_read_indexes_failed",
                "Rounds of linearizable reads that no quorum confirmed",
                inner.reads_failed.get(),
            ),
            ("etcd_mvcc_put", "Keys written", tally.puts.get()),
            ("etcd_mvcc_delete", "Keys deleted", tally.deletes.get()),
            (
                "etcd_mvcc_txn",
                "Transactions applied",
                tally.transactions.get(),
            ),
            (
                "etcd_debugging_lease_granted",
                "Leases granted",
                tally.leases_granted.get(),
            ),
            (
                "etcd_debugging_lease_revoked",
                "Leases revoked or ended",
                tally.leases_revoked.get(),
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        let committed = {
            let metrics = inner.metrics.borrow_watched();
            metrics
                .cluster_committed
                .map_or(0, |committed| committed.index)
        };
        let (streams, watches, behind) = machine.watches.counts();
        let (keys, compacted) = machine.extent();
        let gauges = [
            (
                "etcd_server_proposals_committed_total",
                "Index of the last committed entry",
                signed(committed),
            ),
            (
                "etcd_server_proposals_pending",
                "Proposals of this member that wait",
                count(machine.waiters.count()),
            ),
            (
                "etcd_debugging_mvcc_keys_total",
                "Keys with history",
                count(keys),
            ),
            (
                "etcd_debugging_mvcc_compact_revision",
                "Revision before which history is forgotten",
                compacted,
            ),
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "Watch streams",
                count(streams),
            ),
            (
                "etcd_debugging_mvcc_watcher_total",
                "Watches",
                count(watches),
            ),
            (
                "etcd_debugging_mvcc_slow_watcher_total",
                "Watches that are behind",
                count(behind),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        let durations = [
            (
                "etcd_disk_wal_fsync_duration_seconds",
                "Time of the log's group commits",
                &tally.flushes,
            ),
            (
                "etcd_disk_backend_commit_duration_seconds",
                "Time of writes of records, durable or not",
                &tally.writes,
            ),
        ];
        for (name, help, durations) in durations {
            let kind = MetricType::Histogram;
            let encoder = encoder.encode_descriptor(name, help, None, kind)?;
            durations.histogram().encode(encoder)?;
        }
        let mut family = encoder.encode_descriptor(
            "etcd_network_peer_round_trip_time_seconds",
            "Time until members answered signs of life, which the leader sends",
            None,
            MetricType::Histogram,
        )?;
        for (id, durations) in inner.peers.round_trips() {
            let to = [("To", format!("{id:x}"))];
            durations.histogram().encode(family.encode_family(&to)?)?;
        }
        Ok(())
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
