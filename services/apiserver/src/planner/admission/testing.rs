//! Requests and clusters of tests: values, no more.

use super::{Attributes, Chain, Cluster, Kind, Operation, Plugin, Review};
use crate::planner::{served::Catalogue, user::User};
use objects::{metadata::Metadata, status::Status};
use serde_json::Value;

/// A cluster's objects.
pub(super) type Objects = [(Kind, Value)];

impl Cluster for &Objects {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        let is = |object: &Value| {
            let metadata = Metadata::of(object);
            metadata.namespace() == namespace && metadata.name() == name
        };
        let found = self.iter().find(|(of, object)| *of == kind && is(object));
        Ok(found.map(|(_, object)| object.clone()))
    }

    fn list(&self, kind: Kind) -> Result<Vec<Value>, Status> {
        let all = self.iter().filter(|(of, _)| *of == kind);
        Ok(all.map(|(_, object)| object.clone()).collect())
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub operation: Operation,
    pub group: &'static str,
    pub resource: &'static str,
    pub subresource: &'static str,
    pub namespace: &'static str,
    pub name: &'static str,
    pub old: Option<Value>,
}

impl Request {
    pub(super) fn create(
        group: &'static str,
        resource: &'static str,
        namespace: &'static str,
    ) -> Self {
        Self {
            operation: Operation::Create,
            group,
            resource,
            subresource: "",
            namespace,
            name: "",
            old: None,
        }
    }

    pub(super) fn update(
        group: &'static str,
        resource: &'static str,
        namespace: &'static str,
        old: Value,
    ) -> Self {
        Self {
            operation: Operation::Update,
            old: Some(old),
            ..Self::create(group, resource, namespace)
        }
    }

    /// With the attributes that a plugin is given.
    pub(super) fn attributes<T>(&self, run: impl FnOnce(&Attributes<'_>) -> T) -> T {
        let catalogue = Catalogue::builtin();
        let user = User::anonymous();
        let served = catalogue.find(self.group, "v1", self.resource);
        run(&Attributes {
            operation: self.operation,
            served: served.expect(self.resource),
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            user: &user,
            random: 0,
            old: self.old.as_ref(),
        })
    }

    /// Asks one plugin, as the chain would: changes first, then whether it is right.
    pub(super) fn ask(
        &self,
        plugin: &Plugin,
        object: &mut Value,
        cluster: &Objects,
    ) -> Result<(), Status> {
        if !plugin.handles.contains(&self.operation) {
            return Ok(());
        }
        self.attributes(|attributes| {
            if let Some(mutate) = plugin.mutate {
                mutate(attributes, object, &cluster)?;
            }
            plugin
                .validate
                .map_or(Ok(()), |validate| validate(attributes, object, &cluster))
        })
    }

    /// The message with which a plugin refuses an object, and its code; or what it makes of it.
    pub(super) fn outcome(
        &self,
        plugin: &Plugin,
        object: &Value,
        cluster: &Objects,
    ) -> Result<Value, (u16, String)> {
        let mut object = object.clone();
        let asked = self.ask(plugin, &mut object, cluster);
        asked
            .map(|()| object)
            .map_err(|status| (status.code, status.message))
    }

    /// Passes the whole chain.
    pub(super) fn through(&self, object: &mut Value, cluster: &Objects) -> Result<(), Status> {
        let chain = Chain::new(&[], &[]).expect("no names");
        self.attributes(|attributes| {
            let review = Review {
                chain: &chain,
                attributes: *attributes,
                cluster: &cluster,
            };
            review.mutate(object, self.old.as_ref())?;
            review.validate(object, self.old.as_ref())
        })
    }
}
