//! Clients with bad manners: each gets a clear answer or a closed connection, memory stays bounded, and others are served
//! as if nobody else was there.

use super::raw::{Admin, Answer, Raw, request, with_type};
use super::{Kind, Site};
use orlop_tests::wait::eventually;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a small read takes on a machine that is busy with the test itself; the bound is ten times that.
const ANSWERS: Duration = Duration::from_millis(150);
/// Of memory, when all is over. It starts with 25 MiB; what was received at most at one time comes on top.
const RESIDENT_MAX: u64 = 128 * 1024 * 1024;
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";
const MIB: usize = 1024 * 1024;

/// Somebody else, who asks for a small thing all the time.
struct Other {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Duration)>,
}

impl Other {
    fn start(admin: &Admin) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (admin, stopping) = (admin.clone(), stop.clone());
        let asking = std::thread::spawn(move || {
            let mut connection = admin.connect();
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !stopping.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = connection.ask("GET", "/api/v1/namespaces/default", "");
                longest = longest.max(began.elapsed());
                assert_eq!(answer.map(|answer| answer.code), Some(200));
                count += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            (count, longest)
        });
        Self { stop, asking }
    }

    /// It was served, and promptly.
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (count, longest) = self.asking.join().unwrap();
        println!("another client: {count} answers, the longest took {longest:?}");
        assert!(count > 10, "only {count} answers");
        assert!(longest < ANSWERS * 10, "the longest took {longest:?}");
    }
}

/// What a request must come to.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// This code and this reason.
    Is(u16, &'static str),
    /// This code without a Status: HTTP itself is wrong.
    Http(u16),
    /// This code, or the connection is cut while the client still sends: then what was answered may be lost.
    Cut(u16),
    Fine,
}

fn hold(what: &str, expect: Expect, answer: Option<&Answer>) {
    let shown = answer.map(|answer| (answer.code, answer.reason(), answer.message()));
    match (expect, answer) {
        (Expect::Is(code, reason), Some(answer)) => {
            assert_eq!(
                (answer.code, answer.reason().as_str()),
                (code, reason),
                "{what}: {shown:?}"
            );
            assert!(!answer.message().is_empty(), "{what}: no message");
            assert!(
                answer.body.len() < 16 * 1024,
                "{what}: {} bytes of an error",
                answer.body.len()
            );
        }
        (Expect::Http(code) | Expect::Cut(code), Some(answer)) => {
            assert_eq!(answer.code, code, "{what}: {shown:?}");
        }
        (Expect::Cut(_) | Expect::Http(_), None) => {}
        (Expect::Fine, Some(answer)) => assert!(answer.code < 300, "{what}: {shown:?}"),
        (_, None) => panic!("{what}: the connection was closed"),
    }
}

fn config(name: &str, data: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{data}}}"#
    )
}

/// Of a type that bounds nothing by itself: the store does.
fn revision(size: usize) -> String {
    let text = "x".repeat(size);
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{{"name":"r"}},"revision":1,"data":{{"x":"{text}"}}}}"#
    )
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// Bodies that are wrong in all ways.
fn bodies() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let json = |body: &str| request("POST", CONFIGS, body);
    let typed = |kind: &str, body: &[u8]| with_type("POST", CONFIGS, kind, body);
    let patch = |kind: &str, body: &str| {
        with_type("PATCH", &format!("{CONFIGS}/there"), kind, body.as_bytes())
    };
    let deployment = |replicas: &str| {
        let body = format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},"spec":{{"replicas":{replicas}}}}}"#
        );
        request(
            "POST",
            "/apis/apps/v1/namespaces/default/deployments",
            &body,
        )
    };
    let bad = Expect::Is(400, "BadRequest");
    let mut invalid = config("a", r#"{"x":"?"}"#).into_bytes();
    let question = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[question] = 0xff;
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    vec![
        ("no body", json(""), bad),
        ("no JSON", json("{"), bad),
        ("an array", json("[]"), bad),
        ("null", json("null"), Expect::Is(422, "Invalid")),
        ("two objects", json("{}{}"), bad),
        (
            "another kind",
            json(r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#),
            bad,
        ),
        ("invalid UTF-8", typed("application/json", &invalid), bad),
        ("a zero byte", typed("application/json", b"\0"), bad),
        ("arrays 10,000 deep", json(&nested("[", "]", 10_000)), bad),
        (
            "objects 10,000 deep",
            json(&config("a", &nested(r#"{"a":"#, "}", 10_000))),
            bad,
        ),
        (
            "YAML 10,000 deep",
            typed("application/yaml", nested("[", "]", 10_000).as_bytes()),
            bad,
        ),
        (
            "YAML of many copies",
            typed("application/yaml", bomb.as_bytes()),
            bad,
        ),
        ("a million brackets", json(&"[".repeat(1_000_000)), bad),
        ("a number beyond 32 bits", deployment("3000000000"), bad),
        (
            "a number beyond 64 bits",
            deployment("99999999999999999999999"),
            bad,
        ),
        ("a number beyond doubles", deployment("1e999"), bad),
        ("a number with a fraction", deployment("1.5"), bad),
        (
            "a wrong content type",
            typed("text/plain", b"{}"),
            Expect::Is(415, "UnsupportedMediaType"),
        ),
        (
            "no content type's name",
            typed("nonsense", b"{}"),
            Expect::Is(415, "UnsupportedMediaType"),
        ),
        (
            "protobuf that is none",
            typed("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff\xff"),
            bad,
        ),
        (
            "a patch of no kind",
            patch("application/json", "{}"),
            Expect::Is(415, "UnsupportedMediaType"),
        ),
        (
            "a patch that is an array",
            patch("application/merge-patch+json", "[]"),
            bad,
        ),
        (
            "a JSON patch that is none",
            patch("application/json-patch+json", "{}"),
            bad,
        ),
        (
            "a JSON patch of nothing",
            patch(
                "application/json-patch+json",
                r#"[{"op":"fly","path":"/a"}]"#,
            ),
            Expect::Is(422, "Invalid"),
        ),
        (
            "a patch 10,000 deep",
            patch(
                "application/merge-patch+json",
                &nested(r#"{"a":"#, "}", 10_000),
            ),
            bad,
        ),
        (
            "a ConfigMap of 1.6 MB",
            json(&config(
                "large",
                &format!(r#"{{"x":"{}"}}"#, "x".repeat(1_600_000)),
            )),
            Expect::Is(422, "Invalid"),
        ),
        (
            "an object of 1.6 MB",
            request(
                "POST",
                "/apis/apps/v1/namespaces/default/controllerrevisions",
                &revision(1_600_000),
            ),
            Expect::Is(413, "RequestEntityTooLarge"),
        ),
        (
            "a body of 4 MiB",
            json(&config(
                "larger",
                &format!(r#"{{"x":"{}"}}"#, "x".repeat(4 * MIB)),
            )),
            Expect::Cut(413),
        ),
    ]
}

/// Requests whose path, query or head is wrong.
fn heads() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let get = |path: &str| request("GET", path, "");
    let raw = |text: &str| text.as_bytes().to_vec();
    let bad = Expect::Is(400, "BadRequest");
    let missing = Expect::Is(404, "NotFound");
    let terms = |operator: &str| {
        let terms: Vec<String> = (0..10_000)
            .map(|number| format!("{operator}{number}"))
            .collect();
        terms.join(",")
    };
    let mut latin = raw("GET /api/v1 HTTP/1.1\r\nHost: a\r\nAccept: application/j?on\r\n\r\n");
    let question = latin.iter().position(|byte| *byte == b'?').unwrap();
    latin[question] = 0xff;
    vec![
        // 59 KB: as many as fit into a URL that is taken.
        (
            "a selector of 10,000 terms",
            get(&format!("{CONFIGS}?labelSelector={}", terms("a"))),
            bad,
        ),
        (
            "and another",
            get(&format!("{CONFIGS}?labelSelector=!{}", terms("a"))),
            bad,
        ),
        (
            "a field selector of 10,000 terms",
            get(&format!("{CONFIGS}?fieldSelector={}", terms("="))),
            bad,
        ),
        (
            "terms that make a longer URL",
            get(&format!("{CONFIGS}?labelSelector={}", terms("=="))),
            Expect::Http(414),
        ),
        (
            "a path of 70 KB",
            get(&format!("/{}", "a".repeat(70_000))),
            Expect::Http(414),
        ),
        (
            "a path of 30 KB",
            get(&format!("/apis/{}", "a/".repeat(15_000))),
            missing,
        ),
        (
            "a path that leads up",
            get("/api/v1/namespaces/../../../etc/passwd"),
            missing,
        ),
        (
            "an escaped slash",
            get("/api/v1/namespaces/default%2fconfigmaps"),
            missing,
        ),
        (
            "a zero byte in a name",
            get(&format!("{CONFIGS}/a%00b")),
            missing,
        ),
        (
            "invalid UTF-8 in a name",
            get(&format!("{CONFIGS}/%ff%fe")),
            missing,
        ),
        ("a broken escape", get(&format!("{CONFIGS}/%zz")), missing),
        (
            "no version",
            get(&format!("{CONFIGS}?resourceVersion=abc")),
            bad,
        ),
        (
            "a negative version",
            get(&format!("{CONFIGS}?resourceVersion=-1")),
            bad,
        ),
        (
            "a version beyond 64 bits",
            get(&format!("{CONFIGS}?resourceVersion=18446744073709551616")),
            bad,
        ),
        (
            "a negative limit",
            get(&format!("{CONFIGS}?limit=-1")),
            Expect::Fine,
        ),
        (
            "a limit beyond 64 bits",
            get(&format!("{CONFIGS}?limit=99999999999999999999")),
            bad,
        ),
        (
            "a token that is none",
            get(&format!("{CONFIGS}?continue=%00")),
            bad,
        ),
        (
            "a watch of no length",
            get(&format!("{CONFIGS}?watch=1&timeoutSeconds=x")),
            bad,
        ),
        (
            "10,000 parameters",
            get(&format!("{CONFIGS}?{}", "a&".repeat(10_000))),
            Expect::Fine,
        ),
        (
            "an unknown method",
            request("BREW", CONFIGS, ""),
            Expect::Is(405, "MethodNotAllowed"),
        ),
        (
            "a method that opens a tunnel",
            raw("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Expect::Http(405),
        ),
        (
            "no HTTP",
            raw("\0\u{1}\u{2}\u{3}\r\n\r\n"),
            Expect::Http(400),
        ),
        (
            "another HTTP",
            raw("GET / HTTP/9.9\r\n\r\n"),
            Expect::Http(400),
        ),
        (
            "two lengths",
            raw(
                "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            ),
            Expect::Http(400),
        ),
        (
            "a negative length",
            raw("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
            Expect::Http(400),
        ),
        (
            "a chunk of no size",
            raw(&format!(
                "POST {CONFIGS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
            )),
            bad,
        ),
        (
            "a header of 1 MB",
            raw(&format!(
                "GET /api HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(MIB)
            )),
            Expect::Http(431),
        ),
        (
            "5,000 headers",
            raw(&format!(
                "GET /api HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(5_000)
            )),
            Expect::Http(431),
        ),
        ("invalid UTF-8 in a header", latin, Expect::Fine),
        (
            "a token of 1 MB",
            raw(&format!(
                "GET /api HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
                "x".repeat(MIB)
            )),
            Expect::Http(431),
        ),
    ]
}

#[test]
fn each_wrong_request_gets_a_clear_answer() {
    let site = Site::new(Kind::Orlop);
    let admin = Admin::of(&site.server);
    assert_eq!(
        admin.must("POST", CONFIGS, &config("there", "{}")).code,
        201
    );
    let other = Other::start(&admin);
    for (what, bytes, expect) in bodies().into_iter().chain(heads()) {
        let mut connection = admin.connect();
        connection.send(&bytes);
        hold(what, expect, connection.answer().as_ref());
    }
    // On one connection, too: what can be read to its end leaves the connection as it was.
    let mut connection = admin.connect();
    for (what, bytes, expect) in bodies() {
        if matches!(expect, Expect::Is(..)) {
            connection.send(&bytes);
            hold(what, expect, connection.answer().as_ref());
        }
    }
    other.end();
    assert_eq!(
        admin.must("GET", &format!("{CONFIGS}?limit=9"), "").json()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let resident = site.server.usage().unwrap().resident;
    println!("resident: {} KiB", resident / 1024);
    assert!(resident < RESIDENT_MAX, "{resident} bytes are resident");
}

/// 100 MB, with its length said before and without: refused when it is too much, not when it is over.
#[test]
fn floods_half_bodies_and_idle_connections_harm_nobody() {
    const IDLE: usize = 1_000;
    const HALF: usize = 100;
    let site = Site::new(Kind::Orlop);
    let admin = Admin::of(&site.server);
    let other = Other::start(&admin);
    let resident = |what: &str| {
        let resident = site.server.usage().unwrap().resident;
        println!("{what}: {} KiB resident", resident / 1024);
        assert!(
            resident < RESIDENT_MAX,
            "{what}: {resident} bytes are resident"
        );
    };
    resident("at first");
    for length in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
        let mut connection = admin.connect();
        let head = format!(
            "POST {CONFIGS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        );
        assert!(connection.send(head.as_bytes()));
        let chunk = match length.starts_with('C') {
            true => vec![b' '; MIB],
            false => [b"100000\r\n".to_vec(), vec![b' '; MIB], b"\r\n".to_vec()].concat(),
        };
        let sent = (0..100).take_while(|_| connection.send(&chunk)).count();
        println!("{length}: {sent} MiB were taken");
        assert!(sent < 20, "{sent} MiB were taken");
        hold(length, Expect::Cut(413), connection.answer().as_ref());
        resident(length);
    }
    // Nothing said after TCP, after TLS, in the midst of a head, in the midst of a body.
    let silent: Vec<TcpStream> = (0..IDLE).map(|_| admin.tcp()).collect();
    let idle: Vec<Raw> = (0..IDLE).map(|_| admin.connect()).collect();
    let half: Vec<Raw> = (0..HALF)
        .map(|number| {
            let mut connection = admin.connect();
            let whole = request(
                "POST",
                CONFIGS,
                &config(&format!("half-{number}"), r#"{"x":"1"}"#),
            );
            let part = if number % 2 == 0 { whole.len() - 5 } else { 30 };
            assert!(connection.send(&whole[..part]));
            connection
        })
        .collect();
    resident("with all of them");
    // While they are there, writes are taken as reads are.
    for number in 0..20 {
        let began = Instant::now();
        let name = format!("between-{number}");
        assert_eq!(admin.must("POST", CONFIGS, &config(&name, "{}")).code, 201);
        assert!(
            began.elapsed() < ANSWERS * 10,
            "a write took {:?}",
            began.elapsed()
        );
    }
    drop((silent, idle, half));
    // What was half said is not done.
    let list = admin.must("GET", CONFIGS, "");
    assert_eq!(list.json()["items"].as_array().map(Vec::len), Some(20));
    other.end();
    resident("at last");
}

/// Lists and watches that nobody reads hold what their connection holds; a watch that lags too far is ended.
#[test]
fn who_reads_nothing_holds_nothing() {
    const READERS: usize = 50;
    let site = Site::new(Kind::Orlop);
    let admin = Admin::of(&site.server);
    let text = format!(r#"{{"x":"{}"}}"#, "x".repeat(200_000));
    for number in 0..20 {
        let answer = admin.must("POST", CONFIGS, &config(&format!("c{number}"), &text));
        assert_eq!(answer.code, 201);
    }
    let before = site.server.usage().unwrap().resident;
    let other = Other::start(&admin);
    let mut lists: Vec<Raw> = Vec::new();
    let mut watches: Vec<Raw> = Vec::new();
    for _ in 0..READERS {
        let mut list = admin.connect();
        assert!(list.send(&request("GET", CONFIGS, "")));
        lists.push(list);
        let mut watch = admin.connect();
        assert!(watch.send(&request(
            "GET",
            &format!("{CONFIGS}?watch=1&resourceVersion=0"),
            ""
        )));
        watches.push(watch);
    }
    // One that reads sees each event, whatever those beside it do.
    let mut reader = admin.connect();
    reader.send(&request(
        "GET",
        &format!("{CONFIGS}?watch=1&fieldSelector=metadata.name=c0"),
        "",
    ));
    assert_eq!(reader.head().map(|(code, _)| code), Some(200));
    assert_eq!(reader.line().unwrap()["type"], "ADDED");
    let mut writer = admin.connect();
    for number in 0..60 {
        let body = format!(r#"{{"data":{{"n":"{number}"}}}}"#);
        writer.send(&with_type(
            "PATCH",
            &format!("{CONFIGS}/c0"),
            "application/merge-patch+json",
            body.as_bytes(),
        ));
        assert_eq!(writer.answer().map(|answer| answer.code), Some(200));
        let event = reader.line().unwrap();
        assert_eq!(event["object"]["data"]["n"], number.to_string());
    }
    let resident = site.server.usage().unwrap().resident;
    println!(
        "resident: {} KiB before, {} KiB with them",
        before / 1024,
        resident / 1024
    );
    // Each event is one buffer for all who watch, and a list is sent from the cache.
    assert!(resident < RESIDENT_MAX, "{resident} bytes are resident");
    other.end();
    // And who begins to read after all gets the whole.
    let list = lists[0].answer().unwrap();
    assert_eq!(list.json()["items"].as_array().map(Vec::len), Some(20));
    drop((lists, watches));
    eventually("the end of their watches", Duration::from_secs(1), || {
        let answer = admin.must("GET", "/metrics", "");
        let watching: f64 = answer
            .body
            .lines()
            .filter(|line| line.starts_with("apiserver_registered_watchers"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        Ok((watching < f64::from(u8::try_from(READERS).unwrap())).then_some(()))
    })
    .unwrap();
}
