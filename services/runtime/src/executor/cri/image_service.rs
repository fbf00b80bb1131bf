//! CRI's ImageService.

use super::{of_images, views::image};
use crate::{
    executor::{images::Images, pods::Pods},
    planner::images::challenge::AuthConfig,
};
use cri_proto::runtime::{
    FilesystemIdentifier, FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse,
    ImageStatusRequest, ImageStatusResponse, ListImagesRequest, ListImagesResponse,
    PullImageRequest, PullImageResponse, RemoveImageRequest, RemoveImageResponse,
    StreamImagesRequest, StreamImagesResponse, UInt64Value, image_service_server::ImageService,
};
use jiff::Timestamp;
use std::{collections::HashMap, pin::Pin};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// Images in one message of a stream.
const AT_ONCE: usize = 128;

/// The service. Clones are the same.
#[derive(Debug, Clone)]
pub struct ImageApi {
    images: Images,
    pods: Pods,
}

impl ImageApi {
    /// Over these.
    #[must_use]
    pub const fn new(images: Images, pods: Pods) -> Self {
        Self { images, pods }
    }

    fn listed(&self, wanted: Option<String>) -> Vec<cri_proto::runtime::Image> {
        let all = match wanted.filter(|name| !name.is_empty()) {
            None => self.images.list(),
            Some(name) => self.images.status(&name).into_iter().collect(),
        };
        all.iter().map(image).collect()
    }
}

#[tonic::async_trait]
impl ImageService for ImageApi {
    type StreamImagesStream =
        Pin<Box<dyn Stream<Item = Result<StreamImagesResponse, Status>> + Send>>;

    async fn list_images(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let images = self.listed(filter.image.map(|image| image.image));
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn stream_images(
        &self,
        request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let images = self.listed(filter.image.map(|image| image.image));
        let parts: Vec<_> = images
            .chunks(AT_ONCE)
            .map(|images| {
                Ok(StreamImagesResponse {
                    images: images.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        let request = request.into_inner();
        let name = request.image.unwrap_or_default().image;
        let found = match self.images.status(&name) {
            Ok(found) => found,
            // No error, but an answer without an image.
            Err(crate::executor::images::ImagesError::NotFound(_)) => {
                return Ok(Response::new(ImageStatusResponse::default()));
            }
            Err(error) => return Err(of_images(error)),
        };
        let mut info = HashMap::new();
        if request.verbose {
            let details = self.images.details(&name).await.map_err(of_images)?;
            info.insert("imageConfig".to_owned(), details.config_text);
        }
        Ok(Response::new(ImageStatusResponse {
            image: Some(image(&found)),
            info,
        }))
    }

    async fn pull_image(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<PullImageResponse>, Status> {
        let request = request.into_inner();
        let name = request.image.unwrap_or_default().image;
        let auth = request.auth.unwrap_or_default();
        let auth = AuthConfig {
            username: auth.username,
            password: auth.password,
            auth: auth.auth,
            identity_token: auth.identity_token,
            registry_token: auth.registry_token,
        };
        let pulled = self.images.pull(&name, &auth).await.map_err(of_images)?;
        Ok(Response::new(PullImageResponse {
            image_ref: pulled.record.id.to_string(),
        }))
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        let name = request.into_inner().image.unwrap_or_default().image;
        self.images.remove(&name).await.map_err(of_images)?;
        Ok(Response::new(RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _request: Request<ImageFsInfoRequest>,
    ) -> Result<Response<ImageFsInfoResponse>, Status> {
        let info = self.images.fs_info().map_err(of_images)?;
        let usage = |path: &std::path::Path, bytes, inodes| FilesystemUsage {
            timestamp: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
            fs_id: Some(FilesystemIdentifier {
                mountpoint: path.display().to_string(),
            }),
            used_bytes: Some(UInt64Value { value: bytes }),
            inodes_used: Some(UInt64Value { value: inodes }),
        };
        let written = self.pods.written();
        Ok(Response::new(ImageFsInfoResponse {
            image_filesystems: vec![usage(&info.path, info.usage.bytes, info.usage.inodes)],
            container_filesystems: vec![usage(&written, 0, 0)],
        }))
    }
}
