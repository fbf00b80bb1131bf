//! What goes wrong with images, in the words of gRPC.

use super::{http::HttpError, registry::RegistryError};
use crate::planner::images::{
    archive::ArchiveError,
    challenge::AuthError,
    digest::Digest,
    layer::StepError,
    manifest::ManifestError,
    mirrors::RegistriesError,
    path::LayerPath,
    reference::ReferenceError,
    table::{FindError, FullError},
};
use hyper::StatusCode;
use std::{error::Error, io, path::PathBuf};

/// What the CRI service answers: each variant is the gRPC code of its name, and its text is whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImagesError {
    /// No such image, here or at the registry.
    #[error("{0}")]
    NotFound(String),
    /// The reference, or the credentials' form.
    #[error("{0}")]
    InvalidArgument(String),
    /// The registry does not answer, or not as it should; it may later.
    #[error("{0}")]
    Unavailable(String),
    /// The registry wants (other) credentials.
    #[error("{0}")]
    Unauthenticated(String),
    /// The registry knows who asks, and refuses.
    #[error("{0}")]
    PermissionDenied(String),
    /// No space, or a bound.
    #[error("{0}")]
    ResourceExhausted(String),
    /// The image is not one that this machine can have: its platform, its form, its digests.
    #[error("{0}")]
    FailedPrecondition(String),
    /// This machine.
    #[error("{0}")]
    Internal(String),
}

impl ImagesError {
    /// The same kind of error, said of something larger.
    #[must_use]
    pub(super) fn of(self, what: &str) -> Self {
        let said = |text: String| format!("{what}: {text}");
        match self {
            Self::NotFound(text) => Self::NotFound(said(text)),
            Self::InvalidArgument(text) => Self::InvalidArgument(said(text)),
            Self::Unavailable(text) => Self::Unavailable(said(text)),
            Self::Unauthenticated(text) => Self::Unauthenticated(said(text)),
            Self::PermissionDenied(text) => Self::PermissionDenied(said(text)),
            Self::ResourceExhausted(text) => Self::ResourceExhausted(said(text)),
            Self::FailedPrecondition(text) => Self::FailedPrecondition(said(text)),
            Self::Internal(text) => Self::Internal(said(text)),
        }
    }
}

/// Why a layer is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It is no archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry that must not be unpacked.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The blob did not come whole.
    #[error("read the layer")]
    Body(#[source] io::Error),
    /// It cannot be decompressed, or did not come whole.
    #[error("decompress the layer")]
    Compression(#[source] io::Error),
    /// The archive ends in an entry.
    #[error("the archive is cut off")]
    CutOff,
    /// The blob is another.
    #[error("the blob has the digest {found}, expected was {expected}")]
    Digest {
        /// By the manifest.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The unpacked layer is another.
    #[error("the layer has the diff ID {found}, the image's config says {expected}")]
    DiffId {
        /// By the config.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A symbolic link on the way to an entry leads above the root, or around.
    #[error("{path}: a symbolic link on the way leads {how}")]
    Leads {
        /// The entry's directory.
        path: LayerPath,
        /// Where.
        how: &'static str,
    },
    /// What should be a directory is none.
    #[error("{0} is no directory")]
    NotDirectory(LayerPath),
    /// A hard link to nothing.
    #[error("{path}: a hard link to {target}, which is no file of this layer or one below")]
    NoTarget {
        /// The link.
        path: LayerPath,
        /// Its target.
        target: LayerPath,
    },
    /// The disk.
    #[error("{what} {path}")]
    Disk {
        /// The operation.
        what: &'static str,
        /// Its object, in the layer.
        path: LayerPath,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Mounting the layers below.
    #[error("look at the layers below")]
    Below(#[source] io::Error),
}

/// Why the store cannot do something on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}")]
pub struct StoreError {
    /// The operation.
    pub what: &'static str,
    /// Its object.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl StoreError {
    /// For `map_err`.
    pub(super) fn at<E: Into<io::Error>>(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self {
            what,
            path,
            source: source.into(),
        }
    }
}

/// Whether the disk has no space, or gives its owner no more.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let full = error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        });
        if full {
            return true;
        }
        next = error.source();
    }
    false
}

fn text(error: &dyn Error) -> String {
    service::chain(error)
}

impl From<ReferenceError> for ImagesError {
    fn from(error: ReferenceError) -> Self {
        Self::InvalidArgument(text(&error))
    }
}

impl From<AuthError> for ImagesError {
    fn from(error: AuthError) -> Self {
        Self::InvalidArgument(text(&error))
    }
}

impl From<RegistriesError> for ImagesError {
    fn from(error: RegistriesError) -> Self {
        Self::FailedPrecondition(text(&error))
    }
}

impl From<ManifestError> for ImagesError {
    fn from(error: ManifestError) -> Self {
        Self::FailedPrecondition(text(&error))
    }
}

impl From<FindError> for ImagesError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::NotFound(_) => Self::NotFound(text(&error)),
            FindError::Ambiguous(_) | FindError::Invalid(_) => Self::InvalidArgument(text(&error)),
        }
    }
}

impl From<FullError> for ImagesError {
    fn from(error: FullError) -> Self {
        Self::ResourceExhausted(text(&error))
    }
}

impl From<RegistryError> for ImagesError {
    fn from(error: RegistryError) -> Self {
        let said = text(&error);
        match error {
            RegistryError::Status { status, .. } => match status {
                StatusCode::NOT_FOUND => Self::NotFound(said),
                StatusCode::UNAUTHORIZED => Self::Unauthenticated(said),
                StatusCode::FORBIDDEN => Self::PermissionDenied(said),
                _ => Self::Unavailable(said),
            },
            RegistryError::Challenge { .. } => Self::Unauthenticated(said),
            RegistryError::Http { source, .. } if matches!(*source, HttpError::TooLong(_)) => {
                Self::ResourceExhausted(said)
            }
            RegistryError::Digest { .. } | RegistryError::Length { .. } => {
                Self::FailedPrecondition(said)
            }
            _ => Self::Unavailable(said),
        }
    }
}

impl From<LayerError> for ImagesError {
    fn from(error: LayerError) -> Self {
        let said = text(&error);
        if is_full(&error) {
            return Self::ResourceExhausted(said);
        }
        match error {
            LayerError::Disk { .. } | LayerError::Below(_) => Self::Internal(said),
            LayerError::Step(StepError::Bound { .. }) => Self::ResourceExhausted(said),
            LayerError::Body(_) => Self::Unavailable(said),
            _ => Self::FailedPrecondition(said),
        }
    }
}

impl From<StoreError> for ImagesError {
    fn from(error: StoreError) -> Self {
        let said = text(&error);
        match is_full(&error) {
            true => Self::ResourceExhausted(said),
            false => Self::Internal(said),
        }
    }
}
