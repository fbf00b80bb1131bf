//! What `kubectl get services` shows.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    cells,
    rules::{AGE, Column, NAME},
    value::Fields,
};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Type", "string", "How it is reached.", |service, _| {
        service.part("spec").text("type").into()
    }),
    Column::new(
        "Cluster-IP",
        "string",
        "Its address in the cluster.",
        |service, _| {
            let first = service.part("spec").texts("clusterIPs").next();
            first.unwrap_or(cells::NONE).into()
        },
    ),
    Column::new(
        "External-IP",
        "string",
        "Its addresses outside.",
        |service, _| external(service).into(),
    ),
    Column::new(
        "Port(s)",
        "string",
        "Its ports, and those on nodes.",
        |service, _| {
            let ports = service.part("spec").items("ports").iter();
            let ports: Vec<String> = ports.map(port).collect();
            if ports.is_empty() {
                return cells::NONE.into();
            }
            ports.join(",").into()
        },
    ),
    AGE,
    Column::new(
        "Selector",
        "string",
        "The pods that it leads to.",
        |service, _| cells::labels(service.part("spec").part("selector").as_object()),
    )
    .wide(),
];

fn port(port: &Value) -> String {
    let (number, protocol) = (
        port.whole("port").unwrap_or_default(),
        port.text("protocol"),
    );
    match port.whole("nodePort").unwrap_or_default() {
        node_port if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
        _ => format!("{number}/{protocol}"),
    }
}

fn external(service: &Value) -> String {
    let spec = service.part("spec");
    let own: Vec<&str> = spec.texts("externalIPs").collect();
    match spec.text("type") {
        "ClusterIP" | "NodePort" if own.is_empty() => cells::NONE.to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let ingresses = service
                .part("status")
                .part("loadBalancer")
                .items("ingress")
                .iter();
            let given: BTreeSet<&str> = ingresses
                .map(|ingress| match ingress.text("ip") {
                    "" => ingress.text("hostname"),
                    address => address,
                })
                .filter(|address| !address.is_empty())
                .collect();
            let all: Vec<&str> = given.into_iter().chain(own).collect();
            if all.is_empty() {
                return "<pending>".to_owned();
            }
            all.join(",")
        }
        "ExternalName" => spec.text("externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}
