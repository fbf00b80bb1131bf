//! What carries gRPC from one member to another: connections of tonic's, or a simulated network.

use etcd_client::{Dialer, MemberUrl, Route};
use std::{fmt::Debug, sync::Arc};
use tonic::{body::Body, codegen::http};
use tower::{BoxError, ServiceExt as _, util::BoxCloneSyncService};

/// Why a request was not answered. tonic finds what status that is among the sources.
#[derive(Debug, thiserror::Error)]
#[error("a connection between members failed")]
pub struct Broken(#[source] pub BoxError);

/// One connection.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Broken>;

/// The way to one member. Whoever has it connects by the URLs that it was told last.
pub trait Way: Debug + Send + Sync {
    /// From the next connection on, by these URLs.
    ///
    /// # Errors
    /// None of them can be called: nothing is changed.
    fn change(&self, urls: &[String]) -> Result<(), String>;

    /// One connection. It is made when it is first used, and again when it broke.
    fn transport(self: Arc<Self>) -> Transport;
}

/// Knows the ways to others.
pub trait Connect: Send + Sync + 'static {
    /// To the member at these URLs.
    ///
    /// # Errors
    /// None of them can be called.
    fn way(self: Arc<Self>, urls: &[String]) -> Result<Arc<dyn Way>, String>;
}

/// How all connections of a member are made.
pub type Connector = Arc<dyn Connect>;

impl Way for Route {
    fn change(&self, urls: &[String]) -> Result<(), String> {
        Route::change(self, urls)
    }

    fn transport(self: Arc<Self>) -> Transport {
        BoxCloneSyncService::new(self.channel().map_err(|error| Broken(error.into())))
    }
}

impl Connect for Dialer {
    fn way(self: Arc<Self>, urls: &[String]) -> Result<Arc<dyn Way>, String> {
        Ok(Route::new(self, urls, MemberUrl::parse)?)
    }
}
