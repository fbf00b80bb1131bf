//! Supervised services, from `init`.

use super::{ReadError, Reading, Sources, fields};
use crate::executor::{convert, init::out_of_turn};
use init_proto::control::{Request, Response, ServiceStatus};

pub(super) fn services(sources: &Sources) -> Reading<'_> {
    Box::pin(async move {
        match sources.init.call(&Request::Services).await? {
            Response::Services(services) => Ok(services.into_iter().map(resource).collect()),
            other => Err(ReadError::Init(out_of_turn(&other))),
        }
    })
}

fn resource(service: ServiceStatus) -> (String, crate::planner::resources::Spec) {
    let state = convert::service_state(service.state).as_str_name();
    let state = state.strip_prefix("SERVICE_STATE_").unwrap_or(state);
    let spec = fields([
        ("state", state.to_lowercase().replace('_', "-").into()),
        ("ready", service.ready.into()),
        ("pid", service.pid.into()),
        ("restarts", service.restarts.into()),
        ("lastExit", service.last_exit.into()),
        ("message", service.message.into()),
        ("memory", service.memory_bytes.into()),
    ]);
    (service.name, spec)
}
