//! The runtime as a program, and a client of it.

use super::machine::CGROUPS;
use anyhow::{Context as _, Result, bail};
use cri_proto::runtime::runtime_service_client::RuntimeServiceClient;
use cri_proto::runtime::{self as cri, image_service_client::ImageServiceClient};
use hyper_util::rt::TokioIo;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const SOCKET: &str = "/run/runtime.sock";
const LOG: &str = "/run/runtime.log";
/// Under TCG everything takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct Node {
    runtime: Child,
    pub(crate) client: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    pub(crate) image: String,
    names: usize,
}

/// A pod that is there.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) id: String,
    config: cri::PodSandboxConfig,
}

impl Node {
    /// With the image pulled.
    pub(crate) async fn new(image: String) -> Result<Self> {
        let channel = Endpoint::from_static("http://runtime").connect_with_connector_lazy(
            tower::service_fn(|_| async { UnixStream::connect(SOCKET).await.map(TokioIo::new) }),
        );
        let mut node = Self {
            runtime: launch()?,
            client: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
            image,
            names: 0,
        };
        node.answers().await?;
        let request = cri::PullImageRequest {
            image: Some(node.spec()),
            ..Default::default()
        };
        node.images
            .pull_image(request)
            .await
            .context("pull the image")?;
        Ok(node)
    }

    fn spec(&self) -> cri::ImageSpec {
        cri::ImageSpec {
            image: self.image.clone(),
            ..Default::default()
        }
    }

    async fn answers(&mut self) -> Result<()> {
        let begun = Instant::now();
        while let Err(error) = self.client.version(cri::VersionRequest::default()).await {
            if begun.elapsed() > PATIENCE {
                bail!("the runtime does not answer: {error}\n{}", log());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Kills the runtime and starts the next one.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.runtime.kill().context("kill the runtime")?;
        self.runtime.wait().context("wait for the runtime")?;
        self.runtime = launch()?;
        self.answers().await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.runtime.id()
    }

    /// A pod whose cgroup has this content in these files.
    pub(crate) async fn pod(
        &mut self,
        name: &str,
        limits: &[(&str, &str)],
        options: cri::NamespaceOption,
    ) -> Result<Pod> {
        let parent = format!("{CGROUPS}/pods/{name}");
        fs::create_dir_all(&parent).context("make the pod's cgroup")?;
        let controllers = "+cpu +cpuset +memory +pids";
        fs::write(
            format!("{CGROUPS}/pods/cgroup.subtree_control"),
            controllers,
        )
        .context("enable controllers")?;
        for (file, value) in limits {
            fs::write(format!("{parent}/{file}"), value)
                .with_context(|| format!("write {file}"))?;
        }
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.to_owned(),
                uid: name.to_owned(),
                namespace: "guest".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: format!("/run/logs/{name}"),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: format!("/pods/{name}"),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = cri::RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: String::new(),
        };
        let made = self
            .client
            .run_pod_sandbox(request)
            .await
            .context("run a sandbox")?;
        Ok(Pod {
            id: made.into_inner().pod_sandbox_id,
            config,
        })
    }

    /// What a container of a pod usually is.
    pub(crate) fn container(&mut self, pod: &Pod, words: &[&str]) -> cri::ContainerConfig {
        self.names += 1;
        let name = format!("{}-{}", words.first().unwrap_or(&"none"), self.names);
        let sandbox = pod
            .config
            .linux
            .clone()
            .unwrap_or_default()
            .security_context
            .unwrap_or_default();
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: name.clone(),
                attempt: 0,
            }),
            image: Some(self.spec()),
            args: words.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(cri::LinuxContainerConfig {
                resources: Some(cri::LinuxContainerResources::default()),
                security_context: Some(cri::LinuxContainerSecurityContext {
                    namespace_options: sandbox.namespace_options,
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn create(
        &mut self,
        pod: &Pod,
        config: cri::ContainerConfig,
    ) -> Result<String> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let made = self.client.create_container(request).await;
        Ok(made
            .context("create a container")?
            .into_inner()
            .container_id)
    }

    pub(crate) async fn start(&mut self, id: &str) -> Result<()> {
        let request = cri::StartContainerRequest {
            container_id: id.to_owned(),
        };
        let started = self.client.start_container(request).await;
        started.context("start a container").map(drop)
    }

    pub(crate) async fn run(&mut self, pod: &Pod, config: cri::ContainerConfig) -> Result<String> {
        let id = self.create(pod, config).await?;
        self.start(&id).await?;
        Ok(id)
    }

    /// With these limits.
    pub(crate) async fn limited(
        &mut self,
        pod: &Pod,
        limits: cri::LinuxContainerResources,
        words: &[&str],
    ) -> Result<String> {
        let mut config = self.container(pod, words);
        config.linux.get_or_insert_default().resources = Some(limits);
        self.run(pod, config).await
    }

    pub(crate) async fn status(&mut self, id: &str) -> Result<cri::ContainerStatus> {
        let request = cri::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let status = self.client.container_status(request).await?.into_inner();
        status.status.context("a status")
    }

    pub(crate) async fn exited(&mut self, id: &str) -> Result<cri::ContainerStatus> {
        let begun = Instant::now();
        loop {
            let status = self.status(id).await?;
            if status.state == i32::from(cri::ContainerState::ContainerExited) {
                return Ok(status);
            }
            if begun.elapsed() > PATIENCE {
                bail!("the container does not end: {status:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) async fn runs(&mut self, id: &str) -> Result<bool> {
        Ok(self.status(id).await?.state == i32::from(cri::ContainerState::ContainerRunning))
    }

    /// What a program says in a container that runs.
    pub(crate) async fn exec(&mut self, id: &str, words: &[&str]) -> Result<String> {
        let request = cri::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: std::iter::once("/guest")
                .chain(words.iter().copied())
                .map(str::to_owned)
                .collect(),
            timeout: 60,
        };
        let done = self.client.exec_sync(request).await?.into_inner();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if done.exit_code != 0 {
            bail!(
                "{words:?} has ended with {}: {}",
                done.exit_code,
                text(&done.stderr)
            );
        }
        Ok(text(&done.stdout))
    }

    /// What a container has written, when it has written so many lines.
    pub(crate) async fn logged(&mut self, id: &str, count: usize) -> Result<String> {
        let begun = Instant::now();
        let path = self.status(id).await?.log_path;
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text
                .lines()
                .filter_map(|line| line.splitn(4, ' ').nth(3))
                .collect();
            if lines.len() >= count {
                return Ok(lines.join("\n"));
            }
            if begun.elapsed() > PATIENCE {
                bail!("{path} has fewer than {count} lines: {text:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) async fn update(
        &mut self,
        id: &str,
        limits: cri::LinuxContainerResources,
    ) -> Result<(), Status> {
        let request = cri::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(limits),
            ..Default::default()
        };
        self.client
            .update_container_resources(request)
            .await
            .map(drop)
    }

    pub(crate) async fn remove_pod(&mut self, pod: &Pod) -> Result<()> {
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: pod.id.clone(),
        };
        self.client
            .remove_pod_sandbox(request)
            .await
            .context("remove a sandbox")?;
        Ok(())
    }
}

fn launch() -> Result<Child> {
    let file = fs::File::options()
        .create(true)
        .append(true)
        .open(LOG)
        .context("open the runtime's log")?;
    Command::new("/orlop")
        .args([
            "runtime",
            "--root",
            "/var/runtime",
            "--state",
            "/run/runtime",
        ])
        .args(["--listen", &format!("unix://{SOCKET}")])
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("the log's descriptor")?)
        .stderr(file)
        .spawn()
        .context("start the runtime")
}

/// The end of what the runtime has logged.
pub(crate) fn log() -> String {
    let text = fs::read_to_string(LOG).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default()
        .join("\n")
}

/// A file of a container's cgroup.
pub(crate) fn cgroup_file(pod: &str, id: &str, file: &str) -> Result<String> {
    let path = PathBuf::from(format!("{CGROUPS}/pods/{pod}/{id}/{file}"));
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}
