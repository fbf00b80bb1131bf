//! The Auth service: authentication here is by certificate, so etcd's own is never enabled.
//!
//! By hand and not by the generated server: seventeen methods with the same answer would be a tenth of this crate's code.

use super::{Api, Backend, dispatch::RequestBody};
use crate::executor::descriptors;
use etcd_proto::{
    codec::MessageCodec,
    errors::Refusal,
    etcdserverpb::{AuthStatusRequest, AuthStatusResponse},
};
use hyper::Response;
use tonic::{Status, body::Body, server::Grpc};
use tower::service_fn;

/// Its name.
pub(super) const SERVICE: &str = "etcdserverpb.Auth";

impl<B: Backend> Api<B> {
    /// Answers a call of one of its methods: what asks for the state of authentication is told, everything else is
    /// refused. None: it has no such method.
    pub(super) async fn auth(
        &self,
        method: &str,
        request: hyper::Request<RequestBody>,
    ) -> Option<Response<Body>> {
        descriptors::method(SERVICE, method)?;
        if method != "AuthStatus" {
            return Some(Status::from(Refusal::AuthNotEnabled).into_http());
        }
        let header = self.header();
        let status = service_fn(move |_: tonic::Request<AuthStatusRequest>| {
            let response = AuthStatusResponse {
                header,
                enabled: false,
                // etcd's first, as nothing ever changes it.
                auth_revision: 1,
            };
            std::future::ready(Ok(tonic::Response::new(response)))
        });
        Some(
            Grpc::new(MessageCodec::default())
                .unary(status, request)
                .await,
        )
    }
}
