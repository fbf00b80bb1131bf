//! Dmesg: the kernel's log from the descriptor of `/dev/kmsg` that `init` hands over.

use super::{convert, init::Init, streams::Sink};
use crate::planner::{
    kernel_log::{Record, parse},
    tail::Tail,
};
use init_proto::control::Request;
use machine_proto::v1alpha1 as wire;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, read},
};
use std::{io, os::fd::OwnedFd, sync::Arc};
use tokio::io::{Interest, unix::AsyncFd};
use tonic::Status;

/// Larger than any record (the kernel's CONSOLE_EXT_LOG_MAX is 8 KiB).
const RECORD_MAX: usize = 16 * 1024;
/// Records that the first answer holds at most; the kernel's own buffer holds fewer.
const RECORDS_MAX: usize = 65_536;

/// Sends the kept records, and new ones where asked for.
///
/// # Errors
/// As [`Init::call`], the sink's, and INTERNAL where the log cannot be read.
pub async fn run(
    init: Arc<Init>,
    request: wire::DmesgRequest,
    sink: Sink<wire::KernelMessage>,
) -> Result<(), Status> {
    let (_, descriptors) = init.call_with_descriptors(&Request::OpenKernelLog).await?;
    let log = descriptors
        .into_iter()
        .next()
        .ok_or_else(|| Status::internal("init handed over no descriptor of the kernel's log"))?;
    let failed = |error: io::Error| Status::internal(format!("read the kernel's log: {error}"));
    let flags = fcntl_getfl(&log).map_err(|error| failed(error.into()))?;
    fcntl_setfl(&log, flags | OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
    let mut tail = Tail::new(request.tail_lines, RECORDS_MAX);
    while let Next::Record(record) = next(&log).map_err(failed)? {
        tail.push(record);
    }
    for record in tail.into_items() {
        sink.send(message(record)).await?;
    }
    if !request.follow {
        return Ok(());
    }
    #[expect(
        deprecated,
        reason = "deprecated for types that only say they own a descriptor; OwnedFd does own it"
    )]
    let log = AsyncFd::with_interest(log, Interest::READABLE).map_err(failed)?;
    loop {
        let mut ready = log.readable().await.map_err(failed)?;
        match next(log.get_ref()).map_err(failed)? {
            Next::Record(record) => sink.send(message(record)).await?,
            Next::Nothing => ready.clear_ready(),
            Next::End => return Ok(()),
        }
    }
}

enum Next {
    Record(Record),
    Nothing,
    End,
}

fn next(log: &OwnedFd) -> io::Result<Next> {
    let mut buffer = [0_u8; RECORD_MAX];
    loop {
        match read(log, &mut buffer) {
            Ok(0) => return Ok(Next::End),
            Ok(length) => {
                if let Some(record) = parse(&buffer[..length]) {
                    return Ok(Next::Record(record));
                }
            }
            // EPIPE: the next record was overwritten; the one after it comes next.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Next::Nothing),
            Err(error) => return Err(error.into()),
        }
    }
}

fn message(record: Record) -> wire::KernelMessage {
    wire::KernelMessage {
        time: Some(convert::microseconds(record.microseconds)),
        level: record.level,
        facility: record.facility,
        sequence: record.sequence,
        text: record.text,
    }
}
