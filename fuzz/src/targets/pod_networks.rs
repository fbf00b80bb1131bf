//! What plugins of CNI write, and what whoever installs them configures.

use orlop_runtime::planner::network::{
    bandwidth,
    cni_attachment::Attachment,
    cni_config::{Input, PluginList, Version},
    cni_result,
    ipam::{Ipam, Range},
};
use std::collections::HashMap;

/// A list that is read names programs alone, and is the same when it is read back; a result too.
pub(crate) fn cni(bytes: &[u8]) {
    for extension in ["conflist", "conf"] {
        let Ok(list) = PluginList::read(bytes, extension) else {
            continue;
        };
        assert_eq!(PluginList::of(list.source.clone()).as_ref(), Ok(&list));
        for plugin in &list.plugins {
            assert!(!plugin.program.contains('/') && plugin.program != "..");
            let with = Input {
                runtime: &serde_json::Map::new(),
                previous: None,
                valid: None,
            };
            let input: serde_json::Value =
                serde_json::from_slice(&list.input(plugin, &with)).expect("JSON");
            assert_eq!(input["name"], list.name.as_str());
            assert_eq!(input["cniVersion"], list.version.text());
        }
    }
    if let Ok(added) = cni_result::read(bytes, Version::V100) {
        let text = added.result.to_string();
        let again = cni_result::read(text.as_bytes(), Version::V100);
        assert_eq!(again, Ok(added));
    }
    if let Some(words) = cni_result::error(bytes) {
        assert!(words.chars().count() < 3000 && !words.contains(char::is_control));
    }
    drop(cni_result::versions(bytes));
    drop(serde_json::from_slice::<Attachment>(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(ranges) = Range::parse_list(text) {
        let mut ipam = Ipam::default();
        ipam.set_ranges(ranges.clone());
        let taken = ipam.take("one", 0).expect("a new range has addresses");
        assert_eq!(taken.len(), ranges.len());
    }
    let annotation = "kubernetes.io/ingress-bandwidth".to_owned();
    drop(bandwidth::read(&HashMap::from([(
        annotation,
        text.to_owned(),
    )])));
}
