//! What stands between kubectl and the runtime: it answers for one pod, and tunnels what is upgraded byte for byte.

use crate::node::{Node, PATIENCE};
use cri_proto::runtime::{
    AttachRequest, ExecRequest, PortForwardRequest, runtime_service_client::RuntimeServiceClient,
};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::transport::Channel;

/// Of kubectl.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    WebSocket,
    Spdy,
}

pub(crate) const BOTH: [Over; 2] = [Over::WebSocket, Over::Spdy];

#[derive(Clone)]
struct Pod {
    sandbox: String,
    container: String,
    tty: bool,
    runtime: RuntimeServiceClient<Channel>,
    /// Which protocols were agreed to.
    agreed: Arc<Mutex<Vec<String>>>,
}

/// For one pod with one container, `main`.
pub(crate) struct Front {
    pub(crate) agreed: Arc<Mutex<Vec<String>>>,
    directory: PathBuf,
}

impl Front {
    pub(crate) async fn new(node: &Node, sandbox: &str, container: &str, tty: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let agreed = Arc::<Mutex<Vec<String>>>::default();
        let pod = Pod {
            sandbox: sandbox.to_owned(),
            container: container.to_owned(),
            tty,
            runtime: node.runtime_client.clone(),
            agreed: Arc::clone(&agreed),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, pod.clone()));
            }
        });
        let directory = node.path(&format!("front-{}", address.port()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "tests"}}],
            "users": [{"name": "u", "user": {}}],
        });
        std::fs::write(directory.join("config"), config.to_string()).unwrap();
        Self { agreed, directory }
    }

    pub(crate) fn kubectl(&self, over: Over, args: &[&str]) -> Command {
        // As `setsid --ctty`, it may have a terminal of its own.
        let program = xtask::peers::kubectl().unwrap().join("kubectl");
        self.command(program, over, args)
    }

    pub(crate) fn command(&self, program: PathBuf, over: Over, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let sockets = match over {
            Over::WebSocket => "true",
            Over::Spdy => "false",
        };
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.directory)
            .env("KUBECONFIG", self.directory.join("config"))
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", sockets)
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", sockets)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs kubectl to its end, with this on its standard input.
    pub(crate) async fn run(&self, over: Over, args: &[&str], stdin: Vec<u8>) -> Output {
        let mut command = self.kubectl(over, args);
        command.stdin(Stdio::piped());
        blocking(move || run(command, stdin)).await
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn run(mut command: Command, stdin: Vec<u8>) -> Output {
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // Who has ended reads no more.
        let _ = input.write_all(&stdin);
    });
    let output = finish(child);
    writer.join().unwrap();
    output
}

/// Its end, within bounds.
pub(crate) fn finish(mut child: Child) -> Output {
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).unwrap();
            all
        })
    };
    let stdout = child.stdout.take().map(|from| read(Box::new(from)));
    let stderr = child.stderr.take().map(|from| read(Box::new(from)));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let all = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        thread
            .map(|thread| thread.join().unwrap())
            .unwrap_or_default()
    };
    let (stdout, stderr) = (all(stdout), all(stderr));
    let Some(status) = status else {
        let head = stdout.get(..stdout.len().min(500)).unwrap();
        panic!(
            "it does not end: {} {}",
            String::from_utf8_lossy(head),
            String::from_utf8_lossy(&stderr)
        );
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

async fn answer(mut stream: TcpStream, pod: Pod) {
    let Some((head, rest)) = read_head(&mut stream).await else {
        return;
    };
    let text = String::from_utf8(head).unwrap();
    let target = text.split(' ').nth(1).unwrap().to_owned();
    let url = url::Url::parse(&format!("http://front{target}")).unwrap();
    let subresource = url.path().rsplit('/').next().unwrap();
    let upstream = match subresource {
        "exec" | "attach" | "portforward" => pod.url(subresource, &url).await,
        _ => {
            let found = document(url.path(), &pod);
            let (status, body) = match found {
                Some(body) => ("200 OK", body.to_string()),
                None => ("404 Not Found", json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}).to_string()),
            };
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(response.as_bytes()).await.unwrap();
            return;
        }
    };
    let upstream = match upstream {
        Ok(upstream) => url::Url::parse(&upstream).unwrap(),
        Err(error) => {
            let body = error.message().to_owned();
            let response = format!(
                "HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(response.as_bytes()).await.unwrap();
            return;
        }
    };
    let address = upstream.socket_addrs(|| None).unwrap();
    let mut runtime = TcpStream::connect(&address[..]).await.unwrap();
    runtime.set_nodelay(true).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = text.replacen(&target, upstream.path(), 1);
    runtime.write_all(head.as_bytes()).await.unwrap();
    runtime.write_all(&rest).await.unwrap();
    let (head, rest) = read_head(&mut runtime).await.unwrap();
    let said = String::from_utf8(head).unwrap();
    for line in said.lines() {
        let lower = line.to_ascii_lowercase();
        if lower.contains("-protocol") {
            let value = line.split_once(": ").unwrap().1;
            pod.agreed.lock().unwrap().push(value.to_owned());
        }
    }
    stream.write_all(said.as_bytes()).await.unwrap();
    stream.write_all(&rest).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut runtime).await;
}

pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Some((head, rest));
        }
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        head.extend_from_slice(&buffer[..count]);
    }
}

impl Pod {
    async fn url(&self, subresource: &str, url: &url::Url) -> Result<String, tonic::Status> {
        let has = |name: &str| {
            url.query_pairs()
                .any(|(key, value)| key == name && value == "true")
        };
        let mut runtime = self.runtime.clone();
        Ok(match subresource {
            "exec" => {
                let command = url.query_pairs().filter(|(key, _)| key == "command");
                let request = ExecRequest {
                    container_id: self.container.clone(),
                    cmd: command.map(|(_, value)| value.into_owned()).collect(),
                    tty: has("tty"),
                    stdin: has("stdin"),
                    stdout: has("stdout"),
                    stderr: has("stderr") && !has("tty"),
                    ..Default::default()
                };
                runtime.exec(request).await?.into_inner().url
            }
            "attach" => {
                let request = AttachRequest {
                    container_id: self.container.clone(),
                    tty: has("tty"),
                    stdin: has("stdin"),
                    stdout: has("stdout"),
                    stderr: has("stderr") && !has("tty"),
                    ..Default::default()
                };
                runtime.attach(request).await?.into_inner().url
            }
            _ => {
                let request = PortForwardRequest {
                    pod_sandbox_id: self.sandbox.clone(),
                    port: Vec::new(),
                };
                runtime.port_forward(request).await?.into_inner().url
            }
        })
    }
}

fn document(path: &str, pod: &Pod) -> Option<serde_json::Value> {
    Some(match path {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/version" => json!({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}),
        "/api/v1" => {
            let of = |name: &str, kind: &str, verbs: &[&str]| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs});
            json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                of("pods", "Pod", &["get", "list"]),
                of("pods/exec", "PodExecOptions", &["create", "get"]),
                of("pods/attach", "PodAttachOptions", &["create", "get"]),
                of("pods/portforward", "PodPortForwardOptions", &["create", "get"]),
            ]})
        }
        "/api/v1/namespaces/tests/pods/pod" => json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "pod", "namespace": "tests", "uid": "uid-pod"},
            "spec": {"containers": [{"name": "main", "image": "app", "stdin": true, "tty": pod.tty}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "main", "ready": true, "state": {"running": {}}},
            ]},
        }),
        _ => return None,
    })
}

/// A terminal, and a program whose it is.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    pub(crate) master: std::fs::File,
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs kubectl at a terminal of this size.
    pub(crate) fn new(front: &Front, over: Over, args: &[&str], size: (u16, u16)) -> Self {
        let master = rustix::pty::openpt(
            rustix::pty::OpenptFlags::RDWR
                | rustix::pty::OpenptFlags::NOCTTY
                | rustix::pty::OpenptFlags::CLOEXEC,
        )
        .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = std::fs::File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let master = std::fs::File::from(master);
        resize(&master, size);
        let kubectl = xtask::peers::kubectl().unwrap().join("kubectl");
        let mut words = vec!["--ctty", "--wait", kubectl.to_str().unwrap()];
        words.extend(args);
        let child = front
            .command("setsid".into(), over, &words)
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            master,
            seen,
        }
    }

    pub(crate) fn resize(&self, size: (u16, u16)) {
        resize(&self.master, size);
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn sees(&self, what: &str) {
        until(
            || self.text().contains(what),
            || format!("{what:?} is not in {:?}", self.text()),
        )
        .await;
    }
}

fn resize(master: &std::fs::File, (columns, rows): (u16, u16)) {
    let size = rustix::termios::Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(master, size).unwrap();
}

/// Waits for a condition, within bounds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool, or: impl Fn() -> String) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{}", or());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
