//! What each cluster has from its birth: it is looked at once at each start, and made where it is missing.

use super::{
    allocator::Allocator,
    cache::{Cache, Place},
    store::Write as StoreWrite,
    store::{Outcome, Transaction},
    write::{Target, context},
};
use crate::planner::{
    authorization::{
        GROUP,
        bootstrap::{self as roles, Step, reconcile},
    },
    bootstrap,
    served::{Catalogue, Served},
    write::{self as plan, Body, Complete, Format, stored_bytes},
};
use bytes::Bytes;
use objects::{decode::FieldValidation, metadata::Metadata, status::Status};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes what is missing.
#[derive(Debug)]
pub struct Bootstrap<'a> {
    /// What is there.
    pub cache: &'a Cache,
    /// What is served.
    pub catalogue: &'a Catalogue,
    /// Gives the first Service its address.
    pub allocator: &'a Allocator,
    /// Where the API is.
    pub address: SocketAddr,
    /// Kubelets get their role by their group.
    pub nodes_by_role: bool,
}

impl Bootstrap<'_> {
    /// Until all is there.
    pub async fn run(&self) {
        loop {
            self.cache.loaded().await;
            match self.round().await {
                Ok(()) => return,
                Err(status) => {
                    tracing::warn!(
                        why = status.message,
                        "what a cluster has from its birth is not there yet"
                    );
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn round(&self) -> Result<(), Status> {
        let cidrs: Vec<_> = self
            .allocator
            .ranges()
            .addresses
            .iter()
            .map(|range| range.text())
            .collect();
        for object in bootstrap::objects(&cidrs) {
            self.make("", object.group, object.resource, &object.value)
                .await?;
        }
        self.roles().await?;
        self.own_service().await
    }

    /// Creates an object if it is not there.
    async fn make(
        &self,
        namespace: &str,
        group: &str,
        resource: &str,
        value: &Value,
    ) -> Result<(), Status> {
        let (served, place) = self.find(group, resource)?;
        let name = Metadata::of(value).name();
        let key = match namespace {
            "" => name.to_owned(),
            namespace => format!("{namespace}/{name}"),
        };
        if self.cache.read(place).0.get(&key).is_some() {
            return Ok(());
        }
        let bytes = Bytes::from(value.to_string());
        let body = Body {
            bytes: &bytes,
            format: Format::Json,
        };
        let context = context(FieldValidation::Strict);
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let plan =
            |complete: Complete<'_>| plan::create(served, namespace, &body, &context, complete);
        let target = self.target(served, place, &key, name);
        match target.create(plan).await {
            // Another server was faster.
            Err(status) if status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn roles(&self) -> Result<(), Status> {
        for wanted in roles::objects(self.nodes_by_role) {
            let resource = wanted.kind.resource();
            let (served, place) = self.find(GROUP, resource)?;
            let there = {
                let (objects, _) = self.cache.read(place);
                objects.get(&wanted.key).map(|entry| entry.bytes().clone())
            };
            let there: Option<Value> = there.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let namespace = wanted
                .key
                .split_once('/')
                .map_or("", |(namespace, _)| namespace);
            match reconcile(&wanted, there.as_ref()) {
                None => {}
                Some(Step::Create(value)) => self.make(namespace, GROUP, resource, &value).await?,
                Some(Step::Update(value)) => self.put(served, place, &wanted.key, &value).await?,
                Some(Step::Recreate(value)) => {
                    self.remove(place, &wanted.key, there.as_ref()).await?;
                    // The cache need not have seen that it is gone.
                    self.put_new(place, &wanted.key, &value).await?;
                }
            }
        }
        Ok(())
    }

    /// Changes an object that is there.
    async fn put(
        &self,
        served: &Served,
        place: Place,
        key: &str,
        value: &Value,
    ) -> Result<(), Status> {
        let name = Metadata::of(value).name().to_owned();
        let bytes = Bytes::from(value.to_string());
        let body = Body {
            bytes: &bytes,
            format: Format::Json,
        };
        let context = context(FieldValidation::Strict);
        let plan = |old: &Value, complete: Complete<'_>| {
            plan::update(
                served,
                plan::Scope::Object,
                &name,
                &body,
                old,
                &context,
                complete,
            )
        };
        match self.target(served, place, key, &name).change(plan).await {
            // Somebody else has changed it: the next start looks again.
            Err(status) if status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn remove(&self, place: Place, key: &str, there: Option<&Value>) -> Result<(), Status> {
        let version = there.map_or("", |there| Metadata::of(there).resource_version());
        let key = self.cache.store_key(place, key);
        let transaction = Transaction {
            expect: vec![(key.clone(), version.parse().unwrap_or_default())],
            writes: vec![StoreWrite::Delete(key)],
        };
        let outcome = self.cache.store().commit(&transaction).await;
        outcome
            .map(|_| ())
            .map_err(|error| super::read::unavailable(&error))
    }

    async fn put_new(&self, place: Place, key: &str, value: &Value) -> Result<(), Status> {
        let context = context(FieldValidation::Strict);
        let mut value = value.clone();
        let fields = objects::metadata::edit(&mut value);
        fields.insert("uid".to_owned(), context.uid.clone().into());
        fields.insert("creationTimestamp".to_owned(), plan::time(context.now));
        let key = self.cache.store_key(place, key);
        let transaction = Transaction {
            expect: vec![(key.clone(), 0)],
            writes: vec![StoreWrite::Put(key, stored_bytes(&value))],
        };
        let outcome = self.cache.store().commit(&transaction).await;
        let outcome = outcome.map_err(|error| super::read::unavailable(&error))?;
        match outcome {
            Outcome::Done(_) | Outcome::Lost(..) => Ok(()),
        }
    }

    /// The API's own Service: the first address of the range, whose endpoints are this server.
    async fn own_service(&self) -> Result<(), Status> {
        let ranges = self.allocator.ranges();
        let Some(first) = ranges.addresses.first() else {
            return Ok(());
        };
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kubernetes", "labels": labels},
            "spec": {
                "clusterIP": first.service_first().to_string(),
                "sessionAffinity": "None",
                "type": "ClusterIP",
                "ports": [{"name": "https", "port": 443, "targetPort": self.address.port(), "protocol": "TCP"}],
            },
        });
        self.make("default", "", "services", &service).await?;
        // Nobody reaches another machine's loopback: with no address to give there are no endpoints.
        let ip = self.address.ip();
        if ip.is_loopback() || ip.is_unspecified() {
            return Ok(());
        }
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [ip.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": self.address.port(), "protocol": "TCP"}],
        });
        self.make("default", "discovery.k8s.io", "endpointslices", &slice)
            .await
    }

    fn target<'a>(&'a self, served: &'a Served, place: Place, key: &str, name: &str) -> Target<'a> {
        Target {
            cache: self.cache,
            served,
            place,
            key: key.to_owned(),
            name: name.to_owned(),
            dry_run: false,
            allocator: self.allocator,
        }
    }

    fn find(&self, group: &str, resource: &str) -> Result<(&Served, Place), Status> {
        let served = self.catalogue.find(group, "v1", resource);
        let found = served.and_then(|served| Some((served, self.cache.place(served.stored)?)));
        found.ok_or_else(|| Status::internal(format!("{resource} are not served")))
    }
}
