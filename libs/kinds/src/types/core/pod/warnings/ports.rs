//! Ports that containers of one pod have in common.

use std::collections::BTreeMap;

use objects::field::Path;
use serde_json::Value;

use super::container;
use crate::value::Fields;

/// A port of an earlier container.
struct Taken {
    path: String,
    host_ip: String,
    host_port: i64,
}

pub(super) fn overlaps(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let mut all: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
    container::visit(spec, path, |container, path| {
        let list = path.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let number = port.whole("containerPort").unwrap_or_default();
            let own = Taken {
                path: list.index(index).to_string(),
                host_ip: port.text("hostIP").to_owned(),
                host_port: port.whole("hostPort").unwrap_or_default(),
            };
            if !own.host_ip.is_empty() && own.host_port == 0 {
                let (name, protocol) = (port.text("name"), port.text("protocol"));
                warnings.push(format!(
                    "{}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{}}}",
                    own.path, own.host_ip
                ));
            }
            let key = format!("{number}/{}", port.text("protocol"));
            let others = all.entry(key).or_default();
            warnings.extend(others.iter().filter_map(|other| overlap(&own, other)));
            others.push(own);
        }
    });
}

/// Names of ports that more than one container has: a Service or a probe that means a port by its name gets the first.
pub(super) fn names(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    container::visit(spec, path, |container, path| {
        let list = path.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let name = port.text("name");
            if name.is_empty() {
                continue;
            }
            let own = list.index(index).to_string();
            match all.get(name) {
                Some(other) => warnings.push(format!(
                    "{own}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
                )),
                None => {
                    all.insert(name.to_owned(), own);
                }
            }
        }
    });
}

fn overlap(own: &Taken, other: &Taken) -> Option<String> {
    let one_of_them = own.host_ip.is_empty() != other.host_ip.is_empty();
    let what = if own.host_ip == other.host_ip && own.host_port == other.host_port {
        "duplicate"
    } else if own.host_port == 0 || other.host_port == 0 {
        "overlapping"
    } else if own.host_port == other.host_port && one_of_them {
        "dangerously ambiguous"
    } else {
        return None;
    };
    Some(format!(
        "{}: {what} port definition with {}",
        own.path, other.path
    ))
}
