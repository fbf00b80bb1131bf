//! Events: what `init` streams, taken up again by itself when the stream breaks.

use super::{convert, init::Init, streams::Sink};
use machine_proto::v1alpha1 as wire;
use std::sync::Arc;
use tonic::Status;

/// Sends events after the caller's last one: all to come, or those that have happened by now.
///
/// # Errors
/// FAILED_PRECONDITION where the caller's boot is not this one; as [`Init::call`]; the sink's.
pub async fn run(
    init: Arc<Init>,
    request: wire::EventsRequest,
    sink: Sink<wire::Event>,
) -> Result<(), Status> {
    let status = init.status().await?;
    let boot_id = status.boot_id;
    if !request.boot_id.is_empty() && request.boot_id != boot_id {
        return Err(Status::failed_precondition(format!(
            "the node has rebooted: boot {} is over, this is {boot_id}; begin again with sequence 0",
            request.boot_id
        )));
    }
    let end = request.no_follow.then_some(status.last_event);
    let mut last = request.after;
    if end.is_some_and(|end| end == 0 || end == last) {
        return Ok(());
    }
    loop {
        let before = last;
        let mut events = init.events(last).await?;
        let broken = loop {
            match events.next().await {
                Ok(event) => {
                    last = event.sequence;
                    sink.send(convert::event(event, &boot_id)).await?;
                }
                Err(error) => break error,
            }
            if end.is_some_and(|end| last >= end) {
                return Ok(());
            }
        };
        // What came through is progress. Without any, init is ending or refuses, and a loop would be of
        // no use.
        if last == before {
            return Err(super::init::status(&broken));
        }
    }
}
