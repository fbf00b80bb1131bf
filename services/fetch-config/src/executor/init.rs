//! The one act that this service may ask of `init`.

use crate::planner::Event;
use init_proto::control::{ApplyEffect, Request, Response};
use service::init_client::{InitClient, InitError};
use std::path::Path;

/// Gives `init` the config.
pub async fn apply(socket: &Path, config: Vec<u8>) -> Event {
    match ask(socket, config).await {
        Ok(Response::Stored { generation }) => Event::Stored { generation },
        // Only the kind of an answer is shown elsewhere; this one has no business here at all.
        Ok(_) => Event::Refused("init answered out of turn".to_owned()),
        Err(error) => Event::Refused(service::chain(&error)),
    }
}

async fn ask(socket: &Path, config: Vec<u8>) -> Result<Response, InitError> {
    let mut client = InitClient::connect(socket).await?;
    let request = Request::ConfigApply {
        config,
        effect: ApplyEffect::NoReboot,
        only_in_maintenance: true,
    };
    client.call(&request).await
}
