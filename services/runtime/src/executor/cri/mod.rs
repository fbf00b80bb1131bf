//! CRI v1, as kubelets speak it, over what does the work.

mod image_service;
mod runtime_service;
mod statistics;
mod views;

use super::{images::ImagesError, pods::PodsError};
use cri_proto::runtime::{
    image_service_server::ImageServiceServer, runtime_service_server::RuntimeServiceServer,
};
use http_server::Answer;
use hyper::{Request, Response, body::Incoming};
use tonic::{Code, Status, body::Body, codegen::Service as _};

pub use image_service::ImageApi;
pub use runtime_service::RuntimeApi;

/// Largest request; kubelets' own bound for answers.
const MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// Where the methods of images are.
const IMAGES: &str = "/runtime.v1.ImageService/";

/// Both services on one socket. Clones are the same.
#[derive(Debug, Clone)]
pub struct Api {
    runtime: RuntimeServiceServer<RuntimeApi>,
    images: ImageServiceServer<ImageApi>,
}

impl Api {
    /// Over these.
    #[must_use]
    pub fn new(runtime: RuntimeApi, images: ImageApi) -> Self {
        Self {
            runtime: RuntimeServiceServer::new(runtime).max_decoding_message_size(MESSAGE_MAX),
            images: ImageServiceServer::new(images).max_decoding_message_size(MESSAGE_MAX),
        }
    }
}

impl Answer for Api {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = if request.uri().path().starts_with(IMAGES) {
            self.images.clone().call(request).await
        } else {
            self.runtime.clone().call(request).await
        };
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn of_pods(error: PodsError) -> Status {
    let text = error.to_string();
    let code = match error {
        PodsError::Image(error) => return of_images(error),
        PodsError::NotFound(_) => Code::NotFound,
        PodsError::InvalidArgument(_) => Code::InvalidArgument,
        PodsError::AlreadyExists(_) => Code::AlreadyExists,
        PodsError::FailedPrecondition(_) => Code::FailedPrecondition,
        PodsError::ResourceExhausted(_) => Code::ResourceExhausted,
        PodsError::DeadlineExceeded(_) => Code::DeadlineExceeded,
        PodsError::Unimplemented(_) => Code::Unimplemented,
        PodsError::Internal(_) => Code::Internal,
    };
    Status::new(code, text)
}

fn of_images(error: ImagesError) -> Status {
    match error {
        ImagesError::NotFound(text) => Status::not_found(text),
        ImagesError::InvalidArgument(text) => Status::invalid_argument(text),
        ImagesError::Unavailable(text) => Status::unavailable(text),
        ImagesError::Unauthenticated(text) => Status::unauthenticated(text),
        ImagesError::PermissionDenied(text) => Status::permission_denied(text),
        ImagesError::ResourceExhausted(text) => Status::resource_exhausted(text),
        ImagesError::FailedPrecondition(text) => Status::failed_precondition(text),
        ImagesError::Internal(text) => Status::internal(text),
    }
}
