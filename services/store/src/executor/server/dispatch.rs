//! One call: to the service that its path names, counted from its beginning to its end.

use super::{Api, Backend, Limits};
use crate::executor::calls::Calls;
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer,
    lease_server::LeaseServer, maintenance_server::MaintenanceServer, watch_server::WatchServer,
};
use http_body_util::BodyExt as _;
use hyper::{Request, Response, body};
use tonic::{
    Status,
    body::Body,
    codegen::{Service as _, StdError},
};

/// What every path of ours begins with.
pub const GRPC_PREFIX: &str = "/etcdserverpb.";

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
    pub async fn call<R>(&self, request: Request<R>) -> Response<Body>
    where
        R: body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<StdError> + Send + 'static,
    {
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
        let service = path.split('/').nth(1).unwrap_or_default();
        let answer = match service {
            "etcdserverpb.KV" => serve!(KvServer),
            "etcdserverpb.Watch" => serve!(WatchServer),
            "etcdserverpb.Lease" => serve!(LeaseServer),
            "etcdserverpb.Cluster" => serve!(ClusterServer),
            "etcdserverpb.Maintenance" => serve!(MaintenanceServer),
            "etcdserverpb.Auth" => serve!(AuthServer),
            _ => return unknown(path),
        };
        let response = match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        };
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
