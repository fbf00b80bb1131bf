//! CRI's RuntimeService.

use super::{
    of_pods, statistics,
    views::{container, container_status, sandbox, sandbox_state, sandbox_status},
};
use crate::{
    executor::{
        pods::{ContainerEvent, Pods, container_state},
        streams::Streaming,
    },
    planner::{
        metrics,
        records::{ContainerRecord, SandboxRecord, SandboxState},
        spec::{Record, Wanted},
    },
};
use cri_proto::runtime::{self as cri, runtime_service_server::RuntimeService};
use jiff::Timestamp;
use std::{collections::HashMap, pin::Pin, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// Items in one message of a stream.
const AT_ONCE: usize = 128;

/// The service. Clones are the same.
#[derive(Debug, Clone)]
pub struct RuntimeApi {
    pods: Pods,
    streaming: Streaming,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl RuntimeApi {
    /// Over these.
    #[must_use]
    pub const fn new(pods: Pods, streaming: Streaming) -> Self {
        Self { pods, streaming }
    }

    fn sandboxes(&self, filter: Option<cri::PodSandboxFilter>) -> Vec<cri::PodSandbox> {
        let filter = filter.unwrap_or_default();
        let wanted = Wanted {
            id: &filter.id,
            sandbox: "",
            state: filter.state.map(|state| state.state),
            labels: Some(&filter.label_selector),
        };
        let has = |record: &SandboxRecord| {
            wanted.has(&Record {
                id: &record.id,
                sandbox: &record.id,
                state: sandbox_state(record.state).into(),
                labels: &record.config.labels,
            })
        };
        let all = self.pods.sandboxes().into_iter();
        all.filter(has).map(sandbox).collect()
    }

    fn containers(&self, filter: Option<cri::ContainerFilter>) -> Vec<cri::Container> {
        let filter = filter.unwrap_or_default();
        let wanted = Wanted {
            id: &filter.id,
            sandbox: &filter.pod_sandbox_id,
            state: filter.state.map(|state| state.state),
            labels: Some(&filter.label_selector),
        };
        let has = |record: &ContainerRecord| {
            wanted.has(&Record {
                id: &record.id,
                sandbox: &record.sandbox,
                state: container_state(&record.state).into(),
                labels: &record.config.labels,
            })
        };
        let all = self.pods.containers().into_iter();
        all.filter(has).map(container).collect()
    }

    /// Of those that run, as kubelets expect it.
    async fn container_stats_of(
        &self,
        filter: Option<cri::ContainerStatsFilter>,
    ) -> Result<Vec<cri::ContainerStats>, Status> {
        let filter = filter.unwrap_or_default();
        let wanted = Wanted {
            id: &filter.id,
            sandbox: &filter.pod_sandbox_id,
            state: Some(cri::ContainerState::ContainerRunning.into()),
            labels: Some(&filter.label_selector),
        };
        let mut all = Vec::new();
        for record in self.pods.containers() {
            let has = wanted.has(&Record {
                id: &record.id,
                sandbox: &record.sandbox,
                state: container_state(&record.state).into(),
                labels: &record.config.labels,
            });
            if has {
                let sample = self.pods.container_usage(&record).await.map_err(of_pods)?;
                all.push(statistics::of_container(record, &sample));
            }
        }
        Ok(all)
    }

    async fn sandbox_stats(&self, record: SandboxRecord) -> Result<cri::PodSandboxStats, Status> {
        let sample = self.pods.sandbox_usage(&record).await.map_err(of_pods)?;
        let within = cri::ContainerStatsFilter {
            pod_sandbox_id: record.id.clone(),
            ..cri::ContainerStatsFilter::default()
        };
        let containers = self.container_stats_of(Some(within)).await?;
        Ok(statistics::of_sandbox(record, &sample, containers))
    }

    async fn sandbox_stats_of(
        &self,
        filter: Option<cri::PodSandboxStatsFilter>,
    ) -> Result<Vec<cri::PodSandboxStats>, Status> {
        let filter = filter.unwrap_or_default();
        let wanted = Wanted {
            id: &filter.id,
            sandbox: "",
            state: Some(cri::PodSandboxState::SandboxReady.into()),
            labels: Some(&filter.label_selector),
        };
        let mut all = Vec::new();
        for record in self.pods.sandboxes() {
            let has = wanted.has(&Record {
                id: &record.id,
                sandbox: &record.id,
                state: sandbox_state(record.state).into(),
                labels: &record.config.labels,
            });
            if has {
                all.push(self.sandbox_stats(record).await?);
            }
        }
        Ok(all)
    }

    /// Of sandboxes that are ready, and their containers that run.
    async fn sandbox_metrics(&self) -> Result<Vec<cri::PodSandboxMetrics>, Status> {
        let containers = self.pods.containers();
        let mut all = Vec::new();
        for sandbox in self.pods.sandboxes() {
            if sandbox.state != SandboxState::Ready {
                continue;
            }
            let sample = self.pods.sandbox_usage(&sandbox).await.map_err(of_pods)?;
            let mut container_metrics = Vec::new();
            let within = |record: &&ContainerRecord| record.sandbox == sandbox.id && record.runs();
            for record in containers.iter().filter(within) {
                let sample = self.pods.container_usage(record).await.map_err(of_pods)?;
                container_metrics.push(statistics::container_metrics(record, &sandbox, &sample));
            }
            all.push(cri::PodSandboxMetrics {
                metrics: statistics::sandbox_metrics(&sandbox, &sample),
                pod_sandbox_id: sandbox.id,
                container_metrics,
            });
        }
        Ok(all)
    }

    fn event(&self, event: ContainerEvent) -> cri::ContainerEventResponse {
        let containers = self.pods.containers().into_iter();
        cri::ContainerEventResponse {
            container_id: event.id,
            container_event_type: event.kind.into(),
            created_at: event.at,
            pod_sandbox_status: self.pods.sandbox(&event.sandbox).ok().map(sandbox_status),
            containers_statuses: containers
                .filter(|record| record.sandbox == event.sandbox)
                .map(|record| container_status(record, &self.pods))
                .collect(),
        }
    }
}

fn parts<T: Clone + Send + 'static, R: Send + 'static>(
    items: &[T],
    part: impl Fn(Vec<T>) -> R,
) -> Response<Streamed<R>> {
    let all: Vec<_> = items
        .chunks(AT_ONCE)
        .map(|items| Ok(part(items.to_vec())))
        .collect();
    Response::new(Box::pin(tokio_stream::iter(all)))
}

fn not_yet<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!(
        "{what} is not supported by this version of the runtime"
    )))
}

/// Seconds of a client; none or less for no bound.
fn bound(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

#[tonic::async_trait]
impl RuntimeService for RuntimeApi {
    type StreamPodSandboxesStream = Streamed<cri::StreamPodSandboxesResponse>;
    type StreamContainersStream = Streamed<cri::StreamContainersResponse>;
    type StreamContainerStatsStream = Streamed<cri::StreamContainerStatsResponse>;
    type StreamPodSandboxStatsStream = Streamed<cri::StreamPodSandboxStatsResponse>;
    type StreamPodSandboxMetricsStream = Streamed<cri::StreamPodSandboxMetricsResponse>;
    type GetContainerEventsStream = Streamed<cri::ContainerEventResponse>;

    async fn version(
        &self,
        _request: Request<cri::VersionRequest>,
    ) -> Result<Response<cri::VersionResponse>, Status> {
        Ok(Response::new(cri::VersionResponse {
            // That of kubelets' API, as containerd answers it.
            version: "0.1.0".to_owned(),
            runtime_name: "orlop".to_owned(),
            runtime_version: service::version().to_owned(),
            runtime_api_version: "v1".to_owned(),
        }))
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<cri::RunPodSandboxRequest>,
    ) -> Result<Response<cri::RunPodSandboxResponse>, Status> {
        let request = request.into_inner();
        let config = request
            .config
            .ok_or_else(|| Status::invalid_argument("RunPodSandboxRequest.config is missing"))?;
        let pods = self.pods.clone();
        // It goes on to its end even if the client goes: half of it helps nobody.
        let made =
            tokio::spawn(async move { pods.run_sandbox(config, &request.runtime_handler).await });
        let pod_sandbox_id = whole(made).await?;
        Ok(Response::new(cri::RunPodSandboxResponse { pod_sandbox_id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<cri::StopPodSandboxRequest>,
    ) -> Result<Response<cri::StopPodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        let pods = self.pods.clone();
        whole(tokio::spawn(async move { pods.stop_sandbox(&id).await })).await?;
        Ok(Response::new(cri::StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<cri::RemovePodSandboxRequest>,
    ) -> Result<Response<cri::RemovePodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        let pods = self.pods.clone();
        whole(tokio::spawn(async move { pods.remove_sandbox(&id).await })).await?;
        Ok(Response::new(cri::RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<cri::PodSandboxStatusRequest>,
    ) -> Result<Response<cri::PodSandboxStatusResponse>, Status> {
        let request = request.into_inner();
        let record = self
            .pods
            .sandbox(&request.pod_sandbox_id)
            .map_err(of_pods)?;
        let mut info = HashMap::new();
        if request.verbose {
            let text = serde_json::to_string(&record).unwrap_or_default();
            info.insert("info".to_owned(), text);
        }
        let containers = self.pods.containers().into_iter();
        let containers_statuses = containers
            .filter(|container| container.sandbox == record.id)
            .map(|container| container_status(container, &self.pods))
            .collect();
        Ok(Response::new(cri::PodSandboxStatusResponse {
            status: Some(sandbox_status(record)),
            info,
            containers_statuses,
            timestamp: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        }))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<cri::ListPodSandboxRequest>,
    ) -> Result<Response<cri::ListPodSandboxResponse>, Status> {
        let items = self.sandboxes(request.into_inner().filter);
        Ok(Response::new(cri::ListPodSandboxResponse { items }))
    }

    async fn stream_pod_sandboxes(
        &self,
        request: Request<cri::StreamPodSandboxesRequest>,
    ) -> Result<Response<Self::StreamPodSandboxesStream>, Status> {
        let items = self.sandboxes(request.into_inner().filter);
        Ok(parts(&items, |pod_sandboxes| {
            cri::StreamPodSandboxesResponse { pod_sandboxes }
        }))
    }

    async fn create_container(
        &self,
        request: Request<cri::CreateContainerRequest>,
    ) -> Result<Response<cri::CreateContainerResponse>, Status> {
        let request = request.into_inner();
        let missing = |what: &str| {
            Status::invalid_argument(format!("CreateContainerRequest.{what} is missing"))
        };
        let config = request.config.ok_or_else(|| missing("config"))?;
        let within = request
            .sandbox_config
            .ok_or_else(|| missing("sandbox_config"))?;
        let pods = self.pods.clone();
        let made = tokio::spawn(async move {
            pods.create_container(&request.pod_sandbox_id, config, &within)
                .await
        });
        let container_id = whole(made).await?;
        Ok(Response::new(cri::CreateContainerResponse { container_id }))
    }

    async fn start_container(
        &self,
        request: Request<cri::StartContainerRequest>,
    ) -> Result<Response<cri::StartContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        let pods = self.pods.clone();
        whole(tokio::spawn(async move { pods.start_container(&id).await })).await?;
        Ok(Response::new(cri::StartContainerResponse {}))
    }

    async fn stop_container(
        &self,
        request: Request<cri::StopContainerRequest>,
    ) -> Result<Response<cri::StopContainerResponse>, Status> {
        let request = request.into_inner();
        let grace = bound(request.timeout).unwrap_or_default();
        self.pods
            .stop_container(&request.container_id, grace)
            .await
            .map_err(of_pods)?;
        Ok(Response::new(cri::StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<cri::RemoveContainerRequest>,
    ) -> Result<Response<cri::RemoveContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        let pods = self.pods.clone();
        whole(tokio::spawn(
            async move { pods.remove_container(&id).await },
        ))
        .await?;
        Ok(Response::new(cri::RemoveContainerResponse {}))
    }

    async fn list_containers(
        &self,
        request: Request<cri::ListContainersRequest>,
    ) -> Result<Response<cri::ListContainersResponse>, Status> {
        let containers = self.containers(request.into_inner().filter);
        Ok(Response::new(cri::ListContainersResponse { containers }))
    }

    async fn stream_containers(
        &self,
        request: Request<cri::StreamContainersRequest>,
    ) -> Result<Response<Self::StreamContainersStream>, Status> {
        let items = self.containers(request.into_inner().filter);
        Ok(parts(&items, |containers| cri::StreamContainersResponse {
            containers,
        }))
    }

    async fn container_status(
        &self,
        request: Request<cri::ContainerStatusRequest>,
    ) -> Result<Response<cri::ContainerStatusResponse>, Status> {
        let request = request.into_inner();
        let record = self
            .pods
            .container(&request.container_id)
            .map_err(of_pods)?;
        let mut info = HashMap::new();
        if request.verbose {
            let text = serde_json::to_string(&record).unwrap_or_default();
            info.insert("info".to_owned(), text);
        }
        Ok(Response::new(cri::ContainerStatusResponse {
            status: Some(container_status(record, &self.pods)),
            info,
        }))
    }

    async fn update_container_resources(
        &self,
        request: Request<cri::UpdateContainerResourcesRequest>,
    ) -> Result<Response<cri::UpdateContainerResourcesResponse>, Status> {
        let request = request.into_inner();
        if request.windows.is_some() {
            return Err(Status::invalid_argument(
                "UpdateContainerResourcesRequest.windows is not supported: this is a Linux node",
            ));
        }
        let pods = self.pods.clone();
        let updated = tokio::spawn(async move {
            let asked = request.linux.unwrap_or_default();
            pods.update_container(&request.container_id, &asked).await
        });
        whole(updated).await?;
        Ok(Response::new(cri::UpdateContainerResourcesResponse {}))
    }

    async fn reopen_container_log(
        &self,
        request: Request<cri::ReopenContainerLogRequest>,
    ) -> Result<Response<cri::ReopenContainerLogResponse>, Status> {
        let id = request.into_inner().container_id;
        self.pods.reopen_log(&id).await.map_err(of_pods)?;
        Ok(Response::new(cri::ReopenContainerLogResponse {}))
    }

    async fn exec_sync(
        &self,
        request: Request<cri::ExecSyncRequest>,
    ) -> Result<Response<cri::ExecSyncResponse>, Status> {
        let request = request.into_inner();
        let ran = self
            .pods
            .exec_sync(&request.container_id, request.cmd, bound(request.timeout))
            .await
            .map_err(of_pods)?;
        Ok(Response::new(cri::ExecSyncResponse {
            stdout: ran.stdout,
            stderr: ran.stderr,
            exit_code: ran.code,
        }))
    }

    async fn exec(
        &self,
        request: Request<cri::ExecRequest>,
    ) -> Result<Response<cri::ExecResponse>, Status> {
        let url = self.streaming.exec(request.into_inner());
        let url = url.map_err(of_pods)?;
        Ok(Response::new(cri::ExecResponse { url }))
    }

    async fn attach(
        &self,
        request: Request<cri::AttachRequest>,
    ) -> Result<Response<cri::AttachResponse>, Status> {
        let url = self.streaming.attach(&request.into_inner());
        let url = url.map_err(of_pods)?;
        Ok(Response::new(cri::AttachResponse { url }))
    }

    async fn port_forward(
        &self,
        request: Request<cri::PortForwardRequest>,
    ) -> Result<Response<cri::PortForwardResponse>, Status> {
        let url = self.streaming.port_forward(&request.into_inner());
        let url = url.map_err(of_pods)?;
        Ok(Response::new(cri::PortForwardResponse { url }))
    }

    async fn container_stats(
        &self,
        request: Request<cri::ContainerStatsRequest>,
    ) -> Result<Response<cri::ContainerStatsResponse>, Status> {
        let id = request.into_inner().container_id;
        let record = self.pods.container(&id).map_err(of_pods)?;
        let sample = self.pods.container_usage(&record).await.map_err(of_pods)?;
        Ok(Response::new(cri::ContainerStatsResponse {
            stats: Some(statistics::of_container(record, &sample)),
        }))
    }

    async fn list_container_stats(
        &self,
        request: Request<cri::ListContainerStatsRequest>,
    ) -> Result<Response<cri::ListContainerStatsResponse>, Status> {
        let stats = self.container_stats_of(request.into_inner().filter).await?;
        Ok(Response::new(cri::ListContainerStatsResponse { stats }))
    }

    async fn stream_container_stats(
        &self,
        request: Request<cri::StreamContainerStatsRequest>,
    ) -> Result<Response<Self::StreamContainerStatsStream>, Status> {
        let items = self.container_stats_of(request.into_inner().filter).await?;
        Ok(parts(&items, |container_stats| {
            cri::StreamContainerStatsResponse { container_stats }
        }))
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<cri::PodSandboxStatsRequest>,
    ) -> Result<Response<cri::PodSandboxStatsResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        let record = self.pods.sandbox(&id).map_err(of_pods)?;
        Ok(Response::new(cri::PodSandboxStatsResponse {
            stats: Some(self.sandbox_stats(record).await?),
        }))
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<cri::ListPodSandboxStatsRequest>,
    ) -> Result<Response<cri::ListPodSandboxStatsResponse>, Status> {
        let stats = self.sandbox_stats_of(request.into_inner().filter).await?;
        Ok(Response::new(cri::ListPodSandboxStatsResponse { stats }))
    }

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<cri::StreamPodSandboxStatsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxStatsStream>, Status> {
        let items = self.sandbox_stats_of(request.into_inner().filter).await?;
        Ok(parts(&items, |pod_sandbox_stats| {
            cri::StreamPodSandboxStatsResponse { pod_sandbox_stats }
        }))
    }

    async fn update_runtime_config(
        &self,
        request: Request<cri::UpdateRuntimeConfigRequest>,
    ) -> Result<Response<cri::UpdateRuntimeConfigResponse>, Status> {
        let config = request.into_inner().runtime_config.unwrap_or_default();
        let cidr = config.network_config.unwrap_or_default().pod_cidr;
        if !cidr.is_empty() {
            self.pods.set_pod_cidr(&cidr).await.map_err(of_pods)?;
        }
        Ok(Response::new(cri::UpdateRuntimeConfigResponse {}))
    }

    async fn status(
        &self,
        _request: Request<cri::StatusRequest>,
    ) -> Result<Response<cri::StatusResponse>, Status> {
        let condition = |name: &str, fault: Option<(&str, String)>| {
            let (reason, message) = fault.clone().unwrap_or_default();
            cri::RuntimeCondition {
                r#type: name.to_owned(),
                status: fault.is_none(),
                reason: reason.to_owned(),
                message,
            }
        };
        let keeper = self.pods.keeper_answers().await.err();
        let network = self.pods.network_ready().await.err();
        Ok(Response::new(cri::StatusResponse {
            status: Some(cri::RuntimeStatus {
                conditions: vec![
                    condition("RuntimeReady", keeper.map(|why| ("KeeperAway", why))),
                    condition(
                        "NetworkReady",
                        network.map(|why| ("NetworkPluginNotReady", why)),
                    ),
                ],
            }),
            info: HashMap::new(),
            runtime_handlers: vec![cri::RuntimeHandler {
                name: String::new(),
                features: Some(cri::RuntimeHandlerFeatures {
                    recursive_read_only_mounts: true,
                    user_namespaces: self.pods.user_namespaces(),
                }),
            }],
            features: Some(cri::RuntimeFeatures {
                supplemental_groups_policy: true,
                user_namespaces_host_network: false,
            }),
        }))
    }

    async fn checkpoint_container(
        &self,
        _request: Request<cri::CheckpointContainerRequest>,
    ) -> Result<Response<cri::CheckpointContainerResponse>, Status> {
        not_yet("CheckpointContainer")
    }

    async fn get_container_events(
        &self,
        _request: Request<cri::GetEventsRequest>,
    ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let mut events = self.pods.events();
        let api = self.clone();
        tokio::spawn(async move {
            loop {
                let said = tokio::select! {
                    () = sender.closed() => return,
                    event = events.recv() => match event {
                        Ok(event) => Ok(api.event(event)),
                        // He lists anew when the stream ends.
                        Err(RecvError::Lagged(_)) => Err(Status::data_loss(
                            "this reader of events is too far behind",
                        )),
                        Err(RecvError::Closed) => return,
                    },
                };
                let last = said.is_err();
                if sender.send(said).await.is_err() || last {
                    return;
                }
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<cri::ListMetricDescriptorsRequest>,
    ) -> Result<Response<cri::ListMetricDescriptorsResponse>, Status> {
        Ok(Response::new(cri::ListMetricDescriptorsResponse {
            descriptors: metrics::descriptors(),
        }))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<cri::ListPodSandboxMetricsRequest>,
    ) -> Result<Response<cri::ListPodSandboxMetricsResponse>, Status> {
        let pod_metrics = self.sandbox_metrics().await?;
        Ok(Response::new(cri::ListPodSandboxMetricsResponse {
            pod_metrics,
        }))
    }

    async fn stream_pod_sandbox_metrics(
        &self,
        _request: Request<cri::StreamPodSandboxMetricsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxMetricsStream>, Status> {
        let items = self.sandbox_metrics().await?;
        Ok(parts(&items, |pod_sandbox_metrics| {
            cri::StreamPodSandboxMetricsResponse {
                pod_sandbox_metrics,
            }
        }))
    }

    async fn runtime_config(
        &self,
        _request: Request<cri::RuntimeConfigRequest>,
    ) -> Result<Response<cri::RuntimeConfigResponse>, Status> {
        Ok(Response::new(cri::RuntimeConfigResponse {
            linux: Some(cri::LinuxRuntimeConfiguration {
                cgroup_driver: cri::CgroupDriver::Cgroupfs.into(),
            }),
        }))
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<cri::UpdatePodSandboxResourcesRequest>,
    ) -> Result<Response<cri::UpdatePodSandboxResourcesResponse>, Status> {
        let request = request.into_inner();
        self.pods
            .update_sandbox(&request.pod_sandbox_id, request.overhead, request.resources)
            .await
            .map_err(of_pods)?;
        Ok(Response::new(cri::UpdatePodSandboxResourcesResponse {}))
    }
}

/// What a task came to.
async fn whole<T>(
    task: tokio::task::JoinHandle<Result<T, crate::executor::pods::PodsError>>,
) -> Result<T, Status> {
    match task.await {
        Ok(done) => done.map_err(of_pods),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
