//! What is kept of a sandbox's network by plugins, so that it can be taken away with what it was made with.
//!
//! It is written before the first plugin is asked, without a result, and again with the last one's.

use super::{bandwidth, cni_config::PluginList, ports};
use cri_proto::runtime::PodSandboxConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Of this form. One of another is not read.
pub const VERSION: u32 = 1;
/// The pod's link; all runtimes call it so.
pub const LINK: &str = "eth0";

/// A sandbox and its network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// [`VERSION`].
    pub version: u32,
    /// The sandbox's ID.
    pub sandbox: String,
    /// The list of plugins ([`PluginList::source`]).
    pub list: Value,
    /// `CNI_ARGS`.
    pub arguments: String,
    /// By capability.
    pub runtime: Map<String, Value>,
    /// Of the last plugin; None: it is not known whether all were asked.
    pub result: Option<Value>,
}

impl Attachment {
    /// Of a sandbox that is to have one.
    ///
    /// # Errors
    /// Which field cannot be given to plugins.
    pub fn new(
        sandbox: &str,
        config: &PodSandboxConfig,
        list: &PluginList,
        ranges: &[String],
    ) -> Result<Self, String> {
        Ok(Self {
            version: VERSION,
            sandbox: sandbox.to_owned(),
            list: list.source.clone(),
            arguments: arguments(sandbox, config)?,
            runtime: runtime(config, ranges)?,
            result: None,
        })
    }
}

/// As containerd's and CRI-O's. A value with a semicolon would be two.
fn arguments(sandbox: &str, config: &PodSandboxConfig) -> Result<String, String> {
    let metadata = config.metadata.clone().unwrap_or_default();
    let mut text = "IgnoreUnknown=1".to_owned();
    for (name, value) in [
        ("K8S_POD_NAMESPACE", metadata.namespace.as_str()),
        ("K8S_POD_NAME", &metadata.name),
        ("K8S_POD_INFRA_CONTAINER_ID", sandbox),
        ("K8S_POD_UID", &metadata.uid),
    ] {
        if value.len() > 1024 || value.contains([';', '=', '\0']) {
            return Err(format!(
                "PodSandboxMetadata: {value:?} cannot be an argument of a CNI plugin"
            ));
        }
        text = format!("{text};{name}={value}");
    }
    Ok(text)
}

fn runtime(config: &PodSandboxConfig, ranges: &[String]) -> Result<Map<String, Value>, String> {
    let mut all = Map::new();
    let mappings = ports::read(&config.port_mappings).map_err(|error| error.to_string())?;
    if !mappings.is_empty() {
        let mappings = mappings.iter().map(|one| {
            let address = one.address.map(|address| address.to_string());
            json!({"hostPort": one.host, "containerPort": one.pod, "protocol": one.protocol.name(),
                "hostIP": address.unwrap_or_default()})
        });
        all.insert("portMappings".to_owned(), mappings.collect());
    }
    if let Some(bandwidth) = bandwidth::read(&config.annotations)? {
        all.insert("bandwidth".to_owned(), bandwidth);
    }
    if let Some(dns) = &config.dns_config {
        let dns = json!({"servers": dns.servers, "searches": dns.searches, "options": dns.options});
        all.insert("dns".to_owned(), dns);
    }
    if !ranges.is_empty() {
        let ranges = ranges.iter().map(|range| json!([{"subnet": range}]));
        all.insert("ipRanges".to_owned(), ranges.collect());
    }
    let cgroup = config
        .linux
        .as_ref()
        .map(|linux| linux.cgroup_parent.as_str());
    if let Some(cgroup) = cgroup.filter(|cgroup| !cgroup.is_empty()) {
        all.insert("cgroupPath".to_owned(), cgroup.into());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cri_proto::runtime::{PodSandboxMetadata, PortMapping};

    #[test]
    fn plugins_are_told_of_the_pod() {
        let list = PluginList::read(br#"{"cniVersion":"1.0.0","name":"n","type":"ptp"}"#, "conf")
            .expect("a list");
        let mut config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "web".to_owned(),
                namespace: "shop".to_owned(),
                uid: "u".to_owned(),
                attempt: 0,
            }),
            port_mappings: vec![PortMapping {
                host_port: 80,
                container_port: 8080,
                ..PortMapping::default()
            }],
            ..PodSandboxConfig::default()
        };
        let made = Attachment::new("id", &config, &list, &["10.0.0.0/24".to_owned()]);
        let made = made.expect("an attachment");
        assert_eq!(
            made.arguments,
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=id;K8S_POD_UID=u"
        );
        assert_eq!(
            Value::Object(made.runtime.clone()),
            json!({"portMappings": [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": ""}],
                "ipRanges": [[{"subnet": "10.0.0.0/24"}]]})
        );
        let text = serde_json::to_string(&made).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Attachment>(&text).expect("the same"),
            made
        );
        config.metadata.as_mut().expect("there").name = "a;CNI_PATH=/tmp".to_owned();
        assert!(Attachment::new("id", &config, &list, &[]).is_err());
    }
}
