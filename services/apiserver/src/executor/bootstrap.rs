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
    write::{self as plan, Body, Format, Hooks, Planned, stored_bytes},
};
use bytes::Bytes;
use objects::{decode::FieldValidation, metadata::Metadata, status::Status};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Objects in one transaction; etcd takes 128.
const AT_ONCE: usize = 100;

/// An object that is not there.
struct Missing<'a> {
    served: &'a Served,
    place: Place,
    key: String,
    namespace: String,
    value: Value,
}

impl Missing<'_> {
    fn body(&self) -> Bytes {
        self.value.to_string().into()
    }

    fn plan(
        &self,
        body: &Bytes,
        context: &plan::Context,
        hooks: Hooks<'_>,
    ) -> Result<Planned, Status> {
        let body = Body {
            bytes: body,
            format: Format::Json,
        };
        let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        plan::create(self.served, namespace, &body, context, hooks)
    }
}

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
        let mut missing = Vec::new();
        for object in bootstrap::objects(&cidrs) {
            missing.extend(self.missing("", object.group, object.resource, object.value)?);
        }
        for wanted in roles::objects(self.nodes_by_role) {
            missing.extend(self.role(wanted).await?);
        }
        self.make_all(&missing).await?;
        self.own_service().await
    }

    /// An object, if it is not there.
    fn missing(
        &self,
        namespace: &str,
        group: &str,
        resource: &str,
        value: Value,
    ) -> Result<Option<Missing<'_>>, Status> {
        let (served, place) = self.find(group, resource)?;
        let name = Metadata::of(&value).name();
        let key = match namespace {
            "" => name.to_owned(),
            namespace => format!("{namespace}/{name}"),
        };
        if self.cache.read(place).0.get(&key).is_some() {
            return Ok(None);
        }
        Ok(Some(Missing {
            served,
            place,
            key,
            namespace: namespace.to_owned(),
            value,
        }))
    }

    /// Makes them, many at a time: a new cluster has more than a hundred.
    async fn make_all(&self, missing: &[Missing<'_>]) -> Result<(), Status> {
        for some in missing.chunks(AT_ONCE) {
            let mut transaction = Transaction::default();
            for object in some {
                let body = object.body();
                let context = context(FieldValidation::Strict);
                let hooks = Hooks {
                    admission: None,
                    complete: &|_, _| Ok(()),
                };
                let planned = object.plan(&body, &context, hooks)?;
                if let Planned::Write { object: made, .. } = planned {
                    let key = self.cache.store_key(object.place, &object.key);
                    transaction.expect.push((key.clone(), 0));
                    transaction
                        .writes
                        .push(StoreWrite::Put(key, stored_bytes(&made)));
                }
            }
            let outcome = self.cache.store().commit(&transaction).await;
            let outcome = outcome.map_err(|error| super::read::unavailable(&error))?;
            if matches!(outcome, Outcome::Lost(..)) {
                // Another server was faster with some of them.
                for object in some {
                    self.make(object).await?;
                }
            }
        }
        Ok(())
    }

    async fn make(&self, missing: &Missing<'_>) -> Result<(), Status> {
        let body = missing.body();
        let context = context(FieldValidation::Strict);
        let plan = |hooks: Hooks<'_>| missing.plan(&body, &context, hooks);
        let name = Metadata::of(&missing.value).name();
        let target = self.target(missing.served, missing.place, &missing.key, name);
        match target.create(plan).await {
            // Another server was faster.
            Err(status) if status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// A role or a binding, if it is not there; what is there is brought up to date.
    async fn role(&self, wanted: roles::Wanted) -> Result<Option<Missing<'_>>, Status> {
        let resource = wanted.kind.resource();
        let (served, place) = self.find(GROUP, resource)?;
        let there = {
            let (objects, _) = self.cache.read(place);
            objects.get(&wanted.key).map(|entry| entry.bytes().clone())
        };
        let there: Option<Value> = there.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match reconcile(&wanted, there.as_ref()) {
            None => Ok(None),
            Some(Step::Create(value)) => {
                let namespace = wanted
                    .key
                    .split_once('/')
                    .map_or("", |(namespace, _)| namespace);
                self.missing(namespace, GROUP, resource, value)
            }
            Some(Step::Update(value)) => {
                self.put(served, place, &wanted.key, &value).await?;
                Ok(None)
            }
            Some(Step::Recreate(value)) => {
                self.replace(place, &wanted.key, there.as_ref(), &value)
                    .await?;
                Ok(None)
            }
        }
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
        let plan = |old: &Value, hooks: Hooks<'_>| {
            plan::update(
                served,
                plan::Scope::Object,
                &name,
                &body,
                old,
                &context,
                hooks,
            )
        };
        match self.target(served, place, key, &name).change(plan).await {
            // Somebody else has changed it: the next start looks again.
            Err(status) if status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Puts another object in the place of one: what a binding binds cannot be changed.
    async fn replace(
        &self,
        place: Place,
        key: &str,
        there: Option<&Value>,
        value: &Value,
    ) -> Result<(), Status> {
        let context = context(FieldValidation::Strict);
        let mut value = value.clone();
        let fields = objects::metadata::edit(&mut value);
        fields.insert("uid".to_owned(), context.uid.clone().into());
        fields.insert("creationTimestamp".to_owned(), plan::time(context.now));
        let version = there.map_or("", |there| Metadata::of(there).resource_version());
        let key = self.cache.store_key(place, key);
        let transaction = Transaction {
            expect: vec![(key.clone(), version.parse().unwrap_or_default())],
            writes: vec![StoreWrite::Put(key, stored_bytes(&value))],
        };
        // Whoever was faster has seen to it, or will at the next start.
        let outcome = self.cache.store().commit(&transaction).await;
        outcome
            .map(|_| ())
            .map_err(|error| super::read::unavailable(&error))
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
        if let Some(missing) = self.missing("default", "", "services", service)? {
            self.make(&missing).await?;
        }
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
        let missing = self.missing("default", "discovery.k8s.io", "endpointslices", slice)?;
        match missing {
            None => Ok(()),
            Some(missing) => self.make(&missing).await,
        }
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
            // Namespaces and what is in them come in one transaction: nobody would find the one when the other is asked about.
            admission: None,
        }
    }

    fn find(&self, group: &str, resource: &str) -> Result<(&Served, Place), Status> {
        let served = self.catalogue.find(group, "v1", resource);
        let found = served.and_then(|served| Some((served, self.cache.place(served.stored)?)));
        found.ok_or_else(|| Status::internal(format!("{resource} are not served")))
    }
}
