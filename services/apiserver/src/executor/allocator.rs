//! Claims of Services in the store: who has which address and port.

use super::{
    cache::{Cache, Place},
    random,
    store::{Transaction, Write},
};
use crate::planner::{
    served::Catalogue,
    services::{Claim, Claims, Ranges, address_object, complete, held},
    write::stored_bytes,
};
use bytes::Bytes;
use objects::status::Status;
use serde_json::Value;
use std::collections::BTreeSet;

/// Completes Services, and adds their claims to the transactions that write them.
#[derive(Debug)]
pub struct Allocator {
    cache: Cache,
    services: Place,
    addresses: Place,
    ranges: Ranges,
    /// Before the numbers of claimed ports.
    ports: String,
}

impl Allocator {
    /// For a cluster's ranges.
    ///
    /// # Errors
    /// The table lacks Services or their addresses.
    pub fn new(cache: Cache, catalogue: &Catalogue, ranges: Ranges) -> Result<Self, &'static str> {
        let place = |group: &str, name: &str| {
            let served = catalogue.find(group, "v1", name)?;
            cache.place(served.stored)
        };
        let services = place("", "services").ok_or("services are not served")?;
        let addresses =
            place("networking.k8s.io", "ipaddresses").ok_or("ipaddresses are not served")?;
        let ports = format!("{}ranges/servicenodeports/", cache.prefix());
        Ok(Self {
            cache,
            services,
            addresses,
            ranges,
            ports,
        })
    }

    /// Whether it has a part in what is written there.
    #[must_use]
    pub fn concerns(&self, place: Place) -> bool {
        place == self.services
    }

    /// The cluster's ranges.
    #[must_use]
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// Completes a Service. `lost`: claims that others turned out to have. `thorough`: the Services that are there are read for
    /// their ports. Mostly that is not worth it: a port is chosen at random, and if it has gone, its claim is lost.
    ///
    /// # Errors
    /// What it asks for cannot be had.
    pub fn complete(
        &self,
        service: &mut Value,
        old: Option<&Value>,
        lost: &BTreeSet<Claim>,
        thorough: bool,
    ) -> Result<Claims, Status> {
        let addresses = self.cache.read(self.addresses).0;
        let hit = lost.iter().any(|claim| matches!(claim, Claim::Port(_)));
        let ports = (thorough || hit).then(|| self.known_ports());
        let ports = ports.unwrap_or_default();
        let taken = |claim: &Claim| {
            lost.contains(claim)
                || match claim {
                    Claim::Address(address) => addresses.get(&address.to_string()).is_some(),
                    Claim::Port(port) => ports.contains(port),
                }
        };
        complete(service, old, &self.ranges, random::number(), &taken)
    }

    /// What a Service that goes had.
    #[must_use]
    pub fn all_of(&self, service: &Value) -> Claims {
        Claims {
            take: BTreeSet::new(),
            release: held(service),
        }
    }

    /// Adds claims to the transaction that writes their Service. The claims that are taken come last among the expectations, in
    /// their order.
    pub fn add(
        &self,
        transaction: &mut Transaction,
        claims: &Claims,
        service: &Value,
        now: &Value,
    ) {
        for claim in &claims.take {
            let key = self.key(claim);
            let value = match claim {
                Claim::Address(address) => {
                    stored_bytes(&address_object(*address, service, &random::uuid(), now))
                }
                Claim::Port(_) => owner(service),
            };
            transaction.expect.push((key.clone(), 0));
            transaction.writes.push(Write::Put(key, value));
        }
        for claim in &claims.release {
            transaction.writes.push(Write::Delete(self.key(claim)));
        }
    }

    fn key(&self, claim: &Claim) -> Bytes {
        match claim {
            Claim::Address(address) => self.cache.store_key(self.addresses, &address.to_string()),
            Claim::Port(port) => format!("{}{port}", self.ports).into(),
        }
    }

    /// Ports of all Services that the cache has. What it has not yet is found when it is written.
    fn known_ports(&self) -> BTreeSet<u16> {
        let (services, _) = self.cache.read(self.services);
        let claims = services.iter(None).flat_map(|entry| {
            let service: Value = serde_json::from_slice(entry.bytes()).unwrap_or_default();
            held(&service)
        });
        let ports = claims.filter_map(|claim| match claim {
            Claim::Port(port) => Some(port),
            Claim::Address(_) => None,
        });
        ports.collect()
    }
}

/// Whose a port is, for people who look into the store.
fn owner(service: &Value) -> Bytes {
    let metadata = objects::metadata::Metadata::of(service);
    let owner = serde_json::json!({
        "namespace": metadata.namespace(),
        "name": metadata.name(),
        "uid": metadata.uid(),
    });
    owner.to_string().into()
}
