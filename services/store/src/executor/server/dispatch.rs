//! One call: to the service that its path names, counted from its beginning to its end.

use super::{Api, Backend, Limits, auth};
use crate::executor::calls::{Call, Calls};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer,
    maintenance_server::MaintenanceServer, watch_server::WatchServer,
};
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response,
    body::{self, Frame, Incoming, SizeHint},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{
    Status,
    body::Body,
    codegen::{Service as _, StdError},
};

/// What every path of ours begins with.
pub const GRPC_PREFIX: &str = "/etcdserverpb.";

/// What a call sends. One type for both, because every service is compiled for each.
#[derive(Debug)]
pub enum RequestBody {
    /// Over a connection.
    Wire(Incoming),
    /// The gateway.
    Memory(Body),
}

impl body::Body for RequestBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        match self.get_mut() {
            Self::Wire(body) => Pin::new(body).poll_frame(context).map_err(StdError::from),
            Self::Memory(body) => Pin::new(body).poll_frame(context).map_err(StdError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Wire(body) => body.is_end_stream(),
            Self::Memory(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(body) => body.size_hint(),
            Self::Memory(body) => body.size_hint(),
        }
    }
}

/// All services of one member.
#[derive(Debug, Clone)]
pub struct Services<B> {
    api: Api<B>,
    calls: Calls,
}

impl<B: Backend> Services<B> {
    /// The services, which count their calls.
    pub fn new(api: Api<B>, calls: Calls) -> Self {
        Self { api, calls }
    }

    /// What the services share.
    pub fn api(&self) -> &Api<B> {
        &self.api
    }

    /// Answers one call.
    pub async fn call(&self, request: Request<RequestBody>) -> Response<Body> {
        let path = request.uri().path();
        // Only calls that exist are counted.
        let call = self.calls.begin(path);
        let max = self.api.limits().request_bytes + Limits::ENVELOPE_BYTES;
        let api = self.api.clone();
        macro_rules! serve {
            ($server:ident) => {
                $server::new(api)
                    .max_decoding_message_size(max)
                    .call(request)
            };
        }
        let mut names = path.split('/').skip(1);
        let service = names.next().unwrap_or_default();
        let answer = match service {
            "etcdserverpb.KV" => serve!(KvServer),
            "etcdserverpb.Watch" => serve!(WatchServer),
            "etcdserverpb.Lease" => serve!(LeaseServer),
            "etcdserverpb.Cluster" => serve!(ClusterServer),
            "etcdserverpb.Maintenance" => serve!(MaintenanceServer),
            auth::SERVICE => {
                let method = names.next().unwrap_or_default().to_owned();
                let path = path.to_owned();
                let refused = self.api.auth(&method, request).await;
                return Self::counted(call, refused.unwrap_or_else(|| unknown(&path)));
            }
            _ => return unknown(path),
        };
        let response = match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        Self::counted(call, response)
    }

    /// The answer, which counts its call when it ends.
    fn counted(call: Option<Call>, response: Response<Body>) -> Response<Body> {
        let Some(mut call) = call else {
            return response;
        };
        call.headers(response.headers());
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    call.headers(trailers);
                }
                frame
            }))
        })
    }
}

/// gRPC's answer to a path that is none of ours.
fn unknown(path: &str) -> Response<Body> {
    Status::unimplemented(format!("unknown service or method {path}")).into_http()
}
