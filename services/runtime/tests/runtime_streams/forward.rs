//! kubectl port-forward.

use crate::{
    front::{BOTH, Front, Over, blocking, until},
    node::{Node, PATIENCE},
};
use cri_proto::runtime::{LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::Child,
    sync::{Arc, Mutex},
};

/// A listener in a pod's network namespace.
fn listen(namespace: PathBuf, address: &'static str) -> TcpListener {
    std::thread::spawn(move || {
        let namespace = File::open(namespace).unwrap();
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        TcpListener::bind(address).unwrap()
    })
    .join()
    .unwrap()
}

/// Says what it hears, behind its own greeting, until the other has ended.
fn echo(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                stream.write_all(b"hello ").unwrap();
                let mut buffer = [0; 32 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

struct Forwards {
    child: Child,
    port: u16,
    complaints: Arc<Mutex<String>>,
}

impl Drop for Forwards {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forwards {
    async fn begin(front: &Front, over: Over, port: u16) -> Self {
        let ports = format!(":{port}");
        let args = ["port-forward", "--address", "127.0.0.1", "pod", &ports];
        let mut child = front.kubectl(over, &args).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let complaints = Arc::<Mutex<String>>::default();
        let to = Arc::clone(&complaints);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                to.lock().unwrap().push_str(&line.unwrap());
            }
        });
        let line = blocking(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            // The rest is of no interest, and must not fill its pipe.
            std::thread::spawn(move || lines.lines().for_each(drop));
            line
        })
        .await;
        let found = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next());
        let found = found.unwrap_or_else(|| panic!("{line} {}", complaints.lock().unwrap()));
        Self {
            child,
            port: found.parse().unwrap(),
            complaints,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

async fn pod() -> (Node, Front, PathBuf) {
    let mut node = Node::new().await;
    let sandbox = node.run_sandbox("pod").await;
    let front = Front::new(&node, &sandbox, "", false).await;
    let namespace = node.path("state/sandboxes").join(&sandbox).join("ns/net");
    (node, front, namespace)
}

fn bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_each_unchanged_to_its_end() {
    let (_node, front, namespace) = pod().await;
    echo(listen(namespace.clone(), "127.0.0.1:80"));
    echo(listen(namespace, "[::1]:81"));
    for over in BOTH {
        for port in [80, 81] {
            let forwards = Forwards::begin(&front, over, port).await;
            let connections: Vec<_> = (0..20)
                .map(|number| {
                    let mut stream = forwards.connect();
                    std::thread::spawn(move || {
                        let sent = bytes(500_000 + number);
                        let mut writing = stream.try_clone().unwrap();
                        let writes = sent.clone();
                        let writer = std::thread::spawn(move || {
                            writing.write_all(&writes).unwrap();
                            // The answer goes on behind our end.
                            writing.shutdown(Shutdown::Write).unwrap();
                        });
                        let mut heard = Vec::new();
                        stream.read_to_end(&mut heard).unwrap();
                        writer.join().unwrap();
                        assert!(heard.strip_prefix(b"hello ").unwrap() == sent);
                    })
                })
                .collect();
            blocking(move || {
                for connection in connections {
                    connection.join().unwrap();
                }
            })
            .await;
            assert_eq!(*forwards.complaints.lock().unwrap(), "");
        }
    }
    let agreed = front.agreed.lock().unwrap().clone();
    assert_eq!(agreed[0], "SPDY/3.1+portforward.k8s.io");
    assert_eq!(agreed.last().unwrap(), "portforward.k8s.io");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_says_so() {
    let (_node, front, _) = pod().await;
    for over in BOTH {
        let forwards = Forwards::begin(&front, over, 80).await;
        let mut stream = forwards.connect();
        let mut heard = Vec::new();
        let _ = blocking(move || stream.read_to_end(&mut heard)).await;
        let complaints = || forwards.complaints.lock().unwrap().clone();
        until(
            || {
                complaints().contains("failed to connect to localhost:80 inside namespace")
                    && complaints().contains("connection refused")
            },
            complaints,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_nodes_network_has_the_nodes_ports() {
    let mut node = Node::new().await;
    let mut config = node.sandbox_config("pod");
    let security = LinuxSandboxSecurityContext {
        namespace_options: Some(NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: NamespaceMode::Container.into(),
            ..NamespaceOption::default()
        }),
        ..LinuxSandboxSecurityContext::default()
    };
    config.linux.as_mut().unwrap().security_context = Some(security);
    config.hostname.clear();
    let sandbox = node.try_run_sandbox(config).await.unwrap();
    let front = Front::new(&node, &sandbox, "", false).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    echo(listener);
    for over in BOTH {
        let forwards = Forwards::begin(&front, over, port).await;
        let mut stream = forwards.connect();
        let heard = blocking(move || {
            stream.write_all(b"there").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            heard
        })
        .await;
        assert_eq!(heard, "hello there");
    }
}
