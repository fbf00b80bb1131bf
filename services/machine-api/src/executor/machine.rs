//! The RPCs. Who may call them was decided at the gate.

use super::{
    convert,
    credentials::Settings,
    events,
    gate::{Caller, maintenance},
    init::{Init, out_of_turn},
    kernel_log, logs,
    resources::{Hub, resource},
    streams::{Boxed, open},
};
use crate::planner::{access::WITH_SECRETS, apply, resources::Versioned};
use init_proto::{
    control::{ApplyEffect, PhaseState, Request as InitRequest, Response as InitResponse},
    paths::MACHINE_ID,
};
use machine_config::{MachineConfig, Role, parse, to_redacted_yaml};
use machine_proto::v1alpha1::{self as wire, machine_server::Machine};
use pki::{Profile, Roles, Validity};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use tokio::sync::{Mutex, Semaphore, watch};
use tonic::{Request, Response, Status};

/// Longest life of a client certificate: ten years.
pub const CLIENT_LIFETIME_MAX: Duration = Duration::from_secs(87_600 * 3600);
/// Life of a client certificate that was asked for without one.
pub const CLIENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the RPCs work with.
#[derive(Debug)]
pub struct Api {
    /// The way to `init`.
    pub init: Arc<Init>,
    /// The settings of the moment.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Resources.
    pub hub: Arc<Hub>,
    /// Streams that are open.
    pub streams: Arc<Semaphore>,
    /// Held while a config is compared and stored, so that two cannot cross.
    pub applying: Mutex<()>,
    /// When the API first answered, in milliseconds of CLOCK_BOOTTIME.
    pub ready_at: Arc<OnceLock<u64>>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Machine for Api {
    async fn version(&self, _: Request<wire::VersionRequest>) -> Answer<wire::VersionResponse> {
        let settings = self.settings();
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let part = &settings.part;
        let mut answer = wire::VersionResponse {
            version: service::version().to_owned(),
            api_version: "v1alpha1".to_owned(),
            hostname: text(system.nodename()),
            architecture: text(system.machine()),
            kernel: text(system.release()),
            mode: match part.role {
                None => wire::Mode::Maintenance,
                Some(Role::ControlPlane) => wire::Mode::ControlPlane,
                Some(Role::Worker) => wire::Mode::Worker,
            }
            .into(),
            maintenance_reason: part.maintenance_reason.clone().unwrap_or_default(),
            cluster_name: part.cluster_name.clone().unwrap_or_default(),
            ..wire::VersionResponse::default()
        };
        // Whoever asks this wants to know what is there, even where init is not.
        match self.init.status().await {
            Ok(status) => {
                let (mode, reason) = convert::mode(&status.mode);
                answer.machine_id = status.machine_id;
                answer.boot_id = status.boot_id;
                answer.mode = mode.into();
                answer.maintenance_reason = reason;
                convert::source(status.source).clone_into(&mut answer.config_source);
                answer.config_generation = status.generation;
                answer.sandboxed = status.sandboxed;
            }
            Err(error) => {
                tracing::warn!(%error, "version without init");
                let read = |path| std::fs::read_to_string(path).unwrap_or_default();
                read(MACHINE_ID).trim().clone_into(&mut answer.machine_id);
                read("/proc/sys/kernel/random/boot_id")
                    .trim()
                    .clone_into(&mut answer.boot_id);
            }
        }
        Ok(Response::new(answer))
    }

    async fn config_apply(
        &self,
        request: Request<wire::ConfigApplyRequest>,
    ) -> Answer<wire::ConfigApplyResponse> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mode = wire::ApplyMode::try_from(request.mode)
            .map_err(|_| Status::invalid_argument(format!("{} is no apply mode", request.mode)))?;
        let new = parse(&request.config).map_err(|problems| {
            let (message, details) = apply::explain(&problems);
            machine_proto::details::invalid_config(message, &details)
        })?;
        let _one_at_a_time = self.applying.lock().await;
        let decision = self.decide(&new, mode).await?;
        let mut answer = wire::ConfigApplyResponse {
            mode: decision.mode.into(),
            changes: decision.changes.into_iter().map(change).collect(),
            reboot_reasons: decision.reboot_reasons,
            generation: 0,
            warnings: decision.warnings,
        };
        if !request.dry_run {
            let effect = match decision.mode {
                wire::ApplyMode::Reboot => ApplyEffect::Reboot,
                wire::ApplyMode::NoReboot | wire::ApplyMode::Auto => ApplyEffect::NoReboot,
            };
            let stored = InitRequest::ConfigApply {
                config: request.config,
                effect,
                // The node may have got a config while this call was on its way.
                only_in_maintenance: caller.identity.is_none(),
            };
            answer.generation = match self.init.call(&stored).await? {
                InitResponse::Stored { generation } => generation,
                other => return Err(out_of_turn(&other)),
            };
            tracing::info!(
                by = caller.name(),
                generation = answer.generation,
                ?effect,
                "config stored"
            );
        }
        Ok(Response::new(answer))
    }

    async fn config_get(
        &self,
        request: Request<wire::ConfigGetRequest>,
    ) -> Answer<wire::ConfigGetResponse> {
        if request.get_ref().with_secrets {
            caller(&request)?.require(WITH_SECRETS, "ConfigGet with secrets")?;
        }
        let (config, generation) = self.init.config().await?;
        let config = config.ok_or_else(|| Status::not_found("no config is stored on this node"))?;
        let config = if request.get_ref().with_secrets {
            config
        } else {
            let parsed = parse(&config).map_err(|_| {
                // The problems may quote the text; the role at hand may not read it.
                Status::data_loss(
                    "the stored config cannot be parsed by this release; an admin can read it with secrets",
                )
            })?;
            to_redacted_yaml(&parsed).into_bytes()
        };
        Ok(Response::new(wire::ConfigGetResponse {
            config,
            generation,
        }))
    }

    async fn boot_phases(
        &self,
        _: Request<wire::BootPhasesRequest>,
    ) -> Answer<wire::BootPhasesResponse> {
        let status = self.init.status().await?;
        let ready = self.ready_at.get().map(|ready| {
            let zero = if status.sandboxed { init_started() } else { 0 };
            convert::duration(ready.saturating_sub(zero))
        });
        Ok(Response::new(wire::BootPhasesResponse {
            phases: status.phases.into_iter().map(convert::phase).collect(),
            api_ready_after: ready,
        }))
    }

    async fn service_list(
        &self,
        _: Request<wire::ServiceListRequest>,
    ) -> Answer<wire::ServiceListResponse> {
        match self.init.call(&InitRequest::Services).await? {
            InitResponse::Services(services) => Ok(Response::new(wire::ServiceListResponse {
                services: services.into_iter().map(convert::service).collect(),
            })),
            other => Err(out_of_turn(&other)),
        }
    }

    async fn service_start(
        &self,
        request: Request<wire::ServiceStartRequest>,
    ) -> Answer<wire::ServiceStartResponse> {
        let name = request.get_ref().name.clone();
        tracing::info!(by = caller(&request)?.name(), name, "service start");
        self.init.act(&InitRequest::ServiceStart { name }).await?;
        Ok(Response::new(wire::ServiceStartResponse {}))
    }

    async fn service_stop(
        &self,
        request: Request<wire::ServiceStopRequest>,
    ) -> Answer<wire::ServiceStopResponse> {
        let name = request.get_ref().name.clone();
        tracing::info!(by = caller(&request)?.name(), name, "service stop");
        self.init.act(&InitRequest::ServiceStop { name }).await?;
        Ok(Response::new(wire::ServiceStopResponse {}))
    }

    async fn service_restart(
        &self,
        request: Request<wire::ServiceRestartRequest>,
    ) -> Answer<wire::ServiceRestartResponse> {
        let name = request.get_ref().name.clone();
        tracing::info!(by = caller(&request)?.name(), name, "service restart");
        self.init.act(&InitRequest::ServiceRestart { name }).await?;
        Ok(Response::new(wire::ServiceRestartResponse {}))
    }

    type ServiceLogsStream = Boxed<wire::LogLine>;

    async fn service_logs(
        &self,
        request: Request<wire::ServiceLogsRequest>,
    ) -> Answer<Self::ServiceLogsStream> {
        let init = Arc::clone(&self.init);
        let work = |sink| logs::run(init, request.into_inner(), sink);
        open(&self.streams, work).map(Response::new)
    }

    type DmesgStream = Boxed<wire::KernelMessage>;

    async fn dmesg(&self, request: Request<wire::DmesgRequest>) -> Answer<Self::DmesgStream> {
        let init = Arc::clone(&self.init);
        let work = |sink| kernel_log::run(init, request.into_inner(), sink);
        open(&self.streams, work).map(Response::new)
    }

    type EventsStream = Boxed<wire::Event>;

    async fn events(&self, request: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        let init = Arc::clone(&self.init);
        let work = |sink| events::run(init, request.into_inner(), sink);
        open(&self.streams, work).map(Response::new)
    }

    async fn resource_get(
        &self,
        request: Request<wire::ResourceGetRequest>,
    ) -> Answer<wire::ResourceGetResponse> {
        let wire::ResourceGetRequest { kind, id } = request.into_inner();
        self.may_look(&kind)?;
        let known = self.hub.look(&kind).await?;
        let found: &Versioned = known.resources.get(&id).ok_or_else(|| {
            Status::not_found(format!(
                "no {kind} {id:?}; list {kind} to see what there is"
            ))
        })?;
        Ok(Response::new(wire::ResourceGetResponse {
            resource: Some(resource(&kind, &id, found)),
        }))
    }

    async fn resource_list(
        &self,
        request: Request<wire::ResourceListRequest>,
    ) -> Answer<wire::ResourceListResponse> {
        let kind = request.into_inner().kind;
        if kind.is_empty() {
            let resources = super::resources::kinds();
            return Ok(Response::new(wire::ResourceListResponse { resources }));
        }
        self.may_look(&kind)?;
        let known = self.hub.look(&kind).await?;
        let resources = known
            .resources
            .iter()
            .map(|(id, found)| resource(&kind, id, found))
            .collect();
        Ok(Response::new(wire::ResourceListResponse { resources }))
    }

    type ResourceWatchStream = Boxed<wire::ResourceEvent>;

    async fn resource_watch(
        &self,
        request: Request<wire::ResourceWatchRequest>,
    ) -> Answer<Self::ResourceWatchStream> {
        let hub = Arc::clone(&self.hub);
        let kind = request.into_inner().kind;
        super::resources::find(&kind)?;
        open(&self.streams, |sink| {
            super::resources::watch(hub, kind, sink)
        })
        .map(Response::new)
    }

    async fn reboot(&self, request: Request<wire::RebootRequest>) -> Answer<wire::RebootResponse> {
        tracing::info!(by = caller(&request)?.name(), "reboot");
        self.init.act(&InitRequest::Reboot).await?;
        Ok(Response::new(wire::RebootResponse {}))
    }

    async fn shutdown(
        &self,
        request: Request<wire::ShutdownRequest>,
    ) -> Answer<wire::ShutdownResponse> {
        tracing::info!(by = caller(&request)?.name(), "shutdown");
        self.init.act(&InitRequest::PowerOff).await?;
        Ok(Response::new(wire::ShutdownResponse {}))
    }

    async fn client_certificate(
        &self,
        request: Request<wire::ClientCertificateRequest>,
    ) -> Answer<wire::ClientCertificateResponse> {
        let caller = caller(&request)?;
        self.issue(&caller, &request.into_inner())
            .map(Response::new)
    }
}

impl Api {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    async fn decide(
        &self,
        new: &MachineConfig,
        mode: wire::ApplyMode,
    ) -> Result<apply::Decision, Status> {
        let status = self.init.status().await?;
        let (stored, _) = self.init.config().await?;
        let stored = stored.and_then(|stored| parse(&stored).ok());
        let node = apply::Node {
            maintenance: matches!(status.mode, init_proto::plan::Mode::Maintenance { .. }),
            failed_phases: status
                .phases
                .into_iter()
                .filter(|phase| matches!(phase.state, PhaseState::Failed { .. }))
                .map(|phase| phase.name)
                .collect(),
        };
        apply::decide(&node, stored.as_ref(), new, mode)
            .map_err(|refusal| Status::failed_precondition(refusal.to_string()))
    }

    /// In maintenance mode callers are unknown: hardware facts only.
    fn may_look(&self, kind: &str) -> Result<(), Status> {
        let settings = self.settings();
        let row = super::resources::find(kind)?;
        if settings.open() && !row.hardware {
            return Err(maintenance(&settings, &format!("kind {kind}")));
        }
        Ok(())
    }

    fn issue(
        &self,
        caller: &Caller,
        request: &wire::ClientCertificateRequest,
    ) -> Result<wire::ClientCertificateResponse, Status> {
        let settings = self.settings();
        let authority = settings.authority.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "this node has no CA key; ask a control-plane node for the certificate",
            )
        })?;
        let roles = request
            .roles
            .iter()
            .map(|role| role.parse())
            .collect::<Result<Roles, pki::PkiError>>()
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if roles.is_empty() {
            return Err(Status::invalid_argument(
                "no role is asked for; the roles are admin, operator, reader, backup",
            ));
        }
        if !caller.roles().include(roles) {
            return Err(Status::permission_denied(format!(
                "roles {roles} are more than the caller has, which is {}; ask for a lesser one",
                caller.roles()
            )));
        }
        let now = SystemTime::now();
        let lifetime = lifetime(request.validity.as_ref())?;
        // Who is no admin cannot make a certificate that outlives its own.
        let lifetime = match caller.expires_at {
            Some(end) if !caller.roles().contains(pki::Role::Admin) => {
                lifetime.min(end.duration_since(now).unwrap_or_default())
            }
            _ => lifetime,
        };
        let refused = |error: pki::PkiError| Status::invalid_argument(service::chain(&error));
        let signing =
            pki::Request::from_pem(&request.certificate_signing_request).map_err(refused)?;
        let profile = Profile::Client {
            common_name: caller.name().to_owned(),
            organizations: roles.iter().map(pki::Role::organization).collect(),
        };
        let certificate = authority
            .sign_request(&signing, &profile, Validity::new(now, lifetime))
            .map_err(refused)?;
        tracing::info!(by = caller.name(), %roles, ?lifetime, "client certificate issued");
        Ok(wire::ClientCertificateResponse {
            certificate,
            certificate_authority: authority.certificate().to_owned(),
        })
    }
}

fn lifetime(asked: Option<&prost_types::Duration>) -> Result<Duration, Status> {
    let asked = asked.copied().unwrap_or_default();
    if asked == prost_types::Duration::default() {
        return Ok(CLIENT_LIFETIME);
    }
    Duration::try_from(asked)
        .ok()
        .filter(|asked| (Duration::from_secs(60)..=CLIENT_LIFETIME_MAX).contains(asked))
        .ok_or_else(|| {
            Status::invalid_argument("a certificate's validity is between 60 s and 87600 h")
        })
}

fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    request
        .extensions()
        .get::<Arc<Caller>>()
        .cloned()
        .ok_or_else(|| Status::internal("the call did not pass the gate"))
}

fn change(change: machine_config::Change) -> wire::ConfigChange {
    wire::ConfigChange {
        path: change.path,
        old: change.old.unwrap_or_default(),
        new: change.new.unwrap_or_default(),
    }
}

/// When PID 1 of this PID namespace started, in milliseconds of CLOCK_BOOTTIME.
fn init_started() -> u64 {
    let stat = std::fs::read_to_string("/proc/1/stat").unwrap_or_default();
    super::resources::start_time_ms(&stat).unwrap_or(0)
}
