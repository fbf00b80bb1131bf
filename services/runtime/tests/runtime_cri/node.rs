//! A runtime with directories of its own, a registry with one image, and clients.

use crate::{
    registry::Registry,
    support::{Entry, TestImage, archive, gzip},
};
use cri_proto::runtime::{
    Capability, ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus,
    ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec,
    LinuxContainerConfig, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    ListContainersRequest, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, PullImageRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// Ten times what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    registry: Registry,
    runtime: Option<Child>,
    /// More of the runtime's arguments, and of its environment.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) runtime_client: RuntimeServiceClient<Channel>,
    pub(crate) images: ImageServiceClient<Channel>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        let state = self.directory.path().join("state");
        // First the keeper, which would start nothing more, and then what is left of containers after a failed test.
        let _ = Command::new("pkill")
            .args(["-KILL", "-f", &format!("state {}", state.display())])
            .status();
        let cgroup = self.cgroup();
        for process in names(Path::new("/proc")) {
            let of = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
            if let Some(pid) = process.parse().ok().and_then(Pid::from_raw)
                && of.contains(&cgroup)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let below = self.directory.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mounted in mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(1))
        {
            if mounted.starts_with(&below) {
                let _ = rustix::mount::unmount(mounted, rustix::mount::UnmountFlags::DETACH);
            }
        }
    }
}

impl Node {
    /// With the image `app` pulled.
    pub(crate) async fn new() -> Self {
        Self::with(Vec::new(), Vec::new()).await
    }

    /// The same, with more arguments and environment of the runtime.
    pub(crate) async fn with(arguments: Vec<String>, environment: Vec<(String, String)>) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("orlop-runtime-")
            .tempdir()
            .unwrap();
        let socket = directory.path().join("runtime.sock");
        let channel = Endpoint::from_static("http://runtime").connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            }),
        );
        let registry = Registry::new().await;
        registry.put_image("app", "one", &image());
        let mut node = Self {
            registry,
            runtime: None,
            arguments,
            environment,
            runtime_client: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
            directory,
        };
        node.start().await;
        let name = node.image();
        let pulled = node
            .images
            .pull_image(PullImageRequest {
                image: Some(spec(&name)),
                ..PullImageRequest::default()
            })
            .await
            .unwrap();
        assert!(pulled.into_inner().image_ref.starts_with("sha256:"));
        node
    }

    pub(crate) fn image(&self) -> String {
        self.registry.reference("app:one")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn start(&mut self) {
        let path = |name: &str| self.path(name).display().to_string();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("runtime.log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_runtime_alone"))
            .args([
                "runtime",
                "--root",
                &path("root"),
                "--state",
                &path("state"),
            ])
            .args(["--listen", &format!("unix://{}", path("runtime.sock"))])
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.runtime = Some(child);
        let begun = Instant::now();
        while let Err(error) = self.runtime_client.version(VersionRequest::default()).await {
            let log = fs::read_to_string(self.path("runtime.log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "{error}\n{log}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut runtime) = self.runtime.take() {
            runtime.kill().unwrap();
            runtime.wait().unwrap();
        }
    }

    /// How many `sandboxes` or `containers` are on the disk as half-made.
    pub(crate) fn half_made(&self, kind: &str) -> usize {
        let all = std::fs::read_dir(self.path("root").join(kind)).unwrap();
        let records = all.filter_map(|one| {
            let record = one.unwrap().path().join("record.json");
            std::fs::read_to_string(record).ok()
        });
        records
            .filter(|record| record.contains(r#""state":"Making""#))
            .count()
    }

    /// Until one is, or the call that makes it is done. Half-made is a matter of less than a millisecond, so it is looked for without
    /// a pause.
    pub(crate) async fn until_half_made<T>(&self, kind: &str, call: &tokio::task::JoinHandle<T>) {
        let begun = std::time::Instant::now();
        while self.half_made(kind) == 0 && !call.is_finished() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn sandbox_config(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "tests".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.path("logs").join(name).display().to_string(),
            labels: [("pod".to_owned(), name.to_owned())].into(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}/{name}", self.cgroup()),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }

    pub(crate) fn cgroup(&self) -> String {
        let name = self.directory.path().file_name().unwrap();
        name.to_str().unwrap().to_owned()
    }

    pub(crate) fn container_config(&self, name: &str, command: &[&str]) -> ContainerConfig {
        ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(spec(&self.image())),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            labels: [("name".to_owned(), name.to_owned())].into(),
            mounts: vec![Mount {
                container_path: "/usr".to_owned(),
                host_path: "/usr".to_owned(),
                readonly: true,
                ..Mount::default()
            }],
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    capabilities: Some(Capability::default()),
                    masked_paths: vec!["/proc/kcore".to_owned()],
                    readonly_paths: vec!["/proc/sys".to_owned()],
                    ..LinuxContainerSecurityContext::default()
                }),
                ..LinuxContainerConfig::default()
            }),
            ..ContainerConfig::default()
        }
    }

    pub(crate) async fn run_sandbox(&mut self, name: &str) -> String {
        let config = self.sandbox_config(name);
        self.try_run_sandbox(config).await.unwrap()
    }

    pub(crate) async fn try_run_sandbox(
        &mut self,
        mut config: PodSandboxConfig,
    ) -> Result<String, Status> {
        let linux = config.linux.get_or_insert_default();
        let security = linux.security_context.get_or_insert_default();
        security.namespace_options.get_or_insert(NamespaceOption {
            pid: NamespaceMode::Container.into(),
            ..NamespaceOption::default()
        });
        let request = RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: String::new(),
        };
        let made = self.runtime_client.run_pod_sandbox(request).await?;
        Ok(made.into_inner().pod_sandbox_id)
    }

    /// With all its containers.
    pub(crate) async fn remove_pod(&mut self, id: &str) {
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let removed = self.runtime_client.remove_pod_sandbox(request).await;
        removed.unwrap();
    }

    pub(crate) async fn create(
        &mut self,
        sandbox: &str,
        pod: &str,
        config: ContainerConfig,
    ) -> Result<String, Status> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(self.sandbox_config(pod)),
        };
        let made = self.runtime_client.create_container(request).await?;
        Ok(made.into_inner().container_id)
    }

    /// Of a sandbox that was made with this config.
    pub(crate) async fn create_with(
        &mut self,
        sandbox: &str,
        sandbox_config: PodSandboxConfig,
        config: ContainerConfig,
    ) -> Result<String, Status> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let made = self.runtime_client.create_container(request).await?;
        Ok(made.into_inner().container_id)
    }

    pub(crate) async fn start_container(&mut self, id: &str) -> Result<(), Status> {
        let request = StartContainerRequest {
            container_id: id.to_owned(),
        };
        self.runtime_client.start_container(request).await?;
        Ok(())
    }

    /// Created and started.
    pub(crate) async fn run(
        &mut self,
        sandbox: &str,
        pod: &str,
        name: &str,
        command: &[&str],
    ) -> String {
        let config = self.container_config(name, command);
        let id = self.create(sandbox, pod, config).await.unwrap();
        self.start_container(&id).await.unwrap();
        id
    }

    pub(crate) async fn status(&mut self, id: &str) -> ContainerStatus {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let status = self.runtime_client.container_status(request).await.unwrap();
        status.into_inner().status.unwrap()
    }

    pub(crate) async fn exited(&mut self, id: &str) -> ContainerStatus {
        let begun = Instant::now();
        loop {
            let status = self.status(id).await;
            if status.state == i32::from(ContainerState::ContainerExited) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{status:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) async fn exec(
        &mut self,
        id: &str,
        command: &[&str],
    ) -> Result<ExecSyncResponse, Status> {
        let request = ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command.iter().map(|word| (*word).to_owned()).collect(),
            timeout: 0,
        };
        Ok(self.runtime_client.exec_sync(request).await?.into_inner())
    }

    pub(crate) async fn count(&mut self) -> usize {
        let listed = self
            .runtime_client
            .list_containers(ListContainersRequest::default())
            .await;
        listed.unwrap().into_inner().containers.len()
    }

    /// What a container wrote to one stream, in its order.
    pub(crate) fn logged(&self, pod: &str, name: &str, stream: &str) -> Vec<String> {
        let path = self.path("logs").join(pod).join(format!("{name}.log"));
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .filter_map(|line| {
                let mut words = line.splitn(4, ' ').skip(1);
                (words.next().unwrap() == stream).then(|| words.nth(1).unwrap().to_owned())
            })
            .collect()
    }

    /// What a container has written to its standard output up to a line.
    pub(crate) async fn logs(&self, pod: &str, name: &str, last: &str) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let path = self.path("logs").join(pod).join(format!("{name}.log"));
            if path.exists() {
                let lines = self.logged(pod, name, "stdout");
                if lines.iter().any(|line| line == last) {
                    return lines;
                }
                let errors = self.logged(pod, name, "stderr");
                assert!(begun.elapsed() < PATIENCE, "{lines:?} {errors:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// No mount, bundle, namespace, cgroup or written file of any container or sandbox.
    pub(crate) fn nothing_is_left(&self) {
        let below = self.directory.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mounted: Vec<_> = mounts
            .lines()
            .filter(|line| line.contains(&below))
            .collect();
        assert!(mounted.is_empty(), "{mounted:?}");
        for directory in [
            "root/containers",
            "root/sandboxes",
            "state/containers",
            "state/sandboxes",
            "state/oci",
        ] {
            assert_eq!(
                names(&self.path(directory)),
                Vec::<String>::new(),
                "{directory}"
            );
        }
        for hierarchy in names(Path::new("/sys/fs/cgroup")) {
            let top = Path::new("/sys/fs/cgroup")
                .join(hierarchy)
                .join(self.cgroup());
            for pod in directories(&top) {
                assert_eq!(directories(&pod), Vec::<PathBuf>::new());
            }
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

pub(crate) fn spec(image: &str) -> ImageSpec {
    ImageSpec {
        image: image.to_owned(),
        ..ImageSpec::default()
    }
}

/// Two layers; its programs come from the host.
fn image() -> TestImage {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:7:8::/home/app:/bin/sh\n";
    TestImage::new(
        &[
            archive(&[
                ("usr/", Entry::Dir(0o755)),
                ("tmp/", Entry::Dir(0o1777)),
                ("bin", Entry::Link("usr/bin")),
                ("lib", Entry::Link("usr/lib")),
                ("lib64", Entry::Link("usr/lib64")),
                ("etc/", Entry::Dir(0o755)),
                ("etc/passwd", Entry::File(passwd)),
                ("below", Entry::File(b"below")),
            ]),
            archive(&[
                ("above", Entry::File(b"above")),
                (".wh.below", Entry::File(b"")),
            ]),
        ],
        &[gzip],
    )
}
