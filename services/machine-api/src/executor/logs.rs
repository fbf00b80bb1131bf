//! ServiceLogs: lines that `init` keeps, then new ones as they come.

use super::{
    convert,
    init::{Init, out_of_turn, status},
    streams::Sink,
};
use crate::planner::tail::Tail;
use init_proto::control::{LOG_CHUNK_MAX, LogLine, Request, Response};
use machine_proto::v1alpha1 as wire;
use service::init_client::InitClient;
use std::sync::Arc;
use tonic::Status;

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
    // Like a stream of events this may last, so it takes no slot of those for calls.
    let mut client = init.connect().await?;
    for _ in 0..CHUNKS_MAX {
        let (lines, next, _) = chunk(&mut client, &request.name, cursor, false).await?;
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
    loop {
        let (lines, next, mut lost) = chunk(&mut client, &request.name, cursor, true).await?;
        cursor = next;
        for line in lines {
            sink.send(convert::log_line(line, lost)).await?;
            lost = 0;
        }
    }
}

/// The next lines; with `wait`, `init` answers when there are some, or with none after a while.
async fn chunk(
    client: &mut InitClient,
    name: &str,
    cursor: u64,
    wait: bool,
) -> Result<(Vec<LogLine>, u64, u64), Status> {
    let request = Request::Logs {
        name: name.to_owned(),
        cursor,
        bytes_max: u32::try_from(LOG_CHUNK_MAX).unwrap_or(u32::MAX),
        wait,
    };
    let answer = client.call(&request).await;
    match answer.map_err(|error| status(&error))? {
        Response::Logs { lines, next, lost } => Ok((lines, next, lost)),
        other => Err(out_of_turn(&other)),
    }
}
