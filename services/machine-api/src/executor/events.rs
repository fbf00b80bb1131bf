//! Events: what `init` streams, resumed by itself when `init` finds the reader too slow.

use super::{convert, init::Init, streams::Sink};
use machine_proto::v1alpha1 as wire;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::Status;

/// Without follow: `init` sends all that it keeps at once, so this much silence is the end of it.
const KEPT_END: Duration = Duration::from_millis(500);

/// Sends events after the caller's last one.
///
/// # Errors
/// FAILED_PRECONDITION where the caller's boot is not this one; as [`Init::call`]; the sink's.
pub async fn run(
    init: Arc<Init>,
    request: wire::EventsRequest,
    sink: Sink<wire::Event>,
) -> Result<(), Status> {
    let boot_id = init.status().await?.boot_id;
    if !request.boot_id.is_empty() && request.boot_id != boot_id {
        return Err(Status::failed_precondition(format!(
            "the node has rebooted: boot {} is over, this is {boot_id}; begin again with sequence 0",
            request.boot_id
        )));
    }
    let mut last = request.after;
    loop {
        let before = last;
        let mut events = init.events(last).await?;
        let broken = loop {
            let next = if request.no_follow {
                match timeout(KEPT_END, events.next()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(()),
                }
            } else {
                events.next().await
            };
            match next {
                Ok(event) => {
                    last = event.sequence.max(last);
                    sink.send(convert::event(event, &boot_id)).await?;
                }
                Err(error) => break error,
            }
        };
        // A slow reader's connection is closed by init; what came through is progress. Without any,
        // init is ending or refuses, and a loop would be of no use.
        if last == before {
            return Err(super::init::status(&broken));
        }
    }
}
