//! The store as a program under faults: killed at any moment, stopped for a while, its log damaged, its disk full. What was
//! acknowledged is there afterwards, revisions never go back, and no read is stale.

use anyhow::{Context as _, Result, bail, ensure};
use etcd_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, MemberAddRequest,
    MemberListRequest, MemberRemoveRequest, PutRequest, RangeRequest, StatusRequest,
    alarm_request::AlarmAction, cluster_client::ClusterClient, kv_client::KvClient,
    lease_client::LeaseClient, maintenance_client::MaintenanceClient,
};
use orlop_tests::{
    store::{Cluster, Kind, Options, cluster::Member, small_disk::SmallDisk},
    wait::{PATIENCE, eventually},
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Request, Status, transport::Channel};

/// Kills, over all clusters.
const KILLS_ALONE: u32 = 130;
const KILLS_OF_THREE: u32 = 70;
/// Who writes meanwhile.
const WRITERS: u64 = 4;
/// Usual time until a write is acknowledged again: a start, an election, and a busy machine.
const RECOVERS: Duration = Duration::from_secs(4);
/// One attempt of a client.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Signs of life and elections that do not make these tests wait.
const QUICK: [&str; 2] = ["--heartbeat-interval=50", "--election-timeout=500"];
/// How long a leader is stopped.
const STOPPED: Duration = Duration::from_secs(10);

/// Members, and a way to each of them.
struct Site {
    cluster: Cluster,
    channels: Vec<Channel>,
    runtime: Runtime,
}

impl Site {
    fn start(directory: &Path, members: usize) -> Result<Self> {
        let options = Options {
            members,
            flags: QUICK.map(str::to_owned).to_vec(),
            ..Options::default()
        };
        let cluster = Cluster::start(Kind::Orlop, directory, &options)?;
        let runtime = Runtime::new()?;
        let channels = {
            // Channels belong to a runtime from the beginning.
            let _context = runtime.enter();
            let endpoints = cluster.endpoints();
            endpoints
                .iter()
                .map(|url| channel(url))
                .collect::<Result<_>>()?
        };
        Ok(Self {
            cluster,
            channels,
            runtime,
        })
    }
}

fn channel(url: &str) -> Result<Channel> {
    Ok(Channel::from_shared(url.to_owned())?
        .connect_timeout(ATTEMPT)
        .connect_lazy())
}

fn within<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ATTEMPT);
    request
}

/// SplitMix64, from a seed that a failure prints.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.map_or(1, |now| u64::from(now.subsec_nanos()));
        println!("seed {nanos}");
        Self(nanos)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What clients were told.
#[derive(Default)]
struct Acknowledged {
    /// Keys, each written once, and the revision of that.
    keys: Mutex<BTreeMap<String, i64>>,
    newest: AtomicU64,
    ended: AtomicBool,
}

impl Acknowledged {
    fn note(&self, key: String, revision: i64) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key, revision);
        let revision = u64::try_from(revision).expect("revisions are positive");
        self.newest.fetch_max(revision, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// Writes key after key, by whichever member answers, until the end. Each is written once: one without an answer may
/// be there or not.
async fn write(writer: u64, channels: Vec<Channel>, acknowledged: Arc<Acknowledged>) -> Result<()> {
    let mut last = 0;
    let mut at = usize::try_from(writer)?;
    for number in 0.. {
        if acknowledged.ended.load(Ordering::SeqCst) {
            break;
        }
        let channel = channels[at % channels.len()].clone();
        let key = format!("{writer}/{number}");
        let before = acknowledged.newest.load(Ordering::SeqCst);
        let put = PutRequest {
            key: key.clone().into(),
            value: format!("value of {key}").into(),
            ..PutRequest::default()
        };
        match timeout(ATTEMPT, KvClient::new(channel).put(within(put))).await {
            Ok(Ok(answer)) => {
                let header = answer.into_inner().header.context("a header")?;
                let revision = header.revision;
                ensure!(
                    revision > last && u64::try_from(revision)? > before,
                    "{key} got revision {revision} after {last} and {before} were acknowledged"
                );
                last = revision;
                acknowledged.note(key, revision);
            }
            Ok(Err(_)) | Err(_) => {
                at += 1;
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
    Ok(())
}

/// Waits until more is acknowledged than there was.
async fn goes_on(acknowledged: &Acknowledged, cluster: &Cluster) -> Result<()> {
    let (begun, before) = (Instant::now(), acknowledged.count());
    while acknowledged.count() == before {
        if begun.elapsed() > RECOVERS * PATIENCE {
            let logs: Vec<String> = cluster.members.iter().map(|member| member.log()).collect();
            bail!("nothing is acknowledged any more:\n{}", logs.join("\n"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Asks until there is an answer.
async fn range(
    channel: &Channel,
    request: RangeRequest,
) -> Result<(i64, Vec<(String, String, i64)>)> {
    let begun = Instant::now();
    loop {
        let mut client = KvClient::new(channel.clone());
        match timeout(ATTEMPT, client.range(within(request.clone()))).await {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                let header = answer.header.context("a header")?;
                let pairs = answer.kvs.into_iter().map(|pair| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    (text(&pair.key), text(&pair.value), pair.mod_revision)
                });
                return Ok((header.revision, pairs.collect()));
            }
            failed if begun.elapsed() > RECOVERS * PATIENCE => {
                bail!("no answer: {failed:?}");
            }
            Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn everything() -> RangeRequest {
    RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    }
}

/// Those who write, until they are ended.
struct Writers(JoinSet<Result<()>>);

impl Writers {
    fn start(runtime: &Runtime, channels: &[Channel], acknowledged: &Arc<Acknowledged>) -> Self {
        let _context = runtime.enter();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(writer, channels.to_vec(), acknowledged.clone()));
        }
        Self(writers)
    }

    /// Ends them, and looks for all that was acknowledged, at each member; how much that is.
    async fn end(mut self, acknowledged: &Acknowledged, channels: &[Channel]) -> Result<usize> {
        acknowledged.ended.store(true, Ordering::SeqCst);
        while let Some(writer) = self.0.join_next().await {
            writer??;
        }
        let keys = acknowledged
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for channel in channels {
            let (revision, pairs) = range(channel, everything()).await?;
            ensure!(
                u64::try_from(revision)? >= acknowledged.newest.load(Ordering::SeqCst),
                "the revision went back to {revision}"
            );
            let found: BTreeMap<&str, (&str, i64)> = pairs
                .iter()
                .map(|(key, value, revision)| (key.as_str(), (value.as_str(), *revision)))
                .collect();
            for (key, revision) in &keys {
                let expect = (format!("value of {key}"), *revision);
                let is = found.get(key.as_str()).copied();
                ensure!(
                    is == Some((&*expect.0, expect.1)),
                    "{key} is {is:?}, was {expect:?}"
                );
            }
        }
        Ok(keys.len())
    }
}

/// Kills members while clients write, and looks for everything afterwards.
fn kill_at_random(members: usize, kills: u32) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut random = Random::new();
    let Site {
        mut cluster,
        channels,
        runtime,
    } = Site::start(directory.path(), members)?;
    let acknowledged = Arc::new(Acknowledged::default());
    let writers = Writers::start(&runtime, &channels, &acknowledged);
    runtime.block_on(goes_on(&acknowledged, &cluster))?;
    for _ in 0..kills {
        let victim = usize::try_from(random.below(u64::try_from(members)?))?;
        std::thread::sleep(Duration::from_millis(random.below(150)));
        cluster.members[victim].kill()?;
        std::thread::sleep(Duration::from_millis(random.below(50)));
        cluster.members[victim].start()?;
        runtime.block_on(goes_on(&acknowledged, &cluster))?;
    }
    let count = runtime.block_on(writers.end(&acknowledged, &channels))?;
    println!("{kills} kills, {count} acknowledged writes, all there");
    Ok(())
}
#[test]
fn one_member_keeps_what_it_acknowledged_over_130_kills() -> Result<()> {
    kill_at_random(1, KILLS_ALONE)
}

#[test]
fn three_members_keep_what_they_acknowledged_over_70_kills() -> Result<()> {
    kill_at_random(3, KILLS_OF_THREE)
}

/// Position of the member that leads, when all agree.
async fn leading(channels: &[Channel], besides: Option<usize>) -> Result<usize> {
    let begun = Instant::now();
    while begun.elapsed() < RECOVERS * PATIENCE {
        let mut own = Vec::new();
        let mut leaders = Vec::new();
        for (position, channel) in channels.iter().enumerate() {
            if Some(position) == besides {
                own.push(0);
                continue;
            }
            let mut client = MaintenanceClient::new(channel.clone());
            if let Ok(Ok(status)) = timeout(ATTEMPT, client.status(within(StatusRequest {}))).await
            {
                let status = status.into_inner();
                own.push(status.header.context("a header")?.member_id);
                leaders.push(status.leader);
            } else {
                own.push(0);
            }
        }
        let agreed = leaders.iter().all(|leader| leader == &leaders[0]);
        let of_leader = |id: &u64| *id != 0 && leaders.first() == Some(id);
        if agreed
            && leaders.len() * 2 > channels.len()
            && let Some(position) = own.iter().position(of_leader)
        {
            return Ok(position);
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("nobody leads")
}

async fn put(channel: &Channel, key: &str, value: &str) -> Result<i64> {
    let begun = Instant::now();
    loop {
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        };
        let mut client = KvClient::new(channel.clone());
        match timeout(ATTEMPT, client.put(within(request))).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner().header.context("a header")?.revision),
            failed if begun.elapsed() > RECOVERS * PATIENCE => bail!("put {key}: {failed:?}"),
            Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

#[test]
fn a_leader_that_was_stopped_for_ten_seconds_answers_no_stale_read() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Site {
        cluster,
        channels,
        runtime,
    } = Site::start(directory.path(), 3)?;
    runtime.block_on(async {
        put(&channels[0], "a", "before").await?;
        let leader = leading(&channels, None).await?;
        // Its connection is there, so that requests lie in its socket while it is stopped.
        let one = || RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        };
        range(&channels[leader], one()).await?;
        cluster.members[leader].pause()?;
        let stopped = Instant::now();
        let mut waiting = JoinSet::new();
        for _ in 0..8 {
            let mut client = KvClient::new(channels[leader].clone());
            waiting.spawn(async move { client.range(one()).await });
        }
        let next = leading(&channels, Some(leader)).await?;
        put(&channels[next], "a", "after").await?;
        ensure!(
            stopped.elapsed() < STOPPED,
            "an election took longer than the stop"
        );
        sleep(STOPPED.saturating_sub(stopped.elapsed())).await;
        cluster.members[leader].resume()?;
        let (mut answers, mut refused) = (0, 0);
        let mut look = |answer: Result<tonic::Response<_>, tonic::Status>| {
            match answer {
                Ok(answer) => {
                    let answer: etcd_proto::etcdserverpb::RangeResponse = answer.into_inner();
                    let pair = answer.kvs.first().context("the key is there")?;
                    ensure!(&*pair.value == b"after", "a stale read: {pair:?}");
                    answers += 1;
                }
                Err(status) => {
                    ensure!(status.code() != Code::Internal, "{status}");
                    refused += 1;
                }
            }
            Ok(())
        };
        while let Some(answer) = waiting.join_next().await {
            look(answer?)?;
        }
        for _ in 0..100 {
            look(
                KvClient::new(channels[leader].clone())
                    .range(within(one()))
                    .await,
            )?;
        }
        ensure!(answers > 0, "it never answered again");
        println!("{answers} answers, {refused} refused, none stale");
        Ok(())
    })
}

/// What a member says that ends by itself instead of starting.
fn does_not_start(member: &mut Member) -> Result<String> {
    match member.start() {
        Ok(()) => member.wait_end(),
        // It was faster than the look at its process.
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn a_member_whose_log_is_damaged_says_so_and_is_rebuilt_from_its_peers() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Site {
        mut cluster,
        channels,
        runtime,
    } = Site::start(directory.path(), 3)?;
    runtime.block_on(async {
        for number in 0..200 {
            put(&channels[0], &format!("{number}"), "value").await?;
        }
        range(&channels[2], everything()).await?;
        anyhow::Ok(())
    })?;
    cluster.members[2].kill()?;
    // In the middle of what later writes vouch for.
    let segments = cluster.members[2].data().join("log");
    let segment = fs::read_dir(&segments)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .min()
        .context("a segment")?;
    let mut bytes = fs::read(&segment)?;
    let middle = bytes.len() / 4;
    for byte in &mut bytes[middle..middle + 64] {
        *byte ^= 0x55;
    }
    fs::write(&segment, bytes)?;
    let log = does_not_start(&mut cluster.members[2])?;
    let name = segment
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .into_owned();
    ensure!(log.contains("damaged") && log.contains(&name), "{log}");
    runtime.block_on(async {
        let mut client = ClusterClient::new(channels[0].clone());
        let members = client
            .member_list(MemberListRequest { linearizable: true })
            .await?;
        let gone = members
            .into_inner()
            .members
            .into_iter()
            .find(|member| member.name == "m3");
        let id = gone.context("it is a member")?.id;
        client.member_remove(MemberRemoveRequest { id }).await?;
        put(&channels[0], "while it was gone", "value").await?;
        let fresh = cluster.prepare_member()?;
        let add = MemberAddRequest {
            peer_urls: vec![fresh.peer_url().to_owned()],
            is_learner: false,
        };
        client.member_add(add).await?;
        fresh.start()?;
        let own = RangeRequest {
            serializable: true,
            count_only: true,
            ..everything()
        };
        let mut reader = KvClient::new(channel(fresh.client_url())?);
        let begun = Instant::now();
        loop {
            let asked = timeout(ATTEMPT, reader.range(within(own.clone())));
            if let Ok(Ok(answer)) = asked.await
                && answer.into_inner().count == 201
            {
                break;
            }
            ensure!(
                begun.elapsed() < RECOVERS * PATIENCE,
                "it does not catch up:\n{}",
                fresh.log()
            );
            sleep(Duration::from_millis(50)).await;
        }
        let alarms = AlarmRequest {
            action: AlarmAction::Get.into(),
            ..AlarmRequest::default()
        };
        // It may be a learner still, which is not asked for alarms.
        let mut others = MaintenanceClient::new(channels[0].clone());
        let alarms = others.alarm(alarms).await?;
        ensure!(alarms.into_inner().alarms.is_empty());
        Ok(())
    })
}

const MIB: u64 = 1024 * 1024;
/// The whole file system: twice what a member keeps free, and what it writes in this test.
const DISK_BYTES: u64 = 200 * MIB;
/// Free bytes below which puts are refused, as the README of the store says; a quarter of it is for deletes.
const KEPT_BYTES: u64 = 64 * MIB;
/// By this much its memory may grow while its disk is full: records that wait to be written, and what clients send.
const GROWS_MAX: u64 = 64 * MIB;
/// A refusal needs no disk.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// More compactions than there is room for in what the last pages of log and records have left.
const COMPACTIONS_MAX: i64 = 1000;

/// On a thread of its own: the file system goes with it and with the member.
#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() -> Result<()> {
    let test = std::thread::spawn(fill_the_disk);
    test.join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn fill_the_disk() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut disk = SmallDisk::mount(&directory.path().join("m1/data"), DISK_BYTES)?;
    on_a_full_disk(directory.path(), &mut disk)
}

fn on_a_full_disk(directory: &Path, disk: &mut SmallDisk) -> Result<()> {
    let Site {
        mut cluster,
        channels,
        runtime,
    } = Site::start(directory, 1)?;
    let channel = &channels[0];
    let acknowledged = Arc::new(Acknowledged::default());
    let writers = Writers::start(&runtime, &channels, &acknowledged);
    runtime.block_on(async {
        goes_on(&acknowledged, &cluster).await?;
        let mut revision = put(channel, "to be deleted", "value").await?;
        put(channel, "to be deleted too", "value").await?;
        let resident = cluster.members[0].usage()?.resident;

        // Less than is kept: nobody may put, and there is room for deletes.
        disk.leave(KEPT_BYTES / 2)?;
        refused(channel).await?;
        range(channel, everything()).await?;
        let at_rest = acknowledged.count();
        ensure!(delete(channel, "to be deleted").await?? == 1);
        revision = compact(channel, revision).await??;
        ensure!(acknowledged.count() == at_rest, "somebody could put");

        // Less than a quarter of that: nor delete.
        disk.leave(KEPT_BYTES / 8)?;
        until_refused(|| delete(channel, "to be deleted too")).await?;
        range(channel, everything()).await?;
        revision = compact(channel, revision).await??;

        disk.leave(DISK_BYTES / 2)?;
        goes_on(&acknowledged, &cluster).await?;

        // Not a byte is left, while they write. What is refused is not appended; compactions are, and wait for room.
        disk.fill()?;
        refused(channel).await?;
        let before = acknowledged.count();
        revision = compact_until_late(channel, revision).await?;
        let own = RangeRequest {
            serializable: true,
            ..everything()
        };
        let (_, pairs) = range(channel, own).await?;
        ensure!(pairs.len() >= before, "{} of {before} keys", pairs.len());
        let grown = cluster.members[0]
            .usage()?
            .resident
            .saturating_sub(resident);
        println!("{} KiB more memory after all this", grown / 1024);
        ensure!(grown < GROWS_MAX, "its memory has grown by {grown} bytes");
        disk.leave(DISK_BYTES / 2)?;
        goes_on(&acknowledged, &cluster).await?;

        // The same again, and it is killed.
        disk.fill()?;
        refused(channel).await?;
        compact_until_late(channel, revision).await?;
        anyhow::Ok(())
    })?;
    cluster.members[0].kill()?;
    // What it had not finished is removed, and may leave room for a start; if not, it ends or waits, and says why.
    if let Err(error) = cluster.members[0].start() {
        let said = format!("{error:#}");
        ensure!(said.contains("No space left on device"), "{said}");
    }
    eventually("a start on a full disk", RECOVERS, || {
        let log = cluster.members[0].log();
        let own = RangeRequest {
            serializable: true,
            ..everything()
        };
        let says = ["No space left on device", "waits until there is space"];
        let serves = || runtime.block_on(range(channel, own)).is_ok();
        Ok((says.iter().any(|text| log.contains(text)) || serves()).then_some(()))
    })?;
    disk.leave(DISK_BYTES / 2)?;
    // It may have ended.
    let _ = cluster.members[0].kill();
    cluster.members[0].start()?;
    let count = runtime.block_on(async {
        goes_on(&acknowledged, &cluster).await?;
        writers.end(&acknowledged, &channels).await
    })?;
    println!("{count} acknowledged writes, all there");
    cluster.members[0].stop()
}

/// Waits until puts and leases are refused for want of space; each answer comes at once.
async fn refused(channel: &Channel) -> Result<()> {
    let mut leases = LeaseClient::new(channel.clone());
    let grant = LeaseGrantRequest { id: 0, ttl: 100 };
    let put = PutRequest {
        key: "refused".into(),
        ..PutRequest::default()
    };
    let mut client = KvClient::new(channel.clone());
    until_refused(|| {
        let (mut client, put) = (client.clone(), put.clone());
        async move { anyhow::Ok(client.put(within(put)).await) }
    })
    .await?;
    let begun = Instant::now();
    let status = client.put(within(put)).await.err().context("refused")?;
    ensure!(is_clear(&status), "{status}");
    let status = leases
        .lease_grant(within(grant))
        .await
        .err()
        .context("refused")?;
    ensure!(is_clear(&status), "{status}");
    ensure!(begun.elapsed() < REFUSED_WITHIN, "{:?}", begun.elapsed());
    Ok(())
}

/// What was proposed before space ran out is refused otherwise: it is late.
async fn until_refused<T, F>(mut request: impl FnMut() -> F) -> Result<()>
where
    T: std::fmt::Debug,
    F: Future<Output = Result<Result<T, Status>>>,
{
    let begun = Instant::now();
    loop {
        match request().await? {
            Err(status) if is_clear(&status) => return Ok(()),
            last if begun.elapsed() > RECOVERS * PATIENCE => bail!("it is not refused: {last:?}"),
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn is_clear(status: &Status) -> bool {
    let text = status.message();
    status.code() == Code::Unavailable
        && text.contains("the disk of the member is full")
        && text.contains("make space on it")
}

async fn delete(channel: &Channel, key: &str) -> Result<Result<i64, Status>> {
    let request = DeleteRangeRequest {
        key: key.to_owned().into(),
        ..DeleteRangeRequest::default()
    };
    let answer = KvClient::new(channel.clone())
        .delete_range(within(request))
        .await;
    Ok(answer.map(|answer| answer.into_inner().deleted))
}

/// Compacts, and waits until that is done on the disk too; the revision for the next.
async fn compact(channel: &Channel, revision: i64) -> Result<Result<i64, Status>> {
    let request = CompactionRequest {
        revision,
        physical: true,
    };
    let answer = KvClient::new(channel.clone())
        .compact(within(request))
        .await;
    Ok(answer.map(|_| revision + 1))
}

/// Compacts revision after revision until one has to wait; the revision for the next. What waits is carried out later.
async fn compact_until_late(channel: &Channel, mut revision: i64) -> Result<i64> {
    for _ in 0..COMPACTIONS_MAX {
        match compact(channel, revision).await? {
            Ok(next) => revision = next,
            Err(status) => {
                let late = matches!(
                    status.code(),
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
                );
                ensure!(late, "{status}");
                return Ok(revision + 1);
            }
        }
    }
    bail!("there is room for {COMPACTIONS_MAX} compactions")
}
