//! Resources, and the stored machine config, which `get` shows like one.

use super::{convert, streams::show};
use crate::{
    arguments::{Get, Global},
    failure::{Failure, Kind},
    output::{Output, Table, printable},
    session::{Sends, Session},
};
use machine_proto::v1alpha1 as wire;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tonic::Request;

pub(super) async fn get(global: &Global, output: Output, given: Get) -> Result<(), Failure> {
    let session = Session::open(global, Sends::Nothing).await?;
    match (given.kind.as_deref(), given.id) {
        (Some("config"), None) if !given.watch => {
            config(&session, output, given.with_secrets).await
        }
        _ if given.with_secrets => Err(Failure::new(
            Kind::Invalid,
            "--with-secrets belongs to: orlopctl get config",
        )),
        (Some("config"), _) => Err(Failure::new(
            Kind::Invalid,
            "the config has no ID and is not watched; look at events instead",
        )),
        (Some(kind), None) if given.watch => watch(&session, output, kind).await,
        (_, _) if given.watch => Err(Failure::new(
            Kind::Invalid,
            "a watch is of a whole kind: orlopctl get KIND --watch",
        )),
        (Some(kind), Some(id)) => one(&session, output, kind, id).await,
        (kind, _) => list(&session, output, kind.unwrap_or_default()).await,
    }
}

async fn config(session: &Session, output: Output, with_secrets: bool) -> Result<(), Failure> {
    let mut node = session.client.clone();
    let call = node.config_get(session.request(wire::ConfigGetRequest { with_secrets }));
    let answer = session.wait(call, None).await?;
    let text = String::from_utf8_lossy(&answer.config);
    if output.is_table() {
        return output.text(&text);
    }
    let value = json!({ "generation": answer.generation, "config": text });
    output.result(&value, || Table {
        titles: &[],
        rows: Vec::new(),
    })
}

async fn one(session: &Session, output: Output, kind: &str, id: String) -> Result<(), Failure> {
    let mut node = session.client.clone();
    let kind = kind.to_owned();
    let call = node.resource_get(session.request(wire::ResourceGetRequest { kind, id }));
    let answer = session.wait(call, None).await?;
    let resource = answer
        .resource
        .ok_or_else(|| Failure::other("the node answered without a resource"))?;
    output.result(&convert::resource(&resource), || Table {
        titles: &["FIELD", "VALUE"],
        rows: convert::spec(&resource)
            .iter()
            .map(|(key, value)| vec![key.clone(), cell(value)])
            .collect(),
    })
}

async fn list(session: &Session, output: Output, kind: &str) -> Result<(), Failure> {
    let mut node = session.client.clone();
    let request = wire::ResourceListRequest {
        kind: kind.to_owned(),
    };
    let call = node.resource_list(session.request(request));
    let resources = session.wait(call, None).await?.resources;
    let value: Value = resources.iter().map(convert::resource).collect();
    if output.is_table() {
        return output.text(&wide(&resources));
    }
    output.result(&value, || Table {
        titles: &[],
        rows: Vec::new(),
    })
}

/// A table whose columns are the fields that any resource has.
fn wide(resources: &[wire::Resource]) -> String {
    let specs: Vec<_> = resources.iter().map(convert::spec).collect();
    let columns: BTreeSet<&String> = specs.iter().flat_map(|spec| spec.keys()).collect();
    let mut rows = vec![vec!["ID".to_owned()]];
    rows[0].extend(columns.iter().map(|name| name.to_uppercase()));
    for (resource, spec) in resources.iter().zip(&specs) {
        let mut row = vec![resource.id.clone()];
        row.extend(
            columns
                .iter()
                .map(|name| spec.get(*name).map(cell).unwrap_or_default()),
        );
        rows.push(row);
    }
    crate::output::aligned(&rows)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

async fn watch(session: &Session, output: Output, kind: &str) -> Result<(), Failure> {
    let mut node = session.client.clone();
    let request = Request::new(wire::ResourceWatchRequest {
        kind: kind.to_owned(),
    });
    let events = session.wait(node.resource_watch(request), None).await?;
    show(events, |event| {
        let kind = wire::ResourceEventType::try_from(event.r#type).unwrap_or_default();
        let kind = convert::name(kind.as_str_name(), "RESOURCE_EVENT_TYPE_");
        let resource = event.resource.as_ref().map(convert::resource);
        let value = json!({ "type": kind, "resource": resource });
        output.message(&value, || {
            let fields: Vec<_> = event
                .resource
                .iter()
                .flat_map(convert::spec)
                .map(|(key, value)| format!("{key}={}", cell(&value)))
                .collect();
            let id = event.resource.as_ref().map_or("", |resource| &resource.id);
            let line = format!("{kind:12} {id} {}", fields.join(" "));
            printable(line.trim_end())
        })
    })
    .await
}
