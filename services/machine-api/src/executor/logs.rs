//! ServiceLogs: lines that `init` keeps, then new ones as they come.

use super::{
    convert,
    init::{Init, out_of_turn},
    streams::Sink,
};
use crate::planner::tail::Tail;
use init_proto::control::{LOG_CHUNK_MAX, LogLine, Request, Response};
use machine_proto::v1alpha1 as wire;
use std::{sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;
use tonic::Status;

/// How often a following reader's new lines are fetched: `init` has no push for them.
pub const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// Lines that the first answer holds at most: `init` keeps 256 KiB per service.
const LINES_MAX: usize = 65_536;
/// Chunks read before following: a service that floods must not keep the reader in its past.
const CHUNKS_MAX: usize = 8;

/// Sends the kept lines, and new ones where asked for.
///
/// # Errors
/// As [`Init::call`], and the sink's.
pub async fn run(
    init: Arc<Init>,
    request: wire::ServiceLogsRequest,
    sink: Sink<wire::LogLine>,
) -> Result<(), Status> {
    let since = request.since.as_ref().map_or(0, convert::milliseconds);
    let mut tail = Tail::new(request.tail_lines, LINES_MAX);
    let mut cursor = 0;
    for _ in 0..CHUNKS_MAX {
        let (lines, next, _) = chunk(&init, &request.name, cursor).await?;
        let at_end = lines.is_empty();
        cursor = next;
        for line in lines.into_iter().filter(|line| line.time_ms >= since) {
            tail.push(line);
        }
        if at_end {
            break;
        }
    }
    for line in tail.into_items() {
        sink.send(convert::log_line(line, 0)).await?;
    }
    if !request.follow {
        return Ok(());
    }
    let mut ticks = tokio::time::interval(FOLLOW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (lines, next, mut lost) = chunk(&init, &request.name, cursor).await?;
        cursor = next;
        for line in lines {
            sink.send(convert::log_line(line, lost)).await?;
            lost = 0;
        }
    }
}

async fn chunk(init: &Init, name: &str, cursor: u64) -> Result<(Vec<LogLine>, u64, u64), Status> {
    let request = Request::Logs {
        name: name.to_owned(),
        cursor,
        bytes_max: u32::try_from(LOG_CHUNK_MAX).unwrap_or(u32::MAX),
    };
    match init.call(&request).await? {
        Response::Logs { lines, next, lost } => Ok((lines, next, lost)),
        other => Err(out_of_turn(&other)),
    }
}
