//! Clients that no kubectl is, and those of other makes.

use crate::{
    front::{read_head, until},
    node::{Node, PATIENCE},
    processes::{
        descriptors, found, gone, has_descriptors, keeper, marked, runtime, waits_to_write,
    },
};
use bytes::Bytes;
use cri_proto::runtime::{
    AttachRequest, ExecRequest, ExecSyncRequest, NamespaceMode, NamespaceOption,
    PortForwardRequest, runtime_service_client::RuntimeServiceClient,
};
use futures_util::{SinkExt as _, StreamExt as _};
use orlop_runtime::planner::streams::{
    spdy::{
        frame::{Decoder, Frame, data_head},
        headers::Writer,
    },
    tokens::CALLS_MAX,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use tonic::{Code, transport::Channel};

const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn pod() -> (Node, String, String) {
    let mut node = Node::new().await;
    let sandbox = node.run_sandbox("pod").await;
    let id = node
        .run(&sandbox, "pod", "main", &["sleep", "1000000"])
        .await;
    (node, sandbox, id)
}

async fn exec(node: &Node, id: &str, command: &[&str]) -> String {
    let request = ExecRequest {
        container_id: id.to_owned(),
        cmd: command.iter().map(|word| (*word).to_owned()).collect(),
        stdin: true,
        stdout: true,
        stderr: true,
        ..ExecRequest::default()
    };
    let mut client = node.runtime_client.clone();
    client.exec(request).await.unwrap().into_inner().url
}

/// The head of the answer, and the connection.
async fn ask(url: &str, method: &str, headers: &str) -> (String, TcpStream, Vec<u8>) {
    let url = url::Url::parse(url).unwrap();
    let mut stream = TcpStream::connect(&url.socket_addrs(|| None).unwrap()[..])
        .await
        .unwrap();
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: node\r\n{headers}\r\n",
        url.path()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, rest) = timeout(PATIENCE, read_head(&mut stream))
        .await
        .unwrap()
        .unwrap();
    (String::from_utf8(head).unwrap(), stream, rest)
}

async fn status(url: &str, headers: &str) -> u16 {
    let (head, ..) = ask(url, "GET", headers).await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    rest
}

fn syn_stream(writer: &mut Writer, stream: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let block = writer.write(pairs).unwrap();
    let length = u32::try_from(block.len() + 10).unwrap().to_be_bytes();
    let head = [0x80, 3, 0, 1, 0, length[1], length[2], length[3]];
    [&head[..], &stream.to_be_bytes(), &[0; 6], &block].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_checked() {
    let (node, sandbox, id) = pod().await;
    let mut client: RuntimeServiceClient<Channel> = node.runtime_client.clone();
    let good = ExecRequest {
        container_id: id.clone(),
        cmd: vec!["true".to_owned()],
        stdout: true,
        ..ExecRequest::default()
    };
    let mut refused = async |change: fn(&mut ExecRequest)| {
        let mut request = good.clone();
        change(&mut request);
        let error = client.exec(request).await.unwrap_err();
        (error.code(), error.message().to_owned())
    };
    let invalid = |text: &str| (Code::InvalidArgument, text.to_owned());
    assert_eq!(
        refused(|request| request.container_id.clear()).await,
        invalid("missing required container_id")
    );
    assert_eq!(
        refused(|request| (request.tty, request.stderr) = (true, true)).await,
        invalid("tty and stderr cannot both be true")
    );
    assert_eq!(
        refused(|request| request.stdout = false).await,
        invalid("one of `stdin`, `stdout`, or `stderr` must be set")
    );
    assert_eq!(
        refused(|request| request.cmd.clear()).await.0,
        Code::InvalidArgument
    );
    assert_eq!(
        refused(|request| request.cmd[0] = "a".repeat(3 << 20))
            .await
            .0,
        Code::InvalidArgument
    );
    assert_eq!(
        refused(|request| request.container_id.push('0')).await.0,
        Code::NotFound
    );
    let mut client = node.runtime_client.clone();
    let error = client
        .attach(AttachRequest {
            container_id: id,
            ..AttachRequest::default()
        })
        .await;
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
    for (pod_sandbox_id, port, code) in [
        ("", 80, Code::InvalidArgument),
        (sandbox.as_str(), 0, Code::InvalidArgument),
        (sandbox.as_str(), 65536, Code::InvalidArgument),
        ("unknown", 80, Code::NotFound),
    ] {
        let request = PortForwardRequest {
            pod_sandbox_id: pod_sandbox_id.to_owned(),
            port: vec![port],
        };
        assert_eq!(client.port_forward(request).await.unwrap_err().code(), code);
    }
    // All at once: the first must not expire before the last has come.
    let calls = (0..CALLS_MAX).map(|_| {
        let (mut client, request) = (node.runtime_client.clone(), good.clone());
        async move { client.exec(request).await.unwrap() }
    });
    futures_util::future::join_all(calls).await;
    let error = client.exec(good.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(
        error.message(),
        "maximum number of in-flight requests exceeded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_for_once() {
    let (node, _, id) = pod().await;
    let v4 = format!("{SPDY}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    let url = exec(&node, &id, &["true"]).await;
    let base = url.rsplit_once("/exec/").unwrap().0;
    assert!(base.starts_with("http://127.0.0.1:"), "{base}");
    assert_eq!(status(&format!("{base}/exec/0123"), &v4).await, 404);
    assert_eq!(status(&format!("{base}/"), &v4).await, 404);
    assert_eq!(status(&url, &v4).await, 101);
    assert_eq!(status(&url, &v4).await, 404);
    // Also where it was not understood, or it was another's.
    let url = exec(&node, &id, &["true"]).await;
    assert_eq!(status(&url.replace("/exec/", "/attach/"), &v4).await, 404);
    assert_eq!(status(&url, &v4).await, 404);
    for (headers, code) in [
        (String::new(), 400),
        (SPDY.to_owned(), 400),
        (format!("{SPDY}X-Stream-Protocol-Version: v9\r\n"), 403),
        (
            "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n".to_owned(),
            400,
        ),
        (format!("{SOCKET}Sec-WebSocket-Protocol: v9\r\n"), 403),
        (SOCKET.replace("Version: 13", "Version: 7"), 426),
        (SOCKET.replace("dGhl", ""), 400),
    ] {
        let url = exec(&node, &id, &["true"]).await;
        assert_eq!(status(&url, &headers).await, code, "{headers}");
        assert_eq!(status(&url, &v4).await, 404);
    }
    let url = exec(&node, &id, &["true"]).await;
    let (head, ..) = ask(&url, "DELETE", &v4).await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    assert_eq!(
        status(&url, &format!("X: {}\r\n", "a".repeat(100_000))).await,
        431
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_connection_alone() {
    let (mut node, _, id) = pod().await;
    let v4 = format!("{SPDY}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    let mut writer = Writer::default();
    let begun = syn_stream(&mut writer, 1, &[("streamtype", "error")]);
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0; 4096],
        [
            &begun[..],
            &[
                0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2,
            ],
        ]
        .concat(),
        [&begun[..], &begun].concat(),
    ] {
        let url = exec(&node, &id, &["cat"]).await;
        let (_, mut stream, _) = ask(&url, "POST", &v4).await;
        let _ = stream.write_all(&garbage).await;
        let said = ends(&mut stream).await;
        // GOAWAY, with PROTOCOL_ERROR.
        assert!(
            said.windows(4).any(|bytes| bytes == [0x80, 3, 0, 7]),
            "{} bytes: {said:?}",
            garbage.len()
        );
        assert_eq!(said.last(), Some(&1));
    }
    // Close, with 1002 and 1009.
    let (fault, too_long) = ([0x88, 2, 0x03, 0xea], [0x88, 2, 0x03, 0xf1]);
    let five_mebibytes = [
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0][..],
        &vec![0; 5 << 20],
    ]
    .concat();
    for (garbage, code) in [
        (&[0xff; 64][..], fault),
        (b"GET / HTTP/1.1\r\n\r\n", fault),
        (
            &[0x82, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4],
            too_long,
        ),
        (&five_mebibytes, too_long),
        // A client's own Close is answered.
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8], [0x88, 2, 0x03, 0xe8]),
    ] {
        let url = exec(&node, &id, &["cat"]).await;
        let (head, mut stream, _) = ask(&url, "GET", SOCKET).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let said = ends(&mut stream).await;
        assert!(said.ends_with(&code), "{} bytes: {said:?}", garbage.len());
    }
    let ran = node
        .exec(&id, &["sh", "-c", "cat /proc/[0-9]*/comm"])
        .await
        .unwrap();
    assert_eq!(ran.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_streams_meet_a_bound() {
    let (node, sandbox, _) = pod().await;
    let request = PortForwardRequest {
        pod_sandbox_id: sandbox,
        port: Vec::new(),
    };
    let mut client = node.runtime_client.clone();
    let url = client.port_forward(request).await.unwrap().into_inner().url;
    let headers = format!("{SPDY}X-Stream-Protocol-Version: portforward.k8s.io\r\n");
    let (_, stream, rest) = ask(&url, "POST", &headers).await;
    assert!(rest.is_empty());
    let (mut read, mut write) = stream.into_split();
    let sender = tokio::spawn(async move {
        let mut writer = Writer::default();
        for number in 0..5000_u32 {
            let request = number.to_string();
            let pairs = [
                ("streamtype", "error"),
                ("port", "80"),
                ("requestid", &request),
            ];
            let frame = syn_stream(&mut writer, 2 * number + 1, &pairs);
            write.write_all(&frame).await.unwrap();
        }
        write
            .write_all(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1])
            .await
            .unwrap();
        write
    });
    let (mut decoder, mut taken, mut refused) = (Decoder::default(), 0, 0);
    let mut buffer = vec![0; 64 * 1024];
    'all: loop {
        let count = timeout(PATIENCE, read.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0);
        let mut left = &buffer[..count];
        while let Some(frame) = decoder.next(&mut left).unwrap() {
            match frame {
                Frame::Headers { .. } => taken += 1,
                Frame::RstStream { .. } => refused += 1,
                Frame::Ping { number: 1 } => break 'all,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((taken, refused), (1024, 3976));
    drop(sender.await.unwrap());
}

/// What channels have said until the connection was closed.
async fn channels(url: &str, protocol: &str, say: Vec<Message>) -> (String, Vec<Message>) {
    let headers = match protocol {
        "" => SOCKET.to_owned(),
        name => format!("{SOCKET}Sec-WebSocket-Protocol: {name}\r\n"),
    };
    let (head, stream, rest) = ask(url, "GET", &headers).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
    for message in say {
        socket.send(message).await.unwrap();
    }
    let mut heard = Vec::new();
    let all = async {
        while let Some(Ok(message)) = socket.next().await {
            heard.push(message);
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    (head, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_channel() {
    let (node, _, id) = pod().await;
    let script = "read line; echo $line; exit 3";
    for (protocol, status) in [
        ("v5.channel.k8s.io", true),
        ("v4.channel.k8s.io", true),
        ("channel.k8s.io", false),
        ("", false),
    ] {
        let url = exec(&node, &id, &["sh", "-c", script]).await;
        let say = vec![
            Message::binary(&b"\0"[..]),
            Message::binary(&b"\x09?"[..]),
            Message::binary(&b"\0hi\n"[..]),
        ];
        let (head, heard) = channels(&url, protocol, say).await;
        assert_eq!(
            head.to_ascii_lowercase().contains("sec-websocket-protocol"),
            !protocol.is_empty()
        );
        let expected = Bytes::from_static(b"\x01");
        assert_eq!(heard[0], Message::Binary(expected), "the first is empty");
        assert_eq!(heard[1], Message::binary(&b"\x01hi\n"[..]));
        let Message::Binary(told) = &heard[2] else {
            panic!("{heard:?}")
        };
        assert_eq!(told[0], 3);
        let told = String::from_utf8(told[1..].to_vec()).unwrap();
        assert_eq!(told.starts_with('{'), status);
        assert!(told.contains("exit code 3"), "{told}");
        assert!(
            matches!(heard.last(), Some(Message::Close(Some(_)))),
            "{heard:?}"
        );
    }
    for protocol in ["v4.base64.channel.k8s.io", "base64.channel.k8s.io"] {
        let url = exec(&node, &id, &["sh", "-c", script]).await;
        let (_, heard) = channels(&url, protocol, vec![Message::text("0aGkK")]).await;
        assert_eq!(heard[..2], [Message::text("1"), Message::text("1aGkK")]);
    }
    // The fifth version has an end for a channel.
    let url = exec(&node, &id, &["cat"]).await;
    let say = vec![
        Message::binary(&b"\0all"[..]),
        Message::binary(&b"\xff\0"[..]),
    ];
    let (_, heard) = channels(&url, "v5.channel.k8s.io", say).await;
    assert_eq!(heard[1], Message::binary(&b"\x01all"[..]));
    let Message::Binary(told) = &heard[2] else {
        panic!("{heard:?}")
    };
    assert!(String::from_utf8_lossy(told).contains("Success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_as_channels() {
    let (node, sandbox, _) = pod().await;
    let request = PortForwardRequest {
        pod_sandbox_id: sandbox,
        port: vec![80, 0x1234],
    };
    let mut client = node.runtime_client.clone();
    let url = client.port_forward(request).await.unwrap().into_inner().url;
    let (_, heard) = channels(&url, "v4.channel.k8s.io", Vec::new()).await;
    for said in [
        b"\x00\x50\x00",
        b"\x01\x50\x00",
        b"\x02\x34\x12",
        b"\x03\x34\x12",
    ] {
        assert!(heard.contains(&Message::binary(&said[..])), "{heard:?}");
    }
    let told = |channel| {
        heard.iter().any(|message| {
            let bytes = message.clone().into_data();
            bytes.first() == Some(&channel)
                && String::from_utf8_lossy(&bytes).contains("connection refused")
        })
    };
    assert!(told(1) && told(3), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_nobody_reads_from_it_is_missed() {
    let (node, _, id) = pod().await;
    let url = exec(&node, &id, &["sleep", &marked(515151)]).await;
    let v4 = format!("{SPDY}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    let (_, mut stream, _) = ask(&url, "POST", &v4).await;
    let mut writer = Writer::default();
    for (number, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        let frame = syn_stream(&mut writer, number, &[("streamtype", kind)]);
        stream.write_all(&frame).await.unwrap();
    }
    // More than all that is on the way: the process reads nothing.
    let chunk = [&data_head(3, 65536, false)[..], &[7; 65536]].concat();
    let mut sent = 0;
    while let Ok(written) =
        timeout(std::time::Duration::from_secs(2), stream.write_all(&chunk)).await
    {
        written.unwrap();
        sent += chunk.len();
        assert!(sent < 64 << 20, "what nobody reads is taken without end");
    }
    let (reader, server) = (
        found(&format!("sleep {}", marked(515151))).await,
        runtime(&node),
    );
    let pipe = std::fs::read_link(format!("/proc/{reader}/fd/0")).unwrap();
    assert!(descriptors(server).contains(&pipe));
    drop(stream);
    // Its pipe is closed. It is not read meanwhile: that would let the server go on.
    until(
        || !descriptors(server).contains(&pipe),
        || format!("{pipe:?} is open still"),
    )
    .await;
}

/// Begins an exec's streams by SPDY.
async fn begun(url: &str) -> TcpStream {
    let v4 = format!("{SPDY}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    let (_, mut stream, _) = ask(url, "POST", &v4).await;
    let mut writer = Writer::default();
    for (number, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        let frame = syn_stream(&mut writer, number, &[("streamtype", kind)]);
        stream.write_all(&frame).await.unwrap();
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_after_the_end_with_bytes_on_the_way_leaves_nothing() {
    let (mut node, _, id) = pod().await;
    node.exec(&id, &["true"]).await.unwrap();
    let (server, keeper) = (runtime(&node), keeper(&node));
    let before = [server, keeper].map(|pid| descriptors(pid).len());
    let command = format!("seq {} 99999999999999999", marked(616_161));
    for _ in 0..3 {
        let url = exec(&node, &id, &["seq", &marked(616_161), "99999999999999999"]).await;
        let stream = begun(&url).await;
        let writer = found(&command).await;
        waits_to_write(writer).await;
        let writer = rustix::process::Pid::from_raw(writer).unwrap();
        rustix::process::kill_process(writer, rustix::process::Signal::KILL).unwrap();
        gone(&command).await;
        // The keeper has told of it when it answers others.
        node.exec(&id, &["true"]).await.unwrap();
        drop(stream);
    }
    for (pid, before) in [server, keeper].into_iter().zip(before) {
        has_descriptors(pid, |now| now <= before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_goes_while_nobody_reads_from_it_is_missed() {
    let (node, _, id) = pod().await;
    let server = runtime(&node);
    let url = exec(&node, &id, &["sleep", &marked(525252)]).await;
    let headers = format!("{SOCKET}Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n");
    let (_, stream, rest) = ask(&url, "GET", &headers).await;
    let mut socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
    let reader = found(&format!("sleep {}", marked(525252))).await;
    let pipe = std::fs::read_link(format!("/proc/{reader}/fd/0")).unwrap();
    fill(&mut socket, &[0; 65536]).await;
    assert!(descriptors(server).contains(&pipe));
    drop(socket);
    until(
        || !descriptors(server).contains(&pipe),
        || format!("{pipe:?} is open still"),
    )
    .await;
}

/// Sends until nothing more is taken.
async fn fill(socket: &mut WebSocketStream<TcpStream>, bytes: &[u8]) {
    let mut sent = 0;
    let message = Message::binary(bytes.to_vec());
    let some = std::time::Duration::from_secs(2);
    while let Ok(said) = timeout(some, socket.send(message.clone())).await {
        said.unwrap();
        sent += bytes.len();
        assert!(sent < 64 << 20, "what nobody reads is taken without end");
    }
}

/// A pod in the node's network, and a port there on which we listen.
async fn forwarded(node: &mut Node) -> (String, tokio::net::TcpListener, String) {
    let mut config = node.sandbox_config("node");
    let security = config.linux.get_or_insert_default();
    let security = security.security_context.get_or_insert_default();
    security.namespace_options = Some(NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..NamespaceOption::default()
    });
    let sandbox = node.try_run_sandbox(config).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let request = PortForwardRequest {
        pod_sandbox_id: sandbox,
        port: Vec::new(),
    };
    let url = node.runtime_client.port_forward(request).await.unwrap();
    (url.into_inner().url, listener, port)
}

fn pair(writer: &mut Writer, port: &str) -> Vec<u8> {
    let mut stream = |number, kind| {
        let pairs = [("streamtype", kind), ("port", port), ("requestid", "0")];
        syn_stream(writer, number, &pairs)
    };
    [stream(1, "error"), stream(3, "data")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_goes_while_nobody_reads_from_it_is_missed() {
    let mut node = Node::new().await;
    let (url, listener, port) = forwarded(&mut node).await;
    let server = runtime(&node);
    let before = descriptors(server).len();
    let headers = format!("{SOCKET}Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n");
    let (head, stream, rest) = ask(&url, "GET", &headers).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
    let begun = pair(&mut Writer::default(), &port);
    socket.send(Message::binary(begun)).await.unwrap();
    let (_silent, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let chunk = [&data_head(3, 65536, false)[..], &[7; 65536]].concat();
    fill(&mut socket, &chunk).await;
    assert!(descriptors(server).len() > before);
    drop(socket);
    has_descriptors(server, |now| now <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_reset_after_its_end() {
    let mut node = Node::new().await;
    let (url, listener, port) = forwarded(&mut node).await;
    let server = runtime(&node);
    let headers = format!("{SPDY}X-Stream-Protocol-Version: portforward.k8s.io\r\n");
    let (_, mut stream, _) = ask(&url, "POST", &headers).await;
    let begun = pair(&mut Writer::default(), &port);
    stream.write_all(&begun).await.unwrap();
    let (mut pod, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    stream.write_all(&data_head(3, 0, true)).await.unwrap();
    assert_eq!(ends(&mut pod).await, b"");
    let with = descriptors(server).len();
    // RST_STREAM, with CANCEL.
    let reset = [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 5];
    stream.write_all(&reset).await.unwrap();
    has_descriptors(server, |now| now < with).await;
    drop((pod, stream));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_looked_on_at_a_silent_container_is_not_counted() {
    let (node, _, id) = pod().await;
    let server = runtime(&node);
    let headers = format!("{SOCKET}Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n");
    let request = AttachRequest {
        container_id: id,
        stdout: true,
        stderr: true,
        ..AttachRequest::default()
    };
    let mut client = node.runtime_client.clone();
    let pipes = || {
        let all = descriptors(server);
        let is_pipe = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("pipe:");
        all.iter().filter(is_pipe).count()
    };
    let before = pipes();
    for number in 0..20 {
        let url = client.attach(request.clone()).await.unwrap();
        let (_, mut stream, mut said) = ask(&url.into_inner().url, "GET", &headers).await;
        // What is written to is the keeper's alone when it has answered.
        let is_attached = || pipes() == before + 3;
        let begun = std::time::Instant::now();
        while !is_attached() {
            let some = std::time::Duration::from_millis(5);
            let _ = timeout(some, stream.read_buf(&mut said)).await;
            let text = String::from_utf8_lossy(&said);
            assert!(!text.contains("attached already"), "{number}: {text}");
            assert!(begun.elapsed() < PATIENCE, "{number}: {text}");
        }
        drop(stream);
        until(|| pipes() == before, || "it is there still".to_owned()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_leave_no_sockets_behind() {
    let (node, _, id) = pod().await;
    let plain = (0..20).map(|_| {
        let mut client = node.runtime_client.clone();
        let request = ExecSyncRequest {
            container_id: id.clone(),
            cmd: vec!["true".to_owned()],
            timeout: 0,
        };
        async move {
            assert_eq!(
                client
                    .exec_sync(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .exit_code,
                0
            )
        }
    });
    let terminals = (0..10).map(|_| {
        let mut client = node.runtime_client.clone();
        let request = ExecRequest {
            container_id: id.clone(),
            cmd: vec!["true".to_owned()],
            stdout: true,
            tty: true,
            ..ExecRequest::default()
        };
        async move {
            let url = client.exec(request).await.unwrap().into_inner().url;
            let (_, heard) = channels(&url, "v4.channel.k8s.io", Vec::new()).await;
            assert!(format!("{heard:?}").contains("Success"), "{heard:?}");
        }
    });
    tokio::join!(
        futures_util::future::join_all(plain),
        futures_util::future::join_all(terminals)
    );
    let mut names = Vec::new();
    for container in std::fs::read_dir(node.path("state/oci")).unwrap().flatten() {
        for entry in std::fs::read_dir(container.path()).unwrap().flatten() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert!(names.contains(&"state.json".to_owned()), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("tenant-")),
        "{names:?}"
    );
}

#[test]
fn streams_are_on_loopback_alone() {
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_runtime_alone"))
            .args(["runtime", "--listen", "unix:///nowhere/runtime.sock"])
            .args(["--root", "/nowhere/root", "--state", "/nowhere/state"])
            .args(["--streaming-address", address])
            .output()
            .unwrap();
        assert!(!ran.status.success());
        let said = [ran.stdout, ran.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("it is no address of loopback"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_late_gets_all_of_it() {
    let (node, _, id) = pod().await;
    let v4 = format!("{SPDY}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    // About as much as is on the way at most: with some of them nothing is left to be read while the last waits for room.
    let runs = (0..32_usize).map(|number| {
        let (node, id, v4) = (&node, &id, &v4);
        async move {
            let length = 300_000 + 4_000 * number;
            // It is longer than it takes until the server looks whether its client has gone.
            let script = format!("sleep 2; head -c {length} | wc -c");
            let url = exec(node, id, &["sh", "-c", &script]).await;
            let (_, mut stream, _) = ask(&url, "POST", v4).await;
            let mut writer = Writer::default();
            for (stream_number, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")]
            {
                let frame = syn_stream(&mut writer, stream_number, &[("streamtype", kind)]);
                stream.write_all(&frame).await.unwrap();
            }
            let bytes = [&data_head(3, length, false)[..], &vec![7; length]].concat();
            stream.write_all(&bytes).await.unwrap();
            // The input is not ended.
            let mut said = String::new();
            while !said.contains(&format!("{length}\n")) {
                let mut buffer = [0; 4096];
                let count = timeout(PATIENCE, stream.read(&mut buffer)).await;
                let count = count.expect("it goes on").unwrap();
                assert!(count > 0, "{said}");
                said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    });
    futures_util::future::join_all(runs).await;
}
