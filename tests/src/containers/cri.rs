//! Calls of CRI over a Unix socket, and the configs they carry.

use anyhow::{Context as _, Result, bail};
use cri_proto::runtime::{
    AuthConfig, ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus,
    ContainerStatusRequest, CreateContainerRequest, ImageSpec, LinuxContainerConfig,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PullImageRequest,
    RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest,
    StopContainerRequest, VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Pause before the next look: much shorter than what is waited for.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
/// Longest wait for a container's end.
const ENDS_MAX: Duration = Duration::from_secs(60);

/// A connection to a runtime.
#[derive(Debug, Clone)]
pub struct Cri {
    /// Sandboxes and containers.
    pub runtime: RuntimeServiceClient<Channel>,
    /// Images.
    pub images: ImageServiceClient<Channel>,
}

impl Cri {
    /// One that connects with its first call.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://runtime").connect_with_connector_lazy(connect);
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        }
    }

    /// Waits until it answers.
    pub async fn answers(mut self) {
        while self
            .runtime
            .version(VersionRequest::default())
            .await
            .is_err()
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Pulls an image.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn pull(&mut self, name: &str, auth: Option<AuthConfig>) -> Result<String> {
        let request = PullImageRequest {
            image: Some(image(name)),
            auth,
            ..PullImageRequest::default()
        };
        let pulled = self.images.pull_image(request).await;
        let pulled = pulled.with_context(|| format!("pull {name}"))?;
        Ok(pulled.into_inner().image_ref)
    }

    /// Runs a sandbox; its ID.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn run_sandbox(&mut self, config: &PodSandboxConfig) -> Result<String> {
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: String::new(),
        };
        let made = self.runtime.run_pod_sandbox(request).await;
        Ok(made.context("run a sandbox")?.into_inner().pod_sandbox_id)
    }

    /// Creates a container and starts it; its ID.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn run(
        &mut self,
        sandbox: &str,
        pod: &PodSandboxConfig,
        config: &ContainerConfig,
    ) -> Result<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config.clone()),
            sandbox_config: Some(pod.clone()),
        };
        let made = self.runtime.create_container(request).await;
        let id = made
            .context("create a container")?
            .into_inner()
            .container_id;
        let request = StartContainerRequest {
            container_id: id.clone(),
        };
        let started = self.runtime.start_container(request).await;
        started.context("start a container")?;
        Ok(id)
    }

    /// How a container is.
    ///
    /// # Errors
    /// It is unknown.
    pub async fn status(&mut self, id: &str) -> Result<ContainerStatus> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let status = self.runtime.container_status(request).await;
        let status = status.context("ask for a container's status")?;
        status.into_inner().status.context("a status without one")
    }

    /// Waits for a container's end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ended(&mut self, id: &str) -> Result<ContainerStatus> {
        let begun = Instant::now();
        loop {
            let status = self.status(id).await?;
            if status.state == i32::from(ContainerState::ContainerExited) {
                return Ok(status);
            }
            if begun.elapsed() > ENDS_MAX {
                bail!("it does not end: {status:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills a container if it runs, and removes it.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn remove(&mut self, id: &str) -> Result<()> {
        let request = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: 0,
        };
        let stopped = self.runtime.stop_container(request).await;
        stopped.context("stop a container")?;
        let request = RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let removed = self.runtime.remove_container(request).await;
        removed.context("remove a container")?;
        Ok(())
    }

    /// Stops a sandbox with its containers, and removes it.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn remove_sandbox(&mut self, id: &str) -> Result<()> {
        let request = cri_proto::runtime::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let stopped = self.runtime.stop_pod_sandbox(request).await;
        stopped.context("stop a sandbox")?;
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let removed = self.runtime.remove_pod_sandbox(request).await;
        removed.context("remove a sandbox")?;
        Ok(())
    }
}

/// An image by its name.
#[must_use]
pub fn image(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    }
}

/// A pod with the node's network and PID namespaces of its containers' own.
#[must_use]
pub fn pod(name: &str, logs: &Path, cgroup: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            namespace: "tests".to_owned(),
            attempt: 0,
        }),
        log_directory: logs.join(name).display().to_string(),
        labels: [("pod".to_owned(), name.to_owned())].into(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup.to_owned(),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces()),
                ..LinuxSandboxSecurityContext::default()
            }),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

/// A container of such a pod; without arguments, those of its image.
#[must_use]
pub fn container(name: &str, of: &str, arguments: &[&str]) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: name.to_owned(),
            attempt: 0,
        }),
        image: Some(image(of)),
        args: arguments.iter().map(|word| (*word).to_owned()).collect(),
        log_path: format!("{name}.log"),
        labels: [("name".to_owned(), name.to_owned())].into(),
        linux: Some(LinuxContainerConfig {
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(namespaces()),
                ..LinuxContainerSecurityContext::default()
            }),
            ..LinuxContainerConfig::default()
        }),
        ..ContainerConfig::default()
    }
}

fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..NamespaceOption::default()
    }
}
