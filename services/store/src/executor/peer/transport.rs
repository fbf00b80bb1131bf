//! What carries gRPC from one member to another: connections of tonic's, or a simulated network.

use std::sync::Arc;
use tonic::{body::Body, codegen::http};
use tower::{BoxError, util::BoxCloneSyncService};

/// Why a request was not answered. tonic finds what status that is among the sources.
#[derive(Debug, thiserror::Error)]
#[error("a connection between members failed")]
pub struct Broken(#[source] pub BoxError);

/// One connection.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Broken>;

/// Makes connections.
pub trait Connect: Send + Sync + 'static {
    /// A connection to the member at this URL. It is made when it is first used, and again when it broke.
    ///
    /// # Errors
    /// Why the URL cannot be called.
    fn connect(&self, url: &str) -> Result<Transport, String>;
}

/// How all connections of a member are made.
pub type Connector = Arc<dyn Connect>;
