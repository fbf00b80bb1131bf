//! What both runtimes are asked, one call after the other.

use anyhow::Result;
use cri_proto::runtime::{
    self as cri, ContainerConfig, CreateContainerRequest, ExecSyncRequest, PodSandboxConfig,
};
use orlop_tests::containers::answers::{Line, Names};
use orlop_tests::containers::cri::{Cri, container, image, pod};
use orlop_tests::containers::site::Site;
use std::fmt::Debug;
use std::fs;
use tonic::{Response, Status};

/// Fields of statistics that may be there or not.
const OF_SNAPSHOTS: [&str; 3] = [
    "stats.writable_layer.timestamp",
    "stats.writable_layer.used_bytes.value",
    "stats.writable_layer.inodes_used.value",
];

/// A step's name, and what was answered.
pub(crate) type Step = (String, Vec<Line>);

/// A run of the script.
pub(crate) struct Script<'a> {
    cri: Cri,
    names: Names,
    steps: Vec<Step>,
    app: &'a str,
    cgroup: String,
    logs: std::path::PathBuf,
}

/// All calls, in their order, of one runtime that has the image `app` not yet.
pub(crate) async fn run(site: &Site, app: &str, missing: &str) -> Result<Vec<Step>> {
    let mut names = Names::default();
    names.add(site.directory().display().to_string(), "directory");
    names.add(app.to_owned(), "app");
    names.add(missing.to_owned(), "missing");
    let host = app.split('/').next().unwrap_or_default();
    names.add(host, "registry");
    let mut script = Script {
        cri: site.cri.clone(),
        names,
        steps: Vec::new(),
        app,
        cgroup: format!("/orlop-swap-{}-{}", std::process::id(), site.kind().name()),
        logs: site.directory().join("logs"),
    };
    script.node().await;
    script.images(missing).await;
    let (sandbox, config) = script.sandboxes().await?;
    script.refusals(&sandbox, &config).await;
    script.life(&sandbox, &config).await?;
    script.ends(&sandbox, &config).await?;
    script.removal(&sandbox, &config).await?;
    Ok(script.steps)
}

impl Script<'_> {
    fn say<T: Debug>(&mut self, step: &str, answer: &Result<Response<T>, Status>) {
        let answer = answer.as_ref().map(Response::get_ref).map_err(Clone::clone);
        let lines = self.names.lines(&answer);
        self.steps.push((step.to_owned(), lines));
    }

    async fn node(&mut self) {
        let version = self
            .cri
            .runtime
            .version(cri::VersionRequest::default())
            .await;
        self.say("version", &version);
        let status = self.cri.runtime.status(cri::StatusRequest::default()).await;
        self.say("status", &status);
        let config = cri::UpdateRuntimeConfigRequest {
            runtime_config: Some(cri::RuntimeConfig {
                network_config: Some(cri::NetworkConfig {
                    pod_cidr: "10.1.2.0/24".to_owned(),
                }),
            }),
        };
        let updated = self.cri.runtime.update_runtime_config(config).await;
        self.say("update runtime config", &updated);
    }

    async fn images(&mut self, missing: &str) {
        let status = |name: &str| cri::ImageStatusRequest {
            image: Some(image(name)),
            verbose: false,
        };
        let pull = |name: &str| cri::PullImageRequest {
            image: Some(image(name)),
            ..cri::PullImageRequest::default()
        };
        let answer = self.cri.images.image_status(status(missing)).await;
        self.say("image status, missing", &answer);
        let answer = self.cri.images.pull_image(pull(missing)).await;
        self.say("pull, missing", &answer);
        let answer = self.cri.images.pull_image(pull("A B")).await;
        self.say("pull, no name", &answer);
        let answer = self.cri.images.pull_image(pull(self.app)).await;
        self.say("pull", &answer);
        let answer = self.cri.images.image_status(status(self.app)).await;
        self.say("image status", &answer);
        let list = cri::ListImagesRequest {
            filter: Some(cri::ImageFilter {
                image: Some(image(self.app)),
            }),
        };
        let answer = self.cri.images.list_images(list).await;
        self.say("list images, one", &answer);
        let remove = cri::RemoveImageRequest {
            image: Some(image(missing)),
        };
        let answer = self.cri.images.remove_image(remove).await;
        self.say("remove image, missing", &answer);
    }

    async fn sandboxes(&mut self) -> Result<(String, PodSandboxConfig)> {
        let config = pod("pod", &self.logs, &format!("{}/pod", self.cgroup));
        let run = |config: Option<PodSandboxConfig>, handler: &str| cri::RunPodSandboxRequest {
            config,
            runtime_handler: handler.to_owned(),
        };
        let made = self
            .cri
            .runtime
            .run_pod_sandbox(run(Some(config.clone()), ""))
            .await;
        let id = made
            .as_ref()
            .map_err(Clone::clone)?
            .get_ref()
            .pod_sandbox_id
            .clone();
        self.names.add(id.clone(), "sandbox");
        self.say("run sandbox", &made);
        let answer = self
            .cri
            .runtime
            .run_pod_sandbox(run(Some(config.clone()), ""))
            .await;
        self.say("run sandbox, again", &answer);
        let mut other = config.clone();
        other.metadata.get_or_insert_default().name = "other".to_owned();
        let answer = self
            .cri
            .runtime
            .run_pod_sandbox(run(Some(other), "none"))
            .await;
        self.say("run sandbox, unknown handler", &answer);
        let answer = self.sandbox_status(&id).await;
        self.say("sandbox status", &answer);
        let list = |filter| cri::ListPodSandboxRequest {
            filter: Some(filter),
        };
        let by_prefix = cri::PodSandboxFilter {
            id: id.chars().take(13).collect(),
            ..cri::PodSandboxFilter::default()
        };
        let answer = self.cri.runtime.list_pod_sandbox(list(by_prefix)).await;
        self.say("list sandboxes, by prefix", &answer);
        let by_label = cri::PodSandboxFilter {
            label_selector: [("pod".to_owned(), "none".to_owned())].into(),
            ..cri::PodSandboxFilter::default()
        };
        let answer = self.cri.runtime.list_pod_sandbox(list(by_label)).await;
        self.say("list sandboxes, by another label", &answer);
        Ok((id, config))
    }

    async fn sandbox_status(
        &mut self,
        id: &str,
    ) -> Result<Response<cri::PodSandboxStatusResponse>, Status> {
        let request = cri::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: false,
        };
        self.cri.runtime.pod_sandbox_status(request).await
    }

    async fn create(
        &mut self,
        sandbox: &str,
        pod: &PodSandboxConfig,
        config: Option<ContainerConfig>,
    ) -> Result<Response<cri::CreateContainerResponse>, Status> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config,
            sandbox_config: Some(pod.clone()),
        };
        self.cri.runtime.create_container(request).await
    }

    async fn start(&mut self, id: &str) -> Result<Response<cri::StartContainerResponse>, Status> {
        let request = cri::StartContainerRequest {
            container_id: id.to_owned(),
        };
        self.cri.runtime.start_container(request).await
    }

    async fn stop(&mut self, id: &str) -> Result<Response<cri::StopContainerResponse>, Status> {
        let request = cri::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: 30,
        };
        self.cri.runtime.stop_container(request).await
    }

    async fn remove(&mut self, id: &str) -> Result<Response<cri::RemoveContainerResponse>, Status> {
        let request = cri::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        self.cri.runtime.remove_container(request).await
    }

    async fn status(&mut self, id: &str) -> Result<Response<cri::ContainerStatusResponse>, Status> {
        let request = cri::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        self.cri.runtime.container_status(request).await
    }

    async fn exec(
        &mut self,
        id: &str,
        command: &[&str],
    ) -> Result<Response<cri::ExecSyncResponse>, Status> {
        let request = ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command.iter().map(|word| (*word).to_owned()).collect(),
            timeout: 0,
        };
        self.cri.runtime.exec_sync(request).await
    }

    async fn refusals(&mut self, sandbox: &str, pod: &PodSandboxConfig) {
        let nowhere = "0123456789abcdef";
        let answer = self
            .create(nowhere, pod, Some(container("a", self.app, &[])))
            .await;
        self.say("create, unknown sandbox", &answer);
        let answer = self.create(sandbox, pod, None).await;
        self.say("create, no config", &answer);
        let answer = self
            .create(sandbox, pod, Some(container("a", "none.invalid/no:1", &[])))
            .await;
        self.say("create, image not there", &answer);
        let answer = self.start(nowhere).await;
        self.say("start, unknown", &answer);
        let answer = self.status(nowhere).await;
        self.say("status, unknown", &answer);
        let answer = self.exec(nowhere, &["/contained"]).await;
        self.say("exec, unknown", &answer);
        let answer = self.stop(nowhere).await;
        self.say("stop, unknown", &answer);
        let answer = self.remove(nowhere).await;
        self.say("remove, unknown", &answer);
        let answer = self.sandbox_status(nowhere).await;
        self.say("sandbox status, unknown", &answer);
    }

    async fn life(&mut self, sandbox: &str, pod: &PodSandboxConfig) -> Result<()> {
        let config = container("app", self.app, &[]);
        let made = self.create(sandbox, pod, Some(config.clone())).await;
        let id = made
            .as_ref()
            .map_err(Clone::clone)?
            .get_ref()
            .container_id
            .clone();
        self.names.add(id.clone(), "container");
        self.say("create", &made);
        let answer = self.create(sandbox, pod, Some(config)).await;
        self.say("create, again", &answer);
        let answer = self.status(&id).await;
        self.say("status, created", &answer);
        let answer = self.exec(&id, &["/contained", "exit", "0"]).await;
        self.say("exec, created", &answer);
        let answer = self.start(&id).await;
        self.say("start", &answer);
        let answer = self.start(&id).await;
        self.say("start, again", &answer);
        let answer = self.status(&id).await;
        self.say("status, running", &answer);
        let answer = self.exec(&id, &["/contained", "say", "hello", "3"]).await;
        self.say("exec", &answer);
        let answer = self.exec(&id, &[]).await;
        self.say("exec, no command", &answer);
        let stats = cri::ContainerStatsRequest {
            container_id: id.clone(),
        };
        let answer = self.cri.runtime.container_stats(stats).await;
        self.say("container stats", &answer);
        // containerd looks at its snapshots every ten seconds, and has none of this before.
        if let Some((_, lines)) = self.steps.last_mut() {
            lines.retain(|(field, _)| !OF_SNAPSHOTS.contains(&field.as_str()));
        }
        let list = cri::ListContainersRequest {
            filter: Some(cri::ContainerFilter {
                pod_sandbox_id: sandbox.to_owned(),
                ..cri::ContainerFilter::default()
            }),
        };
        let answer = self.cri.runtime.list_containers(list).await;
        self.say("list containers, of a sandbox", &answer);
        let reopen = cri::ReopenContainerLogRequest {
            container_id: id.clone(),
        };
        let answer = self.cri.runtime.reopen_container_log(reopen.clone()).await;
        self.say("reopen log", &answer);
        let answer = self.stop(&id).await;
        self.say("stop", &answer);
        let answer = self.stop(&id).await;
        self.say("stop, again", &answer);
        let answer = self.status(&id).await;
        self.say("status, stopped", &answer);
        let answer = self.start(&id).await;
        self.say("start, stopped", &answer);
        let answer = self.exec(&id, &["/contained", "exit", "0"]).await;
        self.say("exec, stopped", &answer);
        let answer = self.cri.runtime.reopen_container_log(reopen).await;
        self.say("reopen log, stopped", &answer);
        let answer = self.remove(&id).await;
        self.say("remove", &answer);
        Ok(())
    }

    /// How containers end, and what they have logged.
    async fn ends(&mut self, sandbox: &str, pod: &PodSandboxConfig) -> Result<()> {
        for (name, arguments) in [
            ("well", ["say", "fine", "0"]),
            ("badly", ["say", "oh", "7"]),
        ] {
            let config = container(name, self.app, &arguments);
            let made = self.create(sandbox, pod, Some(config)).await?;
            let id = made.into_inner().container_id;
            self.names.add(id.clone(), name);
            self.start(&id).await?;
            self.cri.ended(&id).await?;
            let answer = self.status(&id).await;
            self.say(&format!("status, ended {name}"), &answer);
            let log = self.logs.join("pod").join(format!("{name}.log"));
            let mut lines: Vec<Line> = fs::read_to_string(log)?
                .lines()
                .map(|line| {
                    let (time, rest) = line.split_once(' ').unwrap_or_default();
                    let nanoseconds = time.split_once('.').map_or("", |(_, rest)| rest);
                    let kind = if nanoseconds.ends_with('Z') {
                        "time"
                    } else {
                        "?"
                    };
                    (kind.to_owned(), rest.to_owned())
                })
                .collect();
            // The two streams are read apart.
            lines.sort();
            self.steps.push((format!("log, ended {name}"), lines));
        }
        let mut config = container("nothing", self.app, &[]);
        config.command = vec!["/no/program".to_owned()];
        let made = self.create(sandbox, pod, Some(config)).await?;
        let id = made.into_inner().container_id;
        self.names.add(id.clone(), "nothing");
        let answer = self.start(&id).await;
        self.say("start, no program", &answer);
        let answer = self.status(&id).await;
        self.say("status, no program", &answer);
        Ok(())
    }

    async fn removal(&mut self, sandbox: &str, pod: &PodSandboxConfig) -> Result<()> {
        let made = self
            .create(sandbox, pod, Some(container("last", self.app, &[])))
            .await?;
        let id = made.into_inner().container_id;
        self.names.add(id.clone(), "last");
        self.start(&id).await?;
        let answer = self.remove(&id).await;
        self.say("remove, running", &answer);
        let stop = cri::StopPodSandboxRequest {
            pod_sandbox_id: sandbox.to_owned(),
        };
        let answer = self.cri.runtime.stop_pod_sandbox(stop.clone()).await;
        self.say("stop sandbox", &answer);
        let answer = self.cri.runtime.stop_pod_sandbox(stop).await;
        self.say("stop sandbox, again", &answer);
        let answer = self.sandbox_status(sandbox).await;
        self.say("sandbox status, stopped", &answer);
        let answer = self
            .create(sandbox, pod, Some(container("late", self.app, &[])))
            .await;
        if let Ok(made) = &answer {
            self.names.add(made.get_ref().container_id.clone(), "late");
        }
        self.say("create, sandbox stopped", &answer);
        let remove = cri::RemovePodSandboxRequest {
            pod_sandbox_id: sandbox.to_owned(),
        };
        let answer = self.cri.runtime.remove_pod_sandbox(remove.clone()).await;
        self.say("remove sandbox", &answer);
        let answer = self.cri.runtime.remove_pod_sandbox(remove).await;
        self.say("remove sandbox, again", &answer);
        let answer = self.sandbox_status(sandbox).await;
        self.say("sandbox status, removed", &answer);
        Ok(())
    }
}
