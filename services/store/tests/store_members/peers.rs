//! Connections between members: mutual TLS, several URLs, and peers that are not what they should be.

use crate::cluster::{
    Node, PATIENCE, PORT, acquaint, address, cluster, leading, nodes, start_all, wait,
};
use bytes::Bytes;
use etcd_client::Dialer;
use etcd_proto::errors::Refusal;
use http_server::tls::Files;
use orlop_store::executor::{
    member::{MemberError, Settings},
    peer::{
        CLUSTER, MESSAGE_BYTES_MAX, TO,
        client::list_members,
        proto::{
            AppendRequest, Entry, LogId, Position, ProposeRequest, SnapshotBegin, SnapshotChunk,
            SnapshotEnd, Vote, peer_client::PeerClient,
        },
        transport::Connector,
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, transport::Channel};

/// A CA of peers.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        Self { issuer }
    }

    /// Writes a certificate for these names, and who is trusted.
    fn write(&self, directory: &Path, names: &[String], trusted: &[&Self]) -> Files {
        let files = files(directory);
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        fs::write(&files.certificate, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        trust(directory, trusted);
        files
    }
}

fn files(directory: &Path) -> Files {
    Files {
        certificate: directory.join("peer.pem"),
        key: directory.join("peer.key"),
        trusted: directory.join("peers-ca.pem"),
    }
}

fn trust(directory: &Path, trusted: &[&Authority]) {
    let all: String = trusted.iter().map(|one| one.issuer.pem()).collect();
    fs::write(files(directory).trusted, all).expect("written");
}

/// Names of a member, for its certificate.
fn names(node: &Node) -> Vec<String> {
    let addresses = node.listen.iter();
    addresses.map(|address| address.ip().to_string()).collect()
}

fn certify(node: &mut Node, authority: &Authority) {
    let files = authority.write(node.directory.path(), &names(node), &[authority]);
    node.settings.peer_certificates = Some(files);
}

/// Three members whose certificates are of one CA.
fn certified(authority: &Authority) -> [Node; 3] {
    let mut nodes = nodes();
    for node in &mut nodes {
        certify(node, authority);
    }
    start_all(&mut nodes);
    nodes
}

/// Calls a member from outside with these certificates; why it failed, if it did.
fn call(certificates: Option<Files>, url: &str) -> Result<u64, String> {
    let dialer = Dialer::new(certificates, "/nonexistent".into()).expect("good files");
    let connector: Connector = Arc::new(dialer);
    let runtime = Runtime::new().expect("a runtime");
    let answer = runtime.block_on(list_members(&connector, url, PATIENCE));
    let members = answer.map_err(|status| status.message().to_owned())?;
    Ok(members.cluster_id)
}

#[track_caller]
fn refused(certificates: Option<Files>, url: &str, expect: &str) {
    let error = call(certificates, url).expect_err("refused");
    assert!(error.contains(expect), "{error}");
}

#[test]
fn certificates_are_replaced_while_members_run() {
    let first = Authority::new();
    let mut nodes = certified(&first);
    let leader = leading(&nodes);
    nodes[leader].put("a", "1");
    // As people do it: both CAs are trusted, then certificates change, then the first CA goes.
    let second = Authority::new();
    for node in &nodes {
        trust(node.directory.path(), &[&first, &second]);
    }
    for node in &nodes {
        second.write(node.directory.path(), &names(node), &[&first, &second]);
    }
    nodes[leader].put("b", "2");
    for node in &nodes {
        trust(node.directory.path(), &[&second]);
    }
    let (old, new) = (TempDir::new(), TempDir::new());
    let (old, new) = (old.expect("a directory"), new.expect("a directory"));
    let old = first.write(old.path(), &[], &[&first, &second]);
    let new = second.write(new.path(), &[], &[&second]);
    for node in &nodes {
        // New connections see the new certificate, and need one.
        let cluster = node.member().cluster_id();
        assert_eq!(call(Some(new.clone()), &node.url()), Ok(cluster));
        call(Some(old.clone()), &node.url()).expect_err("its CA is no longer trusted");
    }
    // Those of before live on, and a quorum with them.
    nodes[leader].put("c", "3");
    // Whoever connects anew does so with what is there now.
    let follower = (leader + 1) % 3;
    nodes[follower].kill();
    nodes[leader].put("d", "4");
    nodes[follower].start();
    nodes[follower].ready();
    assert_eq!(nodes[follower].value("d").as_deref(), Some("4"));
    nodes[leader].kill();
    let put = || nodes[follower].try_put("e", "5");
    wait("the two that are left go on", || put().is_ok());
}

#[test]
fn who_is_of_another_ca_or_another_name_is_refused() {
    let authority = Authority::new();
    let mut node = Node::new("alone");
    certify(&mut node, &authority);
    acquaint(std::slice::from_mut(&mut node));
    node.start();
    node.ready();
    let url = node.url();
    let directory = tempfile::tempdir().expect("a directory");
    let write = |signer: &Authority, trusted: &Authority, name: &str| {
        let directory = directory.path().join(name);
        fs::create_dir(&directory).expect("made");
        signer.write(&directory, &["peer.test".to_owned()], &[trusted])
    };
    let good = write(&authority, &authority, "good");
    let id = node.member().cluster_id();
    assert_eq!(call(Some(good.clone()), &url), Ok(id));
    let other = Authority::new();
    // It does not take us for a peer, and we do not take it for one.
    call(Some(write(&other, &authority, "client")), &url).expect_err("refused");
    refused(
        Some(write(&authority, &other, "server")),
        &url,
        "invalid peer certificate",
    );
    refused(None, &url, "https needs the certificates for peers");
    // Its certificate is for its address, not for this name of it.
    let localhost = SocketAddr::from(([127, 0, 0, 1], PORT));
    let mut named = Node::new("named");
    named.listen = vec![SocketAddr::new(localhost.ip(), free_port())];
    let files = authority.write(
        named.directory.path(),
        &["b.test".to_owned()],
        &[&authority],
    );
    named.settings.peer_certificates = Some(files);
    acquaint(std::slice::from_mut(&mut named));
    named.start();
    named.ready();
    let port = named.listen[0].port();
    refused(
        Some(good.clone()),
        &format!("https://127.0.0.1:{port}"),
        "not valid for name",
    );
    refused(
        Some(good.clone()),
        &format!("https://localhost:{port}"),
        "not valid for name",
    );
    refused(Some(good), "https://c.test:1", "no nameservers are known");
    // Plain HTTP to who speaks TLS, and to whoever is not on this machine.
    call(None, &url.replace("https", "http")).expect_err("refused");
    refused(None, "http://192.0.2.1:2380", "loopback only");
    let add = node
        .member()
        .add_member(vec!["http://192.0.2.1:2380".to_owned()], true);
    assert!(matches!(
        node.run(add),
        Err(MemberError::Refused(Refusal::MemberBadUrls))
    ));
}

/// A port of loopback that nobody has now.
fn free_port() -> u16 {
    let any = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    any.local_addr().expect("TCP").port()
}

#[test]
fn a_member_whose_certificate_is_for_another_is_not_called() {
    let authority = Authority::new();
    let mut nodes: [Node; 3] = nodes();
    for node in &mut nodes {
        certify(node, &authority);
    }
    let wrong = vec!["127.255.255.254".to_owned()];
    authority.write(nodes[2].directory.path(), &wrong, &[&authority]);
    acquaint(&mut nodes);
    let [a, b, c] = &mut nodes;
    a.start();
    b.start();
    a.ready();
    c.start();
    a.put("a", "1");
    // Not from a third who listens: nobody calls him, so that he never hears of it, though he runs.
    let late =
        async { tokio::time::timeout(Duration::from_secs(3), c.member().wait_ready()).await };
    c.run(late).expect_err("never ready");
    assert_eq!(c.value("a"), None);
    // Once his certificate is his, he is called.
    certify(c, &authority);
    c.ready();
    assert_eq!(c.value("a").as_deref(), Some("1"));
}

#[test]
fn a_member_is_reached_by_any_of_its_urls_and_where_it_has_moved() {
    let mut nodes: [Node; 3] = nodes();
    // Its first URL leads nowhere.
    let nowhere = SocketAddr::from((address(), PORT));
    let real = nodes[0].listen[0];
    nodes[0].listen = vec![nowhere, real];
    acquaint(&mut nodes);
    nodes[0].listen = vec![real];
    for node in &mut nodes {
        node.start();
    }
    for node in &nodes {
        node.ready();
    }
    nodes[0].put("a", "1");
    for node in &nodes {
        wait("all have it", || node.get("a").is_some());
    }
    // It moves while it is down.
    let id = nodes[0].member().id();
    nodes[0].kill();
    let moved = SocketAddr::from((address(), PORT));
    let url = format!("http://{moved}");
    let update = || nodes[1].run(nodes[1].member().update_member(id, vec![url.clone()]));
    wait("the cluster is told", || update().is_ok());
    nodes[1].put("b", "2");
    nodes[0].listen = vec![moved];
    nodes[0].start();
    nodes[0].ready();
    wait("it is called there", || nodes[0].get("b").is_some());
}

/// A client of a member's door for peers, and what addresses a request to it.
struct Caller {
    runtime: Runtime,
    client: PeerClient<Channel>,
    cluster: u64,
    id: u64,
}

impl Caller {
    fn of(node: &Node) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let channel = {
            let _runtime = runtime.enter();
            Channel::from_shared(node.url())
                .expect("a URL")
                .connect_lazy()
        };
        Self {
            runtime,
            client: PeerClient::new(channel).max_encoding_message_size(2 * MESSAGE_BYTES_MAX),
            cluster: node.member().cluster_id(),
            id: node.member().id(),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(CLUSTER, self.cluster.into());
        request.metadata_mut().insert(TO, self.id.into());
        request.set_timeout(PATIENCE);
        request
    }

    fn append(&self, append: AppendRequest) -> Code {
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.append(self.request(append)));
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    fn propose(&self, proposal: &[u8]) -> Code {
        let mut client = self.client.clone();
        let proposal = Bytes::copy_from_slice(proposal);
        let request = self.request(ProposeRequest { proposal });
        let answer = self.runtime.block_on(client.propose(request));
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Sends a snapshot of these chunks and no more.
    fn install(&self, chunks: Vec<SnapshotChunk>) -> Code {
        let mut client = self.client.clone();
        let request = self.request(tokio_stream::iter(chunks));
        let answer = self.runtime.block_on(client.install(request));
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }
}

fn begin() -> SnapshotChunk {
    let begin = SnapshotBegin {
        vote: Some(Vote::default()),
        position: Some(Position::default()),
        revision: 9,
        compacted: -1,
        ..SnapshotBegin::default()
    };
    SnapshotChunk {
        begin: Some(begin),
        ..SnapshotChunk::default()
    }
}

fn end(records: u64) -> SnapshotChunk {
    SnapshotChunk {
        end: Some(SnapshotEnd { records }),
        ..SnapshotChunk::default()
    }
}

fn record(main: i64, pair: &[u8]) -> SnapshotChunk {
    let record = orlop_store::executor::peer::proto::Record {
        main,
        sub: 0,
        pair: Bytes::copy_from_slice(pair),
    };
    SnapshotChunk {
        records: vec![record],
        ..SnapshotChunk::default()
    }
}

#[test]
fn what_a_peer_must_not_say_is_refused_and_nothing_is_lost() {
    let [mut node]: [Node; 1] = cluster(|_| {});
    node.put("a", "1");
    let mut caller = Caller::of(&node);
    let entry = |index, payload: Vec<u8>| Entry {
        id: Some(LogId {
            term: 1,
            node: 1,
            index,
        }),
        payload: payload.into(),
    };
    let blank = [&[0][..], &1_u64.to_be_bytes(), &1_u64.to_be_bytes()].concat();
    let append = |entries| AppendRequest {
        vote: Some(Vote::default()),
        entries,
        ..AppendRequest::default()
    };
    // An old leader's word, as it should be said, is answered.
    assert_eq!(caller.append(append(Vec::new())), Code::Ok);
    // Garbage, gaps, and what is too large.
    let garbage = append(vec![entry(0, vec![200; 30])]);
    assert_eq!(caller.append(garbage), Code::InvalidArgument);
    let gap = append(vec![entry(0, blank.clone()), entry(2, blank.clone())]);
    assert_eq!(caller.append(gap), Code::InvalidArgument);
    let no_vote = AppendRequest::default();
    assert_eq!(caller.append(no_vote), Code::InvalidArgument);
    let large = append(vec![entry(0, vec![0; MESSAGE_BYTES_MAX + 1])]);
    assert_eq!(caller.append(large), Code::OutOfRange);
    // A proposal that nobody could apply must not come into the log.
    assert_eq!(caller.propose(b"short"), Code::InvalidArgument);
    assert_eq!(caller.propose(&[9; 40]), Code::InvalidArgument);
    // Snapshots that break off, lie, or hold what is none.
    assert_eq!(caller.install(Vec::new()), Code::InvalidArgument);
    assert_eq!(caller.install(vec![end(0)]), Code::InvalidArgument);
    assert_eq!(caller.install(vec![begin()]), Code::Aborted);
    assert_eq!(caller.install(vec![begin(), end(1)]), Code::Internal);
    let no_pair = vec![begin(), record(2, b"no pair"), end(1)];
    assert_eq!(caller.install(no_pair), Code::InvalidArgument);
    let later = vec![begin(), record(99, b""), end(1)];
    assert_eq!(caller.install(later), Code::InvalidArgument);
    // Whole, and of a leader long gone: taken in, and not installed.
    assert_eq!(caller.install(vec![begin(), end(0)]), Code::Ok);
    // Two at once: there is one file for them. The next is taken when the first has broken off.
    let begin_one = || {
        let (chunks, waiting) = mpsc::channel(1);
        let mut client = caller.client.clone();
        let request = caller.request(ReceiverStream::new(waiting));
        let runtime = &caller.runtime;
        let one = runtime.spawn(async move { client.install(request).await });
        runtime.block_on(chunks.send(begin())).expect("it is open");
        (chunks, one)
    };
    let (mut chunks, mut first) = begin_one();
    wait("the first has begun", || {
        // It may have come second, and so have been refused itself.
        if first.is_finished() {
            (chunks, first) = begin_one();
        }
        caller.install(vec![begin(), end(0)]) == Code::Unavailable
    });
    drop(chunks);
    let broken = caller.runtime.block_on(first).expect("an answer");
    assert_eq!(broken.expect_err("it broke off").code(), Code::Aborted);
    assert_eq!(caller.install(vec![begin(), end(0)]), Code::Ok);
    // What was meant for others.
    let (cluster, id) = (caller.cluster, caller.id);
    caller.cluster += 1;
    assert_eq!(caller.append(append(Vec::new())), Code::FailedPrecondition);
    (caller.cluster, caller.id) = (cluster, id + 1);
    assert_eq!(caller.append(append(Vec::new())), Code::FailedPrecondition);
    assert_eq!(node.value("a").as_deref(), Some("1"));
    assert_eq!(node.put("b", "2"), 3);
    node.kill();
    node.start();
    node.ready();
    assert_eq!(node.value("a").as_deref(), Some("1"));
    assert_eq!(node.put("c", "3"), 4);
}

#[test]
fn a_stream_of_entries_ends_with_what_is_no_entry() {
    let [node]: [Node; 1] = cluster(|_| {});
    let caller = Caller::of(&node);
    let old = AppendRequest {
        vote: Some(Vote::default()),
        ..AppendRequest::default()
    };
    let mut client = caller.client.clone();
    let requests = vec![AppendRequest::default(), old.clone()];
    let request = caller.request(tokio_stream::iter(requests));
    let error = caller.runtime.block_on(async {
        let mut answers = client.follow(request).await.expect("open").into_inner();
        answers.message().await.expect_err("no vote")
    });
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains("a vote is missing"), "{error}");
    // A leader of before is told so, and his stream ends, though he goes on.
    let request = caller.request(tokio_stream::iter(vec![old.clone(), old]));
    let answers = caller.runtime.block_on(async {
        let mut answers = client.follow(request).await.expect("open").into_inner();
        let mut count = 0;
        while let Some(answer) = answers.message().await.expect("an answer") {
            assert!(answer.vote.is_some(), "{answer:?}");
            count += 1;
        }
        count
    });
    assert_eq!(answers, 1);
}

#[test]
fn connections_that_say_nothing_or_nonsense_harm_nobody() {
    let authority = Authority::new();
    let mut nodes = certified(&authority);
    let leader = leading(&nodes);
    let address = nodes[leader].listen[0];
    let connect = || TcpStream::connect(address).expect("it listens");
    let _silent: Vec<_> = (0..100).map(|_| connect()).collect();
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0; 4096],
    ] {
        let mut stream = connect();
        stream.write_all(nonsense).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("ended");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut answer = Vec::new();
        // An alert or a reset: in any case an end.
        match stream.read_to_end(&mut answer) {
            Ok(_) => assert!(answer.len() < 100, "{answer:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    for node in &mut nodes {
        node.put("a", "1");
    }
}

#[test]
fn members_without_certificates_cannot_be_told_https() {
    let mut node = Node::new("alone");
    node.settings = Settings {
        initial_cluster: vec![("alone".to_owned(), "http://10.0.0.1:2380".to_owned())],
        ..node.settings
    };
    let refused = node.try_start().expect_err("refused");
    assert!(
        matches!(&refused, MemberError::Configuration(text) if text.contains("loopback only")),
        "{refused}"
    );
    let missing = files(&node.directory.path().join("nowhere"));
    node.listen = Vec::new();
    node.settings.peer_certificates = Some(missing);
    let refused = node.try_start().expect_err("refused");
    assert!(
        matches!(&refused, MemberError::Configuration(text) if text.contains("peer.pem")),
        "{refused}"
    );
}
