//! The Watch service: carries requests and responses between a client and its stream of watches.
//!
//! ```text
//!   client ──request──> WatchStream (planner::watch: order, bounds, catching up) ──response──> client
//! ```
//!
//! Requests wait while the client does not take responses, and of these at most one waits here: all others count against
//! the stream's bound in the planner.

use super::{Api, Backend, WatchStream, api::requires_leader};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{WatchRequest, WatchResponse, watch_server::Watch},
};
use std::sync::Arc;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

type Answers = mpsc::Sender<Result<WatchResponse, Status>>;

#[async_trait]
impl<B: Backend> Watch for Api<B> {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.admit(request.metadata(), false)?;
        let needs_leader = requires_leader(request.metadata());
        let (answers, stream) = mpsc::channel(1);
        let watches = Arc::new(self.backend.watch());
        let requests = tokio::spawn(forward(
            request.into_inner(),
            Arc::clone(&watches),
            answers.clone(),
        ));
        let api = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = api.respond(&*watches, &answers) => {}
                () = api.leader_lost(), if needs_leader => {
                    // The client may be gone, too.
                    let _ = answers.send(Err(Refusal::NoLeader.into())).await;
                }
                () = answers.closed() => {}
            }
            requests.abort();
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Carries requests. A client that sends no more goes on listening, as one behind the JSON gateway does.
async fn forward<W: WatchStream>(
    mut requests: Streaming<WatchRequest>,
    watches: Arc<W>,
    answers: Answers,
) {
    loop {
        match requests.message().await {
            Ok(Some(request)) => watches.request(request).await,
            Ok(None) => return,
            Err(status) => {
                // The stream's own end: the connection is gone or broke off.
                let _ = answers.send(Err(status)).await;
                return;
            }
        }
    }
}

impl<B: Backend> Api<B> {
    async fn respond(&self, watches: &B::WatchStream, answers: &Answers) {
        loop {
            // Room first: what is taken out of the planner's bound must leave at once.
            let Ok(room) = answers.reserve().await else {
                return;
            };
            match watches.next().await {
                Some(mut response) => {
                    self.complete(&mut response.header);
                    if let (1.., Some(header)) = (response.compact_revision, &mut response.header) {
                        // Only `compact_revision` is meant: etcd has no other in this answer.
                        header.revision = 0;
                    }
                    room.send(Ok(response));
                }
                None => {
                    room.send(Err(Refusal::Stopped.into()));
                    return;
                }
            }
        }
    }

    /// Returns when nobody has led for as long as clients are kept waiting (etcd: three elections).
    async fn leader_lost(&self) {
        let patience = self.limits.leaderless_max;
        let mut looks = tokio::time::interval(patience / 6);
        let mut led = Instant::now();
        loop {
            looks.tick().await;
            if self.backend.standing().leader_id != 0 {
                led = Instant::now();
            } else if led.elapsed() >= patience {
                return;
            }
        }
    }
}
