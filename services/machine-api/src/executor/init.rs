//! Calls to `init`, bounded, with its refusals as gRPC statuses.

use super::streams::STREAMS_MAX;
use init_proto::control::{CONNECTIONS_MAX, RefusalKind, Request, Response, Status as NodeStatus};
use service::{
    chain,
    init_client::{EventStream, InitClient, InitError},
};
use std::{os::fd::OwnedFd, path::PathBuf};
use tokio::sync::Semaphore;
use tonic::Status;

/// Calls to `init` at once. Streams of events and logs have connections beside these.
pub const CALLS_MAX: usize = 32;
const _: () = assert!(
    CALLS_MAX + STREAMS_MAX <= CONNECTIONS_MAX - 32,
    "init serves all our calls and streams and has connections left for the others"
);

/// The way to `init`. One connection per call: a broken one then harms one call.
#[derive(Debug)]
pub struct Init {
    socket: PathBuf,
    calls: Semaphore,
}

impl Init {
    /// Calls go to this socket.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            calls: Semaphore::new(CALLS_MAX),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// UNAVAILABLE where `init` cannot be reached, DEADLINE_EXCEEDED where it does not answer, else
    /// the code of its refusal.
    pub async fn call(&self, request: &Request) -> Result<Response, Status> {
        self.call_with_descriptors(request)
            .await
            .map(|(response, _)| response)
    }

    /// As [`Init::call`], with the file descriptors that came along.
    ///
    /// # Errors
    /// As [`Init::call`].
    pub async fn call_with_descriptors(
        &self,
        request: &Request,
    ) -> Result<(Response, Vec<OwnedFd>), Status> {
        let _slot = self.calls.acquire().await.map_err(|_| closed())?;
        let mut client = self.connect().await?;
        client
            .call_with_descriptors(request)
            .await
            .map_err(|error| status(&error))
    }

    /// Calls where only [`Response::Done`] is an answer.
    ///
    /// # Errors
    /// As [`Init::call`].
    pub async fn act(&self, request: &Request) -> Result<(), Status> {
        match self.call(request).await? {
            Response::Done => Ok(()),
            other => Err(out_of_turn(&other)),
        }
    }

    /// State of the machine.
    ///
    /// # Errors
    /// As [`Init::call`].
    pub async fn status(&self) -> Result<NodeStatus, Status> {
        match self.call(&Request::Status).await? {
            Response::Status(status) => Ok(*status),
            other => Err(out_of_turn(&other)),
        }
    }

    /// The stored config and its generation.
    ///
    /// # Errors
    /// As [`Init::call`].
    pub async fn config(&self) -> Result<(Option<Vec<u8>>, u64), Status> {
        match self.call(&Request::ConfigGet).await? {
            Response::Config { config, generation } => Ok((config, generation)),
            other => Err(out_of_turn(&other)),
        }
    }

    /// Events after a sequence number.
    ///
    /// # Errors
    /// As [`Init::call`].
    pub async fn events(&self, after: u64) -> Result<EventStream, Status> {
        let client = self.connect().await?;
        client.events(after).await.map_err(|error| status(&error))
    }

    /// A connection of its own, for what lasts longer than a call.
    ///
    /// # Errors
    /// UNAVAILABLE where `init` cannot be reached.
    pub async fn connect(&self) -> Result<InitClient, Status> {
        InitClient::connect(&self.socket)
            .await
            .map_err(|error| status(&error))
    }
}

fn closed() -> Status {
    Status::unavailable("the machine API is stopping")
}

/// An answer of another kind than asked for.
#[must_use]
pub fn out_of_turn(response: &Response) -> Status {
    // Only the kind is shown: an answer may hold the config.
    let text = format!("{response:?}");
    let kind = text.split(['(', ' ']).next().unwrap_or_default();
    Status::internal(format!("init answered out of turn with {kind}"))
}

/// What a failed call means to the caller of the machine API.
#[must_use]
pub fn status(error: &InitError) -> Status {
    let text = chain(error);
    match error {
        InitError::Connect { .. } => Status::unavailable(format!(
            "{text}: this service was not started by init, or init is restarting; try again"
        )),
        InitError::Transport(_) => Status::unavailable(text),
        InitError::Deadline => Status::deadline_exceeded(text),
        InitError::OutOfTurn(_) => Status::internal(text),
        InitError::Refused { kind, message } => match kind {
            RefusalKind::NotFound => Status::not_found(message),
            RefusalKind::PermissionDenied => Status::permission_denied(message),
            RefusalKind::FailedPrecondition => Status::failed_precondition(message),
            RefusalKind::InvalidArgument => Status::invalid_argument(message),
            RefusalKind::ResourceExhausted => Status::resource_exhausted(message),
            RefusalKind::DeadlineExceeded => Status::deadline_exceeded(message),
            RefusalKind::Internal => Status::internal(message),
        },
    }
}
