//! Real clients of Kubernetes against the API server: kubectl, curl, the Python client.
//!
//! The transcripts of `api_clients/` are what a user sees; each is run over our store and over etcd.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::api::{ApiServer, transcript};
use orlop_tests::store::{Cluster, Kind, Options};
use std::path::Path;

/// A store and an API server over it.
struct Site {
    server: ApiServer,
    _store: Cluster,
    _directory: tempfile::TempDir,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("orlop-api-")
            .tempdir()
            .unwrap();
        let store = Cluster::start(kind, directory.path(), &Options::default()).unwrap();
        let server = ApiServer::start(&store, directory.path()).unwrap();
        Self {
            server,
            _store: store,
            _directory: directory,
        }
    }
}

/// Runs a transcript over both stores.
fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/api_clients/{name}.txt"));
    for kind in [Kind::Orlop, Kind::Etcd] {
        let site = Site::new(kind);
        if let Err(error) = transcript::check(&site.server, &file) {
            panic!("over {}: {error:#}\n{}", kind.name(), site.server.log());
        }
    }
}

#[test]
fn objects_live_as_users_expect() {
    check("objects");
}

#[test]
fn apply_merges_by_the_schema() {
    check("apply");
}

#[test]
fn services_get_addresses_and_ports() {
    check("services");
}
